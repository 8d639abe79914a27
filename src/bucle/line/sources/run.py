"""Run: what is new at a source lands, once, in the transaction that moves its cursor."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl

from bucle.ground.core import BucleError, Record, digest_of_value, make_ref, short
from bucle.ground.keys import KeysOff, has_key, is_encrypted
from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.ground.store import Lease, acquire, release, renew, this_process
from bucle.line import contracts, data
from bucle.line.sources import store
from bucle.line.sources.delta import pull_delta
from bucle.line.sources.errors import SourceBusy
from bucle.line.sources.files import pull_files
from bucle.line.sources.http import pull_http
from bucle.line.sources.pulled import Desk, Pulled, spool
from bucle.line.sources.s3 import pull_s3
from bucle.line.sources.source import Source, load_source
from bucle.line.sources.sql import pull_sql
from bucle.line.sources.store import Cursor
from bucle.line.sources.stream import pull_stream

__all__ = ["Landing", "run"]

_COPIED = ("s3", "http")
"""Kinds of which what comes is first copied as it is."""

_IN_MEMORY = Path("/dev/shm")  # noqa: S108  a folder with a random name and mode 0700 is made in it

_PULLS: dict[str, Callable[[Desk], Pulled | None]] = {
    **dict.fromkeys(("csv", "jsonl", "parquet", "excel", "folder"), pull_files),
    "s3": pull_s3,
    "http": pull_http,
    "sql": pull_sql,
    "stream": pull_stream,
    "delta": pull_delta,
}

LEASE_S = 60.0


class Landing(Record, frozen=True):
    """What one run of a source did.

    Attributes:
        source: its name.
        table: where its rows are.
        rows: how many landed; 0 when there was nothing new.
        commit: the commit that holds them; '' when there was nothing new.
        cursor: how far it has landed now.
    """

    source: str
    table: str
    rows: int
    commit: str
    cursor: dict[str, Any]


def run(project: Project, name: str, *, full: bool = False) -> Landing:
    """Land what is new at a source, through its table's contract.

    The cursor moves in the transaction that makes the rows visible: killed anywhere, a run has landed all of it or
    nothing, and the next one goes on from there. Two runs of one source at once do not double a row.

    Args:
        name: a file of `sources/`.
        full: read all of it and put it in the place of the table's rows, whatever has landed.
    Raises:
        NoSuchSource, SourceInvalid, SecretMissing: the source cannot be used.
        SourceFailed, SourceChanged, SourceTooLarge: nothing landed, the cursor stands.
        SourceBusy: another process runs it now.
        ContractViolated: a row breaks the table's contract; nothing landed.
        And what `data.commit` raises.
    Cost: the source read once, its rows written twice, in parts: memory does not grow with them, unless a contract
        has to see them all.
    """
    source = load_source(project, name)
    lease = acquire(project.database, f"source/{name}", this_process(), LEASE_S)
    if lease is None:
        raise SourceBusy(
            f"Source {name!r} is being run by another process.",
            why="Two at once would read the same rows.",
            fix="Wait for it; if its machine is gone, try again in a minute.",
            at=name,
        )
    try:
        return _run(project, source, lease, full=full)
    except BucleError as error:
        _note_failure(project, source, error)
        raise
    finally:
        release(project.database, lease)


def _run(project: Project, source: Source, lease: Lease, *, full: bool) -> Landing:
    with project.database.reading() as connection:
        before = store.the_cursor(connection, source.name)
    known = before.cursor if before is not None and not full else {}
    with tempfile.TemporaryDirectory(dir=spool_place(project, source), prefix=f"{source.name}-") as folder:
        desk = Desk(project=project, source=source, before=known, folder=Path(folder))
        pulled = _PULLS[source.kind](desk)
        if pulled is None:
            return Landing(source=source.name, table=source.table, rows=0, commit="", cursor=known)
        rows = spool(desk, pulled.parts, lambda: renew(project.database, lease))
        cursor = (
            known if rows is None and not _is_listed(source) else pulled.after(pl.LazyFrame() if rows is None else rows)
        )
        is_new = source.sync == "full" or full
        count = int(rows.select(pl.len()).collect().item()) if rows is not None else 0
        if rows is None or (count == 0 and not is_new):
            return _look(project, source, before, cursor)
        return _land(project, source, rows, before=before, cursor=cursor, count=count, is_new=is_new)


def spool_place(project: Project, source: Source) -> Path:
    """Where a run keeps what has not landed yet: the project's spool, or for plain copies of what is to be encrypted a
    file system in memory.

    Raises:
        KeysOff: there is none on this machine.
    """
    if source.kind not in _COPIED or not (is_encrypted(project, source.table) or has_key(project, source.table)):
        place = project.state / "spool"
        place.mkdir(exist_ok=True)
        return place
    if not _IN_MEMORY.is_dir():
        raise KeysOff(
            f"Source {source.name!r} would leave a plain copy of what it reads on the disk.",
            why=f"Table {source.table!r} is encrypted, and here is no {_IN_MEMORY} to keep the copy in memory.",
            fix="Run it on Linux, or read the rows yourself and commit them: data.land(project, ...)",
            at=source.name,
        )
    return _IN_MEMORY


def _is_listed(source: Source) -> bool:
    """Whether a source's cursor does not depend on its rows: a file without rows is read all the same."""
    return source.kind not in ("sql", "http")


