"""Adopting: experiments and logged models of another tracker become ours, with their ids and instants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import make_ref
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.tracking import logged_model_store, store
from bucle.line.tracking.experiment import DEFAULT, Experiment, check_experiment_name, ensure_default
from bucle.line.tracking.logged_model import LoggedModel, log_model_points, owner_of
from bucle.line.tracking.logged_model_tables import LOGGED_MODEL_PARAMS, LOGGED_MODEL_TAGS, LOGGED_MODELS
from bucle.line.tracking.tables import EXPERIMENT_TAGS, EXPERIMENTS

__all__ = ["adopt_experiments", "adopt_logged_models"]

LONGEST_ID = 18
"""Digits of an experiment's id that fit into 64 bits whatever they are."""


def adopt_experiments(project: Project, found: Sequence[Experiment], *, reason: str = "") -> dict[str, str]:
    """Take over experiments. One whose name is here already is that one; others keep their ids where those are free.

    Args:
        found: as they are elsewhere; where their artifacts lay there is forgotten, ours lie with us.
    Returns:
        Id elsewhere -> id here.
    Raises:
        BadExperiment: a name is empty or too long.
    """
    for one in found:
        check_experiment_name(one.name)
    ensure_default(project)
    with project.database.reading() as connection:
        here = _known(connection)
    if all(one.name in here for one in found):
        return {one.id: str(here[one.name]) for one in found}
    with project.ledger.transaction(
        "tracking.experiments_adopted", subject=make_ref("tracking", "experiments"), actor=project.actor, reason=reason
    ) as tx:
        here = _known(tx.connection)
        for one, number in _numbered([one for one in found if one.name not in here], set(here.values())):
            here[one.name] = number
            _insert(tx, number, one)
        tx.data["experiments"] = {one.id: str(here[one.name]) for one in found}
    return {one.id: str(here[one.name]) for one in found}


def _known(connection: Connection) -> dict[str, int]:
    """Every experiment's name with its number."""
    return {row.name: row.id for row in connection.execute(sa.select(EXPERIMENTS.c.name, EXPERIMENTS.c.id))}


def _numbered(found: Sequence[Experiment], taken: set[int]) -> list[tuple[Experiment, int]]:
    """Each with the number of its id, where that is one and free; the others are numbered on from the greatest."""
    kept = {one.id: int(one.id) for one in found if _is_number(one.id) and int(one.id) not in taken}
    following = max([*taken, *kept.values()]) + 1
    numbered = []
    for one in found:
        numbered.append((one, kept.get(one.id, following)))
        following += one.id not in kept
    return numbered


def _is_number(id_: str) -> bool:
    return id_.isdecimal() and id_.isascii() and len(id_) <= LONGEST_ID and id_ != DEFAULT


def _insert(tx: Transaction, number: int, one: Experiment) -> None:
    tx.insert(
        EXPERIMENTS,
        {
            "id": number,
            "name": one.name,
            "lifecycle": one.lifecycle,
            "artifact_location": "",
            "created_at": one.created_at,
            "updated_at": one.updated_at,
        },
    )
    for key, value in one.tags.items():
        tx.insert(EXPERIMENT_TAGS, {"experiment": number, "key": key, "value": value})


def adopt_logged_models(project: Project, found: Sequence[LoggedModel], *, reason: str = "") -> int:
    """Take over logged models with what was measured on them; their experiments are there.

    Those whose id is here already are left as they are.

    Returns:
        How many were new.
    """
    with project.database.reading() as connection:
        fresh = _fresh(connection, found)
    if fresh:
        with project.ledger.transaction(
            "tracking.models_adopted", subject=make_ref("tracking", "models"), actor=project.actor, reason=reason
        ) as tx:
            fresh = _fresh(tx.connection, found)
            for one in fresh:
                _insert_model(tx, one)
            tx.data["models"] = [one.id for one in fresh]
    measured = {one.id: one.metrics for one in found if one.metrics}
    if measured:
        log_model_points(project, measured)
    return len(fresh)


def _fresh(connection: Connection, found: Iterable[LoggedModel]) -> list[LoggedModel]:
    known = {
        row["id"] for part in store.parts([one.id for one in found])
        for row in logged_model_store.model_rows(connection, part)
    }  # fmt: skip
    return [one for one in found if one.id not in known]


def _insert_model(tx: Transaction, one: LoggedModel) -> None:
    tx.insert(
        LOGGED_MODELS,
        {
            "id": one.id,
            "experiment": int(one.experiment_id),
            "run": one.run_id,
            **{name: getattr(one, name) for name in ("name", "kind", "status", "status_message", "lifecycle", "actor")},
            "created_at": one.created_at,
            "updated_at": one.updated_at,
        },
    )
    for table, texts in ((LOGGED_MODEL_PARAMS, one.params), (LOGGED_MODEL_TAGS, one.tags)):
        for key, value in texts.items():
            tx.insert(table, {"model": one.id, "key": key, "value": value})
    if one.run_id:
        tx.edge(make_ref("run", one.run_id), owner_of(one.id), "produced")
