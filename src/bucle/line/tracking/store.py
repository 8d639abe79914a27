"""The queries over tracking's tables. Statements that are run for every call of a client are `Prepared`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Row

from bucle.ground.store import Prepared
from bucle.line.tracking.tables import (
    ARTIFACTS,
    EXPERIMENT_TAGS,
    EXPERIMENTS,
    METRIC_CHUNKS,
    METRIC_TAIL,
    NAMES,
    RUN_DATASETS,
    RUN_METRICS,
    RUN_MODELS,
    RUN_PARAMS,
    RUN_TAGS,
    RUNS,
)

AT_ONCE = 1000
"""Values in one IN."""


def _given(table: sa.Table, *names: str) -> dict[str, sa.BindParameter[Any]]:
    """A parameter for each column, or for these."""
    return {column.name: sa.bindparam(column.name) for column in table.c if not names or column.name in names}


def _of_experiment(column: sa.Column[Any], experiment: Any) -> sa.ScalarSelect[Any]:
    return sa.select(column).where(EXPERIMENTS.c.id == experiment).scalar_subquery()


# Names

ENTER_NAME = Prepared(lambda insert: insert(NAMES).values(name=sa.bindparam("name")).on_conflict_do_nothing())
"""Give a name a number, if it has none."""

_NAME = Prepared(lambda _: sa.select(NAMES.c.id).where(NAMES.c.name == sa.bindparam("the_name")))


def name_number(connection: Connection, name: str) -> int:
    """The number of a name that was entered."""
    found = _NAME.first(connection, {"the_name": name})
    assert found is not None
    return int(found[0])


def names_by_number(connection: Connection, numbers: Iterable[int]) -> dict[int, str]:
    """The names behind numbers."""
    found: dict[int, str] = {}
    for part in parts(sorted(numbers)):
        rows = connection.execute(sa.select(NAMES.c.id, NAMES.c.name).where(NAMES.c.id.in_(part)))
        found.update((row.id, row.name) for row in rows)
    return found


# Writing runs

SEEK_EXPERIMENT = Prepared(
    lambda _: sa.select(EXPERIMENTS.c.name, EXPERIMENTS.c.lifecycle).where(EXPERIMENTS.c.id == sa.bindparam("the_id"))
)
"""Name and lifecycle of an experiment."""

SEEK_RUN = Prepared(
    lambda _: (
        sa.select(
            RUNS.c.seq,
            RUNS.c.experiment,
            RUNS.c.status,
            RUNS.c.lifecycle,
            RUNS.c.sealed,
            _of_experiment(EXPERIMENTS.c.lifecycle, RUNS.c.experiment),
        )
        .where(RUNS.c.id == sa.bindparam("the_id"))
        .with_for_update()
    )
)
"""What must be known of a run before it is written to; in PostgreSQL no one else writes to it meanwhile."""

ADD_RUN = Prepared(
    lambda insert: (
        insert(RUNS)
        .values({name: bound for name, bound in _given(RUNS).items() if name != "seq"})
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(RUNS.c.seq)
    )
)
"""A new run; gives no row when its id is taken."""


def add_runs(connection: Connection, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """New runs, many at once: id -> number of those whose id was not taken."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(RUNS).on_conflict_do_nothing(index_elements=["id"]).returning(RUNS.c.id, RUNS.c.seq)
    return {row.id: row.seq for row in connection.execute(statement, list(rows))}


UNSEAL = Prepared(lambda _: sa.update(RUNS).values(sealed=sa.null()).where(RUNS.c.seq == sa.bindparam("the_run")))
"""A run was changed after it was sealed."""

SET_RUN = Prepared(
    lambda _: (
        sa.update(RUNS)
        .values(
            status=sa.func.coalesce(sa.bindparam("new_status"), RUNS.c.status),
            name=sa.func.coalesce(sa.bindparam("new_name"), RUNS.c.name),
            ended_at=sa.case(
                (sa.bindparam("keep_end") == 1, RUNS.c.ended_at), else_=sa.bindparam("new_end", type_=sa.BigInteger)
            ),
            sealed=sa.null(),
        )
        .where(RUNS.c.seq == sa.bindparam("the_run"))
    )
)
"""Status, name and end of a run, where given."""

