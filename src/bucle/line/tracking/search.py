"""Search: runs that fit a filter, in an order, page by page, at a cost that hardly grows with how many there are.

There are three ways through the data, and the choice is made by counting, not by a planner's guess:

- a condition that few runs fit is looked up in its index, and those runs are sorted;
- else the runs are walked in the order asked for, along the index of the metric, parameter, tag or start, and each is
  probed for the conditions, until the page is full;
- an order that no index has sorts all runs that fit.

With N runs and pages of n, a condition that fits c runs costs c when looked up and n * N / c when walked past; so it is
looked up when it fits fewer than about the root of n * N. Ordered by a metric, runs that have it come first, then those
where it is no number, then those without it: three walks, of which a page mostly needs the first.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import (
    NUMBER_OPERATORS,
    TEXT_OPERATORS,
    BadFilter,
    Clause,
    Field,
    Grammar,
    Order,
    parse_filter,
    parse_order,
)
from bucle.ground.project import Project
from bucle.ground.store import OPERATORS
from bucle.line.tracking import store
from bucle.line.tracking.condition import Condition, alias, attribute, conditions_of, measure, unindexed
from bucle.line.tracking.experiment import Lifecycle, number_of
from bucle.line.tracking.form import Form
from bucle.line.tracking.name import names_of
from bucle.line.tracking.page import Key, Page, Plain, beyond, check_limit, make_token, ordering, read_token
from bucle.line.tracking.run import Columns, Run, read_runs
from bucle.line.tracking.tables import RUN_METRICS, RUN_PARAMS, RUN_TAGS, RUNS

__all__ = ["GRAMMAR", "count_runs", "search_forms", "search_runs"]

MOST_AT_ONCE = 50_000
"""Runs of a page."""

FEWEST, MOST_LOOKED_UP = 500, 50_000
"""However few or many runs there are, a condition is looked up when it fits fewer than the first, and walked past when
it fits more than the second."""

DEARER = 2
"""A run looked up costs about twice as much as one walked past: it is further from the one before. Measured at a
million runs in SQLite, for walks along starts and along a metric."""

MOST_WALKS = 32
"""Experiments whose indexes are walked side by side; beyond that many, all their runs are sorted."""

_METRICS = Field(name="metrics", kind="number", operators=NUMBER_OPERATORS)
_TEXT_TESTS = ("=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL")
_PARAMS = Field(name="params", kind="text", operators=_TEXT_TESTS)
_TAGS = Field(name="tags", kind="text", operators=_TEXT_TESTS)
_DATASETS = Field(name="datasets", kind="text", operators=TEXT_OPERATORS)
_NAME = Field(name="run_name", kind="text", operators=TEXT_OPERATORS)
_START = Field(name="start_time", kind="instant", operators=NUMBER_OPERATORS)

GRAMMAR = Grammar(
    scopes={
        **dict.fromkeys(("metrics", "metric"), _METRICS),
        **dict.fromkeys(("params", "param", "parameters", "parameter"), _PARAMS),
        **dict.fromkeys(("tags", "tag"), _TAGS),
        **dict.fromkeys(("datasets", "dataset"), _DATASETS),
        "min": Field(name="min", kind="number", operators=NUMBER_OPERATORS),
        "max": Field(name="max", kind="number", operators=NUMBER_OPERATORS),
    },
    attributes={
        **{
            name: Field(name=name, kind="text", operators=TEXT_OPERATORS)
            for name in ("status", "artifact_uri", "user_id", "run_id")
        },
        **dict.fromkeys(("run_name", "run name", "Run name", "Run Name"), _NAME),
        **dict.fromkeys(("start_time", "created", "Created"), _START),
        "end_time": Field(name="end_time", kind="instant", operators=NUMBER_OPERATORS),
    },
    attribute_scopes=("attributes", "attribute", "attr", "run"),
)
"""What runs can be searched by: `metrics.KEY` (the last value), `min.KEY`, `max.KEY`, `params.KEY`, `tags.KEY`,
`datasets.name|digest|context`, and attributes of the run itself."""


def search_runs(
    project: Project,
    experiment_ids: Sequence[str],
    *,
    filter: str = "",  # noqa: A002  what every client calls it
    order_by: Sequence[str] = (),
    lifecycle: Lifecycle = "active",
    limit: int = 1000,
    token: str = "",
    columns: Columns | None = None,
) -> Page[Run]:
    """Runs that fit a filter, newest first unless told otherwise.

    Runs that lack what is ordered by come last, whichever way; of a metric, those where it is no number before them.

    Args:
        experiment_ids: where to look.
        filter: comparisons joined by AND; see `GRAMMAR`.
        order_by: e.g. `metrics.auc DESC`; ties newest first, then by id.
        limit: 1 to 50,000.
        token: of the page before; empty for the first.
        columns: what to read of the runs; None for everything.
    Raises:
        BadFilter: filter or order cannot be read.
        BadToken: the token is not from this search.
    Cost: a page of n of N runs: at most the order of the root of n * N, where a condition or the order has an index.
    """
    wanted = _Wanted(experiment_ids, filter, order_by, lifecycle, limit, token)
    with project.database.reading() as connection:
        numbers, more = wanted.find(project, connection)
        return Page(items=tuple(read_runs(project, connection, numbers, columns)), token=more)


def search_forms(
    project: Project,
    form: Form,
    experiment_ids: Sequence[str],
    *,
    filter: str = "",  # noqa: A002
    order_by: Sequence[str] = (),
    lifecycle: Lifecycle = "active",
    limit: int = 1000,
    token: str = "",
) -> Page[bytes]:
    """As `search_runs`, with the runs in a form; arguments and errors are the same."""
    wanted = _Wanted(experiment_ids, filter, order_by, lifecycle, limit, token)
    with project.database.reading() as connection:
        numbers, more = wanted.find(project, connection)
        return Page(items=tuple(form.of(project, connection, numbers)), token=more)


class _Wanted(NamedTuple):
    """What is asked for; see `search_runs`."""

    experiment_ids: Sequence[str]
    filter: str
    order_by: Sequence[str]
    lifecycle: Lifecycle
    limit: int
    token: str

    def find(self, project: Project, connection: Connection) -> tuple[list[int], str]:
        """The numbers of the runs on this page, and the token of the next."""
        check_limit(self.limit, MOST_AT_ONCE)
        question = ["runs", sorted(set(self.experiment_ids)), self.filter, list(self.order_by), self.lifecycle]
        search = _search(project, connection, self)
        place = read_token(self.token, question, len(search.sort_keys())) if self.token else None
        found = search.page(connection, self.limit + 1, place) if search.where.experiments else []
        more = make_token(question, found[self.limit - 1][1]) if len(found) > self.limit else ""
        return [number for number, _ in found[: self.limit]], more


def count_runs(
    project: Project,
    experiment_ids: Sequence[str],
    *,
    filter: str = "",  # noqa: A002
    lifecycle: Lifecycle = "active",
) -> int:
    """How many runs fit a filter.

    Raises:
        BadFilter: the filter cannot be read.
    Cost: without a filter one pass over an index; with one, every run is probed, or those an index gives.
    """
    wanted = _Wanted(experiment_ids, filter, (), lifecycle, 1, "")
    with project.database.reading() as connection:
        search = _search(project, connection, wanted)
        return search.count(connection) if search.where.experiments else 0


class _Where(NamedTuple):
    """Among which runs to look.

    Attributes:
        experiments: numbers of those that exist and may hold some.
        deleted: of those asked for, the ones that are deleted.
        test: whether a run has the lifecycle asked for; None when every one has.
        lifecycle: that lifecycle.
    """

    experiments: list[int]
    deleted: tuple[int, ...]
    test: sa.ColumnElement[bool] | None
    lifecycle: str


class _Term(NamedTuple):
    """One thing to order by.

    Attributes:
        order: what was asked for.
        number: of its key.
        table: alias of the table the value stands in; None for an attribute of the run.
        rank: 0 where there is a value, 1 where it is no number, 2 where there is none.
        values: what to compare.
    """

    order: Order
    number: int
    table: sa.FromClause | None
    rank: sa.ColumnElement[int] | None
    values: tuple[sa.ColumnElement[Any], ...]

    def of_key(self) -> sa.ColumnElement[bool]:
        """Whether a row of the table is of this key."""
        assert self.table is not None
        return self.table.c.key == self.number

    def of_run(self) -> sa.ColumnElement[bool]:
        """Whether a row of the table is of this key and of the run at hand."""
        assert self.table is not None
        return sa.and_(self.table.c.run == RUNS.c.seq, self.of_key())

    def sort_keys(self) -> list[Key]:
        """The term as keys that order all runs."""
        rank = [] if self.rank is None else [Key(self.rank)]
        nullable = self.rank is not None or self.order.key == "end_time"
        return [*rank, *(Key(value, self.order.ascending, nullable) for value in self.values)]


Found = list[tuple[int, tuple[Plain, ...]]]
"""Numbers of runs, each with the values it is ordered by."""


Query = sa.Select[Any]

MOST_MADE, MOST_SEARCHES = 32, 128
"""So many queries of a search, and so many searches, are kept."""


class _Search(NamedTuple):
    """A search, read and ready.

    Attributes:
        where: among which runs.
        conditions: what they must fit.
        terms: what they are ordered by.
        is_sqlite: whether it is for SQLite.
        made: its queries by name, for the next time: to build one takes as long as to run it.
    """

    where: _Where
    conditions: list[Condition]
    terms: list[_Term]
    is_sqlite: bool
    made: dict[tuple[str | int, ...], Query]

    def query(self, name: tuple[str | int, ...], place: Sequence[Plain] | None, build: Callable[[], Query]) -> Query:
        """A query of this search; that of a first page is kept."""
        if place is not None:
            return build()
        found = self.made.get(name)
        if found is None:
            if len(self.made) >= MOST_MADE:
                self.made.clear()
            found = self.made[name] = build()
        return found

    def sort_keys(self) -> list[Key]:
        """All that orders the runs, one after the other."""
        return [key for term in self.terms for key in term.sort_keys()]

    def page(self, connection: Connection, limit: int, place: Sequence[Plain] | None) -> Found:
        """The next runs behind a place, by the way that costs least."""
        few = self._fewest(connection, _worth_looking_up(connection, limit)) if self.conditions else None
        first = self.terms[0]
        if few is None and len(self.where.experiments) <= MOST_WALKS:
            self._steer(connection)
            if first.order.key == "start_time" and not first.order.scope:
                return self._walk_starts(connection, limit, place)
            if first.order.scope in ("metrics", "params", "tags"):
                return self._walk_values(connection, limit, place)
        elif few is not None:
            self._steer(connection)
        return self._sorted(connection, limit, place, few)

    def count(self, connection: Connection) -> int:
        """How many runs fit."""
        if not self.conditions and self.where.lifecycle != "deleted":
            return self._count_all(connection)
        if len(self.conditions) == 1 and self.conditions[0].is_exact and self.where.lifecycle != "deleted":
            return self._count_found(connection, self.conditions[0])
        few = self._fewest(connection, MOST_LOOKED_UP)
        tests = [
            *self._tests(alone=few is not None, known=few if few is not None and few.is_exact else None),
            *self._looked_up(few),
        ]
        query = sa.select(sa.func.count()).select_from(RUNS).where(*tests)
        return int(connection.execute(query).scalar_one())

    def _count_found(self, connection: Connection, condition: Condition) -> int:
        """What an index finds, less the few among it that are deleted."""
        assert condition.found is not None
        every = sa.select(sa.func.count()).select_from(condition.found.subquery())
        count = int(connection.execute(every).scalar_one())
        if self.where.lifecycle == "all":
            return count
        deleted = self._deleted().where(condition.test(RUNS.c.seq))
        return count - int(connection.execute(deleted).scalar_one())

    def _deleted(self) -> sa.Select[Any]:
        """How many runs are put aside, along their own small index."""
        every = sa.select(sa.func.count()).select_from(RUNS).where(RUNS.c.experiment.in_(self.where.experiments))
        return every.where(RUNS.c.lifecycle == sa.literal_column("'deleted'"))

    def _count_all(self, connection: Connection) -> int:
        return store.count_runs(connection, self.where.experiments, deleted=self.where.lifecycle == "all")

    def _fewest(self, connection: Connection, most: int) -> Condition | None:
        """The condition that fewest runs fit, when it is worth looking up."""
        best, count = None, most + 1
        for condition in self.conditions:
            if condition.found is not None:
                counting = self.query(("count", condition.clause.at, count), None, partial(_count_of, condition, count))
                fits = int(connection.execute(counting).scalar_one())
                best, count = (condition, fits) if fits < count else (best, count)
                if count == 0:
                    break
        return best

    def _steer(self, connection: Connection) -> None:
        """In PostgreSQL, rows are looked up one by one: a hash of a whole table would be built for one page."""
        if not self.is_sqlite:
            for setting in ("enable_hashjoin", "enable_mergejoin"):
                connection.execute(sa.select(sa.func.set_config(setting, "off", sa.true())))

    def _sorted(
        self, connection: Connection, limit: int, place: Sequence[Plain] | None, few: Condition | None
    ) -> Found:
        """All that fit, or all that an index gives, sorted."""
        name = ("sorted", limit, -1 if few is None else few.clause.at)
        return _found(connection, self.query(name, place, lambda: self._sorting(limit, place, few)))

    def _sorting(self, limit: int, place: Sequence[Plain] | None, few: Condition | None) -> Query:
        keys = self.sort_keys()
        source: sa.FromClause = RUNS
        for term in self.terms:
            if term.table is not None:
                source = source.outerjoin(term.table, term.of_run())
        query = self._select(source, keys).where(
            *self._tests(alone=few is not None, known=few if few is not None and few.is_exact else None),
            *self._looked_up(few),
        )
        query = query.order_by(*ordering(keys)).limit(limit)
        return query if place is None else query.where(beyond(keys, place))

    def _walk_starts(
        self, connection: Connection, limit: int, place: Sequence[Plain] | None, *without: sa.ColumnElement[bool]
    ) -> Found:
        """Along the runs' starts, one walk an experiment."""
        return _found(connection, self.query(("starts", limit), place, lambda: self._starting(limit, place, *without)))

    def _starting(self, limit: int, place: Sequence[Plain] | None, *without: sa.ColumnElement[bool]) -> Query:
        terms = [term for term in self.terms if not (without and term is self.terms[0])]
        keys = [key for term in terms for key in term.sort_keys()]
        source: sa.FromClause = RUNS
        for term in terms:
            if term.table is not None:
                source = source.outerjoin(term.table, term.of_run())
        bounds = [one.bound for one in self.conditions if one.bound is not None]
        query = self._select(source, keys).where(*self._tests(alone=True), *bounds, *without)
        query = query.order_by(*ordering(keys)).limit(limit)
        query = query if place is None else query.where(beyond(keys, place))
        walks = [query.where(RUNS.c.experiment == experiment) for experiment in self.where.experiments]
        return _merged(walks, keys, limit)

    def _walk_values(self, connection: Connection, limit: int, place: Sequence[Plain] | None) -> Found:
        """Along a metric's, parameter's or tag's values; then the runs without a number, then those without any."""
        first, found = self.terms[0], Found()
        begin = 0 if place is None else int(place[0] or 0)
        is_needed = any(
            (one.clause.scope, one.clause.key) == (first.order.scope, first.order.key) and one.clause.op != "IS NULL"
            for one in self.conditions
        )
        for rank in (0, 1, 2):
            if rank < begin or (rank and is_needed) or (rank == 1 and first.order.scope != "metrics"):
                continue
            if len(found) >= limit:
                break
            rest = place[1:] if place is not None and rank == begin else None
            found += self._walk_rank(connection, rank, limit - len(found), rest)
        return found

    def _walk_rank(self, connection: Connection, rank: int, limit: int, place: Sequence[Plain] | None) -> Found:
        first, width = self.terms[0], len(self.terms[0].values)
        others = [key for term in self.terms[1:] for key in term.sort_keys()]
        # As all that fit tell it when sorted, since the next page may go that way: a text has an empty rest, not none.
        nothing: tuple[Plain, ...] = (None,) if first.order.scope == "metrics" else (None, "")
        if rank == 0:
            keys = [Key(value, first.order.ascending) for value in first.values] + others
            name, held = ("table", rank, limit), first.values[0].is_not(None)
            rows = _found(connection, self.query(name, place, lambda: self._walking(keys, limit, place, held)))
            return [(number, (0, *values)) for number, values in rows]
        rest = None if place is None else place[width:]
        if rank == 1:
            name, held = ("table", rank, limit), first.values[0].is_(None)
            rows = _found(connection, self.query(name, rest, lambda: self._walking(others, limit, rest, held)))
        else:
            rows = self._without(connection, limit, rest)
        return [(number, (rank, *nothing, *values)) for number, values in rows]

    def _walking(
        self, keys: Sequence[Key], limit: int, place: Sequence[Plain] | None, held: sa.ColumnElement[bool]
    ) -> Query:
        """Along the index of the table the first term stands in."""
        first = self.terms[0]
        assert first.table is not None
        source = first.table.join(RUNS, RUNS.c.seq == unindexed(first.table.c.run))
        for term in self.terms[1:]:
            if term.table is not None:
                source = source.outerjoin(term.table, term.of_run())
        # Conditions are asked of the index's own run number: most runs are passed by without a look at their rows.
        tests = self._tests(alone=True, run=first.table.c.run)
        query = self._select(source, keys).where(first.of_key(), held, *tests, *self._bounds())
        query = query.order_by(*ordering(keys)).limit(limit)
        query = query if place is None else query.where(beyond(keys, place))
        if first.order.scope == "metrics":
            walks = [query.where(first.table.c.experiment == one) for one in self.where.experiments]
        else:
            walks = [query.where(unindexed(RUNS.c.experiment).in_(self.where.experiments))]
        return _merged(walks, keys, limit)

    def _without(self, connection: Connection, limit: int, place: Sequence[Plain] | None) -> Found:
        """The runs that lack what is ordered by first."""
        first = self.terms[0]
        assert first.table is not None
        lacks = ~sa.select(first.table.c.run).where(first.of_run()).correlate(RUNS).exists()
        rest = self._replace(terms=self.terms[1:], made={})
        if rest.terms[0].order.key == "start_time" and not rest.terms[0].order.scope:
            return self._walk_starts(connection, limit, place, lacks)
        lacking = Condition(Clause(scope="", key="", op="", value=None, at=0), lambda _run: lacks)
        return rest._replace(conditions=[*self.conditions, lacking])._sorted(connection, limit, place, None)

    def _bounds(self) -> list[sa.ColumnElement[bool]]:
        """Conditions on the very metric that is walked along: they say where the walk begins and ends."""
        first = self.terms[0]
        if first.order.scope != "metrics" or first.table is None:
            return []
        return [
            OPERATORS[one.clause.op](first.table.c.value, float(one.clause.value))  # type: ignore[arg-type]
            for one in self.conditions
            if one.clause.scope == "metrics" and one.clause.key == first.order.key
        ]

    def _select(self, source: sa.FromClause, keys: Sequence[Key]) -> sa.Select[Any]:
        columns = (key.expression.label(f"k{number}") for number, key in enumerate(keys))
        return sa.select(RUNS.c.seq, *columns).select_from(source)

    def _tests(
        self, *, alone: bool = False, known: Condition | None = None, run: sa.ColumnElement[int] = RUNS.c.seq
    ) -> list[sa.ColumnElement[bool]]:
        """What a run must fit.

        Args:
            alone: the experiment is asked for elsewhere.
            known: a condition that all runs looked at fit.
            run: the number of the run at hand; that of `runs` unless it is known from elsewhere already.
        """
        tests: list[sa.ColumnElement[bool]] = [] if alone else [RUNS.c.experiment.in_(self.where.experiments)]
        tests += [] if self.where.test is None else [self.where.test]
        return tests + [one.test(run) for one in self.conditions if one is not known]

    def _looked_up(self, few: Condition | None) -> list[sa.ColumnElement[bool]]:
        """Only what an index gives for a condition."""
        if few is None or few.found is None:
            return []
        return [RUNS.c.seq.in_(few.found), unindexed(RUNS.c.experiment).in_(self.where.experiments)]


