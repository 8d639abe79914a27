"""MLflow's words in ours: statuses, stages, instants, inputs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from bucle.line.registry import Stage
from bucle.line.tracking import Dataset, ModelStatus, Status

__all__ = [
    "CONTEXT",
    "NAME",
    "in_context",
    "instant_of",
    "known_instant",
    "millis_of",
    "model_number_of",
    "model_status_of",
    "stage_name_of",
    "stage_of",
    "status_of",
]

NAME, CONTEXT = "mlflow.runName", "mlflow.data.context"
"""A run's name stood in a tag before it had a column; what a dataset was read for stands in one still."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_STATUSES: dict[str, Status] = {
    "RUNNING": "running",
    "SCHEDULED": "scheduled",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
}
_NUMBERED: tuple[Status, ...] = ("running", "running", "scheduled", "finished", "failed", "killed")
_STAGES: dict[str, Stage] = {"Staging": "validated", "Production": "production", "Archived": "archived"}
_MODEL_STATUSES: tuple[ModelStatus, ...] = ("pending", "pending", "ready", "failed")


def instant_of(millis: Any) -> datetime | None:
    """The instant of milliseconds since 1970; None stays None, and so does what no calendar holds."""
    try:
        return None if millis is None else _EPOCH + timedelta(milliseconds=int(millis))
    except (OverflowError, ValueError):
        return None


def known_instant(*millis: Any) -> datetime:
    """The first of some instants that is known; 1970 when none is."""
    return next((found for one in millis if (found := instant_of(one)) is not None), _EPOCH)


def status_of(status: Any) -> Status:
    """A run's status, by MLflow's name or number; one nobody knows counts as failed."""
    if isinstance(status, int):
        return _NUMBERED[status] if 0 <= status < len(_NUMBERED) else "failed"
    return _STATUSES.get(str(status or "RUNNING").upper(), "failed")


def model_status_of(number: Any) -> ModelStatus:
    """A logged model's status."""
    return _MODEL_STATUSES[number] if isinstance(number, int) and 0 <= number < len(_MODEL_STATUSES) else "ready"


def stage_of(stage: Any) -> Stage:
    """A version's stage: Staging is our `validated`, None our `registered`."""
    return _STAGES.get(str(stage), "registered")


def in_context(dataset: Dataset, tags: Mapping[str, str]) -> Dataset:
    """A dataset as one run read it: what for stands among the tags of the entry."""
    others = {key: value for key, value in tags.items() if key != CONTEXT}
    return msgspec.structs.replace(dataset, context=tags.get(CONTEXT, ""), tags=others)


def millis_of(at: datetime | None) -> int | None:
    """Milliseconds since 1970."""
    return None if at is None else int((at - _EPOCH) / timedelta(milliseconds=1))


def stage_name_of(stage: Stage) -> str:
    """MLflow's name of a stage; it has none for what was rejected, which is archived there."""
    names = {ours: theirs for theirs, ours in _STAGES.items()} | {"rejected": "Archived"}
    return names.get(stage, "None")


def model_number_of(status: ModelStatus) -> int:
    """MLflow's number of a logged model's status."""
    return {"pending": 1, "ready": 2, "failed": 3}[status]