SET_LIFECYCLE = Prepared(
    lambda _: (
        sa.update(RUNS)
        .values(
            lifecycle=sa.bindparam("new_lifecycle"),
            deleted_at=sa.bindparam("new_deleted", type_=sa.BigInteger),
            sealed=sa.null(),
        )
        .where(RUNS.c.seq == sa.bindparam("the_run"))
    )
)
"""Delete a run, or bring it back."""

SET_CIRCUMSTANCES = Prepared(
    lambda _: (
        sa.update(RUNS)
        .values(circumstances=sa.bindparam("new_circumstances"), sealed=sa.null())
        .where(RUNS.c.seq == sa.bindparam("the_run"))
    )
)
"""What nobody searches by."""

LIVE_RUN = Prepared(
    lambda _: (
        sa.select(RUNS.c.status, RUNS.c.circumstances).where(RUNS.c.id == sa.bindparam("the_id")).with_for_update()
    )
)
"""Where a run stands that may go on."""

ADD_PARAM = Prepared(lambda insert: insert(RUN_PARAMS).values(_given(RUN_PARAMS)).on_conflict_do_nothing())
"""A parameter, unless the run has it."""

PARAM = Prepared(
    lambda _: sa.select(RUN_PARAMS.c.value, RUN_PARAMS.c.rest).where(
        RUN_PARAMS.c.run == sa.bindparam("run"), RUN_PARAMS.c.key == sa.bindparam("key")
    )
)
"""The value a parameter has."""


def _put(table: sa.Table) -> Prepared:
    """A row, new or instead of the one with the same primary key."""

    def build(insert: Any) -> sa.Executable:
        statement = insert(table).values(_given(table))
        keys = [column.name for column in table.primary_key]
        changes = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
        put: sa.Executable = statement.on_conflict_do_update(index_elements=keys, set_=changes)
        return put

    return Prepared(build)


PUT_TAG = _put(RUN_TAGS)
"""A tag, new or with another value."""

PUT_PARAM = _put(RUN_PARAMS)
"""A parameter of a run that is resumed: what it says now counts."""

DROP_TAG = Prepared(
    lambda _: sa.delete(RUN_TAGS).where(RUN_TAGS.c.run == sa.bindparam("run"), RUN_TAGS.c.key == sa.bindparam("key"))
)
"""No such tag any more."""


PUT_DATASET = _put(RUN_DATASETS)
"""A dataset a run read."""

PUT_MODEL = _put(RUN_MODELS)
"""A logged model a run read or made."""

PUT_ARTIFACT = _put(ARTIFACTS)
"""A file, new or with other content."""

KNOWN_RUN = Prepared(
    lambda _: sa.select(RUNS.c.experiment, RUNS.c.name, RUNS.c.started_at).where(RUNS.c.id == sa.bindparam("the_id"))
)
"""What tells a run from another with the same id."""

# Writing metrics

ADD_TAIL = Prepared(lambda insert: insert(METRIC_TAIL).values(_given(METRIC_TAIL, "run", "points")))
"""A batch of points."""


def _put_summary(insert: Any) -> sa.Executable:
    new = insert(RUN_METRICS).values(_given(RUN_METRICS))
    old, given = RUN_METRICS.c, new.excluded
    same = sa.and_(given.step == old.step, given.at == old.at)
    newer = sa.or_(
        given.step > old.step,
        sa.and_(given.step == old.step, given.at > old.at),
        sa.and_(same, sa.or_(given.value.is_(None), given.value > old.value)),
    )
    changes = {name: sa.case((newer, given[name]), else_=old[name]) for name in ("value", "step", "at")}
    for name in ("least", "greatest"):
        had, had_step = sa.func.coalesce(old[name], old.value), sa.func.coalesce(old[f"{name}_step"], old.step)
        has, has_step = sa.func.coalesce(given[name], given.value), sa.func.coalesce(given[f"{name}_step"], given.step)
        better = sa.or_(
            had.is_(None),
            has < had if name == "least" else has > had,
            sa.and_(has == had, has_step < had_step),
        )
        better = sa.and_(has.is_not(None), better)
        changes[name] = sa.case((better, has), else_=had)
        changes[f"{name}_step"] = sa.case((better, has_step), else_=had_step)
    put: sa.Executable = new.on_conflict_do_update(index_elements=["run", "key"], set_=changes)
    return put


PUT_SUMMARY = Prepared(_put_summary)
"""Sum a batch up: the last point by step, instant and value, and the extremes with their first steps, whatever order
batches arrive in and however often."""

