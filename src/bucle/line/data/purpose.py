"""Purpose: what tables are used for; a training is asked when it reads, and again when a model of it is registered.

A pipeline's steps read a project that knows what for (`Project.reading`), so that nobody has to think of it. What they
read stands on the ledger, with an edge from the table to the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from bucle.ground.core import ProjectSection, Record, make_ref, split_ref
from bucle.ground.ledger import AlreadyDone, Edge, Event
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.dataset import in_force
from bucle.line.data.errors import PurposeRefused

__all__ = ["Use", "ask", "check_made_of", "uses"]

KINDS = ("data.used", "data.use_refused")

_ASKED = 250
"""Of so many refs the ledger is asked at once."""

_FARTHEST = 64
"""So many models, runs and executions in a row are followed back."""

_MAKERS = ("model/", "run/", "logged-model/", "execution/")
"""What is followed back to the tables it came from."""


class Use(Record, frozen=True):
    """Somebody read a table to train, or was not let.

    Attributes:
        seq: the event's number in the ledger.
        at: when.
        actor: who.
        table: the table.
        commit: where it was read.
        purpose: what for; '' when it was not told.
        reader: the ref of what read it, e.g. `step/5f1c…`.
        allowed: whether it was let.
    """

    seq: int
    at: datetime
    actor: str
    table: str
    commit: str
    purpose: str
    reader: str
    allowed: bool


def ask(project: Project, table: str, commit: str) -> None:
    """Whether this project may read a table for what it reads it for; nothing is asked of who does not train.

    Raises:
        PurposeRefused: the table's record has purposes, and this is none of them. The ledger knows of it.
        BadDataset: the record cannot be understood.
    Cost: for a training, a look at the record, and one event the first time that a step reads a table.
    """
    if project.purpose is None:
        return
    _check(project, (table, commit), project.purpose, project.reader)
    ref = make_ref("table", table, commit)
    key = _key(project.reader, ref)
    if key is not None and project.ledger.find(key) is not None:
        return
    try:
        with project.ledger.transaction(
            "data.used",
            subject=make_ref("table", table),
            actor=project.actor,
            key=key,
            data={"commit": commit, "purpose": project.purpose, "reader": project.reader},
        ) as transaction:
            if key is not None:
                transaction.edge(ref, project.reader, "read")
    except AlreadyDone:
        return


def check_made_of(project: Project, refs: Iterable[str]) -> None:
    """Whether all that some refs were made of may be used for what it was: records may have changed since it was read.

    Followed back are models, runs and executions. A commit that one of them names without a table it was seen to read
    stands for all tables of it.

    Args:
        refs: e.g. `model/flights@3`, or what a version is about to come from.
    Raises:
        PurposeRefused: a table's record has purposes, and none of them is this one.
        BadDataset: a record cannot be understood.
    Cost: the edges that lead there; a look at the record of each table.
    """
    makers, read = _traced(project, refs)
    seen = set[str]()
    for table, commit, purpose in _read_by(project, makers, read):
        seen.add(commit)
        _check(project, (table, commit), purpose, "")
    own = project.config.section("project", ProjectSection).purpose
    unsaid = [ref.removeprefix("commit/") for ref in sorted(read) if ref.startswith("commit/")]
    for commit in unsaid:
        if commit not in seen:
            for table in _tables(project, commit):
                _check(project, (table, commit), own, "")


def uses(project: Project, table: str | None = None, *, limit: int | None = None) -> list[Use]:
    """Who trained on a table, or on any, and what for, newest first; who was refused is among them."""
    subject = None if table is None else make_ref("table", table)
    events = project.ledger.events(kinds=KINDS, subject=subject, newest_first=True, limit=limit)
    return [_use(event) for event in events]


def _check(project: Project, place: tuple[str, str], purpose: str, reader: str) -> None:
    table, commit = place
    held = in_force(project, table, at=commit)
    if held.allows(purpose):
        return
    project.ledger.record(
        "data.use_refused",
        subject=make_ref("table", table),
        actor=project.actor,
        data={"commit": commit, "purpose": purpose, "reader": reader, "purposes": list(held.record.purposes)},
    )
    told = f"for {purpose!r}" if purpose else "without telling a purpose"
    raise PurposeRefused(
        f"Table {table!r} may not be used for training {told}.",
        why=f"Its record allows: {', '.join(held.record.purposes)}. Ask {held.owner or 'who keeps it'}.",
        fix='Say what the training is for, if it is one of those: @pipeline(purpose="…"), or [project] purpose in '
        f"bucle.toml. Who may decide so allows more: bucle data describe {table} --purpose …",
        at=table,
    )


def _traced(project: Project, refs: Iterable[str]) -> tuple[set[str], set[str]]:
    """The models, runs and executions that refs come from, and the tables and commits these name."""
    makers, found, frontier = set[str](), set[str](), set(refs)
    for _ in range(_FARTHEST):
        found |= {ref for ref in frontier if ref.startswith(("table/", "commit/"))}
        frontier = {ref for ref in frontier if ref.startswith(_MAKERS)} - makers
        if not frontier:
            break
        makers |= frontier
        frontier = {edge.source for edge in _edges(project, frontier, upstream=True)}
    return makers, found


def _read_by(project: Project, makers: set[str], named: set[str]) -> Iterator[tuple[str, str, str]]:
    """Table, commit and purpose of everything that executions' steps read, and of the tables that runs name."""
    ran = {ref for ref in makers if ref.startswith("execution/")}
    steps = {edge.target for edge in _edges(project, ran, upstream=False) if edge.kind == "ran"}
    known = set[str]()
    for edge in _edges(project, {*steps, *ran}, upstream=True):
        if edge.kind == "read":
            known.add(edge.source)
            event = project.ledger.find(_key(edge.target, edge.source) or "")
            yield *_place(edge.source), str(event.data["purpose"]) if event else ""
    own = project.config.section("project", ProjectSection).purpose
    for ref in sorted(named - known):
        if ref.startswith("table/") and "@" in ref:
            yield *_place(ref), own


def _edges(project: Project, refs: Iterable[str], *, upstream: bool) -> Iterator[Edge]:
    listed = sorted(refs)
    for at in range(0, len(listed), _ASKED):
        yield from project.ledger.edges_of(listed[at : at + _ASKED], upstream=upstream)


def _place(ref: str) -> tuple[str, str]:
    _, table, commit = split_ref(ref)
    return table, commit or ""


def _tables(project: Project, commit: str) -> list[str]:
    with project.database.reading() as connection:
        found = store.commit_of(connection, commit)
    return sorted(found.tables) if found else []


def _key(reader: str, ref: str) -> str | None:
    """The key under which the ledger knows that a step read a table; None for a person, who may read it again."""
    return f"used/{reader}/{ref}" if reader.startswith(("step/", "execution/")) else None


def _use(event: Event) -> Use:
    return Use(
        seq=event.seq,
        at=event.at,
        actor=event.actor,
        table=event.subject.removeprefix("table/"),
        commit=str(event.data["commit"]),
        purpose=str(event.data["purpose"]),
        reader=str(event.data["reader"]),
        allowed=event.kind == "data.used",
    )
