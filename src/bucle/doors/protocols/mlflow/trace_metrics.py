"""Figures over traces, spans and assessments."""

from __future__ import annotations

from typing import Any

from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.wire import Body, Json, Route, required
from bucle.ground.project import Project
from bucle.line import tracing

__all__ = ["ROUTES"]

VIEWS = {1: "TRACES", 2: "SPANS", 3: "ASSESSMENTS"}
KINDS = {1: "COUNT", 2: "SUM", 3: "AVG", 4: "PERCENTILE", 5: "MIN", 6: "MAX"}


class AggregationBody(Body):
    """One way to put values together."""

    aggregation_type: str | int = ""
    percentile_value: float | None = None


class QueryMetrics(Body):
    """Which figures are wanted."""

    experiment_ids: list[str] = []
    view_type: str | int = ""
    metric_name: str = ""
    aggregations: list[AggregationBody] = []
    dimensions: list[str] = []
    filters: list[str] = []
    time_interval_seconds: int | None = None
    start_time_ms: int | None = None
    end_time_ms: int | None = None
    max_results: int | None = None


def query(body: QueryMetrics, project: Project) -> Json:
    """The figures, one data point a group."""
    limit = tracing.MOST_FIGURES if body.max_results is None else body.max_results
    if not 0 < limit <= tracing.MOST_FIGURES:
        raise invalid(f"Invalid value {limit} for parameter 'max_results': 1 to {tracing.MOST_FIGURES} are possible.")
    metric = required("metric_name", body.metric_name)
    found = tracing.trace_figures(
        project,
        required("experiment_ids", body.experiment_ids or None),
        _named(body.view_type, VIEWS),
        metric,
        [
            tracing.Aggregation(kind=_named(one.aggregation_type, KINDS), percentile=one.percentile_value)
            for one in required("aggregations", body.aggregations or None)
        ],
        dimensions=body.dimensions,
        filters=body.filters,
        interval_s=body.time_interval_seconds,
        since_ms=body.start_time_ms,
        until_ms=body.end_time_ms,
        limit=limit,
    )
    return {
        "data_points": [{"metric_name": metric, "dimensions": one.dimensions, "values": one.values} for one in found]
    }


ROUTES = (Route("POST", "/api/3.0/mlflow/traces/metrics", QueryMetrics, query),)


def _named(given: str | int, names: dict[int, str]) -> Any:
    return names.get(given, str(given)) if isinstance(given, int) else given