ADD_SUMMARY = Prepared(lambda insert: insert(RUN_METRICS).values(_given(RUN_METRICS)))
"""What there is to know of a metric of a run that has just come."""


# Reading


def parts(values: Iterable[Any]) -> Iterable[list[Any]]:
    """Values in portions that fit into one IN."""
    every = list(values)
    return (every[start : start + AT_ONCE] for start in range(0, len(every), AT_ONCE))


def experiment_lifecycle(connection: Connection, experiment: int) -> str | None:
    """Whether an experiment is active or deleted; None when there is none."""
    return connection.execute(sa.select(EXPERIMENTS.c.lifecycle).where(EXPERIMENTS.c.id == experiment)).scalar()


def experiment_row(connection: Connection, *, number: int | None = None, name: str = "") -> Row[Any] | None:
    """One experiment, by its number or its name."""
    wanted = EXPERIMENTS.c.name == name if number is None else EXPERIMENTS.c.id == number
    return connection.execute(sa.select(EXPERIMENTS).where(wanted)).one_or_none()


def experiment_tags(connection: Connection, experiments: Sequence[int]) -> dict[int, dict[str, str]]:
    """The tags of experiments."""
    found: dict[int, dict[str, str]] = {number: {} for number in experiments}
    for part in parts(experiments):
        for row in connection.execute(sa.select(EXPERIMENT_TAGS).where(EXPERIMENT_TAGS.c.experiment.in_(part))):
            found[row.experiment][row.key] = row.value
    return found


_LIFECYCLES = Prepared(
    lambda tongue: sa.select(EXPERIMENTS.c.id, EXPERIMENTS.c.lifecycle).where(tongue.among(EXPERIMENTS.c.id, "ids"))
)


def lifecycles(connection: Connection, experiments: Sequence[int]) -> dict[int, str]:
    """Those of these experiments that exist, with their lifecycles."""
    return dict(_LIFECYCLES.rows(connection, {"ids": list(experiments)}))


def _counting(*tests: sa.ColumnElement[bool]) -> Prepared:
    every = sa.select(sa.func.count()).select_from(RUNS)
    return Prepared(lambda tongue: every.where(tongue.among(RUNS.c.experiment, "ids"), *tests))


_COUNT, _COUNT_DELETED = _counting(), _counting(RUNS.c.lifecycle == sa.literal_column("'deleted'"))


def count_runs(connection: Connection, experiments: Sequence[int], *, deleted: bool) -> int:
    """How many runs some experiments have, with those put aside or without. Cost: one pass over an index."""
    given = {"ids": list(experiments)}
    counts = [_COUNT.first(connection, given), (0,) if deleted else _COUNT_DELETED.first(connection, given)]
    every, aside = (int(found[0]) if found else 0 for found in counts)
    return every - aside


_NEWEST = Prepared(lambda _: sa.select(sa.func.max(RUNS.c.seq)))


def newest_run(connection: Connection) -> int:
    """The number of the newest run: about how many there are."""
    found = _NEWEST.first(connection, {})
    return int(found[0] or 0) if found else 0


def run_counts(connection: Connection) -> dict[int, tuple[int, Any]]:
    """How many runs each experiment has and when its last one started. Cost: one pass over an index."""
    query = sa.select(
        RUNS.c.experiment, sa.func.count(), sa.func.max(RUNS.c.started_at, type_=RUNS.c.started_at.type)
    ).group_by(RUNS.c.experiment)
    return {experiment: (count, last) for experiment, count, last in connection.execute(query)}


class RunRow(NamedTuple):
    """A row of `runs`, instants in microseconds, with the name and lifecycle of its experiment."""

    seq: int
    id: str
    experiment: int
    name: str
    status: str
    lifecycle: str
    actor: str
    started_at: int
    ended_at: int | None
    deleted_at: int | None
    sealed: int | None
    circumstances: str
    experiment_name: str
    experiment_lifecycle: str


def _run_rows(column: sa.Column[Any]) -> Prepared:
    around = sa.select(RUNS, EXPERIMENTS.c.name, EXPERIMENTS.c.lifecycle).join(
        EXPERIMENTS, EXPERIMENTS.c.id == RUNS.c.experiment
    )
    return Prepared(lambda tongue: around.where(tongue.among(column, "wanted")))


