"""Runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Literal

from msgspec import Raw
from sqlalchemy.engine import Connection

from bucle.doors.protocols.mlflow.errors import invalid, missing
from bucle.doors.protocols.mlflow.experiments import MOST, check_page_size, lifecycle_of
from bucle.doors.protocols.mlflow.locations import locations_of, run_root
from bucle.doors.protocols.mlflow.metrics import LONGEST_PARAM, LONGEST_TAG, nothing, writing
from bucle.doors.protocols.mlflow.metrics import shown as shown_point
from bucle.doors.protocols.mlflow.wire import (
    Body,
    Json,
    KeyValue,
    Pending,
    Route,
    encode,
    instant,
    lean,
    millis,
    pairs,
    required,
)
from bucle.ground.project import Project
from bucle.line import tracking

__all__ = ["ROUTES", "info_of", "shown"]

NAME = "mlflow.runName"
USER = "mlflow.user"
HISTORY = "mlflow.log-model.history"
CONTEXT = "mlflow.data.context"
KEPT = ("params", "tags", "datasets", "models")
"""What a run is shown with, besides its metrics."""

STATUSES: dict[str, tracking.Status] = {
    "RUNNING": "running",
    "SCHEDULED": "scheduled",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
    "1": "running",
    "2": "scheduled",
    "3": "finished",
    "4": "failed",
    "5": "killed",
}


class CreateRun(Body):
    """A new run."""

    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: int = 0
    tags: list[KeyValue] = []


class NamedRun(Body):
    """A run by its id."""

    run_id: str = ""
    run_uuid: str = ""


class UpdateRun(NamedRun):
    """What is new about a run."""

    status: str | int | None = None
    end_time: int | None = None
    run_name: str = ""


class RunText(NamedRun):
    """A param or a tag of a run."""

    key: str = ""
    value: str = ""


class SearchRuns(Body):
    """Which runs are wanted."""

    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str = ""


class LogModel(NamedRun):
    """A model as clients before MLflow 3 tell of it."""

    model_json: str = ""


class WireDataset(Body):
    """A dataset as a client describes it."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class DatasetInput(Body):
    """A dataset with what it was read for."""

    tags: list[KeyValue] = []
    dataset: WireDataset | None = None


class ModelUse(Body):
    """A logged model, and the step it was made at."""

    model_id: str = ""
    step: int = 0


class LogInputs(NamedRun):
    """What a run read."""

    datasets: list[DatasetInput] = []
    models: list[ModelUse] = []


class LogOutputs(NamedRun):
    """What a run made."""

    models: list[ModelUse] = []


def info_of(project: Project, run: tracking.Run) -> Json:
    """What a run is, without what was logged to it."""
    return lean(
        {
            "run_id": run.id,
            "run_uuid": run.id,
            "run_name": run.name,
            "experiment_id": run.experiment_id,
            "user_id": run.actor,
            "status": run.status.upper(),
            "start_time": millis(run.started_at),
            "end_time": millis(run.ended_at),
            "artifact_uri": run_root(project, run),
            "lifecycle_stage": run.lifecycle,
        }
    )


def shown(project: Project, run: tracking.Run, points: Sequence[tracking.Point] = ()) -> Json:
    """A run as the wire has it.

    Args:
        points: the last of each of its metrics.
    """
    data = {
        "metrics": [shown_point(point) for point in points] or None,
        "params": pairs(run.params) or None,
        "tags": pairs(run.tags) or None,
    }
    read = [{"model_id": one.model} for one in run.models if one.direction == "input"]
    made = [{"model_id": one.model, "step": one.step} for one in run.models if one.direction == "output"]
    inputs = lean({"dataset_inputs": [_dataset(one) for one in run.datasets] or None, "model_inputs": read or None})
    return lean(
        {
            "info": info_of(project, run),
            "data": lean(data),
            "inputs": inputs,
            "outputs": {"model_outputs": made} if made else None,
        }
    )