def _land(
    project: Project,
    source: Source,
    rows: pl.LazyFrame,
    *,
    before: Cursor | None,
    cursor: dict[str, Any],
    count: int,
    is_new: bool,
) -> Landing:
    mine = {name: one for name, one in contracts.of_project(project).items() if name == source.table}

    def mark(transaction: Transaction) -> None:
        commit = str(transaction.data["commit"])
        total = count if is_new or before is None else before.rows + count
        _move(project, transaction, source, before, Cursor(source.name, cursor, commit, total, project.clock.now()))
        transaction.data["source"] = source.name
        transaction.edge(make_ref("source", source.name), make_ref("commit", commit), "landed")

    tables = {source.table: rows}
    message = f"{source.name}: {count} rows"
    mode: Literal["append", "overwrite"] = "overwrite" if is_new else "append"
    if mine:
        made = data.land(project, tables, contracts=mine, branch=source.branch, message=message, mode=mode, also=mark)
    else:
        made = data.commit(project, tables, branch=source.branch, message=message, mode=mode, also=mark)
    return Landing(source=source.name, table=source.table, rows=count, commit=made.id, cursor=cursor)


def _look(project: Project, source: Source, before: Cursor | None, cursor: dict[str, Any]) -> Landing:
    """Note how far was looked where no row was: a file without rows is not opened again."""
    found = Landing(source=source.name, table=source.table, rows=0, commit="", cursor=cursor)
    if before is not None and before.cursor == cursor:
        return found
    subject = make_ref("source", source.name)
    with project.ledger.transaction("sources.looked", subject=subject, actor=project.actor) as transaction:
        kept = (
            msgspec.structs.replace(before, cursor=cursor)
            if before
            else Cursor(source.name, cursor, "", 0, project.clock.now())
        )
        _move(project, transaction, source, before, kept)
    return found


def _move(project: Project, transaction: Transaction, source: Source, before: Cursor | None, after: Cursor) -> None:
    """Move the cursor from where it stood when the rows were read; else they have landed already."""
    if store.the_cursor(transaction.connection, source.name) != before:
        raise SourceBusy(
            f"Another run of source {source.name!r} landed meanwhile.",
            why="These rows may be among those; none of them landed twice.",
            fix=f"Run it again: bucle sources run {source.name}",
            at=source.name,
        )
    store.put_cursor(transaction, after)


def _note_failure(project: Project, source: Source, error: BucleError) -> None:
    """Put a failure on the ledger, the same one in the same place once."""
    with project.database.reading() as connection:
        before = store.the_cursor(connection, source.name)
    mark = short(digest_of_value([error.code, error.what, before.cursor if before else None]))
    with (
        contextlib.suppress(AlreadyDone),
        project.ledger.transaction(
            "sources.failed",
            subject=make_ref("source", source.name),
            actor=project.actor,
            reason=error.what,
            key=f"source/{source.name}/failed/{mark}",
            data={"source": source.name, "error": error.as_dict()},
        ),
    ):
        pass
