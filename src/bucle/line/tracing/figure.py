"""Figures over traces, spans and assessments: counts, latencies, tokens and costs, by kind and by time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

import numpy as np

from bucle.ground.core import Record, from_micros, suggest
from bucle.ground.project import Project
from bucle.line.tracing import figure_store as store
from bucle.line.tracing.tables import COSTS, TOKENS
from bucle.line.tracking import BadQuery

__all__ = ["Aggregation", "TraceFigure", "trace_figures"]

View = Literal["TRACES", "SPANS", "ASSESSMENTS"]
Kind = Literal["COUNT", "SUM", "AVG", "MIN", "MAX", "PERCENTILE"]

MOST_FIGURES = 1000
"""Groups of one answer."""

_SPREAD: tuple[Kind, ...] = ("AVG", "MIN", "MAX", "PERCENTILE")
_ADDED: tuple[Kind, ...] = ("SUM", *_SPREAD)
_COUNTED: tuple[Kind, ...] = ("COUNT",)
_OF_MODEL = ("span_model_name", "span_model_provider")

METRICS: dict[View, dict[str, tuple[tuple[Kind, ...], tuple[str, ...]]]] = {
    "TRACES": {
        "trace_count": (_COUNTED, ("trace_name", "trace_status")),
        "session_count": (_COUNTED, ()),
        "latency": (_SPREAD, ("trace_name",)),
        **dict.fromkeys(TOKENS, (_ADDED, ("trace_name",))),
    },
    "SPANS": {
        "span_count": (_COUNTED, ("span_name", "span_type", "span_status", *_OF_MODEL)),
        "latency": (_SPREAD, ("span_name", "span_status")),
        **dict.fromkeys(COSTS, (_ADDED, _OF_MODEL)),
    },
    "ASSESSMENTS": {
        "assessment_count": (_COUNTED, ("assessment_name", "assessment_value")),
        "assessment_value": (_SPREAD, ("assessment_name",)),
    },
}
"""What can be measured, how it can be put together, and what it can be grouped by."""


class Aggregation(Record, frozen=True):
    """One way to put values together.

    Attributes:
        kind: `COUNT`, `SUM`, `AVG`, `MIN`, `MAX` or `PERCENTILE`.
        percentile: 0 to 100, for `PERCENTILE`; between two values it is interpolated.
    """

    kind: Kind
    percentile: float | None = None

    @property
    def name(self) -> str:
        """What its figure is called: `AVG`, `P99.0`."""
        return self.kind if self.percentile is None else f"P{self.percentile}"


class TraceFigure(Record, frozen=True):
    """One group's figures.

    Attributes:
        dimensions: what the group has in common; `time_bucket` is an instant in ISO 8601.
        values: by the name of the aggregation.
    """

    dimensions: dict[str, str]
    values: dict[str, float]


def trace_figures(
    project: Project,
    experiment_ids: Sequence[str],
    view: View,
    metric: str,
    aggregations: Sequence[Aggregation],
    *,
    dimensions: Sequence[str] = (),
    filters: Sequence[str] = (),
    interval_s: int | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    limit: int = MOST_FIGURES,
) -> list[TraceFigure]:
    """Figures of some experiments, ordered by time and dimensions; groups without a value are left out.

    Args:
        metric: e.g. `latency` (milliseconds), `total_tokens`, `total_cost` (US dollars); see `METRICS`.
        filters: e.g. `trace.status = 'OK'`, `trace.tag.team = 'search'`, `span.name = 'retrieve'`.
        interval_s: seconds of a time bucket; it needs both ends.
        since_ms, until_ms: milliseconds since 1970, both included.
    Raises:
        BadQuery: the metric cannot be put together or grouped so.
        BadFilter: a filter cannot be read.
    Cost: an aggregate is computed by the database; a percentile reads every value.
    """
    _check(view, metric, aggregations, dimensions)
    if interval_s is not None and (interval_s <= 0 or since_ms is None or until_ms is None):
        raise BadQuery(
            "Time buckets need an interval above 0 and both ends: start_time_ms and end_time_ms.",
            why="Without them there may be any number of buckets.",
            fix="Give all three.",
            at="time_interval_seconds",
        )
    with project.database.reading() as connection:
        query = store.Question(
            connection,
            experiment_ids,
            view=view,
            metric=metric,
            dimensions=dimensions,
            filters=filters,
            interval_s=interval_s,
            since_ms=since_ms,
            until_ms=until_ms,
        )
        found = _figures(query, aggregations, limit)
    return [
        TraceFigure(dimensions=_named(key, dimensions, interval_s), values=values)
        for key, values in list(found.items())[:limit]
        if values
    ]


def _figures(
    query: store.Question, aggregations: Sequence[Aggregation], limit: int
) -> dict[tuple[Any, ...], dict[str, float]]:
    """The figures of each group by name; those that have no value are left out."""
    found = dict[tuple[Any, ...], dict[str, float]]()
    plain = [one for one in aggregations if one.kind != "PERCENTILE"]
    for key, figures in query.groups([one.kind for one in plain], limit):
        pairs = zip(plain, figures, strict=True)
        found[key] = {one.name: float(figure) for one, figure in pairs if figure is not None}
    ranked = [one for one in aggregations if one.kind == "PERCENTILE"]
    for key, rows in groupby(query.values(limit) if ranked else (), key=lambda row: row[0]):
        values = np.array([value for _, value in rows], dtype=np.float64)
        ranks = np.percentile(values, [one.percentile or 0.0 for one in ranked]).tolist()
        found.setdefault(key, {}).update(zip((one.name for one in ranked), ranks, strict=True))
    return found


def _named(key: tuple[Any, ...], dimensions: Sequence[str], interval_s: int | None) -> dict[str, str]:
    names = [*(("time_bucket",) if interval_s else ()), *dimensions]
    found = dict(zip(names, key, strict=True))
    if interval_s:
        found["time_bucket"] = _iso(int(found["time_bucket"]))
    return {name: str(value) for name, value in found.items()}


def _iso(milliseconds: int) -> str:
    at: datetime = from_micros(milliseconds * 1000)
    return at.astimezone(UTC).isoformat()


def _check(view: View, metric: str, aggregations: Sequence[Aggregation], dimensions: Sequence[str]) -> None:
    if view not in METRICS:
        raise _bad("view_type", str(view), list(METRICS))
    if metric not in METRICS[view]:
        raise _bad("metric_name", metric, list(METRICS[view]))
    kinds, allowed = METRICS[view][metric]
    for one in aggregations:
        if one.kind not in kinds:
            raise _bad("aggregation_type", one.kind, list(kinds))
        if (one.kind == "PERCENTILE") != (one.percentile is not None) or not 0 <= (one.percentile or 0) <= 100:
            raise _bad("percentile_value", str(one.percentile), ["0 to 100, with PERCENTILE only"])
    for name in dimensions:
        if name not in allowed:
            raise _bad("dimension", name, list(allowed) or ["none"])


def _bad(field: str, given: str, known: list[str]) -> BadQuery:
    return BadQuery(
        f"{given[:60]!r} is no {field} here.",
        why=f"There is: {', '.join(known)}.",
        fix=suggest(given, known) or f"Choose one of those as {field}.",
        at=field,
    )