def create(body: CreateRun, project: Project) -> Pending:
    """A new run."""
    tags = {required(f"tags[{n}].key", tag.key): tag.value[:LONGEST_TAG] for n, tag in enumerate(body.tags)}
    if body.run_name and tags.get(NAME, body.run_name) != body.run_name:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{body.run_name[:100]}', mlflow.runName='{tags[NAME][:100]}')."
        )
    id_ = uuid.uuid4().hex
    name = body.run_name or tags.get(NAME) or f"run-{id_[:6]}"
    experiment = body.experiment_id or "0"
    locations_of(project).of(experiment)
    work = tracking.create_work(
        project,
        experiment,
        id=id_,
        name=name,
        actor=body.user_id if body.user_id not in ("", "unknown") else tags.get(USER, ""),
        started_at=instant(body.start_time),
        tags={**tags, NAME: name},
    )
    return Pending(project.database.submit(work), lambda run: {"run": shown(project, run)})


def get(body: NamedRun, project: Project) -> Json:
    """One run, with the last point of each metric."""
    run = tracking.run_by_id(project, _id(body), columns=KEPT)
    return {"run": shown(project, run, tracking.last_points(project, [run.id])[run.id])}


def update(body: UpdateRun, project: Project) -> Json:
    """Status, end and name."""
    run_id, status = _id(body), None
    if body.status is not None:
        status = STATUSES.get(str(body.status).upper())
        if status is None:
            raise invalid(f"Invalid status: {str(body.status)[:40]!r}. It is one of {', '.join(list(STATUSES)[:5])}.")
    tags = {NAME: body.run_name} if body.run_name else {}
    change = tracking.update_work(project, run_id, status=status, ended_at=instant(body.end_time))
    rename = writing(project, run_id, tags=tags)

    def work(connection: Connection) -> None:
        change(connection)
        if tags:
            rename(connection)

    project.database.grouped(work)
    return {"run_info": info_of(project, tracking.run_by_id(project, run_id, columns=()))}


def delete(body: NamedRun, project: Project) -> Json:
    """Put aside."""
    tracking.delete_run(project, _id(body))
    return {}


def restore(body: NamedRun, project: Project) -> Json:
    """Bring back."""
    tracking.restore_run(project, _id(body))
    return {}


def log_param(body: RunText, project: Project) -> Pending:
    """One param."""
    run_id, key = _id(body), required("key", body.key)
    work = writing(project, run_id, params={key: body.value[:LONGEST_PARAM]})
    return Pending(project.database.submit(work), nothing)


def set_tag(body: RunText, project: Project) -> Pending:
    """One tag; the tag that holds the run's name renames it."""
    run_id, key = _id(body), required("key", body.key)
    work = writing(project, run_id, tags={key: body.value[:LONGEST_TAG]})
    return Pending(project.database.submit(work), nothing)


def delete_tag(body: RunText, project: Project) -> Pending:
    """Take a tag away."""
    run_id, key = _id(body), required("key", body.key)
    return Pending(project.database.submit(tracking.delete_tag_work(project, run_id, key)), nothing)


def search(body: SearchRuns, project: Project) -> Json:
    """A page of runs."""
    if not body.experiment_ids:
        return {}
    page = tracking.search_forms(
        project,
        _forms(project),
        body.experiment_ids,
        filter=body.filter,
        order_by=tuple(body.order_by),
        lifecycle=lifecycle_of(body.run_view_type),
        limit=check_page_size(body.max_results, MOST),
        token=body.page_token,
    )
    return lean({"runs": [Raw(one) for one in page.items] or None, "next_page_token": page.token or None})


class _Forms(tracking.Form):
    """Runs as this wire's JSON."""


def _forms(project: Project) -> _Forms:
    """Those an open project keeps."""

    def make(run: tracking.Run, points: Sequence[tracking.Point]) -> bytes:
        return encode(shown(project, run, points))

    return project.keep(_Forms, lambda: _Forms(make, columns=KEPT))


