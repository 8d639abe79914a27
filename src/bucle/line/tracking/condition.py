"""Condition: one comparison of a search, as a test of a run and as a look-up in an index."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import UnaryExpression

from bucle.ground.core import Clause
from bucle.ground.store import OPERATORS, comparison, joined_text, pattern_start, split
from bucle.line.tracking.tables import RUN_DATASETS, RUN_METRICS, RUN_PARAMS, RUN_TAGS, RUNS

__all__ = ["HIGHEST", "Condition", "alias", "attribute", "conditions_of", "measure", "unindexed"]

HIGHEST = "\U0010ffff"
"""No text goes on behind this character."""

TEXTS = {"params": RUN_PARAMS, "tags": RUN_TAGS}

NUMBERS = ("metrics", "min", "max")


Test = Callable[[sa.ColumnElement[int]], sa.ColumnElement[bool]]


class Condition(NamedTuple):
    """One comparison of a search.

    Attributes:
        clause: what it says.
        test: whether a run fits, given its number as an expression; `runs` is at hand as well.
        found: numbers of all runs that may fit, straight from an index; None where no index helps.
        is_exact: whether what is found fits, and is in the experiments searched.
        bound: where a walk along the runs' starts begins and ends.
    """

    clause: Clause
    test: Test
    found: sa.Select[Any] | None = None
    is_exact: bool = False
    bound: sa.ColumnElement[bool] | None = None


def conditions_of(
    clauses: Sequence[Clause], numbers: Mapping[str, int], experiments: Sequence[int], *, is_sqlite: bool
) -> list[Condition]:
    """Clauses as conditions.

    Args:
        numbers: of the keys that exist; no run has another.
        experiments: the runs' own.
        is_sqlite: whether it is for SQLite.
    """
    return [_Maker(numbers, experiments, is_sqlite, place).condition(clause) for place, clause in enumerate(clauses)]


@functools.cache
def alias(table: sa.Table, name: str) -> sa.FromClause:
    """A table under another name, made once: to make one costs more than to look a run up."""
    return table.alias(name)


def unindexed(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """A whole number as an expression no index is used for, so that the database goes the way that was chosen.

    Source: "Disqualifying WHERE Clause Terms Using Unary +", https://www.sqlite.org/optoverview.html
    """
    return UnaryExpression(column, operator=operators.custom_op("+"), type_=column.type)


def measure(scope: str, metric: sa.FromClause) -> sa.ColumnElement[Any]:
    """What a scope says of a row of `run_metrics`: the last, least or greatest value."""
    if scope == "metrics":
        return metric.c.value
    return sa.func.coalesce(metric.c["least" if scope == "min" else "greatest"], metric.c.value)


def attribute(name: str) -> sa.ColumnElement[Any]:
    """An attribute of a run as an expression."""
    if name in ("start_time", "end_time"):
        return sa.type_coerce(RUNS.c.started_at if name == "start_time" else RUNS.c.ended_at, sa.BigInteger)
    if name == "artifact_uri":
        experiment = sa.cast(RUNS.c.experiment, sa.Text)
        return sa.literal("mlflow-artifacts:/") + experiment + "/" + RUNS.c.id + "/artifacts"
    return {"run_id": RUNS.c.id, "run_name": RUNS.c.name, "user_id": RUNS.c.actor, "status": RUNS.c.status}[name]


class _Maker(NamedTuple):
    numbers: Mapping[str, int]
    experiments: Sequence[int]
    is_sqlite: bool
    place: int

    def _two(self, table: sa.Table) -> tuple[sa.FromClause, sa.FromClause]:
        """A table under two names of this condition's own: for the test, and for what is found."""
        return alias(table, f"t{self.place}"), alias(table, f"f{self.place}")

    def condition(self, clause: Clause) -> Condition:
        if clause.scope in NUMBERS:
            return self._number(clause)
        if clause.scope in TEXTS:
            return self._text(clause)
        if clause.scope == "datasets":
            return self._dataset(clause)
        return self._attribute(clause)

    def _number(self, clause: Clause) -> Condition:
        metric, table = self._two(RUN_METRICS)
        key = self.numbers.get(clause.key, -1)
        fits = OPERATORS[clause.op](measure(clause.scope, metric), float(clause.value))  # type: ignore[arg-type]
        own = sa.select(metric.c.run).where(metric.c.key == key, fits)

        def test(run: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
            return own.where(metric.c.run == run).exists()

        if clause.scope != "metrics" or clause.op == "!=":
            return Condition(clause, test)
        bound = OPERATORS[clause.op](table.c.value, float(clause.value))  # type: ignore[arg-type]
        found = sa.select(table.c.run).where(table.c.experiment.in_(self.experiments), table.c.key == key, bound)
        return Condition(clause, test, found, is_exact=True)

    def _text(self, clause: Clause) -> Condition:
        table = TEXTS[clause.scope]
        text, every = self._two(table)
        key, found = self.numbers.get(clause.key, -1), None
        own = sa.select(text.c.run).where(text.c.key == key)
        if clause.op == "IS NULL":
            return Condition(clause, lambda run: ~own.where(text.c.run == run).exists())
        has_key = sa.select(every.c.run).where(every.c.key == key)
        if clause.op == "IS NOT NULL":
            fits, found = own, has_key
        elif clause.op in ("=", "!="):
            same = _same(text, str(clause.value))
            fits = own.where(same if clause.op == "=" else sa.not_(same))
            found = has_key.where(every.c.value == split(str(clause.value))[0]) if clause.op == "=" else None
        else:
            whole = joined_text(text)
            fits = own.where(comparison(whole, clause, is_sqlite=self.is_sqlite))
            start = pattern_start(str(clause.value)) if clause.op == "LIKE" else ""
            found = has_key.where(*_begins(every.c.value, split(start)[0])) if start else None
        return Condition(clause, lambda run: fits.where(text.c.run == run).exists(), found)

    def _dataset(self, clause: Clause) -> Condition:
        table, every = self._two(RUN_DATASETS)
        fits = comparison(table.c[clause.key], clause, is_sqlite=self.is_sqlite)
        own = sa.select(table.c.run).where(fits)

        def test(run: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
            return own.where(table.c.run == run).exists()

        if clause.key != "name" or clause.op != "=":
            return Condition(clause, test)
        return Condition(clause, test, sa.select(every.c.run).where(every.c.name == clause.value))

    def _attribute(self, clause: Clause) -> Condition:
        left = attribute(clause.key)
        if clause.key == "start_time":
            left = unindexed(left)
        if clause.key == "status":
            left, clause = _told_as_clients_do(left, clause)
        fits = comparison(left, clause, is_sqlite=self.is_sqlite)

        def test(_run: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
            return fits

        if clause.key == "run_id" and clause.op in ("=", "IN"):
            ids = clause.value if isinstance(clause.value, tuple) else (clause.value,)
            return Condition(clause, test, sa.select(RUNS.c.seq.label("run")).where(RUNS.c.id.in_(ids)))
        if clause.key == "start_time" and clause.op != "!=":
            bound = comparison(sa.type_coerce(RUNS.c.started_at, sa.BigInteger), clause, is_sqlite=self.is_sqlite)
            found = sa.select(RUNS.c.seq.label("run")).where(RUNS.c.experiment.in_(self.experiments), bound)
            return Condition(clause, test, found, is_exact=True, bound=bound)
        return Condition(clause, test)


def _same(text: sa.FromClause, value: str) -> sa.ColumnElement[bool]:
    head, rest = split(value)
    return sa.and_(text.c.value == head, text.c.rest.is_(None) if rest is None else text.c.rest == rest)


def _begins(column: sa.ColumnElement[str], start: str) -> tuple[sa.ColumnElement[bool], ...]:
    return column >= start, column < start + HIGHEST


def _told_as_clients_do(left: sa.ColumnElement[Any], clause: Clause) -> tuple[sa.ColumnElement[Any], Clause]:
    """Clients write FINISHED where we keep finished; either is understood, and patterns are of the former."""
    if clause.op in ("LIKE", "ILIKE"):
        return sa.func.upper(left), clause
    value = clause.value
    lower = tuple(one.lower() for one in value) if isinstance(value, tuple) else str(value).lower()
    return left, Clause(scope=clause.scope, key=clause.key, op=clause.op, value=lower, at=clause.at)