class _Searches:
    """The searches an open project was asked last, read and ready."""

    def __init__(self) -> None:
        self._kept = OrderedDict[object, _Search]()
        self._lock = Lock()

    def of(self, key: object, make: Callable[[], _Search]) -> _Search:
        """The search of this key."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > MOST_SEARCHES:
                self._kept.popitem(last=False)
        return made

    def close(self) -> None:
        """Forget them."""
        with self._lock:
            self._kept.clear()


def _search(project: Project, connection: Connection, wanted: _Wanted) -> _Search:
    """The search that is wanted, among the experiments and with the names there are now."""
    clauses, orders = _parsed(wanted.filter, tuple(wanted.order_by))
    keys = {one.key for one in clauses if one.scope} | {one.key for one in orders if one.scope}
    names = names_of(project).numbers(keys)
    where, is_sqlite = _where(connection, wanted.experiment_ids, wanted.lifecycle), project.database.is_sqlite

    def make() -> _Search:
        terms = [_term(order, names, number) for number, order in enumerate(_complete(orders))]
        conditions = conditions_of(clauses, names, where.experiments, is_sqlite=is_sqlite)
        return _Search(where, conditions, terms, is_sqlite, {})

    key = (clauses, orders, tuple(where.experiments), where.deleted, where.lifecycle, tuple(names.items()))
    return project.keep(_Searches, _Searches).of(key, make)


@lru_cache(256)
def _parsed(filter: str, order_by: tuple[str, ...]) -> tuple[tuple[Clause, ...], tuple[Order, ...]]:  # noqa: A002
    return tuple(parse_filter(filter, GRAMMAR)), tuple(parse_order(order_by, GRAMMAR))


def _where(connection: Connection, ids: Sequence[str], lifecycle: Lifecycle) -> _Where:
    """The experiments to look in; a run is deleted with its experiment."""
    state = store.lifecycles(connection, sorted({number_of(id_) for id_ in ids}))
    deleted = tuple(number for number, one in state.items() if one == "deleted")
    if lifecycle == "active":
        active = [number for number in state if number not in set(deleted)]
        return _Where(active, deleted, RUNS.c.lifecycle == "active", lifecycle)
    if lifecycle == "deleted":
        test = sa.or_(RUNS.c.lifecycle == "deleted", RUNS.c.experiment.in_(deleted))
        return _Where(list(state), deleted, test, lifecycle)
    return _Where(list(state), deleted, None, lifecycle)


def _complete(orders: Sequence[Order]) -> list[Order]:
    """The orders with those that decide ties."""
    named = {order.key for order in orders if not order.scope}
    start = [] if "start_time" in named else [Order(scope="", key="start_time", ascending=False)]
    return [*orders, *start, *([] if "run_id" in named else [Order(scope="", key="run_id", ascending=True)])]


def _term(order: Order, numbers: dict[str, int], place: int) -> _Term:
    if not order.scope:
        return _Term(order, -1, None, None, (attribute(order.key),))
    if order.scope == "datasets":
        raise BadFilter(
            "Runs cannot be ordered by their datasets.", fix="Order by what a run has one of.", at="order_by"
        )
    is_number = order.scope in ("metrics", "min", "max")
    source = RUN_METRICS if is_number else RUN_PARAMS if order.scope == "params" else RUN_TAGS
    table = alias(source, f"o{place}")
    number = numbers.get(order.key, -1)
    missing = (table.c.run.is_(None), 2)
    if not is_number:
        rank = sa.case(missing, else_=0)
        return _Term(order, number, table, rank, (table.c.value, sa.func.coalesce(table.c.rest, "")))
    value = measure(order.scope, table)
    return _Term(order, number, table, sa.case(missing, (value.is_(None), 1), else_=0), (value,))


def _worth_looking_up(connection: Connection, limit: int) -> int:
    """How many runs a condition may fit to be looked up rather than walked past."""
    return max(FEWEST, min(MOST_LOOKED_UP, math.isqrt(limit * store.newest_run(connection)) // DEARER))


def _found(connection: Connection, query: sa.Select[Any] | sa.CompoundSelect[Any]) -> Found:
    return [(row[0], tuple(row[1:])) for row in connection.execute(query).fetchall()]


def _merged(walks: Sequence[Query], keys: Sequence[Key], limit: int) -> Query:
    """Some walks in one order."""
    if len(walks) == 1:
        return walks[0]
    union = sa.union_all(*(sa.select(walk.subquery()) for walk in walks)).subquery()
    columns = [Key(union.c[f"k{number}"], key.ascending, key.nullable) for number, key in enumerate(keys)]
    return sa.select(union).order_by(*ordering(columns)).limit(limit)


def _count_of(condition: Condition, most: int) -> Query:
    """How many runs an index gives for a condition, as far as `most`."""
    assert condition.found is not None
    return sa.select(sa.func.count()).select_from(condition.found.limit(most).subquery())