def log_inputs(body: LogInputs, project: Project) -> Json:
    """What a run read: datasets and models."""
    datasets = [_given(one, place) for place, one in enumerate(body.datasets)]
    tracking.log_inputs(project, _id(body), datasets, _uses(body.models, "input"))
    return {}


def log_outputs(body: LogOutputs, project: Project) -> Json:
    """The models a run made."""
    if not body.models:
        raise missing("models")
    tracking.log_outputs(project, _id(body), _uses(body.models, "output"))
    return {}


def log_model(body: LogModel, project: Project) -> Json:
    """Note in a tag that a model was logged, as clients before MLflow 3 look for it."""
    run_id, text = _id(body), required("model_json", body.model_json)
    try:
        model = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"Malformed model info. \n {text[:500]} \n is not a valid JSON.") from error
    if not isinstance(model, dict) or (lacking := _MANDATORY - set(model)):
        lacking = lacking if isinstance(model, dict) else _MANDATORY
        raise invalid(f"Model json is missing mandatory fields: {sorted(lacking)}")
    known = tracking.run_by_id(project, run_id, columns=(f"tags.{HISTORY}",)).tags.get(HISTORY, "[]")
    told = {name: model[name] for name in (*sorted(_MANDATORY), "model_uuid") if name in model}
    kept = [*json.loads(known), told]
    while len(value := json.dumps(kept)) > LONGEST_TAG and len(kept) > 1:
        kept.pop(0)
    project.database.grouped(writing(project, run_id, tags={HISTORY: value}))
    return {}


_MANDATORY = {"artifact_path", "flavors", "utc_time_created", "run_id"}


def _id(body: NamedRun) -> str:
    return required("run_id", body.run_id or body.run_uuid)


def _dataset(dataset: tracking.Dataset) -> Json:
    tags = {CONTEXT: dataset.context, **dataset.tags} if dataset.context else dataset.tags
    told = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
        "schema": dataset.schema or None,
        "profile": dataset.profile or None,
    }
    return lean({"tags": pairs(tags) or None, "dataset": lean(told)})


def _given(given: DatasetInput, place: int) -> tracking.Dataset:
    dataset, where = given.dataset or WireDataset(), f"datasets[{place}].dataset"
    tags = {required(f"datasets[{place}].tags.key", tag.key): tag.value for tag in given.tags}
    return tracking.Dataset(
        name=required(f"{where}.name", dataset.name),
        digest=required(f"{where}.digest", dataset.digest),
        source_type=required(f"{where}.source_type", dataset.source_type),
        source=required(f"{where}.source", dataset.source),
        schema=dataset.schema,
        profile=dataset.profile,
        context=tags.get(CONTEXT, ""),
        tags=tags,
    )


def _uses(given: list[ModelUse], direction: Literal["input", "output"]) -> list[tracking.ModelUse]:
    return [
        tracking.ModelUse(model=required("models.model_id", one.model_id), direction=direction, step=one.step)
        for one in given
    ]


_AT = "/api/2.0/mlflow/runs"

ROUTES = (
    Route("POST", f"{_AT}/create", CreateRun, create, quick=True),
    Route("GET", f"{_AT}/get", NamedRun, get),
    Route("POST", f"{_AT}/update", UpdateRun, update),
    Route("POST", f"{_AT}/delete", NamedRun, delete),
    Route("POST", f"{_AT}/restore", NamedRun, restore),
    Route("POST", f"{_AT}/search", SearchRuns, search),
    Route("POST", f"{_AT}/log-parameter", RunText, log_param, quick=True),
    Route("POST", f"{_AT}/set-tag", RunText, set_tag, quick=True),
    Route("POST", f"{_AT}/delete-tag", RunText, delete_tag, quick=True),
    Route("POST", f"{_AT}/log-inputs", LogInputs, log_inputs),
    Route("POST", f"{_AT}/outputs", LogOutputs, log_outputs),
    Route("POST", f"{_AT}/log-model", LogModel, log_model),
)
