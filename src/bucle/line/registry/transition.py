"""Moving a version from stage to stage, each move one event with who and why."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.guard import UNGUARDED, Guard
from bucle.line.registry.name import model_ref
from bucle.line.registry.stage import Stage, check_transition, way
from bucle.line.registry.tables import MODELS, VERSIONS
from bucle.line.registry.version import ModelVersion, unknown_version, version

__all__ = ["move", "transition"]

Way = Callable[[str], tuple[Stage, ...]]
"""The stages to go through from the one given, without it."""


def transition(
    project: Project,
    model: str,
    version: int,
    stage: str,
    *,
    actor: str,
    reason: str,
    key: str | None = None,
    guard: Guard = UNGUARDED,
) -> ModelVersion:
    """Move a version to a neighbouring stage. To the stage it is in: nothing happens.

    Args:
        guard: is asked before the version moves.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        IllegalTransition: it cannot go there from where it is.
    """

    def step(now: str) -> tuple[Stage, ...]:
        return (check_transition(model_ref(model, version), now, stage),)

    return _moved(
        project, (model, version), stage, step, archive=False, guard=guard, actor=actor, reason=reason, key=key
    )


def move(
    project: Project,
    model: str,
    version: int,
    stage: str,
    *,
    actor: str,
    reason: str,
    archive_others: bool = False,
    key: str | None = None,
    guard: Guard = UNGUARDED,
) -> ModelVersion:
    """Move a version to any stage by the shortest legal way, as one event that names the stages passed.

    Args:
        archive_others: what else is in that stage goes to the archive, in the same moment.
        guard: is asked for each version that moves, before any does.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        IllegalTransition: there is no such stage.
    """

    def steps(now: str) -> tuple[Stage, ...]:
        return way(now, stage) or (check_transition(model_ref(model, version), now, stage),)

    target = (model, version)
    return _moved(
        project, target, stage, steps, archive=archive_others, guard=guard, actor=actor, reason=reason, key=key
    )


def _moved(
    project: Project,
    target: tuple[str, int],
    stage: str,
    way_from: Way,
    *,
    archive: bool,
    guard: Guard,
    actor: str,
    reason: str,
    key: str | None,
) -> ModelVersion:
    model, number = target
    with (
        contextlib.suppress(_Unchanged, AlreadyDone),
        project.ledger.transaction(
            "registry.stage_changed", subject=model_ref(model, number), actor=actor, reason=reason, key=key
        ) as tx,
    ):
        row = store.version_row(tx.connection, model, number)
        if row is None:
            raise unknown_version(tx.connection, model, number)
        others = [one for one in store.versions_in_stage(tx.connection, model, stage) if archive and one != number]
        stages = () if row["stage"] == stage else way_from(row["stage"])
        if not (stages or others):
            raise _Unchanged
        if stages:
            guard.stage(tx.connection, model, number, stage)
        for other in others:
            guard.stage(tx.connection, model, other, "archived")
        _write(project, tx, row, stages)
        if others:
            _archive(project, tx, model, others)
    return version(project, model, number)


class _Unchanged(Exception):
    """There is nothing to change, so there is no event."""


def _write(project: Project, tx: Transaction, row: dict[str, Any], stages: tuple[Stage, ...]) -> None:
    model, now, to = row["model"], project.clock.now(), stages[-1] if stages else row["stage"]
    tx.update(VERSIONS, {"model": model, "version": row["version"]}, {"stage": to, "updated_at": now})
    tx.update(MODELS, {"name": model}, {"updated_at": now})
    tx.data.update({"from": row["stage"], "to": to, "digest": row["digest"]})
    if len(stages) > 1:
        tx.data["via"] = list(stages[:-1])


def _archive(project: Project, tx: Transaction, model: str, others: list[int]) -> None:
    for number in others:
        changes = {"stage": "archived", "updated_at": project.clock.now()}
        tx.update(VERSIONS, {"model": model, "version": number}, changes)
    tx.data["archived"] = others