_BY_NUMBER, _BY_ID = _run_rows(RUNS.c.seq), _run_rows(RUNS.c.id)


def run_rows(connection: Connection, numbers: Sequence[int]) -> list[RunRow]:
    """The runs with these numbers, in no order."""
    return [RunRow._make(row) for row in _BY_NUMBER.rows(connection, {"wanted": list(numbers)})]


_SEALS = Prepared(
    lambda tongue: (
        sa.select(RUNS.c.seq, RUNS.c.sealed, EXPERIMENTS.c.lifecycle)
        .join(EXPERIMENTS, EXPERIMENTS.c.id == RUNS.c.experiment)
        .where(tongue.among(RUNS.c.seq, "wanted"), RUNS.c.sealed.is_not(None))
    )
)


def seals(connection: Connection, numbers: Sequence[int]) -> list[tuple[int, int, str]]:
    """Of the sealed among these runs: number, sealing event, and the lifecycle of its experiment."""
    found: list[Any] = _SEALS.rows(connection, {"wanted": list(numbers)})
    return found


def run_rows_by_id(connection: Connection, ids: Sequence[str]) -> list[RunRow]:
    """The runs with these ids, in no order."""
    return [RunRow._make(row) for row in _BY_ID.rows(connection, {"wanted": list(ids)})]


def ids_like(connection: Connection, prefix: str, limit: int = 2) -> list[str]:
    """The ids that begin so."""
    query = sa.select(RUNS.c.id).where(RUNS.c.id >= prefix, RUNS.c.id < prefix + "\U0010ffff").order_by(RUNS.c.id)
    return list(connection.execute(query.limit(limit)).scalars())


def recent_ids(connection: Connection, limit: int) -> list[str]:
    """The ids of the newest runs."""
    query = sa.select(RUNS.c.id).order_by(RUNS.c.started_at.desc(), RUNS.c.id)
    return list(connection.execute(query.limit(limit)).scalars())


def _belonging(table: sa.Table, *names: str) -> tuple[Prepared, Prepared]:
    """What belongs to runs: all of it, and only of some keys."""
    every = sa.select(*(table.c[name] for name in names))
    return (
        Prepared(lambda tongue: every.where(tongue.among(table.c.run, "runs"))),
        Prepared(lambda tongue: every.where(tongue.among(table.c.run, "runs"), tongue.among(table.c.key, "keys"))),
    )


def _read(
    connection: Connection, how: tuple[Prepared, Prepared], runs: Sequence[int], keys: Sequence[int] | None
) -> list[tuple[Any, ...]]:
    if keys is None:
        return how[0].rows(connection, {"runs": list(runs)})
    return how[1].rows(connection, {"runs": list(runs), "keys": list(keys)})


_TEXTS = {table: _belonging(table, "run", "key", "value", "rest") for table in (RUN_PARAMS, RUN_TAGS)}
_LASTS = _belonging(RUN_METRICS, "run", "key", "value", "step", "at")
_SUMMARIES = _belonging(RUN_METRICS, *(column.name for column in RUN_METRICS.c))


class SummaryRow(NamedTuple):
    """A row of `run_metrics`."""

    run: int
    key: int
    experiment: int
    value: float | None
    step: int
    at: int
    least: float | None
    least_step: int | None
    greatest: float | None
    greatest_step: int | None


def texts_of(
    connection: Connection, table: sa.Table, runs: Sequence[int], keys: Sequence[int] | None = None
) -> list[tuple[int, int, str, str | None]]:
    """Params or tags of runs: run, key, value, rest; only some keys when given."""
    return _read(connection, _TEXTS[table], runs, keys)


def lasts_of(
    connection: Connection, runs: Sequence[int], keys: Sequence[int] | None = None
) -> list[tuple[int, int, float | None, int, int]]:
    """The last points of metrics: run, key, value, step, at."""
    return _read(connection, _LASTS, runs, keys)


def summaries_of(connection: Connection, runs: Sequence[int], keys: Sequence[int] | None = None) -> list[SummaryRow]:
    """Everything but the curves."""
    return [SummaryRow._make(row) for row in _read(connection, _SUMMARIES, runs, keys)]


def last_values(connection: Connection, run: int) -> dict[str, float | None]:
    """The last value of each metric of a run; None is not-a-number."""
    query = sa.select(NAMES.c.name, RUN_METRICS.c.value).join(NAMES, NAMES.c.id == RUN_METRICS.c.key)
    return {row.name: row.value for row in connection.execute(query.where(RUN_METRICS.c.run == run))}


