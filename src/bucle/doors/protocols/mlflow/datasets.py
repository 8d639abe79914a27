"""Evaluation datasets."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.wire import JSON_LIMIT, Body, Json, Route, lean, millis, required
from bucle.ground.project import Project
from bucle.line import evaluation

__all__ = ["ROUTES"]

PATH = "/api/3.0/mlflow/datasets"
USER = "mlflow.user"
MOST_AT_ONCE = 10_000
"""Records of one request."""

T = TypeVar("T")


class CreateDataset(Body):
    """A new dataset."""

    name: str = ""
    experiment_ids: list[str] = []
    tags: str = ""


class NamedDataset(Body):
    """A dataset by its id."""

    dataset_id: str = ""


class SearchDatasets(Body):
    """Which datasets are wanted."""

    experiment_ids: list[str] = []
    filter_string: str = ""
    max_results: int = 0
    order_by: list[str] = []
    page_token: str = ""


class TagsOfDataset(Body):
    """Tags of a dataset, as a JSON text."""

    dataset_id: str = ""
    tags: str = ""


class TagOfDataset(Body):
    """One tag of a dataset."""

    dataset_id: str = ""
    key: str = ""


class Records(Body):
    """Records of a dataset, as a JSON text."""

    dataset_id: str = ""
    records: str = ""


class PageOfRecords(Body):
    """Which records are wanted."""

    dataset_id: str = ""
    max_results: int = 0
    page_token: str = ""


class RecordIds(Body):
    """Records by their ids."""

    dataset_id: str = ""
    dataset_record_ids: list[str] = []


class ExperimentsOfDataset(Body):
    """Experiments a dataset belongs to."""

    dataset_id: str = ""
    experiment_ids: list[str] = []


class Source(Body):
    """Where a record comes from."""

    source_type: str = ""
    source_data: dict[str, Any] = {}


class RecordBody(Body, omit_defaults=True):
    """A record as a client writes it."""

    inputs: dict[str, Any] = {}
    outputs: Any = msgspec.UNSET
    expectations: dict[str, Any] | None = None
    tags: dict[str, Any] | None = None
    source: Source | None = None


def create(body: CreateDataset, project: Project) -> Json:
    """Make a dataset."""
    tags = _decoded("tags", body.tags, dict[str, Any]) if body.tags else {}
    made = evaluation.create_evaluation_dataset(
        project,
        required("name", body.name),
        tags=_texts(tags),
        experiment_ids=body.experiment_ids,
        author=str(tags.get(USER, "")),
    )
    return {"dataset": _shown(made)}


def get(body: NamedDataset, project: Project) -> Json:
    """One dataset, without its records."""
    return {"dataset": _shown(evaluation.evaluation_dataset(project, body.dataset_id))}


def search(body: SearchDatasets, project: Project) -> Json:
    """Datasets that match a filter, page by page."""
    page = evaluation.search_evaluation_datasets(
        project,
        experiment_ids=body.experiment_ids,
        filter=body.filter_string,
        order_by=body.order_by,
        limit=body.max_results or 1000,
        token=body.page_token,
    )
    return lean({"datasets": [_shown(one) for one in page.items], "next_page_token": page.token or None})


def delete(body: NamedDataset, project: Project) -> Json:
    """Remove a dataset with its records."""
    evaluation.delete_evaluation_dataset(project, body.dataset_id)
    return {}


def set_tags(body: TagsOfDataset, project: Project) -> Json:
    """Set tags of a dataset."""
    tags = _decoded("tags", required("tags", body.tags), dict[str, Any])
    evaluation.tag_evaluation_dataset(project, body.dataset_id, _texts(tags))
    return {}


def delete_tag(body: TagOfDataset, project: Project) -> Json:
    """Remove a tag of a dataset."""
    evaluation.untag_evaluation_dataset(project, body.dataset_id, body.key)
    return {}


def merge(body: Records, project: Project) -> Json:
    """Add records; those whose inputs are there already change."""
    given = _decoded("records", required("records", body.records), list[RecordBody])
    if len(given) > MOST_AT_ONCE:
        raise invalid(f"{len(given)} records at once; send {MOST_AT_ONCE} at most.")
    made, changed = evaluation.merge_evaluation_records(project, body.dataset_id, [_example(one) for one in given])
    return {"inserted_count": made, "updated_count": changed}


def records(body: PageOfRecords, project: Project) -> Json:
    """The records of a dataset, page by page."""
    page = evaluation.evaluation_records(
        project, body.dataset_id, limit=body.max_results or 1000, token=body.page_token
    )
    shown = msgspec.json.encode([_shown_record(one) for one in page.items]).decode()
    return lean({"records": shown, "next_page_token": page.token or None})


def delete_records(body: RecordIds, project: Project) -> Json:
    """Remove records."""
    return {"deleted_count": evaluation.delete_evaluation_records(project, body.dataset_id, body.dataset_record_ids)}


def experiment_ids(body: NamedDataset, project: Project) -> Json:
    """The experiments a dataset belongs to."""
    return {"experiment_ids": list(evaluation.evaluation_dataset(project, body.dataset_id).experiment_ids)}


def add_experiments(body: ExperimentsOfDataset, project: Project) -> Json:
    """Have a dataset belong to more experiments."""
    return {"dataset": _shown(evaluation.link_evaluation_dataset(project, body.dataset_id, body.experiment_ids))}


def remove_experiments(body: ExperimentsOfDataset, project: Project) -> Json:
    """Have a dataset belong to these experiments no longer."""
    return {"dataset": _shown(evaluation.unlink_evaluation_dataset(project, body.dataset_id, body.experiment_ids))}


ROUTES = (
    Route("POST", f"{PATH}/create", CreateDataset, create),
    Route("POST", f"{PATH}/search", SearchDatasets, search),
    Route("GET", f"{PATH}/search", SearchDatasets, search),
    Route("GET", f"{PATH}/{{dataset_id}}", NamedDataset, get),
    Route("DELETE", f"{PATH}/{{dataset_id}}", NamedDataset, delete),
    Route("PATCH", f"{PATH}/{{dataset_id}}/tags", TagsOfDataset, set_tags),
    Route("DELETE", f"{PATH}/{{dataset_id}}/tags/{{key}}", TagOfDataset, delete_tag),
    Route("POST", f"{PATH}/{{dataset_id}}/records", Records, merge, limit=4 * JSON_LIMIT),
    Route("GET", f"{PATH}/{{dataset_id}}/records", PageOfRecords, records),
    Route("DELETE", f"{PATH}/{{dataset_id}}/records", RecordIds, delete_records),
    Route("GET", f"{PATH}/{{dataset_id}}/experiment-ids", NamedDataset, experiment_ids),
    Route("POST", f"{PATH}/{{dataset_id}}/add-experiments", ExperimentsOfDataset, add_experiments),
    Route("POST", f"{PATH}/{{dataset_id}}/remove-experiments", ExperimentsOfDataset, remove_experiments),
)


def _decoded(name: str, text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise invalid(f"Invalid value for parameter '{name}': {str(error)[:200]}.") from error


def _texts(tags: dict[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in tags.items()
        if value is not None
    }


def _example(body: RecordBody) -> evaluation.EvaluationExample:
    tags = body.tags or {}
    return evaluation.EvaluationExample(
        inputs=body.inputs,
        outputs=body.outputs,
        expectations=body.expectations,
        tags=tags,
        source={"source_type": body.source.source_type, "source_data": body.source.source_data} if body.source else {},
        author=str(tags.get(USER, "")),
    )


def _shown(one: evaluation.EvaluationDataset) -> Json:
    fields = {**one.fields, "version": "1.0"} if one.fields else None
    return lean(
        {
            "dataset_id": one.id,
            "name": one.name,
            "tags": msgspec.json.encode(one.tags).decode(),
            "schema": fields and msgspec.json.encode(fields).decode(),
            "profile": msgspec.json.encode({"num_records": one.records}).decode() if one.records else None,
            "digest": one.digest,
            "created_time": millis(one.created_at),
            "last_update_time": millis(one.updated_at),
            "created_by": one.created_by or None,
            "last_updated_by": one.updated_by or None,
            "experiment_ids": list(one.experiment_ids),
        }
    )


def _shown_record(one: evaluation.EvaluationRecord) -> Json:
    data = one.source.get("source_data") or {}
    kind = str(one.source.get("source_type", ""))
    return lean(
        {
            "dataset_record_id": one.id,
            "dataset_id": one.dataset_id,
            "inputs": one.inputs,
            "outputs": one.outputs,
            "expectations": one.expectations,
            "tags": one.tags,
            "source": one.source or None,
            "source_id": data.get("trace_id" if kind == "TRACE" else "source_id"),
            "source_type": kind or None,
            "created_time": millis(one.created_at),
            "last_update_time": millis(one.updated_at),
            "created_by": one.created_by or None,
            "last_updated_by": one.updated_by or None,
        }
    )
