"""`/runs`: which run is best, what made it so, and is it learning right now?"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Annotated, Literal

import msgspec

from bucle.doors.ui import store
from bucle.doors.ui.parameters import Id, Limit, Offset, Text
from bucle.ground.core import Record, UserError
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Experiment, Metric, Run

__all__ = ["Comparison", "Curve", "Curves", "Row", "RunPage", "Runs", "TooFew", "compare", "curves", "run", "runs"]

Ids = Annotated[str, msgspec.Meta(max_length=600, pattern=r"^[0-9A-Za-z_.,\-]*$")]

SMALLER = ("loss", "error", "brier", "ece", "rmse", "mae", "mse", "seconds", "latency", "duration")
"""Metrics with one of these in their name are better when smaller."""

MOST = 2000
"""Points of one curve beyond this many are thinned out for the eye; the page says so."""


class TooFew(UserError):
    """A comparison needs at least two different runs."""

    code = "BU1606"


class Runs(Record, frozen=True):
    """Runs, with what tells them apart.

    Attributes:
        runs: this page's.
        total: how many fit the filter.
        experiments: every experiment with its runs.
        params: names of the parameters that differ among the runs shown.
        same: parameters all of them share.
        metrics: names of all metrics of the runs shown.
        best: metric -> id of the best of the runs shown.
        experiment, status, q, sort, offset, limit: what was asked for.
    """

    runs: tuple[Run, ...]
    total: int
    experiments: tuple[Experiment, ...]
    params: tuple[str, ...]
    same: dict[str, str]
    metrics: tuple[str, ...]
    best: dict[str, str]
    experiment: str
    status: str
    q: str
    sort: str
    offset: int
    limit: int


class Curve(Record, frozen=True):
    """One metric of one run.

    Attributes:
        key: the metric.
        steps, values: its points by step.
        last, best: of its values.
        best_step: where the best one stands.
        thinned: points left out.
    """

    key: str
    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    last: float | None
    best: float | None
    best_step: int | None
    thinned: int


class Curves(Record, frozen=True):
    """Every curve of a run.

    Attributes:
        run: its id.
        status: whether more is to come.
        curves: one a metric.
    """

    run: str
    status: str
    curves: tuple[Curve, ...]


class RunPage(Record, frozen=True):
    """One run.

    Attributes:
        run: the run.
        curves: one a metric.
        versions: refs of the model versions that came of it.
    """

    run: Run
    curves: tuple[Curve, ...]
    versions: tuple[str, ...]


class Row(Record, frozen=True):
    """One line of a comparison.

    Attributes:
        kind: `metric`, `param`, or `run` for its circumstances.
        name: what is compared.
        values: one a run; None where a run has none.
        differs: whether they are not all the same.
        best: the place of the best value; None where there is no better.
    """

    kind: Literal["run", "metric", "param"]
    name: str
    values: tuple[str | float | None, ...]
    differs: bool
    best: int | None


class Comparison(Record, frozen=True):
    """Runs side by side.

    Attributes:
        runs: in the order asked for.
        rows: what differs first.
        curves: metric -> one curve a run, for metrics with more than one point.
    """

    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    curves: dict[str, tuple[Curve | None, ...]]


def runs(
    project: Project,
    *,
    experiment: Text = "",
    status: Literal["", "running", "finished", "failed"] = "",
    q: Text = "",
    sort: Text = "-started_at",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Runs:
    """A page of runs.

    Args:
        experiment, status: only these.
        q: only with this in their name, or at the start of their id.
        sort: `started_at`, `name`, or a metric's name; `-` in front turns it round.
        offset, limit: which of them.
    Cost: an index look-up; a sort by a metric reads every run that fits.
    """
    found, total = store.runs_page(
        project, experiment=experiment, status=status, q=q, sort=sort, offset=offset, limit=limit
    )
    names = list(dict.fromkeys(name for one in found for name in one.params))
    values = {name: {one.params.get(name) for one in found} for name in names}
    metrics = sorted({name for one in found for name in one.metrics})
    return Runs(
        runs=tuple(found),
        total=total,
        experiments=tuple(tracking.experiments(project)),
        params=tuple(name for name in names if len(values[name]) > 1),
        same={name: found[0].params[name] for name in names if len(values[name]) == 1},
        metrics=tuple(metrics),
        best={name: best for name in metrics if (best := _best_run(found, name))},
        experiment=experiment,
        status=status,
        q=q,
        sort=sort,
        offset=offset,
        limit=limit,
    )


def run(project: Project, *, run: Id) -> RunPage:
    """One run, by its id or the beginning of it.

    Raises:
        NoSuchRun: there is none, or more than one begins so.
    """
    found = tracking.run(project, run)
    made = project.ledger.edges_of([f"run/{found.id}"], upstream=False)
    return RunPage(
        run=found,
        curves=_curves(tracking.metrics(project, found.id)),
        versions=tuple(edge.target for edge in made if edge.target.startswith("model/")),
    )


def curves(project: Project, *, run: Id) -> Curves:
    """The curves of a run.

    Raises:
        NoSuchRun: there is no such run.
    """
    found = tracking.run(project, run)
    return Curves(run=found.id, status=found.status, curves=_curves(tracking.metrics(project, found.id)))


def compare(project: Project, *, ids: Ids = "") -> Comparison:
    """Runs side by side, what differs first.

    Args:
        ids: run ids, with commas between them; 12 at most.
    Raises:
        TooFew: fewer than two.
        NoSuchRun: one of them does not exist.
    """
    asked = list(dict.fromkeys(one for one in ids.split(",") if one))[:12]
    if len(asked) < 2:
        raise TooFew(
            "A comparison needs two runs at least.",
            why=f"The address names {len(asked)}.",
            fix="Tick some on the page of runs, or write /compare?ids=ID,ID.",
            at="ids",
        )
    found = [tracking.run(project, one) for one in asked]
    every = [{curve.key: curve for curve in _curves(tracking.metrics(project, one.id))} for one in found]
    names = sorted({key for one in every for key, curve in one.items() if len(curve.steps) > 1})
    rows = [*_circumstances(found), *_rows("metric", found), *_rows("param", found)]
    return Comparison(
        runs=tuple(found),
        rows=tuple(sorted(rows, key=lambda row: not row.differs)),
        curves={name: tuple(one.get(name) for one in every) for name in names},
    )


def smaller_is_better(metric: str) -> bool:
    """Whether a metric with this name is better when smaller."""
    return any(word in metric.lower() for word in SMALLER)


def _best_run(found: list[Run], metric: str) -> str:
    known = [(one.metrics[metric], one.id) for one in found if math.isfinite(one.metrics.get(metric, math.nan))]
    if len(known) < 2:
        return ""
    return (min if smaller_is_better(metric) else max)(known)[1]


def _curves(points: list[Metric]) -> tuple[Curve, ...]:
    grouped = defaultdict[str, list[Metric]](list)
    for point in points:
        grouped[point.key].append(point)
    return tuple(_curve(key, found) for key, found in grouped.items())


def _curve(key: str, found: list[Metric]) -> Curve:
    known = [point for point in found if math.isfinite(point.value)]
    pick = min if smaller_is_better(key) else max
    best = pick(known, key=lambda point: point.value) if known else None
    stride = -(-len(found) // MOST)
    shown = found[::stride] if stride == 1 else [*found[::stride], *(found[-1:] if (len(found) - 1) % stride else [])]
    return Curve(
        key=key,
        steps=tuple(point.step for point in shown),
        values=tuple(point.value if math.isfinite(point.value) else None for point in shown),
        last=known[-1].value if known else None,
        best=best.value if best else None,
        best_step=best.step if best else None,
        thinned=len(found) - len(shown),
    )


def _circumstances(found: list[Run]) -> list[Row]:
    facts: dict[str, list[str]] = {
        "status": [one.status for one in found],
        "code": [one.code_commit for one in found],
        "uncommitted": [one.code_diff for one in found],
        "environment": [one.environment for one in found],
        "seed": ["" if one.seed is None else str(one.seed) for one in found],
        "inputs": [", ".join(one.inputs) for one in found],
    }
    return [
        Row(kind="run", name=name, values=tuple(values), differs=len(set(values)) > 1, best=None)
        for name, values in facts.items()
    ]


def _rows(kind: Literal["metric", "param"], found: list[Run]) -> list[Row]:
    held = [one.metrics if kind == "metric" else one.params for one in found]
    rows = []
    for name in sorted({name for one in held for name in one}):
        values: tuple[str | float | None, ...] = tuple(one.get(name) for one in held)
        numbers = [(value, place) for place, value in enumerate(values) if isinstance(value, float)]
        numbers = [(value, place) for value, place in numbers if math.isfinite(value)]
        better = min if smaller_is_better(name) else max
        best = better(numbers, key=lambda one: one[0])[1] if kind == "metric" and len(set(numbers)) > 1 else None
        rows.append(Row(kind=kind, name=name, values=values, differs=len(set(values)) > 1, best=best))
    return rows