class FileRow(NamedTuple):
    """A row of `artifacts`, without its instant."""

    owner: str
    path: str
    digest: str
    size: int


_FILES = Prepared(
    lambda tongue: (
        sa.select(ARTIFACTS.c.owner, ARTIFACTS.c.path, ARTIFACTS.c.digest, ARTIFACTS.c.size)
        .where(tongue.among(ARTIFACTS.c.owner, "owners"))
        .order_by(ARTIFACTS.c.owner, ARTIFACTS.c.path)
    )
)


def artifact_rows(connection: Connection, owners: Sequence[str]) -> list[FileRow]:
    """The files of owners, by owner and path."""
    return [FileRow._make(row) for row in _FILES.rows(connection, {"owners": list(owners)})]


def every_artifact(connection: Connection) -> Iterable[tuple[str, str, str]]:
    """Owner, path and digest of every file."""
    rows = connection.execute(sa.select(ARTIFACTS.c.owner, ARTIFACTS.c.path, ARTIFACTS.c.digest))
    return ((row.owner, row.path, row.digest) for row in rows)


def every_circumstance(connection: Connection) -> Iterable[tuple[str, str]]:
    """Id and circumstances of every run that has some."""
    rows = connection.execute(sa.select(RUNS.c.id, RUNS.c.circumstances).where(RUNS.c.circumstances != "{}"))
    return ((row.id, row.circumstances) for row in rows)


class DatasetRow(NamedTuple):
    """A row of `run_datasets`."""

    run: int
    name: str
    digest: str
    context: str
    source_type: str
    source: str
    schema: str
    profile: str
    tags: str


class ModelRow(NamedTuple):
    """A row of `run_models`."""

    run: int
    direction: str
    model: str
    step: int


def _of_runs(table: sa.Table) -> Prepared:
    every = sa.select(table).order_by(*table.primary_key)
    return Prepared(lambda tongue: every.where(tongue.among(table.c.run, "runs")))


_DATASETS, _MODELS = _of_runs(RUN_DATASETS), _of_runs(RUN_MODELS)


def dataset_rows(connection: Connection, runs: Sequence[int]) -> list[DatasetRow]:
    """The datasets of runs, by run, name and digest."""
    return [DatasetRow._make(row) for row in _DATASETS.rows(connection, {"runs": list(runs)})]


def model_rows(connection: Connection, runs: Sequence[int]) -> list[ModelRow]:
    """The logged models of runs, by run, direction and model."""
    return [ModelRow._make(row) for row in _MODELS.rows(connection, {"runs": list(runs)})]


class TailRow(NamedTuple):
    """A row of `metric_tail`."""

    seq: int
    run: int
    points: bytes


_TAIL = Prepared(
    lambda tongue: (
        sa.select(METRIC_TAIL)
        .where(tongue.among(METRIC_TAIL.c.run, "runs"))
        .order_by(METRIC_TAIL.c.run, METRIC_TAIL.c.seq)
    )
)

DROP_TAIL = Prepared(lambda tongue: sa.delete(METRIC_TAIL).where(tongue.among(METRIC_TAIL.c.seq, "seqs")))
"""These batches are folded."""


def tail_rows(connection: Connection, runs: Sequence[int]) -> list[TailRow]:
    """Batches that are not folded yet."""
    return [TailRow._make(row) for row in _TAIL.rows(connection, {"runs": list(runs)})]


def long_tails(connection: Connection, length: int) -> list[int]:
    """The runs with at least so many batches that are not folded. Cost: one pass over the index of the tail."""
    query = sa.select(METRIC_TAIL.c.run).group_by(METRIC_TAIL.c.run).having(sa.func.count() >= length)
    return list(connection.execute(query).scalars())


_NUMBERS = Prepared(lambda tongue: sa.select(RUNS.c.seq, RUNS.c.id).where(tongue.among(RUNS.c.id, "ids")))


def ids_by_number(connection: Connection, ids: Sequence[str]) -> dict[int, str]:
    """The runs with these ids: number -> id."""
    return dict(_NUMBERS.rows(connection, {"ids": list(ids)}))


def run_numbers(connection: Connection, ids: Sequence[str]) -> list[int]:
    """The numbers of runs."""
    return list(ids_by_number(connection, ids))


