"""Experiments."""

from __future__ import annotations

from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.locations import check_experiment_location, experiment_root
from bucle.doors.protocols.mlflow.wire import Body, Json, KeyValue, Route, lean, millis, pairs, required
from bucle.ground.project import Project
from bucle.line import tracking

__all__ = ["ROUTES", "check_page_size", "lifecycle_of", "shown"]

MOST = 50_000
"""Experiments or runs on one page."""

VIEWS: dict[str, tracking.Lifecycle] = {
    "ACTIVE_ONLY": "active",
    "DELETED_ONLY": "deleted",
    "ALL": "all",
    "1": "active",
    "2": "deleted",
    "3": "all",
    "0": "active",
    "": "active",
}


class CreateExperiment(Body):
    """A new experiment."""

    name: str = ""
    artifact_location: str = ""
    tags: list[KeyValue] = []


class NamedExperiment(Body):
    """An experiment by its id."""

    experiment_id: str = ""


class ExperimentName(Body):
    """An experiment by its name."""

    experiment_name: str = ""


class UpdateExperiment(Body):
    """Another name for an experiment."""

    experiment_id: str = ""
    new_name: str = ""


class ExperimentTag(Body):
    """A tag of an experiment."""

    experiment_id: str = ""
    key: str = ""
    value: str = ""


class SearchExperiments(Body):
    """Which experiments are wanted."""

    view_type: str | int = "ACTIVE_ONLY"
    max_results: int = 0
    filter: str = ""
    order_by: list[str] = []
    page_token: str = ""


class SearchDatasets(Body):
    """Whose datasets are wanted."""

    experiment_ids: list[str] = []


def shown(experiment: tracking.Experiment) -> Json:
    """An experiment as the wire has it."""
    return lean(
        {
            "experiment_id": experiment.id,
            "name": experiment.name,
            "artifact_location": experiment_root(experiment),
            "lifecycle_stage": experiment.lifecycle,
            "last_update_time": millis(experiment.updated_at),
            "creation_time": millis(experiment.created_at),
            "tags": pairs(experiment.tags) or None,
        }
    )


def lifecycle_of(view: str | int) -> tracking.Lifecycle:
    """A view type as Bucle's lifecycle: `active`, `deleted` or `all`.

    Raises:
        MlflowError: there is no such view.
    """
    found = VIEWS.get(str(view).upper())
    if found is None:
        raise invalid(f"Invalid view type: {str(view)[:40]!r}. It is ACTIVE_ONLY, DELETED_ONLY or ALL.")
    return found


def check_page_size(size: int, most: int) -> int:
    """How many are wanted at once.

    Raises:
        MlflowError: too few or too many.
    """
    if size < 1:
        raise invalid(f"Invalid value {size} for parameter 'max_results' supplied. It must be a positive integer.")
    if size > most:
        raise invalid(
            f"Invalid value for request parameter max_results. It must be at most {most}, but got value {size}."
        )
    return size


def create(body: CreateExperiment, project: Project) -> Json:
    """A new experiment."""
    name = required("name", body.name)
    location = check_experiment_location(body.artifact_location) if body.artifact_location else ""
    tags = {required("tags.key", tag.key): tag.value for tag in body.tags}
    return {"experiment_id": tracking.create_experiment(project, name, tags=tags, artifact_location=location).id}


def get(body: NamedExperiment, project: Project) -> Json:
    """One experiment."""
    return {"experiment": shown(tracking.experiment(project, id=required("experiment_id", body.experiment_id)))}


def get_by_name(body: ExperimentName, project: Project) -> Json:
    """One experiment, by name."""
    return {"experiment": shown(tracking.experiment(project, name=required("experiment_name", body.experiment_name)))}


def update(body: UpdateExperiment, project: Project) -> Json:
    """Rename."""
    tracking.rename_experiment(
        project, required("experiment_id", body.experiment_id), required("new_name", body.new_name)
    )
    return {}


def delete(body: NamedExperiment, project: Project) -> Json:
    """Put away, with its runs."""
    tracking.delete_experiment(project, required("experiment_id", body.experiment_id))
    return {}


def restore(body: NamedExperiment, project: Project) -> Json:
    """Take back."""
    tracking.restore_experiment(project, required("experiment_id", body.experiment_id))
    return {}


def set_tag(body: ExperimentTag, project: Project) -> Json:
    """Set a tag."""
    id_, key = required("experiment_id", body.experiment_id), required("key", body.key)
    tracking.set_experiment_tag(project, id_, key, body.value)
    return {}


def delete_tag(body: ExperimentTag, project: Project) -> Json:
    """Take a tag away."""
    id_, key = required("experiment_id", body.experiment_id), required("key", body.key)
    tracking.delete_experiment_tag(project, id_, key)
    return {}


def search(body: SearchExperiments, project: Project) -> Json:
    """A page of experiments."""
    check_page_size(body.max_results, MOST)
    page = tracking.search_experiments(
        project,
        filter=body.filter,
        order_by=tuple(body.order_by),
        lifecycle=lifecycle_of(body.view_type),
        limit=body.max_results,
        token=body.page_token,
    )
    return lean({"experiments": [shown(one) for one in page.items] or None, "next_page_token": page.token or None})


def search_datasets(body: SearchDatasets, project: Project) -> Json:
    """The datasets that runs of these experiments read."""
    if not body.experiment_ids:
        raise invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(body.experiment_ids) > 20:
        raise invalid(
            "SearchDatasets request cannot specify more than 20 experiment_ids. "
            f"Received {len(body.experiment_ids)} experiment_ids."
        )
    found = tracking.datasets_of_experiments(project, body.experiment_ids, limit=1000)
    summaries = [
        lean(
            {"experiment_id": one.experiment_id, "name": one.name, "digest": one.digest, "context": one.context or None}
        )
        for one in found
    ]
    return lean({"dataset_summaries": summaries or None})


_AT = "/api/2.0/mlflow/experiments"

ROUTES = (
    Route("POST", f"{_AT}/create", CreateExperiment, create),
    Route("GET", f"{_AT}/get", NamedExperiment, get),
    Route("GET", f"{_AT}/get-by-name", ExperimentName, get_by_name),
    Route("POST", f"{_AT}/search", SearchExperiments, search),
    Route("GET", f"{_AT}/search", SearchExperiments, search),
    Route("POST", f"{_AT}/update", UpdateExperiment, update),
    Route("POST", f"{_AT}/delete", NamedExperiment, delete),
    Route("POST", f"{_AT}/restore", NamedExperiment, restore),
    Route("POST", f"{_AT}/set-experiment-tag", ExperimentTag, set_tag),
    Route("POST", f"{_AT}/delete-experiment-tag", ExperimentTag, delete_tag),
    Route("POST", f"{_AT}/search-datasets", SearchDatasets, search_datasets),
    # As MLflow's own protocol file spells it; clients made from that file ask here.
    Route("POST", "/api/2.0mlflow/experiments/search-datasets", SearchDatasets, search_datasets),
)
