"""Frame: predictions as a table, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import polars as pl

from bucle.line.serving.segment import Prediction

__all__ = ["PREDICTION_COLUMNS", "frame_of"]

_INSTANT = pl.Datetime("us", "UTC")

PREDICTION_COLUMNS: dict[str, Any] = {
    "prediction_id": pl.String,
    "request_id": pl.String,
    "row": pl.Int64,
    "endpoint": pl.String,
    "model": pl.String,
    "version": pl.Int64,
    "package": pl.String,
    "arm": pl.String,
    "routing_key": pl.String,
    "at": _INSTANT,
    "instant": _INSTANT,
    "entity": pl.String,
    "status": pl.String,
    "error": pl.String,
    "latency_us": pl.Int64,
    "request": pl.String,
    "features": pl.String,
    "score": pl.Float64,
    "outputs": pl.String,
}
"""The columns of the table `predictions`. `score` is null where a version failed, `entity` is empty without an entity
column, and `latency_us` is that of the whole request."""

_ENCODER = msgspec.json.Encoder()


def frame_of(predictions: Iterable[Prediction]) -> pl.DataFrame:
    """The predictions as a table.

    Returns:
        One row a predicted row, with `PREDICTION_COLUMNS`.
    """
    columns: dict[str, list[Any]] = {name: [] for name in PREDICTION_COLUMNS}
    for prediction in predictions:
        _add(columns, prediction)
    return pl.DataFrame(columns, schema=PREDICTION_COLUMNS)


def _add(columns: dict[str, list[Any]], prediction: Prediction) -> None:
    rows = prediction.rows
    whole = {
        "request_id": prediction.request_id,
        "endpoint": prediction.endpoint,
        "model": prediction.model,
        "version": prediction.version,
        "package": prediction.package,
        "arm": prediction.arm,
        "routing_key": prediction.routing_key,
        "at": prediction.at,
        "status": prediction.status,
        "error": prediction.error,
        "latency_us": prediction.latency_us,
    }
    for name, value in whole.items():
        columns[name] += [value] * rows
    columns["row"] += range(rows)
    columns["prediction_id"] += [f"{prediction.request_id}/{row}" for row in range(rows)]
    columns["instant"] += prediction.instants
    columns["entity"] += prediction.ids or [""] * rows
    columns["request"] += _json_rows(prediction.request, rows)
    columns["features"] += _json_rows(prediction.features, rows)
    columns["outputs"] += _json_rows(prediction.outputs, rows)
    columns["score"] += _scores(prediction.outputs.get(prediction.score), rows)


def _json_rows(columns: dict[str, list[Any]], rows: int) -> list[str]:
    if not columns:
        return ["{}"] * rows
    names = tuple(columns)
    encode = _ENCODER.encode
    return [encode(dict(zip(names, row, strict=True))).decode() for row in zip(*columns.values(), strict=True)]


def _scores(values: Sequence[Any] | None, rows: int) -> list[float | None]:
    """The score of each row; of several numbers a row, as of class probabilities, the last."""
    if values is None:
        return [None] * rows
    return [_last(value) for value in values]


def _last(value: Any) -> float | None:
    while isinstance(value, list):
        value = value[-1] if value else None
    return None if value is None else float(value)