def lock_runs(connection: Connection, runs: Sequence[int]) -> None:
    """In PostgreSQL, nobody else writes to these runs until the transaction ends; in SQLite nobody does anyway."""
    if connection.dialect.name != "sqlite":
        for part in parts(sorted(runs)):
            connection.execute(sa.select(RUNS.c.seq).where(RUNS.c.seq.in_(part)).order_by(RUNS.c.seq).with_for_update())


_ORDER = (METRIC_CHUNKS.c.run, METRIC_CHUNKS.c.key, METRIC_CHUNKS.c.first_step, METRIC_CHUNKS.c.first_at)

ADD_CHUNK = Prepared(lambda insert: insert(METRIC_CHUNKS).values(_given(METRIC_CHUNKS)))
"""A piece of a curve."""


class Span(NamedTuple):
    """What a piece of a curve spans."""

    seq: int
    length: int
    first_step: int
    first_at: int
    last_step: int
    last_at: int


_SPANS = Prepared(
    lambda _: (
        sa.select(
            *(METRIC_CHUNKS.c[name] for name in ("seq", "count", "first_step", "first_at", "last_step", "last_at"))
        )
        .where(METRIC_CHUNKS.c.run == sa.bindparam("run"), METRIC_CHUNKS.c.key == sa.bindparam("key"))
        .order_by(*_ORDER)
    )
)


def chunk_spans(connection: Connection, run: int, key: int) -> list[Span]:
    """What the pieces of a curve span, in order."""
    return [Span._make(row) for row in _SPANS.rows(connection, {"run": run, "key": key})]


def curve_keys(connection: Connection, run: int) -> set[int]:
    """The metrics of a run that have a curve in chunks."""
    query = sa.select(METRIC_CHUNKS.c.key).where(METRIC_CHUNKS.c.run == run).distinct()
    return set(connection.execute(query).scalars())


def chunk_points(connection: Connection, run: int, key: int, seqs: Sequence[int]) -> list[bytes]:
    """The points of some pieces of a curve."""
    query = sa.select(METRIC_CHUNKS.c.points).where(
        METRIC_CHUNKS.c.run == run, METRIC_CHUNKS.c.key == key, METRIC_CHUNKS.c.seq.in_(seqs)
    )
    return list(connection.execute(query.order_by(*_ORDER)).scalars()) if seqs else []


def drop_chunks(connection: Connection, run: int, key: int, seqs: Sequence[int]) -> None:
    """These pieces of a curve are about to be written anew."""
    if seqs:
        connection.execute(
            sa.delete(METRIC_CHUNKS).where(
                METRIC_CHUNKS.c.run == run, METRIC_CHUNKS.c.key == key, METRIC_CHUNKS.c.seq.in_(seqs)
            )
        )


class ChunkRow(NamedTuple):
    """A piece of a curve."""

    run: int
    key: int
    first_step: int
    first_at: int
    points: bytes


_CHUNKS = sa.select(*_ORDER, METRIC_CHUNKS.c.points)
_ALL_CHUNKS = Prepared(lambda tongue: _CHUNKS.where(tongue.among(METRIC_CHUNKS.c.run, "runs")))
_SOME_CHUNKS = Prepared(
    lambda tongue: _CHUNKS.where(
        tongue.among(METRIC_CHUNKS.c.run, "runs"),
        tongue.among(METRIC_CHUNKS.c.key, "keys"),
        METRIC_CHUNKS.c.last_step >= sa.bindparam("from_step"),
    )
)


def chunk_rows(
    connection: Connection, runs: Sequence[int], keys: Sequence[int] | None = None, *, from_step: int | None = None
) -> list[ChunkRow]:
    """Pieces of curves, by run, metric and place in the curve.

    Args:
        keys: only of these metrics.
        from_step: with `keys`, only those that reach so far.
    """
    if keys is None:
        rows = _ALL_CHUNKS.rows(connection, {"runs": list(runs)})
    else:
        first = FIRST_STEP if from_step is None else from_step
        rows = _SOME_CHUNKS.rows(connection, {"runs": list(runs), "keys": list(keys), "from_step": first})
    # Not by the database: SQLite carries the points along when it sorts, which takes longer than to read them.
    return sorted((ChunkRow._make(row) for row in rows), key=itemgetter(0, 1, 2, 3))


FIRST_STEP = -(1 << 63)
"""No step comes before."""
