"""Purpose: what tables are used for; a training is asked when it reads, and again when a model of it is registered.

A pipeline's steps read a project that knows what for (`Project.reading`), so that nobody has to think of it. What they
read stands on the ledger, with an edge from the table to the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from bucle.ground.core import NotFound, ProjectSection, Record, UserError, make_ref, split_ref
from bucle.ground.ledger import AlreadyDone, Edge, Event
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of, resolve
from bucle.line.data.commit import Commit
from bucle.line.data.dataset import in_force
from bucle.line.data.errors import CommitExpired, PurposeRefused

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
    stands for all tables of it, and so does a view. What is named, but not here, stands for what `main` has.

    Args:
        refs: e.g. `model/flights@3`, or what a version is about to come from.
    Raises:
        PurposeRefused: a table's record has purposes, and none of them is this one.
        BadDataset: a record cannot be understood.
    Cost: the edges that lead there; a look at the record of each table.
    """
    makers, named = _traced(project, refs)
    own = project.config.section("project", ProjectSection).purpose
    places = [_place(project, ref) for ref in named]
    wanted = {(table, commit.id): own for table, commit in places if commit and table in commit.tables}
    wanted |= _read_by(project, makers)
    known = {commit for _, commit in wanted}
    for table, commit in places:
        if commit and table not in commit.tables and commit.id not in known:
            wanted |= {(one, commit.id): own for one in commit.tables}
    for place, purpose in sorted(wanted.items()):
        _check(project, place, purpose, "")


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


def _read_by(project: Project, makers: set[str]) -> dict[tuple[str, str], str]:
    """Table and commit that steps of executions, and these themselves, were seen to read -> what for."""
    ran = {ref for ref in makers if ref.startswith("execution/")}
    steps = {edge.target for edge in _edges(project, ran, upstream=False) if edge.kind == "ran"}
    found = dict[tuple[str, str], str]()
    for edge in _edges(project, {*steps, *ran}, upstream=True):
        if edge.kind == "read":
            event = project.ledger.find(_key(edge.target, edge.source) or "")
            _, table, commit = split_ref(edge.source)
            found[table, commit or ""] = str(event.data["purpose"]) if event else ""
    return found


def _place(project: Project, ref: str) -> tuple[str, Commit | None]:
    """The table and the commit that a ref names; '' when it names no table."""
    noun, _, named = ref.partition("/")
    table, _, at = named.partition("@") if noun == "table" else ("", "", named)
    return table, _commit(project, at or MAIN)


def _commit(project: Project, at: str) -> Commit | None:
    """The commit that somebody named, also when its data was given up; the head of `main` when there is no such."""
    try:
        return resolve(project, at)
    except CommitExpired:
        with project.database.reading() as connection:
            return store.commit_of(connection, at) or head_of(project, MAIN)
    except (NotFound, UserError):
        return head_of(project, MAIN)


def _edges(project: Project, refs: Iterable[str], *, upstream: bool) -> Iterator[Edge]:
    listed = sorted(refs)
    for at in range(0, len(listed), _ASKED):
        yield from project.ledger.edges_of(listed[at : at + _ASKED], upstream=upstream)


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
