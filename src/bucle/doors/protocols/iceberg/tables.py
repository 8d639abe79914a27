"""Tables, on the wire: what a client asks is put into our words, and carried out by the data station."""

from __future__ import annotations

from functools import partial
from typing import Any

from bucle.doors.protocols.iceberg.errors import bad_request
from bucle.doors.protocols.iceberg.rights import check_reader, check_writer, new_name
from bucle.doors.protocols.iceberg.wire import (
    Answer,
    Body,
    Call,
    Identifier,
    Json,
    Rename,
    Route,
    identifiers,
    name_of,
    read_body,
)
from bucle.ground.core import digest_of
from bucle.ground.project import Project
from bucle.line import data

__all__ = ["ROUTES"]


class CreateTable(Body):
    """A table to be made."""

    name: str
    schema: dict[str, Any]
    location: str | None = None
    partition_spec: dict[str, Any] | None = None
    write_order: dict[str, Any] | None = None
    stage_create: bool | None = False
    properties: dict[str, str] | None = None


class RegisterTable(Body):
    """A name for a metadata file."""

    name: str
    metadata_location: str
    overwrite: bool = False


class CommitTable(Body):
    """What is required of a table, and what is changed."""

    requirements: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    identifier: Identifier | None = None


class CommitTransaction(Body):
    """Changes to several tables, all of them or none."""

    table_changes: list[CommitTable]


def listing(call: Call, project: Project) -> Json:
    """Those of a namespace."""
    return identifiers(call, project, data.table_names(project, at=call.ref))


def create(call: Call, project: Project) -> Answer:
    """Make one, or tell where it would be."""
    body = read_body(call, CreateTable)
    table = new_name(call, project, call.namespace, body.name)
    request = {
        "schema": body.schema,
        "location": body.location,
        "partition-spec": body.partition_spec,
        "write-order": body.write_order,
        "properties": body.properties,
    }
    if body.stage_create:
        data.check_table_free(project, table, at=call.ref)
        return _shown(data.draft_table(project, table, request), call)
    made = data.create_table(
        project, table, request, branch=call.ref, message=call.by(f"table {table} made"), key=call.key
    )
    return _shown(made, call)


def load(call: Call, project: Project) -> Answer:
    """One with its metadata; `snapshots=refs` leaves out those that no ref names. 304 when the client has it."""
    found = data.table_metadata(project, call.table, at=call.ref)
    check_reader(call, project, call.table)
    tag = _tag(found, call)
    if tag in _tags(call.headers.get("if-none-match", "")) or call.headers.get("if-none-match", "").strip() == "*":
        return Answer(304, headers={"etag": tag})
    if call.query.get("snapshots") == "refs":
        named = {ref["snapshot-id"] for ref in found.metadata["refs"].values()}
        shown = [one for one in found.metadata["snapshots"] if one["snapshot-id"] in named]
        found = data.TableMetadata(location=found.location, metadata={**found.metadata, "snapshots": shown})
    return _shown(found, call)


def exists(call: Call, project: Project) -> Answer:
    """Whether it is there: 204 or 404."""
    data.table_metadata(project, call.table, at=call.ref)
    return Answer(204)


def commit(call: Call, project: Project) -> Answer:
    """Change one."""
    asked, table = read_body(call, CommitTable), call.table
    check_writer(call, project, table)
    check_reader(call, project, table)
    made = data.commit_metadata(
        project, [_change(table, asked)], branch=call.ref, message=call.by(_what([(table, asked)])), key=call.key
    )
    found = data.table_metadata(project, table, at=made.id)
    body = {"metadata-location": found.location, "metadata": found.metadata}
    return Answer(200, body, headers={"etag": _tag(found, call)})


def transact(call: Call, project: Project) -> Answer:
    """Change several in one commit."""
    body = read_body(call, CommitTransaction)
    named = [(_named(one), one) for one in body.table_changes]
    if not named:
        raise bad_request("A transaction changes one table at least.")
    check_writer(call, project, *(table for table, _ in named))
    _check_readers(call, project, {table for table, _ in named})
    changes = [_change(table, one) for table, one in named]
    data.commit_metadata(project, changes, branch=call.ref, message=call.by(_what(named)), key=call.key)
    return Answer(204)


