"""Our nouns as rows of MLflow's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bucle.doors.migrate.mlflow_database import WORKSPACE
from bucle.doors.migrate.mlflow_words import NAME, millis_of, model_number_of, stage_name_of
from bucle.line import registry
from bucle.line.tracking import Circumstances, Dataset, LoggedModel, Points, WholeRun

__all__ = [
    "Row",
    "as_mlflow_keeps_it",
    "dataset_row",
    "input_row",
    "rows_of_model",
    "rows_of_registered",
    "rows_of_runs",
]

GREATEST = 1.7976931348623157e308
"""What stands for infinity in MLflow's databases."""

Row = dict[str, Any]


def rows_of_runs(runs: Sequence[WholeRun]) -> dict[str, list[Row]]:
    """Params, tags, metrics and latest metrics of runs, by table."""
    points = [(run, key, curve) for run in runs for key, curve in run.curves.items()]
    return {
        "params": [_text_row(run, key, value) for run in runs for key, value in run.params.items()],
        "tags": [_text_row(run, key, value) for run in runs for key, value in {NAME: run.name, **run.tags}.items()],
        "metrics": [row for run, key, curve in points for row in _point_rows(run, key, curve)],
        "latest_metrics": [
            _point_rows(run, key, curve.part(curve.count - 1, curve.count))[0] for run, key, curve in points
        ],
    }


def _text_row(run: WholeRun, key: str, value: str) -> Row:
    return {"run_uuid": run.id, "key": key, "value": value}


def _point_rows(run: WholeRun, key: str, curve: Points) -> list[Row]:
    columns = zip(curve.steps.tolist(), curve.at.tolist(), curve.values.tolist(), strict=True)
    return [
        {"run_uuid": run.id, "key": key, "step": step, "timestamp": at, **_number_row(value)}
        for step, at, value in columns
    ]


def _number_row(value: float) -> Row:
    if math.isnan(value):
        return {"value": 0.0, "is_nan": True}
    return {"value": math.copysign(GREATEST, value) if math.isinf(value) else value, "is_nan": False}


def as_mlflow_keeps_it(run: WholeRun) -> WholeRun:
    """What of a run MLflow has a place for: milliseconds, finite numbers, no circumstances."""
    curves = {key: Points(curve.steps, curve.at, _finite(curve.values)) for key, curve in run.curves.items()}
    return msgspec.structs.replace(
        run,
        tags={NAME: run.name, **run.tags},
        started_at=_whole_millis(run.started_at),
        ended_at=_whole_millis(run.ended_at),
        deleted_at=_whole_millis(run.deleted_at) if run.lifecycle == "deleted" else None,
        curves=curves,
        circumstances=Circumstances(),
    )


def _finite(values: Any) -> Any:
    found = values.copy()
    found[found == math.inf], found[found == -math.inf] = GREATEST, -GREATEST
    return found


def _whole_millis(at: Any) -> Any:
    return None if at is None else at.replace(microsecond=at.microsecond // 1000 * 1000)


def dataset_row(one: Dataset, experiment: int, id_: str) -> Row:
    """A dataset of an experiment."""
    return {
        "dataset_uuid": id_,
        "experiment_id": experiment,
        "name": one.name,
        "digest": one.digest,
        "dataset_source_type": one.source_type,
        "dataset_source": one.source,
        "dataset_schema": one.schema,
        "dataset_profile": one.profile,
    }


def input_row(entry: str, row: tuple[str, str, str, str], step: int) -> Row:
    """An entry that joins two things: type and id of each."""
    names = ("source_type", "source_id", "destination_type", "destination_id")
    return {"input_uuid": entry, **dict(zip(names, row, strict=True)), "step": step}


def rows_of_model(one: LoggedModel, folder: Path) -> dict[str, list[Row]]:
    """A logged model, by table."""
    of = {"model_id": one.id, "experiment_id": int(one.experiment_id)}
    return {
        "logged_models": [
            {
                **of,
                "name": one.name,
                "artifact_location": folder.as_uri(),
                "creation_timestamp_ms": millis_of(one.created_at),
                "last_updated_timestamp_ms": millis_of(one.updated_at),
                "status": model_number_of(one.status),
                "lifecycle_stage": one.lifecycle,
                "model_type": one.kind,
                "source_run_id": one.run_id,
                "status_message": one.status_message,
            }
        ],
        "logged_model_params": [{**of, "param_key": key, "param_value": value} for key, value in one.params.items()],
        "logged_model_tags": [{**of, "tag_key": key, "tag_value": value} for key, value in one.tags.items()],
        "logged_model_metrics": [
            {
                **of,
                "metric_name": point.key,
                "metric_timestamp_ms": point.at,
                "metric_step": point.step,
                "metric_value": None if math.isnan(point.value) else _number_row(point.value)["value"],
                "run_id": point.run_id,
                "dataset_name": point.dataset_name or None,
                "dataset_digest": point.dataset_digest or None,
            }
            for point in one.metrics
        ],
    }


def rows_of_registered(
    model: registry.Model, versions: Sequence[registry.ModelVersion], places: Mapping[int, tuple[str, str]]
) -> dict[str, list[Row]]:
    """A registered model with its versions, by table; `places`: version -> source and storage location."""
    of = {"name": model.name, "workspace": WORKSPACE}
    return {
        "registered_models": [
            {
                **of,
                "creation_time": millis_of(model.created_at),
                "last_updated_time": millis_of(model.updated_at),
                "description": model.description,
            }
        ],
        "registered_model_tags": [{**of, "key": key, "value": value} for key, value in model.tags.items()],
        "model_versions": [{**of, **_version_row(one, *places[one.version])} for one in versions],
        "model_version_tags": [
            {**of, "version": one.version, "key": key, "value": value}
            for one in versions
            for key, value in one.tags.items()
        ],
        "registered_model_aliases": [
            {**of, "alias": alias, "version": version} for alias, version in model.aliases.items()
        ],
    }


def _version_row(one: registry.ModelVersion, source: str, storage: str) -> Row:
    return {
        "version": one.version,
        "creation_time": millis_of(one.created_at),
        "last_updated_time": millis_of(one.updated_at),
        "description": one.description,
        "user_id": one.author,
        "current_stage": stage_name_of(one.stage),
        "source": source,
        "storage_location": storage,
        "run_id": one.run,
        "run_link": one.run_link,
        "status": {"READY": "READY", "PENDING": "PENDING_REGISTRATION"}.get(one.status, "FAILED_REGISTRATION"),
        "status_message": one.status_message,
    }
