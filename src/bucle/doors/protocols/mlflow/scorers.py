"""Scorers: kept and handed out, never run here."""

from __future__ import annotations

from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.wire import Body, Json, Route, millis, required
from bucle.ground.project import Project
from bucle.line import evaluation, tracking

__all__ = ["ROUTES"]

PATH = "/api/3.0/mlflow/scorers"


class RegisterScorer(Body):
    """A scorer as its client wrote it down."""

    experiment_id: str = ""
    name: str = ""
    serialized_scorer: str = ""


class ListScorers(Body):
    """Whose scorers are wanted."""

    experiment_id: str = ""
    experiment_ids: list[str] | None = None


class NamedScorer(Body):
    """A scorer by its name."""

    experiment_id: str = ""
    name: str = ""
    version: int | None = None


def register(body: RegisterScorer, project: Project) -> Json:
    """Keep a scorer as the next version of its name."""
    made = evaluation.register_scorer(
        project,
        required("experiment_id", body.experiment_id),
        required("name", body.name),
        required("serialized_scorer", body.serialized_scorer),
    )
    return {
        "version": made.version,
        "scorer_id": made.id,
        "experiment_id": made.experiment_id,
        "name": made.name,
        "serialized_scorer": made.definition,
        "creation_time": millis(made.created_at),
    }


def newest(body: ListScorers, project: Project) -> Json:
    """The newest version of every scorer of an experiment, of some, or of all."""
    if body.experiment_id and body.experiment_ids is not None:
        raise invalid("Cannot specify both 'experiment_id' and 'experiment_ids'.")
    if body.experiment_id:
        tracking.active_experiment(project, body.experiment_id)
    ids = [body.experiment_id] if body.experiment_id else body.experiment_ids
    return {"scorers": [_shown(one) for one in evaluation.scorers(project, ids)]}


def versions(body: NamedScorer, project: Project) -> Json:
    """Every version of a scorer."""
    experiment_id, name = _named(body)
    return {"scorers": [_shown(one) for one in evaluation.scorer_versions(project, experiment_id, name)]}


def get(body: NamedScorer, project: Project) -> Json:
    """One version of a scorer."""
    experiment_id, name = _named(body)
    return {"scorer": _shown(evaluation.scorer(project, experiment_id, name, body.version))}


def delete(body: NamedScorer, project: Project) -> Json:
    """Remove one version of a scorer, or all."""
    experiment_id, name = _named(body)
    evaluation.delete_scorer(project, experiment_id, name, body.version)
    return {}


class OnlineConfigs(Body):
    """Scorers whose settings for live traffic are wanted."""

    scorer_ids: list[str] = []


def online_configs(body: OnlineConfigs, project: Project) -> Json:
    """None: this server runs no scorer, so none is set to run; clients ask with every list."""
    return {"configs": []}


ROUTES = (
    Route("POST", f"{PATH}/register", RegisterScorer, register),
    Route("GET", f"{PATH}/list", ListScorers, newest),
    Route("GET", f"{PATH}/versions", NamedScorer, versions),
    Route("GET", f"{PATH}/get", NamedScorer, get),
    Route("DELETE", f"{PATH}/delete", NamedScorer, delete),
    Route("GET", f"{PATH}/online-configs", OnlineConfigs, online_configs),
)


def _named(body: NamedScorer) -> tuple[str, str]:
    return required("experiment_id", body.experiment_id), required("name", body.name)


def _shown(one: evaluation.Scorer) -> Json:
    return {
        "experiment_id": int(one.experiment_id),
        "scorer_name": one.name,
        "scorer_version": one.version,
        "serialized_scorer": one.definition,
        "creation_time": millis(one.created_at),
        "scorer_id": one.id,
    }
