"""`/compare`: what differs between runs, what first; their curves over each other; which way leads to a good one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from bucle.doors.ui import store
from bucle.doors.ui.columns import SYSTEM, column_of, leading, names_of, smaller_is_better
from bucle.doors.ui.pages.curves import Ids, Names, ids_of
from bucle.doors.ui.parameters import Text
from bucle.ground.core import Record, UserError
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Run

__all__ = ["Comparison", "Path", "Row", "TooFew", "compare"]

MOST = 200
"""So many runs are compared at once."""

ASIDE = 8
"""Up to so many runs stand side by side; more stand under each other, and what differs side by side."""

CURVES = 4
"""Curves drawn when none were chosen."""

AXES = 6
"""Axes drawn when none were chosen, the metric among them."""

Lines = Annotated[int, msgspec.Meta(ge=1, le=2000)]


class TooFew(UserError):
    """A comparison needs at least two different runs."""

    code = "BU1606"


class Row(Record, frozen=True):
    """One thing that differs.

    Attributes:
        kind: `metric`, `param`, or `run` for its circumstances.
        name: what is compared.
        values: one a run; None where a run has none.
        best: the place of the best value; None where there is no better.
    """

    kind: Literal["run", "metric", "param"]
    name: str
    values: tuple[str | float | None, ...]
    best: int | None


class Path(Record, frozen=True):
    """One axis of the drawing of all runs.

    Attributes:
        name: a column, e.g. `params.lr`.
        values: one a run.
    """

    name: str
    values: tuple[str | float | None, ...]


class Comparison(Record, frozen=True):
    """Runs side by side.

    Attributes:
        runs: in the order asked for, without their metrics and parameters.
        rows: what differs.
        same: what is the same in all, by kind and name.
        left_out: differing metrics and parameters that are not among the rows.
        curves: metrics drawn over each other.
        metrics: every metric one of them has.
        axes: of the drawing of all runs, the last one gives the colour.
        x, y: axes of the scatter; None without two numbers.
        limit: so many differing metrics, and as many parameters.
    """

    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    same: dict[str, dict[str, str]]
    left_out: int
    curves: tuple[str, ...]
    metrics: tuple[str, ...]
    axes: tuple[Path, ...]
    x: Path | None
    y: Path | None
    limit: int


def compare(
    project: Project,
    *,
    runs: Ids = "",
    curves: Names = "",
    axes: Names = "",
    x: Text = "",
    y: Text = "",
    add: Text = "",
    limit: Lines = 60,
) -> Comparison:
    """Runs side by side, what differs first.

    Args:
        runs: ids with commas between; 200 at most.
        curves: metrics to draw over each other; some that differ unless given, `-` for none.
        axes: columns to draw all runs across, the last gives the colour; some that differ unless given.
        x, y: columns of the scatter.
        add: one more metric to draw.
        limit: so many differing metrics and parameters are shown.
    Raises:
        TooFew: fewer than two.
        NoSuchRun: one of them does not exist.
    Cost: one pass over the metrics and parameters of the runs, in the database.
    """
    found = _runs(project, ids_of(runs)[:MOST])
    ids = [one.id for one in found]
    with store.cells(project, ids) as cells:
        metrics, params = sorted(cells.spreads(), key=lambda one: leading(one.key)), cells.texts("params")
        differing = [one.key for one in metrics if not one.same or one.runs < len(ids)]
        varied = store.differing(params, len(ids))
        rows = [
            *_metric_rows(cells, ids, differing[:limit]),
            *_param_rows(cells, ids, varied[:limit]),
            *_circumstances(found),
        ]
        of_the_model = [one for one in metrics if not one.key.startswith(SYSTEM)]
        drawn = names_of(curves) or tuple(one.key for one in of_the_model if one.has_curve)[:CURVES]
        chosen = names_of(axes) or _axes(varied, [one.key for one in of_the_model if one.key in differing])
        paths = {name: path for name in (*chosen, x, y) if name and (path := _path(cells, ids, name))}
    numeric = [path for path in paths.values() if _is_numeric(path)]
    return Comparison(
        runs=tuple(found),
        rows=tuple(row for row in rows if len(set(row.values)) > 1),
        same=_same(rows, metrics, params, len(ids)),
        left_out=max(0, len(differing) - limit) + max(0, len(varied) - limit),
        curves=tuple(dict.fromkeys(name for name in (*drawn, add) if name not in ("", "-"))),
        metrics=tuple(one.key for one in metrics),
        axes=tuple(paths[name] for name in chosen if name in paths),
        x=paths.get(x) or next((path for path in numeric if path.name.startswith("params.")), None),
        y=paths.get(y) or next((path for path in numeric[::-1] if path.name.startswith("metrics.")), None),
        limit=limit,
    )


def _runs(project: Project, asked: Sequence[str]) -> list[Run]:
    if len(asked) < 2:
        raise TooFew(
            "A comparison needs two runs at least.",
            why=f"The address names {len(asked)}.",
            fix="Tick some on the page of runs, or write /compare?runs=ID,ID.",
            at="runs",
        )
    known = {run.id: run for run in tracking.runs_by_ids(project, asked, columns=())}
    missing = [one for one in asked if one not in known]
    found = {**known, **{one: tracking.run(project, one) for one in missing}}
    return [found[one] for one in asked]


def _circumstances(found: Sequence[Run]) -> list[Row]:
    facts: dict[str, list[str]] = {
        "status": [one.status for one in found],
        "experiment": [one.experiment for one in found],
        "actor": [one.actor for one in found],
        "code": [one.code_commit for one in found],
        "uncommitted": [one.code_diff for one in found],
        "environment": [one.environment for one in found],
        "seed": ["" if one.seed is None else str(one.seed) for one in found],
        "inputs": [", ".join(one.inputs) for one in found],
    }
    rows = [Row(kind="run", name=name, values=tuple(values), best=None) for name, values in facts.items()]
    took = [(one.ended_at - one.started_at).total_seconds() if one.ended_at else None for one in found]
    return [*rows, Row(kind="run", name="duration_s", values=tuple(took), best=None)]


def _metric_rows(cells: store.Cells, ids: Sequence[str], keys: Sequence[str]) -> list[Row]:
    held = cells.extents(keys)
    rows = []
    for key in keys:
        values = tuple(held[run][key].last if key in held[run] else None for run in ids)
        rows.append(Row(kind="metric", name=key, values=values, best=_best(key, values)))
    return rows


def _param_rows(cells: store.Cells, ids: Sequence[str], keys: Sequence[str]) -> list[Row]:
    held = cells.values(keys, "params")
    return [Row(kind="param", name=key, values=tuple(held[run].get(key) for run in ids), best=None) for key in keys]


def _best(key: str, values: Sequence[float | None]) -> int | None:
    known = [(value, place) for place, value in enumerate(values) if value is not None and math.isfinite(value)]
    if len({value for value, _ in known}) < 2:
        return None
    return (min if smaller_is_better(key) else max)(known, key=lambda one: one[0])[1]


def _same(
    rows: Iterable[Row], metrics: Iterable[store.Spread], params: Iterable[store.Texts], count: int
) -> dict[str, dict[str, str]]:
    facts = {row.name: str(row.values[0]) for row in rows if row.kind == "run" and len(set(row.values)) == 1}
    return {
        "run": {name: value for name, value in facts.items() if value not in ("", "None")},
        "metric": {one.key: f"{one.least:.6g}" for one in metrics if one.same and one.runs == count},
        "param": {one.key: one.value for one in params if one.same and one.runs == count},
    }


def _axes(params: Sequence[str], metrics: Sequence[str]) -> tuple[str, ...]:
    """Parameters that differ, and the metric they may have led to."""
    if not metrics:
        return ()
    asked = [f"params.{key}" for key in params[: AXES - 1]]
    more = [f"metrics.{key}" for key in metrics[1 : AXES - len(asked)]] if len(asked) < 2 else []
    return (*asked, *more, f"metrics.{metrics[0]}") if asked or more else ()


def _path(cells: store.Cells, ids: Sequence[str], name: str) -> Path | None:
    column = column_of(name)
    if column is None or not column.scope:
        return None
    if column.scope == "metrics":
        held = cells.extents([column.key])
        values: tuple[str | float | None, ...] = tuple(
            held[run][column.key].last if column.key in held[run] else None for run in ids
        )
        return Path(name=name, values=values)
    texts = cells.values([column.key], column.scope)
    return Path(name=name, values=tuple(texts[run].get(column.key) for run in ids))


def _is_numeric(path: Path) -> bool:
    try:
        return len({float(value) for value in path.values if value is not None}) > 1
    except ValueError:
        return False
