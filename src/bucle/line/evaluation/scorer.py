"""Scorer: what computes a feedback on a trace, kept as its client wrote it down, version by version.

Nothing here is ever run: a definition may hold code, and code of clients runs where clients run.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from bucle.ground.core import Record, make_ref, suggest
from bucle.ground.project import Project
from bucle.line.evaluation import scorer_store as store
from bucle.line.evaluation.errors import BadScorer, NoSuchScorer
from bucle.line.evaluation.tables import SCORERS
from bucle.line.tracing import storable
from bucle.line.tracking import active_experiment

__all__ = ["Scorer", "delete_scorer", "register_scorer", "scorer", "scorer_versions", "scorers"]

LONGEST_NAME = 250
LARGEST_DEFINITION = 1 << 20
"""Characters of a definition."""


class Scorer(Record, frozen=True):
    """One version of a scorer.

    Attributes:
        experiment_id: what it judges.
        name: unique within the experiment.
        version: 1, 2, …
        id: the same for all versions of a name.
        definition: JSON, as the client wrote it.
        created_at: an instant.
    """

    experiment_id: str
    name: str
    version: int
    id: str
    definition: str
    created_at: datetime


def register_scorer(project: Project, experiment_id: str, name: str, definition: str) -> Scorer:
    """Keep a scorer as the next version of its name.

    Raises:
        NoSuchExperiment: there is none of this id, or it is deleted.
        BadScorer: it has no name, or the definition is no JSON object or too large.
    """
    _check(name, definition)
    active_experiment(project, experiment_id)
    ref, experiment = make_ref("scorer", f"{experiment_id}/{name}"), int(experiment_id)
    with project.ledger.transaction("tracking.scorer_registered", subject=ref, actor=project.actor) as tx:
        before = store.scorer_rows(tx.connection, [experiment], name)
        row = {
            "experiment": experiment,
            "name": name,
            "version": before[-1]["version"] + 1 if before else 1,
            "id": before[-1]["id"] if before else str(uuid.uuid4()),
            "definition": definition,
            "created_at": project.clock.now(),
        }
        tx.insert(SCORERS, row)
        tx.data["version"] = row["version"]
    return _of_row(row)


def scorers(project: Project, experiment_ids: Sequence[str] | None = None) -> list[Scorer]:
    """The newest version of every scorer, by experiment and name.

    Args:
        experiment_ids: of these experiments; None for all.
    """
    numbers = None if experiment_ids is None else [int(id_) for id_ in experiment_ids if id_.isdigit()]
    with project.database.reading() as connection:
        newest = {(row["experiment"], row["name"]): row for row in store.scorer_rows(connection, numbers, None)}
    return [_of_row(row) for row in newest.values()]


def scorer_versions(project: Project, experiment_id: str, name: str) -> list[Scorer]:
    """Every version of a scorer, oldest first.

    Raises:
        NoSuchExperiment: there is none of this id, or it is deleted.
        NoSuchScorer: the experiment has none of this name.
    """
    active_experiment(project, experiment_id)
    with project.database.reading() as connection:
        rows = store.scorer_rows(connection, [int(experiment_id)], name)
    if not rows:
        raise _missing(project, experiment_id, name, None)
    return [_of_row(row) for row in rows]


def scorer(project: Project, experiment_id: str, name: str, version: int | None = None) -> Scorer:
    """One version of a scorer; the newest when none is given.

    Raises:
        NoSuchExperiment: there is none of this id, or it is deleted.
        NoSuchScorer: the experiment has none of this name, or not this version.
    """
    versions = scorer_versions(project, experiment_id, name)
    found = [one for one in versions if version in (None, one.version)]
    if not found:
        raise _missing(project, experiment_id, name, version)
    return found[-1]


def delete_scorer(project: Project, experiment_id: str, name: str, version: int | None = None) -> None:
    """Remove a version of a scorer, or all of them.

    Raises:
        NoSuchExperiment: there is none of this id, or it is deleted.
        NoSuchScorer: the experiment has none of this name, or not this version.
    """
    gone = (
        scorer_versions(project, experiment_id, name)
        if version is None
        else [scorer(project, experiment_id, name, version)]
    )
    ref = make_ref("scorer", f"{experiment_id}/{name}")
    with project.ledger.transaction("tracking.scorer_deleted", subject=ref, actor=project.actor) as tx:
        for one in gone:
            tx.delete(SCORERS, {"experiment": int(experiment_id), "name": name, "version": one.version})
        tx.data["versions"] = [one.version for one in gone]


def _check(name: str, definition: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or storable(name) != name:
        raise BadScorer(
            f"{name[:60]!r} cannot be the name of a scorer.",
            why=f"A name has 1 to {LONGEST_NAME} characters, none of them NUL.",
            fix="Choose another.",
            at="name",
        )
    if len(definition) > LARGEST_DEFINITION:
        raise BadScorer(
            f"The definition of {name!r} has {len(definition):,} characters.",
            why=f"It may have {LARGEST_DEFINITION:,} at most.",
            fix="Keep long instructions as a prompt and name it in the scorer.",
            at="serialized_scorer",
        )
    try:
        msgspec.json.decode(definition, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadScorer(
            f"The definition of {name!r} is no JSON object: {error}.",
            why="Its client could not read it back.",
            fix="Register scorers by scorer.register(name=…).",
            at="serialized_scorer",
        ) from error


def _of_row(row: Mapping[str, Any]) -> Scorer:
    return Scorer(
        experiment_id=str(row["experiment"]),
        **{name: row[name] for name in ("name", "version", "id", "definition", "created_at")},
    )


def _missing(project: Project, experiment_id: str, name: str, version: int | None) -> NoSuchScorer:
    wanted = f"Scorer with name '{name}'" + ("" if version is None else f" and version {version}")
    known = [one.name for one in scorers(project, [experiment_id])]
    return NoSuchScorer(
        f"{wanted} not found for experiment {experiment_id}.",
        why="It was never registered there, or was deleted.",
        fix=(suggest(name, known) if version is None else "") or "List what there is: mlflow.genai.list_scorers()",
        at=name,
    )
