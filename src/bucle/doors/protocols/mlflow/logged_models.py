"""Logged models of MLflow 3."""

from __future__ import annotations

from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.experiments import check_page_size
from bucle.doors.protocols.mlflow.locations import model_root
from bucle.doors.protocols.mlflow.wire import Body, Json, KeyValue, Route, double, lean, millis, pairs, required
from bucle.ground.project import Project
from bucle.line import tracking

__all__ = ["ROUTES", "shown"]

MOST = 1000
PAGE = 50

STATUSES = {"pending": "LOGGED_MODEL_PENDING", "ready": "LOGGED_MODEL_READY", "failed": "LOGGED_MODEL_UPLOAD_FAILED"}
_OF_WIRE: dict[str, tracking.ModelStatus] = {
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
    "1": "pending",
    "2": "ready",
    "3": "failed",
}


class CreateLoggedModel(Body):
    """A new model."""

    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


class NamedLoggedModel(Body):
    """A model by its id."""

    model_id: str = ""
    allow_deleted: bool = False


class FinalizeLoggedModel(Body):
    """How the logging ended."""

    model_id: str = ""
    status: str | int = ""


class LogParams(Body):
    """Params to add."""

    model_id: str = ""
    params: list[KeyValue] = []


class SetTags(Body):
    """Tags to set."""

    model_id: str = ""
    tags: list[KeyValue] = []


class DeleteTag(Body):
    """A tag to take away."""

    model_id: str = ""
    tag_key: str = ""


class DatasetScope(Body):
    """What a metric was measured on."""

    dataset_name: str = ""
    dataset_digest: str = ""


class ModelOrder(Body):
    """One field to order by."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchLoggedModels(Body):
    """Which models are wanted."""

    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[DatasetScope] = []
    max_results: int = PAGE
    order_by: list[ModelOrder] = []
    page_token: str = ""


def shown(project: Project, model: tracking.LoggedModel) -> Json:
    """A model as the wire has it."""
    info = lean(
        {
            "model_id": model.id,
            "experiment_id": model.experiment_id,
            "name": model.name,
            "creation_timestamp_ms": millis(model.created_at),
            "last_updated_timestamp_ms": millis(model.updated_at),
            "artifact_uri": model_root(project, model),
            "status": STATUSES[model.status],
            "model_type": model.kind or None,
            "source_run_id": model.run_id or None,
            "status_message": model.status_message or None,
            "tags": pairs(model.tags) or None,
        }
    )
    metrics = [_metric(model.id, point) for point in model.metrics]
    return {"info": info, "data": lean({"params": pairs(model.params) or None, "metrics": metrics or None})}


def create(body: CreateLoggedModel, project: Project) -> Json:
    """A new model."""
    made = tracking.create_logged_model(
        project,
        required("experiment_id", body.experiment_id),
        name=body.name,
        kind=body.model_type,
        run_id=body.source_run_id,
        params=_texts(body.params, "params"),
        tags=_texts(body.tags, "tags"),
    )
    return {"model": shown(project, made)}


def get(body: NamedLoggedModel, project: Project) -> Json:
    """One model."""
    return {"model": shown(project, tracking.logged_model(project, body.model_id, deleted=body.allow_deleted))}


def finalize(body: FinalizeLoggedModel, project: Project) -> Json:
    """The files are there, or never will be."""
    status = _OF_WIRE.get(str(required("status", body.status)))
    if status is None:
        raise invalid(f"Unknown model status: {str(body.status)[:60]}")
    return {"model": shown(project, tracking.finish_logged_model(project, body.model_id, status))}


def delete(body: NamedLoggedModel, project: Project) -> Json:
    """Put away."""
    tracking.delete_logged_model(project, body.model_id)
    return {}


def log_params(body: LogParams, project: Project) -> Json:
    """Add params."""
    tracking.log_model_params(project, body.model_id, _texts(body.params, "params"))
    return {}


def set_tags(body: SetTags, project: Project) -> Json:
    """Set tags."""
    tracking.set_model_tags(project, body.model_id, _texts(body.tags, "tags"))
    return {}


def delete_tag(body: DeleteTag, project: Project) -> Json:
    """Take a tag away."""
    tracking.delete_model_tag(project, body.model_id, body.tag_key)
    return {}


def search(body: SearchLoggedModels, project: Project) -> Json:
    """A page of models."""
    if not body.experiment_ids:
        raise invalid("SearchLoggedModels request must specify at least one experiment_id.")
    if any(not scope.dataset_name for scope in body.datasets):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    page = tracking.search_logged_models(
        project,
        body.experiment_ids,
        filter=body.filter,
        datasets=[(scope.dataset_name, scope.dataset_digest) for scope in body.datasets],
        order_by=[
            tracking.ModelOrder(
                field=required("order_by.field_name", one.field_name),
                ascending=one.ascending,
                dataset_name=one.dataset_name,
                dataset_digest=one.dataset_digest,
            )
            for one in body.order_by
        ],
        limit=check_page_size(body.max_results or PAGE, MOST),
        token=body.page_token,
    )
    return lean(
        {"models": [shown(project, model) for model in page.items] or None, "next_page_token": page.token or None}
    )


def _metric(model_id: str, point: tracking.ModelPoint) -> Json:
    return lean(
        {
            "key": point.key,
            "value": double(point.value),
            "timestamp": point.at,
            "step": point.step,
            "model_id": model_id,
            "dataset_name": point.dataset_name or None,
            "dataset_digest": point.dataset_digest or None,
            "run_id": point.run_id or None,
        }
    )


def _texts(given: list[KeyValue], field: str) -> dict[str, str]:
    return {required(f"{field}.key", one.key): one.value for one in given}


_AT = "/api/2.0/mlflow/logged-models"

ROUTES = (
    Route("POST", _AT, CreateLoggedModel, create),
    Route("POST", f"{_AT}/search", SearchLoggedModels, search),
    Route("GET", f"{_AT}/{{model_id}}", NamedLoggedModel, get),
    Route("PATCH", f"{_AT}/{{model_id}}", FinalizeLoggedModel, finalize),
    Route("DELETE", f"{_AT}/{{model_id}}", NamedLoggedModel, delete),
    Route("POST", f"{_AT}/{{model_id}}/params", LogParams, log_params),
    Route("PATCH", f"{_AT}/{{model_id}}/tags", SetTags, set_tags),
    Route("DELETE", f"{_AT}/{{model_id}}/tags/{{tag_key}}", DeleteTag, delete_tag),
)
