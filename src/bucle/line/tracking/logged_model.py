"""LoggedModel: a model that a run made or read, with what was measured on it, before anybody registers it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, make_ref
from bucle.ground.ledger import RowMissing, Transaction
from bucle.ground.project import Project
from bucle.line.tracking import logged_model_store as store
from bucle.line.tracking.errors import AlreadySet, BadLoggedModel, ExperimentDeleted, NoSuchLoggedModel, NoSuchTag
from bucle.line.tracking.experiment import experiment
from bucle.line.tracking.logged_model_tables import LOGGED_MODEL_PARAMS, LOGGED_MODEL_TAGS, LOGGED_MODELS
from bucle.line.tracking.text import check_text, check_texts

__all__ = [
    "LoggedModel",
    "ModelPoint",
    "ModelStatus",
    "create_logged_model",
    "delete_logged_model",
    "delete_model_tag",
    "finish_logged_model",
    "log_model_params",
    "log_model_points",
    "log_model_points_work",
    "logged_model",
    "logged_models_by_ids",
    "owner_of",
    "read_models",
    "set_model_tags",
]

ModelStatus = Literal["pending", "ready", "failed"]

LONGEST_NAME = 500
LONGEST_TEXT = 100_000
_FORBIDDEN = ("/", ":", ".", "%", '"', "'")


class ModelPoint(Record, frozen=True):
    """One measurement of a logged model.

    Attributes:
        key: the metric.
        value: float, may be not-a-number.
        at: milliseconds since 1970.
        step: of the training.
        run_id: the run that measured it.
        dataset_name: what it was measured on; empty when not said.
        dataset_digest: which content that had.
    """

    key: str
    value: float
    at: int
    step: int
    run_id: str
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModel(Record, frozen=True):
    """A model as a run logged it.

    Attributes:
        id: `m-` and 32 hexadecimal digits.
        experiment_id: what it belongs to.
        name: for people; many models may share it.
        kind: of what sort it is, e.g. `agent`; often empty.
        status: `pending` while its files are written, then `ready` or `failed`.
        status_message: why it failed.
        lifecycle: `active` or `deleted`.
        run_id: the run that made it; empty when none.
        actor: who logged it.
        created_at: an instant.
        updated_at: an instant.
        params: written once.
        tags: may change.
        metrics: every measurement, by metric, then as they came.
    """

    id: str
    experiment_id: str
    name: str
    kind: str
    status: ModelStatus
    status_message: str
    lifecycle: Literal["active", "deleted"]
    run_id: str
    actor: str
    created_at: datetime
    updated_at: datetime
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[ModelPoint, ...] = ()

    @property
    def ref(self) -> str:
        """What it is called on the ledger."""
        return owner_of(self.id)


def owner_of(model_id: str) -> str:
    """The owner of its files, and its ref: `logged-model/m-…`."""
    return make_ref("logged-model", model_id)


def create_logged_model(
    project: Project,
    experiment_id: str,
    *,
    name: str = "",
    kind: str = "",
    run_id: str = "",
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """A new model, pending until `finish_logged_model`.

    Args:
        name: 1 to 500 characters without `/ : . % " '`; made up unless given.
        kind: at most 500 characters.
        run_id: the run that makes it.
    Raises:
        NoSuchExperiment, ExperimentDeleted: it would belong nowhere.
        BadLoggedModel: the name has a character that would not stand in an address.
        BadText: a key or a value is too long.
    """
    id_ = f"m-{uuid.uuid4().hex}"
    name = _check_name(name or f"model-{id_[2:8]}")
    check_texts(params or {}, "param", LONGEST_TEXT)
    check_texts(tags or {}, "tag", LONGEST_TEXT)
    owner = experiment(project, id=experiment_id)
    if owner.lifecycle == "deleted":
        raise ExperimentDeleted(
            f"The experiment {owner.name!r} is deleted.", why="No model can be logged in it.", fix="Restore it first."
        )
    now = project.clock.now()
    row = {
        "id": id_,
        "experiment": int(owner.id),
        "name": name,
        "kind": check_text(kind, "type of a model", LONGEST_NAME),
        "status": "pending",
        "status_message": "",
        "lifecycle": "active",
        "run": run_id,
        "actor": project.actor,
        "created_at": now,
        "updated_at": now,
    }
    with project.ledger.transaction("tracking.model_logged", subject=owner_of(id_), actor=project.actor) as tx:
        tx.insert(LOGGED_MODELS, row)
        for key, value in (params or {}).items():
            tx.insert(LOGGED_MODEL_PARAMS, {"model": id_, "key": key, "value": value})
        for key, value in (tags or {}).items():
            tx.insert(LOGGED_MODEL_TAGS, {"model": id_, "key": key, "value": value})
        if run_id:
            tx.edge(make_ref("run", run_id), owner_of(id_), "produced")
        tx.data.update({"experiment": owner.id, "name": name})
    return logged_model(project, id_)


def logged_model(project: Project, id: str, *, deleted: bool = False) -> LoggedModel:  # noqa: A002
    """One model.

    Args:
        deleted: whether one that was deleted counts.
    Raises:
        NoSuchLoggedModel: there is none.
    """
    found = logged_models_by_ids(project, [id])
    if not found or (found[0].lifecycle == "deleted" and not deleted):
        raise _unknown(id)
    return found[0]


def logged_models_by_ids(project: Project, ids: Sequence[str]) -> list[LoggedModel]:
    """The models of these ids that there are, deleted ones as well, in the order of the ids."""
    with project.database.reading() as connection:
        return read_models(connection, ids)


def read_models(connection: Connection, ids: Sequence[str]) -> list[LoggedModel]:
    """As `logged_models_by_ids`, within a reading."""
    rows = {row["id"]: row for row in store.model_rows(connection, ids)}
    params, tags = (
        store.texts_of(connection, LOGGED_MODEL_PARAMS, ids),
        store.texts_of(connection, LOGGED_MODEL_TAGS, ids),
    )
    points = store.points_of(connection, ids)
    return [
        LoggedModel(
            id=id_,
            experiment_id=str(rows[id_]["experiment"]),
            run_id=rows[id_]["run"],
            **{name: rows[id_][name] for name in ("name", "kind", "status", "status_message", "lifecycle", "actor")},
            **{name: rows[id_][name] for name in ("created_at", "updated_at")},
            params=params.get(id_, {}),
            tags=tags.get(id_, {}),
            metrics=tuple(ModelPoint(**point) for point in points.get(id_, ())),
        )
        for id_ in ids
        if id_ in rows
    ]


def finish_logged_model(project: Project, id: str, status: ModelStatus, *, message: str = "") -> LoggedModel:  # noqa: A002
    """Say that a model's files are all there, or that they never will be.

    Raises:
        NoSuchLoggedModel: there is none.
    """
    changes = {"status": status, "status_message": message, "updated_at": project.clock.now()}
    return _change(project, f"tracking.model_{status}", id, lambda tx: tx.update(LOGGED_MODELS, {"id": id}, changes))


def delete_logged_model(project: Project, id: str) -> LoggedModel:  # noqa: A002
    """Put a model away: searches no longer find it; its row and its files stay.

    Raises:
        NoSuchLoggedModel: there is none.
    """
    changes = {"lifecycle": "deleted", "updated_at": project.clock.now()}
    return _change(project, "tracking.model_deleted", id, lambda tx: tx.update(LOGGED_MODELS, {"id": id}, changes))


def log_model_params(project: Project, id: str, params: Mapping[str, str]) -> LoggedModel:  # noqa: A002
    """Add params; one that is there already must have the same value.

    Raises:
        NoSuchLoggedModel: there is none.
        AlreadySet: a param has another value.
        BadText: a key or a value is too long.
    """
    check_texts(params, "param", LONGEST_TEXT)

    def add(tx: Transaction) -> None:
        known = store.texts_of(tx.connection, LOGGED_MODEL_PARAMS, [id]).get(id, {})
        for key, value in params.items():
            if known.get(key, value) != value:
                raise AlreadySet(
                    f"The param {key!r} of {id} is {known[key]!r} and cannot become {value[:200]!r}.",
                    why="A param says what a model was made with; it is written once.",
                    fix="Use a tag for what may change.",
                    at=key,
                )
            if key not in known:
                tx.insert(LOGGED_MODEL_PARAMS, {"model": id, "key": key, "value": value})

    return _change(project, "tracking.model_params_logged", id, add)


def set_model_tags(project: Project, id: str, tags: Mapping[str, str]) -> LoggedModel:  # noqa: A002
    """Set tags; one that is there gets the new value.

    Raises:
        NoSuchLoggedModel: there is none.
        BadText: a key or a value is too long.
    """
    check_texts(tags, "tag", LONGEST_TEXT)

    def put(tx: Transaction) -> None:
        for key, value in tags.items():
            tx.put(LOGGED_MODEL_TAGS, {"model": id, "key": key, "value": value})

    return _change(project, "tracking.model_tagged", id, put)


def delete_model_tag(project: Project, id: str, key: str) -> LoggedModel:  # noqa: A002
    """Take a tag away.

    Raises:
        NoSuchLoggedModel, NoSuchTag: there is no such model or tag.
    """

    def remove(tx: Transaction) -> None:
        try:
            tx.delete(LOGGED_MODEL_TAGS, {"model": id, "key": key})
        except RowMissing as error:
            raise NoSuchTag(f"{id} has no tag {key[:100]!r}.", fix="Nothing to do.", at=key) from error

    return _change(project, "tracking.model_tagged", id, remove)


def log_model_points(project: Project, points: Mapping[str, Sequence[ModelPoint]]) -> None:
    """Keep measurements of models; one that is known already counts once.

    Args:
        points: model id -> what was measured on it.
    Raises:
        NoSuchLoggedModel: one of the models is not there.
    """
    project.database.grouped(log_model_points_work(points))


def log_model_points_work(points: Mapping[str, Sequence[ModelPoint]]) -> Callable[[Connection], None]:
    """As `log_model_points`, to be done together with other writes."""

    def work(connection: Connection) -> None:
        missing = set(points) - store.known_models(connection, list(points))
        if missing:
            raise _unknown(min(missing))
        store.add_points(connection, points)

    return work


def _change(project: Project, kind: str, id_: str, change: Callable[[Transaction], None]) -> LoggedModel:
    with project.ledger.transaction(kind, subject=owner_of(id_), actor=project.actor) as tx:
        if not store.known_models(tx.connection, [id_]):
            raise _unknown(id_)
        change(tx)
    return logged_model(project, id_, deleted=True)


def _check_name(name: str) -> str:
    if any(mark in name for mark in _FORBIDDEN):
        raise BadLoggedModel(
            f"{name[:80]!r} cannot be the name of a model.",
            why=f"It has none of {' '.join(_FORBIDDEN)}",
            fix="Choose another, e.g. 'flights-v2'.",
            at="name",
        )
    return check_text(name, "name of a model", LONGEST_NAME)


def _unknown(id_: str) -> NoSuchLoggedModel:
    return NoSuchLoggedModel(
        f"There is no logged model {id_[:80]!r}.",
        why="It was deleted, or belongs to another project.",
        fix="Look for it with mlflow.search_logged_models().",
        at=id_[:80],
    )