def drop(call: Call, project: Project) -> Answer:
    """Take one from the branch. Its files stay even when a purge is asked for: other branches and commits have it."""
    table = call.table
    check_writer(call, project, table)
    data.drop_table(project, table, branch=call.ref, message=call.by(f"table {table} dropped"), key=call.key)
    return Answer(204)


def register(call: Call, project: Project) -> Answer:
    """Give a name to a metadata file of the lake."""
    body = read_body(call, RegisterTable)
    table = new_name(call, project, call.namespace, body.name)
    made = data.register_table(
        project,
        table,
        body.metadata_location,
        overwrite=body.overwrite,
        branch=call.ref,
        message=call.by(f"table {table} registered"),
        key=call.key,
        check=partial(_check_readers, call, project),
    )
    return _shown(made, call)


def _check_readers(call: Call, project: Project, tables: set[str]) -> None:
    """Whoever knows where a metadata file lies need not be one who may read that table."""
    for table in tables:
        check_reader(call, project, table)


def rename(call: Call, project: Project) -> Answer:
    """Give one another name."""
    body = read_body(call, Rename)
    source = name_of(body.source.namespace, body.source.name)
    target = new_name(call, project, tuple(body.destination.namespace), body.destination.name)
    check_writer(call, project, source)
    # Who may not read a table might read it under another name.
    check_reader(call, project, source)
    data.rename_table(
        project, source, target, branch=call.ref, message=call.by(f"table {source} renamed to {target}"), key=call.key
    )
    return Answer(204)


def metrics(call: Call, project: Project) -> Answer:
    """What a client tells of its reads and commits; nobody asks for it here."""
    return Answer(204)


def _named(one: CommitTable) -> str:
    if one.identifier is None:
        raise bad_request("Each change of a transaction names its table.")
    return name_of(one.identifier.namespace, one.identifier.name)


def _change(table: str, body: CommitTable) -> data.TableChange:
    return data.TableChange(table=table, requirements=tuple(body.requirements), updates=tuple(body.updates))


def _what(named: list[tuple[str, CommitTable]]) -> str:
    """What a commit does, for people: `append to a; delete from b`."""
    said = list[str]()
    for table, body in named:
        snapshots = [one.get("snapshot") for one in body.updates if one.get("action") == "add-snapshot"]
        done = [str((one.get("summary") or {}).get("operation"))[:20] for one in snapshots if isinstance(one, dict)]
        said.append(f"{', '.join(done) or 'change'} on {table}")
    return "; ".join(said)[:500]


def _shown(found: data.TableMetadata, call: Call) -> Answer:
    body = {"metadata": found.metadata, "config": {}}
    if not found.location:
        return Answer(200, body)
    return Answer(200, {"metadata-location": found.location, **body}, headers={"etag": _tag(found, call)})


def _tag(found: data.TableMetadata, call: Call) -> str:
    """What names this answer: a metadata file is never changed, so its place says what stands in it."""
    shape = "refs" if call.query.get("snapshots") == "refs" else "all"
    return f'"{digest_of(f"{found.location} {shape}".encode())[:32]}"'


def _tags(text: str) -> set[str]:
    """The tags of a header `If-None-Match`; weak ones compare as others, as RFC 9110 has it for this header."""
    return {one.strip().removeprefix("W/") for one in text.split(",")}


_TABLES = "/v1/{prefix}/namespaces/{namespace}/tables"
_TABLE = f"{_TABLES}/{{table}}"

ROUTES = (
    Route("GET", _TABLES, listing),
    Route("POST", _TABLES, create),
    Route("GET", _TABLE, load),
    Route("HEAD", _TABLE, exists),
    Route("POST", _TABLE, commit),
    Route("DELETE", _TABLE, drop),
    Route("POST", f"{_TABLE}/metrics", metrics, changes=False),
    Route("POST", "/v1/{prefix}/namespaces/{namespace}/register", register),
    Route("POST", "/v1/{prefix}/tables/rename", rename),
    Route("POST", "/v1/{prefix}/transactions/commit", transact),
)
