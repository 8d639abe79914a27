"""Experiment: what runs have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from bucle.ground.core import (
    NUMBER_OPERATORS,
    TEXT_OPERATORS,
    Clause,
    Field,
    Grammar,
    Record,
    make_ref,
    parse_filter,
    parse_order,
    suggest,
)
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.ground.store import comparison
from bucle.line.tracking import store
from bucle.line.tracking.errors import BadExperiment, ExperimentDeleted, ExperimentExists, NoSuchExperiment, NoSuchTag
from bucle.line.tracking.page import Key, Page, beyond, check_limit, make_token, ordering, read_token
from bucle.line.tracking.tables import EXPERIMENT_TAGS, EXPERIMENTS
from bucle.line.tracking.text import LONGEST_TAG, check_text, check_texts

__all__ = [
    "DEFAULT",
    "Experiment",
    "Lifecycle",
    "active_experiment",
    "create_experiment",
    "delete_experiment",
    "delete_experiment_tag",
    "ensure_default",
    "ensure_experiment",
    "experiment",
    "experiment_numbers",
    "experiments",
    "number_of",
    "rename_experiment",
    "restore_experiment",
    "search_experiments",
    "set_experiment_tag",
]

DEFAULT = "0"
"""The id of the experiment that is always there, called `Default`."""

LONGEST_NAME = 500
MOST_AT_ONCE = 50_000

Lifecycle = Literal["active", "deleted", "all"]

ACTIVE, DELETED = "active", "deleted"

_CREATED = Field(name="created_at", kind="instant", operators=NUMBER_OPERATORS)
_UPDATED = Field(name="updated_at", kind="instant", operators=NUMBER_OPERATORS)
_TAGS = Field(name="tags", kind="text", operators=("=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL"))
_GRAMMAR = Grammar(
    scopes={"tags": _TAGS, "tag": _TAGS},
    attributes={
        "name": Field(name="name", kind="text", operators=TEXT_OPERATORS),
        "experiment_id": Field(name="id", kind="text", operators=("=", "!=", "IN", "NOT IN")),
        "creation_time": _CREATED,
        "last_update_time": _UPDATED,
    },
)


class Experiment(Record, frozen=True):
    """What runs have in common.

    Attributes:
        id: a whole number as text; `0` is the experiment called Default.
        name: any text of 1 to 500 characters; no two have the same, the deleted ones included.
        lifecycle: `active` or `deleted`.
        artifact_location: as its maker gave it; empty for the project's own store.
        created_at, updated_at: instants.
        tags: as text.
        runs: how many there are, the deleted ones included; None where they were not counted.
        last_at: when the last one started; None without runs, or where that was not looked at.
    """

    id: str
    name: str
    lifecycle: Literal["active", "deleted"]
    artifact_location: str
    created_at: datetime
    updated_at: datetime
    tags: dict[str, str] = {}
    runs: int | None = None
    last_at: datetime | None = None


def experiment(project: Project, *, id: str = "", name: str = "") -> Experiment:  # noqa: A002  the noun says whose id
    """One experiment, by its id or by its name, deleted or not; its runs are not counted.

    Raises:
        NoSuchExperiment: there is none.
    """
    number = None if name and not id else _number(id)
    if number == 0 or name == "Default":
        ensure_default(project)
    with project.database.reading() as connection:
        row = store.experiment_row(connection, number=number, name=name)
        if row is None:
            raise _no_such(connection, id or name)
        return _experiment(row, store.experiment_tags(connection, [row.id])[row.id])


def active_experiment(project: Project, id: str) -> int:  # noqa: A002
    """The number of an experiment that is there and not deleted.

    Raises:
        NoSuchExperiment: there is none of this id.
        ExperimentDeleted: it is deleted.
    """
    number = number_of(id)
    with project.database.reading() as connection:
        lifecycle = store.experiment_lifecycle(connection, number)
    lifecycle = lifecycle or experiment(project, id=id).lifecycle  # makes the one called Default, or says what is wrong
    if lifecycle != "active":
        raise ExperimentDeleted(
            f"The experiment {id} must be in the 'active' state; it is deleted.",
            why="What is logged to it would be seen by nobody.",
            fix=f'Bring it back: client.restore_experiment("{id}")',
            at=id,
        )
    return number


def experiments(project: Project) -> list[Experiment]:
    """Every experiment that is not deleted, by name, with its runs counted; Default only when it has some.

    Cost: one pass over an index of all runs.
    """
    with project.database.reading() as connection:
        query = sa.select(EXPERIMENTS).where(EXPERIMENTS.c.lifecycle == ACTIVE).order_by(EXPERIMENTS.c.name)
        rows = list(connection.execute(query))
        tags = store.experiment_tags(connection, [row.id for row in rows])
        counts = store.run_counts(connection)
    return [
        _experiment(row, tags[row.id], *counts.get(row.id, (0, None))) for row in rows if row.id != 0 or 0 in counts
    ]


def create_experiment(
    project: Project, name: str, *, tags: Mapping[str, str] | None = None, artifact_location: str = ""
) -> Experiment:
    """Make an experiment.

    Args:
        name: 1 to 500 characters.
        artifact_location: what its maker wants to be told again; nothing is ever written there.
    Raises:
        BadExperiment: the name is empty or too long.
        ExperimentExists: there is one of this name, deleted perhaps.
    """
    check_experiment_name(name)
    ensure_default(project)
    given = dict(check_texts(tags or {}, "tag", LONGEST_TAG))
    with project.ledger.transaction(
        "tracking.experiment_created", subject=make_ref("experiment", name), actor=project.actor
    ) as tx:
        _refuse_taken(tx.connection, name)
        number = tx.connection.execute(sa.select(sa.func.max(EXPERIMENTS.c.id))).scalar_one() + 1
        row = _insert(tx, project, number, name, artifact_location)
        for key, value in given.items():
            tx.insert(EXPERIMENT_TAGS, {"experiment": number, "key": key, "value": value})
    return Experiment(**{**row, "id": str(number)}, tags=given)


def ensure_experiment(project: Project, name: str) -> Experiment:
    """The experiment of this name, made when there is none.

    Raises:
        BadExperiment: the name is empty or too long.
        ExperimentDeleted: it is deleted.
    """
    with project.database.reading() as connection:
        row = store.experiment_row(connection, name=name)
    if row is None:
        try:
            return create_experiment(project, name)
        except ExperimentExists:  # made meanwhile, by somebody else
            return experiment(project, name=name)
    found = _experiment(row, {})
    if found.lifecycle == DELETED:
        raise _is_deleted(found.name)
    return found


def rename_experiment(project: Project, id: str, name: str) -> None:  # noqa: A002
    """Call an experiment otherwise.

    Raises:
        NoSuchExperiment, ExperimentDeleted, ExperimentExists, BadExperiment: it cannot be called so.
    """
    check_experiment_name(name)
    with _change(project, "tracking.experiment_renamed", id) as tx:
        row = _row(tx.connection, id)
        if row.lifecycle == DELETED:
            raise _is_deleted(row.name)
        if row.name != name:
            _refuse_taken(tx.connection, name)
        tx.update(EXPERIMENTS, {"id": row.id}, {"name": name, "updated_at": project.clock.now()})


def delete_experiment(project: Project, id: str) -> None:  # noqa: A002
    """Put an experiment aside with all its runs; it can be restored.

    Raises:
        NoSuchExperiment: there is none, or it is deleted.
    """
    _move(project, id, "tracking.experiment_deleted", ACTIVE, DELETED)


def restore_experiment(project: Project, id: str) -> None:  # noqa: A002
    """Bring an experiment back, with its runs as they were.

    Raises:
        NoSuchExperiment: there is none, or it is not deleted.
    """
    _move(project, id, "tracking.experiment_restored", DELETED, ACTIVE)


def set_experiment_tag(project: Project, id: str, key: str, value: str) -> None:  # noqa: A002
    """Give an experiment a tag, or another value for it.

    Raises:
        NoSuchExperiment, ExperimentDeleted, BadText: it cannot have it.
    """
    check_texts({key: value}, "tag", LONGEST_TAG)
    with _change(project, "tracking.experiment_tagged", id) as tx:
        row = _row(tx.connection, id)
        if row.lifecycle == DELETED:
            raise _is_deleted(row.name)
        tx.put(EXPERIMENT_TAGS, {"experiment": row.id, "key": key, "value": value})


def delete_experiment_tag(project: Project, id: str, key: str) -> None:  # noqa: A002
    """Take a tag off an experiment.

    Raises:
        NoSuchExperiment, ExperimentDeleted, NoSuchTag: there is none to take off.
    """
    with _change(project, "tracking.experiment_untagged", id) as tx:
        row = _row(tx.connection, id)
        if row.lifecycle == DELETED:
            raise _is_deleted(row.name)
        known = store.experiment_tags(tx.connection, [row.id])[row.id]
        if key not in known:
            raise NoSuchTag(
                f"Experiment {id} has no tag {key!r}.", fix=suggest(key, known) or "See: bucle runs experiments", at=key
            )
        tx.delete(EXPERIMENT_TAGS, {"experiment": row.id, "key": key})


def search_experiments(
    project: Project,
    *,
    filter: str = "",  # noqa: A002  what every client calls it
    order_by: Sequence[str] = (),
    lifecycle: Lifecycle = "active",
    limit: int = 1000,
    token: str = "",
) -> Page[Experiment]:
    """Experiments that fit a filter, newest first unless told otherwise; their runs are not counted.

    Args:
        filter: comparisons of `name`, `experiment_id`, `creation_time`, `last_update_time`, `tags.KEY`.
        order_by: e.g. `name DESC`.
    Raises:
        BadFilter: filter or order cannot be read.
        BadToken: the token is not from this search.
    """
    check_limit(limit, MOST_AT_ONCE)
    ensure_default(project)
    clauses, orders = parse_filter(filter, _GRAMMAR), parse_order(order_by, _GRAMMAR)
    keys = [Key(_attribute(order.key), order.ascending) for order in orders]
    named = {order.key for order in orders}
    keys += [] if "created_at" in named else [Key(_attribute("created_at"), ascending=False)]
    keys += [] if "id" in named else [Key(EXPERIMENTS.c.id)]
    where = [_condition(clause, is_sqlite=project.database.is_sqlite) for clause in clauses]
    where += [] if lifecycle == "all" else [EXPERIMENTS.c.lifecycle == lifecycle]
    question = ["experiments", filter, list(order_by), lifecycle]
    where += [beyond(keys, read_token(token, question, len(keys)))] if token else []
    places = [key.expression.label(f"k{number}") for number, key in enumerate(keys)]
    query = sa.select(EXPERIMENTS, *places).where(*where).order_by(*ordering(keys)).limit(limit + 1)
    with project.database.reading() as connection:
        rows = list(connection.execute(query))
        tags = store.experiment_tags(connection, [row.id for row in rows[:limit]])
    more = [rows[limit - 1]._mapping[f"k{number}"] for number in range(len(keys))] if len(rows) > limit else None
    items = tuple(_experiment(row, tags[row.id]) for row in rows[:limit])
    return Page(items=items, token="" if more is None else make_token(question, more))


def check_experiment_name(name: str) -> str:
    """The name itself when an experiment can be called so.

    Raises:
        BadExperiment: it is empty or longer than 500 characters.
    """
    if not name or len(name) > LONGEST_NAME:
        raise BadExperiment(
            f"{name[:40]!r} has {len(name)} characters.",
            why=f"An experiment's name has 1 to {LONGEST_NAME}.",
            fix="Choose such a name, e.g. 'flights'.",
            at="name",
        )
    return check_text(name, "name of an experiment", LONGEST_NAME)


def number_of(id: str) -> int:  # noqa: A002
    """The number an experiment's id stands for.

    Raises:
        NoSuchExperiment: it is no whole number.
    """
    return _number(id)


def experiment_numbers(ids: Sequence[str]) -> list[int]:
    """The numbers among these ids."""
    return sorted({int(id_) for id_ in ids if id_.isascii() and id_.isdecimal() and len(id_) < 19})


class _Default:
    """Whether the experiment Default was seen."""

    is_there = False

    def close(self) -> None:
        """Forget it."""


def ensure_default(project: Project) -> None:
    """Make the experiment Default, unless it exists."""
    known = project.keep(_Default, _Default)
    if known.is_there:
        return
    with project.database.reading() as connection:
        row = store.experiment_row(connection, number=0)
    if row is None:
        with project.ledger.transaction(
            "tracking.experiment_created", subject=make_ref("experiment", "Default"), actor=project.actor
        ) as tx:
            if store.experiment_row(tx.connection, number=0) is None:
                _insert(tx, project, 0, "Default", "")
    known.is_there = True


def _insert(tx: Transaction, project: Project, number: int, name: str, location: str) -> dict[str, Any]:
    now = project.clock.now()
    row = {
        "id": number,
        "name": name,
        "lifecycle": ACTIVE,
        "artifact_location": location,
        "created_at": now,
        "updated_at": now,
    }
    tx.insert(EXPERIMENTS, row)
    tx.data["experiment"] = str(number)
    return row


def _change(project: Project, kind: str, id_: str) -> Any:
    return project.ledger.transaction(kind, subject=make_ref("experiment", id_[:40]), actor=project.actor)


def _move(project: Project, id_: str, kind: str, before: str, after: str) -> None:
    if _number(id_) == 0:
        ensure_default(project)
    with _change(project, kind, id_) as tx:
        row = _row(tx.connection, id_)
        if row.lifecycle != before:
            raise NoSuchExperiment(
                f"The experiment {id_} ({row.name!r}) is {row.lifecycle} already.",
                why=f"Only one that is {before} can be {'deleted' if after == DELETED else 'restored'}.",
                fix="See: bucle runs experiments",
                at=id_,
            )
        tx.update(EXPERIMENTS, {"id": row.id}, {"lifecycle": after, "updated_at": project.clock.now()})


def _row(connection: Connection, id_: str) -> Row[Any]:
    row = store.experiment_row(connection, number=_number(id_))
    if row is None:
        raise _no_such(connection, id_)
    return row


def _number(id_: str) -> int:
    if not (id_.isdecimal() and id_.isascii() and len(id_) < 19):
        raise NoSuchExperiment(
            f"There is no experiment {id_[:40]!r}.", why="An id is a whole number.", fix="See: bucle runs experiments"
        )
    return int(id_)


def _no_such(connection: Connection, given: str) -> NoSuchExperiment:
    query = sa.select(EXPERIMENTS.c.name).where(EXPERIMENTS.c.lifecycle == ACTIVE).limit(1000)
    near = suggest(given, connection.execute(query).scalars())
    return NoSuchExperiment(
        f"There is no experiment {given[:100]!r}.", fix=near or "See: bucle runs experiments", at=given[:100]
    )


def _refuse_taken(connection: Connection, name: str) -> None:
    row = store.experiment_row(connection, name=name)
    if row is not None:
        deleted = row.lifecycle == DELETED
        raise ExperimentExists(
            f"There is an experiment {name!r} already, with id {row.id}{', deleted' if deleted else ''}.",
            why="A name stands for one experiment.",
            fix="Restore it, or choose another name." if deleted else "Use that one, or choose another name.",
            at=name,
        )


def _is_deleted(name: str) -> ExperimentDeleted:
    return ExperimentDeleted(
        f"The experiment {name!r} is deleted.", why="Nothing can be added to it.", fix="Restore it first.", at=name
    )


def _experiment(
    row: Row[Any], tags: dict[str, str], runs: int | None = None, last: datetime | None = None
) -> Experiment:
    return Experiment(
        id=str(row.id),
        name=row.name,
        lifecycle=row.lifecycle,
        artifact_location=row.artifact_location,
        created_at=row.created_at,
        updated_at=row.updated_at,
        tags=tags,
        runs=runs,
        last_at=last,
    )


def _attribute(name: str) -> sa.ColumnElement[Any]:
    column = EXPERIMENTS.c[name]
    return sa.type_coerce(column, sa.BigInteger) if name.endswith("_at") else column


def _condition(clause: Clause, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    if not clause.scope and clause.key == "id":
        numbers = [_number(one) for one in (clause.value if isinstance(clause.value, tuple) else [str(clause.value)])]
        return EXPERIMENTS.c.id.in_(numbers) if clause.op in ("=", "IN") else EXPERIMENTS.c.id.not_in(numbers)
    if not clause.scope:
        return comparison(_attribute(clause.key), clause, is_sqlite=is_sqlite)
    tag = sa.select(EXPERIMENT_TAGS.c.value).where(
        EXPERIMENT_TAGS.c.experiment == EXPERIMENTS.c.id, EXPERIMENT_TAGS.c.key == clause.key
    )
    if clause.op.endswith("NULL"):
        return tag.exists() if clause.op == "IS NOT NULL" else ~tag.exists()
    return tag.where(comparison(EXPERIMENT_TAGS.c.value, clause, is_sqlite=is_sqlite)).exists()
