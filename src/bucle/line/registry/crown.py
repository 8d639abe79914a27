"""Crowning: a version becomes the champion of its model, alias and stage in one moment."""

from __future__ import annotations

import contextlib

from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.alias import put_alias
from bucle.line.registry.guard import UNGUARDED, Guard
from bucle.line.registry.name import model_ref
from bucle.line.registry.stage import Stage, check_transition
from bucle.line.registry.tables import MODELS, VERSIONS
from bucle.line.registry.version import ModelVersion, unknown_version, version

__all__ = ["CHAMPION", "crown"]

CHAMPION = "champion"
"""The alias of the version that answers."""

PRODUCTION: Stage = "production"
STANDS_BY: Stage = "validated"


class _Unchanged(Exception):
    """It is the champion already, so there is no event."""


def crown(
    project: Project,
    model: str,
    number: int,
    *,
    before: int | None = None,
    actor: str,
    reason: str,
    key: str | None = None,
    guard: Guard = UNGUARDED,
) -> ModelVersion:
    """Make a version `champion` and `production`; who was it before stands by as `validated`.

    One transaction, one event: every reader sees the champion there was or the new one, with its stage, never two in
    production and never none.

    Args:
        number: a version that is `validated`, or `production` already.
        before: another version that steps down with the one the alias names, e.g. the one that answered so far.
        guard: is asked for the stage and the alias before anything is written.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        IllegalTransition: its stage does not allow it.
    """
    with (
        contextlib.suppress(_Unchanged, AlreadyDone),
        project.ledger.transaction(
            "registry.alias_set", subject=model_ref(model), actor=actor, reason=reason, key=key
        ) as tx,
    ):
        if store.stage_of(tx.connection, model, number) is None:
            raise unknown_version(tx.connection, model, number)
        previous = store.alias_target(tx.connection, model, CHAMPION)
        stages = _stages(tx, model, number, {previous, before} - {None, number})
        if previous == number and not stages:
            raise _Unchanged
        guard.stage(tx.connection, model, number, PRODUCTION)
        guard.alias(tx.connection, model, CHAMPION, number)
        _write(project, tx, model, stages)
        if previous != number:
            put_alias(tx, model, CHAMPION, number)
        told = {str(one): {"from": now, "to": to} for one, (now, to) in stages.items()}
        tx.data.update({"alias": CHAMPION, "version": number, "previous": previous, "stages": told, "prompt": False})
    return version(project, model, number)


def _stages(tx: Transaction, model: str, number: int, down: set[int | None]) -> dict[int, tuple[str, Stage]]:
    """Version -> the stage it is in and the one it goes to; only those that move."""
    now = {one: store.stage_of(tx.connection, model, one) for one in (number, *sorted(filter(None, down)))}
    moves = dict[int, tuple[str, Stage]]()
    for one, stage in now.items():
        if one == number and stage is not None and stage != PRODUCTION:
            moves[one] = (stage, check_transition(model_ref(model, number), stage, PRODUCTION))
        elif one != number and stage == PRODUCTION:
            moves[one] = (stage, STANDS_BY)
    return moves


def _write(project: Project, tx: Transaction, model: str, stages: dict[int, tuple[str, Stage]]) -> None:
    now = project.clock.now()
    for one, (_, to) in stages.items():
        tx.update(VERSIONS, {"model": model, "version": one}, {"stage": to, "updated_at": now})
    if stages:
        tx.update(MODELS, {"name": model}, {"updated_at": now})
