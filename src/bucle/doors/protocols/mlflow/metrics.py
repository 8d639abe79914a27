"""Metrics: what is logged to a run, and its curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy.engine import Connection

from bucle.doors.protocols.mlflow.errors import invalid, missing
from bucle.doors.protocols.mlflow.wire import Body, Json, KeyValue, Pending, Route, double, lean, required
from bucle.ground.project import Project
from bucle.ground.store import Work
from bucle.line import tracking

__all__ = ["ROUTES", "WireMetric", "nothing", "shown", "writing"]

MOST_METRICS = 1000
MOST_TEXTS = 100
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
MOST_RUNS = 100
MOST_SAMPLES = 2500
PAGE = 25_000


class WireMetric(Body):
    """One point, in a batch."""

    key: str = ""
    value: float | None = None
    timestamp: int | None = None
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogMetric(WireMetric):
    """One point."""

    run_id: str = ""
    run_uuid: str = ""


class LogBatch(Body):
    """Points, params and tags of one run."""

    run_id: str = ""
    metrics: list[WireMetric] = []
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


class GetHistory(Body):
    """Whose curve, and which part of it."""

    run_id: str = ""
    run_uuid: str = ""
    metric_key: str = ""
    max_results: int | None = None
    page_token: str = ""


class GetHistoryBulk(Body):
    """Whose curves, whole."""

    run_id: list[str] = []
    metric_key: str = ""
    max_results: int = PAGE


class GetHistoryInterval(Body):
    """Whose curves, thinned out."""

    run_ids: list[str] = []
    metric_key: str = ""
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = MOST_SAMPLES


def shown(point: tracking.Point) -> Json:
    """A point as the wire has it."""
    return {"key": point.key, "value": double(point.value), "timestamp": point.at, "step": point.step}


def nothing(done: None) -> Json:
    """The answer to a write that says nothing else."""
    return {}


def log_metric(body: LogMetric, project: Project) -> Pending:
    """One point."""
    run_id = required("run_id", body.run_id or body.run_uuid)
    work = writing(project, run_id, [body], where="")
    return Pending(project.database.submit(work), nothing)


def log_batch(body: LogBatch, project: Project) -> Pending:
    """Points, params and tags, all or nothing."""
    run_id = required("run_id", body.run_id)
    _check_sizes(body)
    params = _texts(body.params, "params", LONGEST_PARAM)
    if len(params) < len(body.params):
        raise invalid("Duplicate parameter keys have been submitted. Give each key once.")
    tags = _texts(body.tags, "tags", LONGEST_TAG)
    work = writing(project, run_id, body.metrics, params=params, tags=tags, where="metrics")
    return Pending(project.database.submit(work), nothing)


def writing(
    project: Project,
    run_id: str,
    metrics: Sequence[WireMetric] = (),
    *,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    where: str = "",
) -> Work[None]:
    """The write that keeps all this, on the run and on the models it was measured for.

    Args:
        where: how a message names the metrics.
    """
    points = _points(metrics, where)
    log = tracking.log_work(project, run_id, points=points, params=params, tags=tags)
    measured = _measured(metrics, points, run_id)
    name = (tags or {}).get("mlflow.runName")
    more = [tracking.log_model_points_work(measured)] if measured else []
    more += [tracking.update_work(project, run_id, name=name)] if name else []
    if not more:
        return log

    def work(connection: Connection) -> None:
        for one in (log, *more):
            one(connection)

    return work


def get_history(body: GetHistory, project: Project) -> Json:
    """A curve, page by page."""
    run_id = required("run_id", body.run_id or body.run_uuid)
    key = required("metric_key", body.metric_key)
    if body.max_results is not None and body.max_results <= 0:
        raise invalid(
            f"Invalid value {body.max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    question = ["mlflow-history", run_id, key]
    start = _start(body.page_token, question)
    points = _as_mlflow_orders(tracking.points(project, run_id, key))
    end = points.count if body.max_results is None else min(start + body.max_results, points.count)
    token = tracking.make_token(question, (end,)) if end < points.count else None
    found = [{"key": key, **one} for one in _listed(points.part(start, end))]
    return lean({"metrics": found or None, "next_page_token": token})


def get_history_bulk(body: GetHistoryBulk, project: Project) -> Json:
    """The beginnings of several curves, for MLflow's own pages."""
    if not body.run_id:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(body.run_id) > MOST_RUNS:
        raise invalid(f"GetMetricHistoryBulk request cannot specify more than {MOST_RUNS} run_ids.")
    if not body.metric_key:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    most = max(1, min(body.max_results, PAGE))
    found = list[Json]()
    for run in tracking.runs_by_ids(project, sorted(set(body.run_id)), columns=()):
        if len(found) < most:
            points = _as_mlflow_orders(tracking.points(project, run.id, body.metric_key)).part(0, most - len(found))
            found += [{"key": body.metric_key, **one, "run_id": run.id} for one in _listed(points)]
    return {"metrics": found}


