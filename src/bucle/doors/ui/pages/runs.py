"""`/runs`: which run is best, and what made it so?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec

from bucle.doors.ui import store
from bucle.doors.ui.columns import SYSTEM, Column, as_order, better_of, column_of, leading, names_of
from bucle.doors.ui.export import AT_ONCE, Pages
from bucle.doors.ui.pages.curves import Names
from bucle.doors.ui.parameters import Limit, Text
from bucle.doors.ui.store import Cells, Choice, Extent
from bucle.ground.core import BadFilter, Record
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Run

__all__ = ["Known", "Problem", "Runs", "everything", "names", "runs"]

Filter = Annotated[str, msgspec.Meta(max_length=4000, pattern=r"^[^\x00]*$")]

Token = Annotated[str, msgspec.Meta(max_length=4000, pattern=r"^[A-Za-z0-9_\-=.:~]*$")]

State = Literal["", "running", "scheduled", "finished", "failed", "killed", "deleted"]

METRICS, METRICS_TWICE = 5, 3
"""So many metrics have a column when none was chosen; fewer when each has two."""

PARAMS = 5
"""So many differing parameters have a column when none was chosen."""

SAMPLE = 8
"""Which metrics there are is read off so many runs of the page: a run may have a thousand."""

MOST_NAMES = 400
"""So many names are offered to choose from."""

MOST_PAGES = 40
"""So many pages can be walked back one by one; from further on the way back leads to the first."""

PLACE = re.compile(r"character (\d+)")

COMPARISON = re.compile(r"[=<>!]|\s(?:I?LIKE|IN|IS|NOT)\s", re.IGNORECASE)
"""What makes a text a filter; other words are looked for in names."""


class Problem(Record, frozen=True):
    """Why a filter could not be read.

    Attributes:
        code, what, why, fix: as every error says.
        at: the character it is at, from 0; None when it is none in particular.
    """

    code: str
    what: str
    why: str
    fix: str
    at: int | None


class Runs(Record, frozen=True):
    """Runs, with what tells them apart.

    Attributes:
        runs: this page's, with the values of the columns shown and no others.
        total: how many fit the filter.
        experiments: those changed last, and the one asked for.
        columns: what is shown of each run besides its name, state and times.
        chosen: whether the reader chose the columns.
        left_out: how many differing parameters and metrics have no column.
        left_out_names: some of them.
        same: parameters all of the runs shown share.
        extents: run -> metric -> its last, least and greatest value.
        best: metric -> id of the best of the runs shown.
        spark: the metric of the sparklines; empty for none.
        problem: why the filter cannot be read; there are no runs then.
        before, after: where the pages before and after this one begin; None when there is none.
        experiment, status, q, sort, value, better, limit: what was asked for.
    """

    runs: tuple[Run, ...]
    total: int
    experiments: tuple[Choice, ...]
    columns: tuple[Column, ...]
    chosen: bool
    left_out: int
    left_out_names: tuple[str, ...]
    same: dict[str, str]
    extents: dict[str, dict[str, Extent]]
    best: dict[str, str]
    spark: str
    problem: Problem | None
    before: str | None
    after: str | None
    experiment: str
    status: str
    q: str
    sort: str
    value: str
    better: str
    limit: int


class Known(Record, frozen=True):
    """Names a column can have.

    Attributes:
        names: as an address writes them; `MOST_NAMES` of a kind at most.
    """

    names: tuple[str, ...]


class _Search(NamedTuple):
    """What is looked for, as tracking's verbs take it.

    Attributes:
        experiments: ids.
        filter: in the grammar of searches.
        order_by: the same.
        lifecycle: `active` or `deleted`.
    """

    experiments: tuple[str, ...]
    filter: str
    order_by: tuple[str, ...]
    lifecycle: Literal["active", "deleted"]


class _Wanted(NamedTuple):
    """What the reader chose of the columns.

    Attributes:
        columns: their names; empty for those that differ.
        add: one more.
        better: metric -> whether smaller is better.
        sort: what the table is ordered by.
        metrics: so many metrics when no columns were chosen.
    """

    columns: tuple[str, ...]
    add: str
    better: Mapping[str, bool]
    sort: str
    metrics: int


class _Shown(NamedTuple):
    """The columns of a page, and what has none."""

    columns: tuple[Column, ...]
    left_out: tuple[str, ...]
    same: dict[str, str]


def runs(
    project: Project,
    *,
    experiment: Text = "",
    status: State = "",
    q: Filter = "",
    sort: Text = "-started_at",
    columns: Names = "",
    add: Text = "",
    value: Literal["last", "best", "both"] = "last",
    better: Names = "",
    spark: Text = "",
    page: Token = "",
    limit: Limit = 100,
) -> Runs:
    """A page of runs.

    Args:
        experiment, status: only these; `deleted` shows what was deleted.
        q: a filter, e.g. `metrics.auc > 0.9 AND tags.team = 'fraud'`; plain words are looked for in names.
        sort: `started_at`, `name`, `metrics.auc`, `params.lr`; `-` in front turns it round.
        columns: e.g. `metrics.auc,params.lr`; those that differ unless given.
        add: one more column.
        value: of a metric, the last one, the best one, or both.
        better: what is best where the name does not tell, e.g. `drift:lower`.
        spark: the metric of the sparklines; the first one shown unless given, `-` for none.
        page: which page, out of `before` or `after`.
        limit: so many.
    Cost: look-ups of an index; the metrics and parameters that have no column are not read.
    """
    experiments = _experiments(project, experiment)
    places, problem, found, total = _places(page), None, tracking.Page[Run](items=()), 0
    try:
        search = _search(experiments, experiment, status, q, sort)
        found = _page(project, search, limit=limit, token=places[-1] if places else "")
        total = _count(project, search, found, first=not places)
    except BadFilter as error:
        problem = _problem(error)
    ids = [run.id for run in found.items]
    wanted = _Wanted(names_of(columns), add, better_of(better), sort, METRICS if value != "both" else METRICS_TWICE)
    with store.cells(project, ids) as cells:
        shown = _shown(cells, ids, wanted)
        extents = cells.extents([one.key for one in shown.columns if one.scope == "metrics"])
        filled = tuple(_with_values(cells, found.items, shown.columns, extents))
    return Runs(
        runs=filled,
        total=total,
        experiments=tuple(experiments),
        columns=shown.columns,
        chosen=bool(columns or add),
        left_out=len(shown.left_out),
        left_out_names=shown.left_out[:MOST_NAMES],
        same=shown.same,
        extents=extents,
        best=_best(shown.columns, extents, value),
        spark=_spark(spark, shown.columns, extents),
        problem=problem,
        before=None if not places else "~".join(places[:-1]),
        after="~".join([*places, found.token][-MOST_PAGES:]) if found.token else None,
        experiment=experiment,
        status=status,
        q=q,
        sort=sort,
        value=value,
        better=better,
        limit=limit,
    )


def everything(
    project: Project, *, experiment: Text = "", status: State = "", q: Filter = "", sort: Text = "-started_at"
) -> Pages:
    """All runs that fit, page by page; the filter is read at once, the runs when they are asked for.

    Args:
        experiment, status, q, sort: as in `runs`.
    Raises:
        BadFilter: the filter cannot be read.
    """
    search = _search(_experiments(project, experiment), experiment, status, q, sort)
    _page(project, search, limit=1, token="")

    def pages(columns: Sequence[str]) -> Iterator[Sequence[Run]]:
        token = ""
        while True:
            found = _page(project, search, limit=AT_ONCE, token=token, columns=columns)
            yield found.items
            token = found.token
            if not token:
                return

    return pages


def names(project: Project, *, experiment: Text = "", q: Text = "") -> Known:
    """Names of metrics, parameters and tags a column can have.

    Args:
        experiment: metrics only of this one; of the last used ones unless given.
        q: only with this in their name.
    """
    listed = _experiments(project, experiment)
    chosen = [int(one.id) for one in listed if experiment in ("", one.name)][:50]
    found = [
        f"{scope}.{name}"
        for scope in ("metrics", "params", "tags")
        for name in store.names(project, scope, q=q, experiments=chosen, limit=MOST_NAMES)
    ]
    return Known(names=tuple(found))


def _experiments(project: Project, experiment: str) -> list[Choice]:
    """The experiments to choose from, the one asked for among them.

    Raises:
        NoSuchExperiment: there is none of that name.
    """
    found = store.experiment_choices(project, experiment)
    if experiment and all(one.name != experiment for one in found):
        tracking.experiment(project, name=experiment)
    return found


def _search(listed: Sequence[Choice], experiment: str, status: str, q: str, sort: str) -> _Search:
    parts = [_as_filter(q), f"attributes.status = '{status.upper()}'" if status not in ("", "deleted") else ""]
    return _Search(
        experiments=tuple(one.id for one in listed if experiment in ("", one.name)),
        filter=" AND ".join(part for part in parts if part),
        order_by=tuple(as_order(sort)),
        lifecycle="deleted" if status == "deleted" else "active",
    )


def _as_filter(q: str) -> str:
    """A filter as it is; plain words as a filter of names."""
    words = q.strip()
    if not words or COMPARISON.search(words):
        return q.rstrip()
    return f"attributes.run_name ILIKE '%{words.replace(chr(39), chr(39) * 2)}%'"


def _page(
    project: Project, search: _Search, *, limit: int, token: str, columns: Sequence[str] = ()
) -> tracking.Page[Run]:
    return tracking.search_runs(
        project,
        search.experiments,
        filter=search.filter,
        order_by=search.order_by,
        lifecycle=search.lifecycle,
        limit=limit,
        token=token,
        columns=columns,
    )


def _count(project: Project, search: _Search, found: tracking.Page[Run], *, first: bool) -> int:
    if first and not found.token:
        return len(found.items)
    return tracking.count_runs(project, search.experiments, filter=search.filter, lifecycle=search.lifecycle)


def _places(page: str) -> list[str]:
    """The tokens of the pages from the second up to the one asked for."""
    return [token for token in page.split("~") if token]


def _problem(error: BadFilter) -> Problem:
    place = PLACE.search(error.what)
    at = int(place[1]) if place and error.at == "filter" else None
    return Problem(code=error.code, what=error.what, why=error.why, fix=error.fix, at=at)


def _shown(cells: Cells, ids: Sequence[str], wanted: _Wanted) -> _Shown:
    """The columns asked for; unasked, the metrics the newest runs have and the parameters that differ."""
    params = cells.texts("params")
    differing = store.differing(params, len(ids))
    metrics = [key for key in cells.metrics(SAMPLE) if not key.startswith(SYSTEM)]
    metrics.sort(key=lambda key: (key not in wanted.sort, leading(key)))
    asked = wanted.columns or [
        *(f"metrics.{key}" for key in metrics[: wanted.metrics]),
        *(f"params.{key}" for key in differing[:PARAMS]),
    ]
    found = [column for name in dict.fromkeys((*asked, wanted.add)) if (column := column_of(name, wanted.better))]
    listed = {column.name for column in found}
    every = (*(f"params.{key}" for key in differing), *(f"metrics.{key}" for key in metrics))
    same = {one.key: one.value for one in params if one.same and one.runs == len(ids)}
    return _Shown(
        columns=tuple(found),
        left_out=tuple(name for name in every if name not in listed),
        same=dict(list(same.items())[:12]) if len(ids) > 1 else {},
    )


def _with_values(
    cells: Cells, found: Sequence[Run], columns: Sequence[Column], extents: Mapping[str, Mapping[str, Extent]]
) -> Iterator[Run]:
    """The runs with the values of the columns shown."""
    texts = {
        scope: cells.values([one.key for one in columns if one.scope == scope], scope) for scope in ("params", "tags")
    }
    for run in found:
        last = {key: math.nan if one.last is None else one.last for key, one in extents[run.id].items()}
        yield msgspec.structs.replace(run, metrics=last, params=texts["params"][run.id], tags=texts["tags"][run.id])


def _best(columns: Sequence[Column], extents: Mapping[str, Mapping[str, Extent]], value: str) -> dict[str, str]:
    """Metric -> the run that is best by what is shown of it, where there is a better and a worse."""
    found = dict[str, str]()
    for one in columns:
        if one.scope != "metrics":
            continue
        which = "last" if value == "last" else "least" if one.smaller else "greatest"
        known = {run: getattr(held[one.key], which) for run, held in extents.items() if one.key in held}
        numbers = {run: number for run, number in known.items() if number is not None and math.isfinite(number)}
        if len(set(numbers.values())) > 1:
            found[one.key] = (min if one.smaller else max)(numbers, key=lambda run: numbers[run])
    return found


def _spark(asked: str, columns: Sequence[Column], extents: Mapping[str, Mapping[str, Extent]]) -> str:
    """The metric of the sparklines: the first that ever moved within a run."""
    if asked:
        return "" if asked == "-" else asked
    moved = {key for held in extents.values() for key, one in held.items() if one.least != one.greatest}
    return next((one.key for one in columns if one.scope == "metrics" and one.key in moved), "")
