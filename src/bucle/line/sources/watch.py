"""Watch: sources are looked at again and again; a new file, row or line lands within a stated delay."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from bucle.ground.core import BucleError, Record
from bucle.ground.project import Project
from bucle.line.sources import store
from bucle.line.sources.run import Landing, run
from bucle.line.sources.source import sources_of
from bucle.line.sources.store import Cursor

__all__ = ["SourceStatus", "statuses", "watch"]


class SourceStatus(Record, frozen=True):
    """A source, and how far it has landed.

    Attributes:
        name: its name.
        kind: what it reads.
        table: where its rows go.
        sync: `full` or `incremental`.
        landed: its cursor; None before its first run.
        failure: what its last failure said, when it has not landed since; '' if there is none.
    """

    name: str
    kind: str
    table: str
    sync: str
    landed: Cursor | None
    failure: str


def watch(
    project: Project,
    names: Sequence[str] = (),
    *,
    every_s: float = 5.0,
    stop: threading.Event,
    tell: Callable[[str, Landing | BucleError], object] = lambda *_: None,
) -> None:
    """Run sources until `stop` is set.

    What is new lands at most `every_s` + `settle_s` of its source later, and what the runs of the others and its own
    take.

    Args:
        names: which; all of `sources/` unless given, those that are added meanwhile too.
        every_s: seconds between two looks, > 0.
        stop: ends it, between two runs.
        tell: is told each landing of rows, and each error; the others go on.
    """
    while not stop.is_set():
        for name in names or _known(project, tell):
            if stop.is_set():
                return
            try:
                landed = run(project, name)
            except BucleError as error:
                tell(name, error)
                continue
            if landed.rows:
                tell(name, landed)
        stop.wait(every_s)


def statuses(project: Project) -> list[SourceStatus]:
    """Every source by name, with how far it has landed; errors as for `sources_of`."""
    with project.database.reading() as connection:
        landed = {one.source: one for one in store.every_cursor(connection)}
    return [
        SourceStatus(
            name=name,
            kind=source.kind,
            table=source.table,
            sync=source.sync,
            landed=landed.get(name),
            failure=_failure(project, name, landed.get(name)),
        )
        for name, source in sources_of(project).items()
    ]


def _known(project: Project, tell: Callable[[str, Landing | BucleError], object]) -> list[str]:
    try:
        return list(sources_of(project))
    except BucleError as error:
        tell("sources", error)
        return []


def _failure(project: Project, name: str, landed: Cursor | None) -> str:
    last = project.ledger.events(kinds=["sources.failed"], subject=f"source/{name}", limit=1, newest_first=True)
    if not last or (landed is not None and landed.at > last[0].at):
        return ""
    return last[0].reason