def get_history_interval(body: GetHistoryInterval, project: Project) -> Json:
    """Several curves thinned out evenly, first and last point kept."""
    if not body.run_ids:
        raise missing("run_ids")
    if len(body.run_ids) > MOST_RUNS:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {MOST_RUNS} run_ids. "
            f"Received {len(body.run_ids)} run_ids."
        )
    required("metric_key", body.metric_key)
    if not 1 <= body.max_results <= MOST_SAMPLES:
        raise invalid(f"max_results must be between 1 and {MOST_SAMPLES}.")
    if (body.start_step is None) != (body.end_step is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if body.start_step is not None and body.end_step is not None and body.start_step > body.end_step:
        raise invalid(
            "end_step must be greater than start_step. "
            f"Found start_step={body.start_step} and end_step={body.end_step}."
        )
    curves = tracking.sampled(
        project,
        body.run_ids,
        body.metric_key,
        start_step=body.start_step,
        end_step=body.end_step,
        limit=body.max_results,
    )
    found = [
        {"key": body.metric_key, **one, "run_id": run_id}
        for run_id, points in curves.items()
        for one in _listed(points)
    ]
    return lean({"metrics": found or None})


def _start(token: str, question: object) -> int:
    """How many points the pages before this one had."""
    place = tracking.read_token(token, question, 1)[0] if token else 0
    if not isinstance(place, int) or place < 0:
        raise invalid(f"Invalid page token {token[:80]!r}: it was made up.")
    return place


def _as_mlflow_orders(points: tracking.Points) -> tracking.Points:
    """A curve by instant, then step, then value; ours come by step first, which is mostly the same order."""
    if bool((points.at[1:] >= points.at[:-1]).all()):
        return points
    order = np.lexsort((points.values, points.steps, points.at))
    return tracking.Points(points.steps[order], points.at[order], points.values[order])


def _listed(points: tracking.Points) -> Iterator[Json]:
    columns = zip(points.values.tolist(), points.at.tolist(), points.steps.tolist(), strict=True)
    return ({"value": double(value), "timestamp": at, "step": step} for value, at, step in columns)


def _points(metrics: Sequence[WireMetric], where: str) -> list[tracking.Point]:
    points = [
        tracking.Point(metric.key, metric.value, metric.timestamp, metric.step)
        for metric in metrics
        if metric.key and metric.value is not None and metric.timestamp is not None
    ]
    if len(points) < len(metrics):
        raise missing(_first_missing(metrics, where))
    return points


def _first_missing(metrics: Sequence[WireMetric], where: str) -> str:
    """The field that a metric lacks."""
    for place, metric in enumerate(metrics):
        for name, given in (("key", metric.key or None), ("value", metric.value), ("timestamp", metric.timestamp)):
            if given is None:
                return f"{where}[{place}].{name}" if where else name
    return where


def _measured(
    metrics: Sequence[WireMetric], points: Sequence[tracking.Point], run_id: str
) -> dict[str, list[tracking.ModelPoint]]:
    """What was measured on logged models, by model."""
    found = defaultdict[str, list[tracking.ModelPoint]](list)
    for metric, point in zip(metrics, points, strict=True):
        if metric.model_id:
            found[metric.model_id].append(_model_point(metric, point, run_id))
    return found


def _model_point(metric: WireMetric, point: tracking.Point, run_id: str) -> tracking.ModelPoint:
    return tracking.ModelPoint(
        key=point.key,
        value=point.value,
        at=point.at,
        step=point.step,
        run_id=run_id,
        dataset_name=metric.dataset_name,
        dataset_digest=metric.dataset_digest,
    )


def _texts(given: list[KeyValue], where: str, longest: int) -> dict[str, str]:
    """Keys with their values, cut where MLflow's server cuts them."""
    return {required(f"{where}[{place}].key", one.key): one.value[:longest] for place, one in enumerate(given)}


def _check_sizes(body: LogBatch) -> None:
    sizes = (
        ("metrics", body.metrics, MOST_METRICS),
        ("params", body.params, MOST_TEXTS),
        ("tags", body.tags, MOST_TEXTS),
    )
    for name, given, most in sizes:
        if len(given) > most:
            raise _too_many(name, most, len(given))
    total = len(body.metrics) + len(body.params) + len(body.tags)
    if total > MOST_METRICS:
        raise _too_many("metrics, params, and tags", MOST_METRICS, total)


def _too_many(name: str, most: int, given: int) -> Exception:
    return invalid(
        f"A batch logging request can contain at most {most} {name}. Got {given} {name}. "
        f"Please split up {name} across multiple requests and try again."
    )


_AT = "/api/2.0/mlflow"

ROUTES = (
    Route("POST", f"{_AT}/runs/log-metric", LogMetric, log_metric, quick=True),
    Route("POST", f"{_AT}/runs/log-batch", LogBatch, log_batch, quick=True),
    Route("GET", f"{_AT}/metrics/get-history", GetHistory, get_history),
    Route("GET", f"{_AT}/metrics/get-history-bulk", GetHistoryBulk, get_history_bulk),
    Route("GET", f"{_AT}/metrics/get-history-bulk-interval", GetHistoryInterval, get_history_interval),
)
