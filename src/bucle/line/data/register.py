"""Register: a name for a table whose metadata file lies in the lake."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bucle.ground.core import check_name
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.audit import Audit, move_audited
from bucle.line.data.branch import MAIN
from bucle.line.data.catalog import table_metadata
from bucle.line.data.draft import TableMetadata, check_open, uri
from bucle.line.data.lake import made_as
from bucle.line.data.step import Step, check_step_free

__all__ = ["register_table"]


def register_table(
    project: Project,
    table: str,
    location: str,
    *,
    overwrite: bool = False,
    branch: str = MAIN,
    message: str,
    key: str | None = None,
    check: Callable[[set[str]], None] | None = None,
) -> TableMetadata:
    """Give a name to a table whose metadata file lies in the lake: one that was dropped, or another state of one.

    Args:
        location: the URI of its metadata file.
        overwrite: whether a table of this name is replaced.
        check: is told the names under which the table was made and ever known; raises when it must not get this one.
    Raises:
        BadName: the name cannot be used.
        BadMetadata: the file is not in the lake, or is no table's metadata.
        TableExists: there is one of this name.
        ContractViolated: its rows break the contract of the last landing under this name.
    Cost: with `check`, a look at the tables of every commit.
    """
    from bucle.line.data.foreign import Seen, TakeIn, relative  # noqa: PLC0415
    from bucle.line.data.iceberg import parse_metadata  # noqa: PLC0415
    from bucle.line.data.staged import make_state  # noqa: PLC0415
    from bucle.line.data.updates import bad_metadata, parse_strictly  # noqa: PLC0415

    check_name(table, "table name")
    audit = Audit(project, branch)

    def step(made: Step) -> None:
        if not overwrite:
            check_step_free(made, table)
        path = relative(made.shelf, "lake", location)
        lake, folder, kind, name, *deeper = (*path.split("/"), "", "")
        if kind != "metadata" or not name.endswith(".metadata.json") or any(deeper):
            raise bad_metadata(f"{location[:300]!r} is no metadata file of a table in the lake.")
        folder = f"{lake}/{folder}"
        if check is not None:
            check(_names_of(project, folder))
        try:
            metadata = parse_metadata((project.state / path).read_bytes())
        except msgspec.DecodeError as error:
            raise bad_metadata(f"{location[:300]!r} is no JSON.") from error
        parse_strictly(metadata)
        if metadata["location"] != uri(project, folder):
            raise bad_metadata(f"{location[:300]!r} is the metadata of a table that lies elsewhere.")
        check_open(project, table, metadata)
        manifest = TakeIn(made.shelf, folder, None, Seen()).manifest(None, metadata)
        files = {**manifest.metadata, path: made.shelf.adopt(path)[0]}
        manifest = msgspec.structs.replace(manifest, metadata=files)
        made.tables[table] = make_state(project, table, path, manifest)
        audit.check(made.head, made.tables, [table])

    commit = move_audited(project, step, audit, branch=branch, message=message, key=key)
    return table_metadata(project, table, at=commit.id)


def _names_of(project: Project, folder: str) -> set[str]:
    """Under which name the table that lies in a folder was made, and which it has in any commit that is kept."""
    with project.database.reading() as connection:
        states = [state for commit in store.kept_commits(connection) for state in commit.tables.values()]
    return {made_as(folder), *(one.name for one in states if one.metadata_location.startswith(f"{folder}/"))}
