"""Aliases: names that point at one version of a model, and are moved from one to another in one moment."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.guard import UNGUARDED, Guard
from bucle.line.registry.name import check_alias, model_ref
from bucle.line.registry.tables import ALIASES
from bucle.line.registry.version import ModelVersion, read_version, unknown_model, unknown_version

__all__ = ["hand_over", "put_alias", "set_alias"]


class _Unchanged(Exception):
    """There is nothing to change, so there is no event."""


def set_alias(
    project: Project,
    model: str,
    alias: str,
    version: int | None,
    *,
    actor: str,
    reason: str,
    key: str | None = None,
    guard: Guard = UNGUARDED,
) -> ModelVersion | None:
    """Let an alias name another version, or none; every reader sees the old or the new, never both or neither.

    Args:
        alias: e.g. `champion`; not a number, not `latest`.
        version: None takes the alias away.
        guard: is asked before the alias moves.
    Returns:
        The version it names now, or None.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        ReservedAlias: the alias would read as a version number or as `latest`.
    """
    check_alias(alias)
    kind = "registry.alias_removed" if version is None else "registry.alias_set"
    with (
        contextlib.suppress(_Unchanged, AlreadyDone),
        project.ledger.transaction(kind, subject=model_ref(model), actor=actor, reason=reason, key=key) as tx,
    ):
        row = store.model_row(tx.connection, model)
        if row is None:
            raise unknown_model(tx.connection, model)
        if version is not None and store.stage_of(tx.connection, model, version) is None:
            raise unknown_version(tx.connection, model, version)
        previous = store.alias_target(tx.connection, model, alias)
        if previous == version:
            raise _Unchanged
        guard.alias(tx.connection, model, alias, version)
        put_alias(tx, model, alias, version)
        told = {"alias": alias, "version": version, "previous": previous, "prompt": row["kind"] == "prompt"}
        tx.data.update(told)
    return _named(project, model, alias)


def put_alias(tx: Transaction, model: str, alias: str, version: int | None) -> None:
    """Write what an alias names, within a transaction; None takes it away."""
    if version is None:
        tx.delete(ALIASES, {"model": model, "alias": alias})
    else:
        tx.put(ALIASES, {"model": model, "alias": alias, "version": version})


def hand_over(
    tx: Transaction, model: str, held: Mapping[str, int], heir: int | None, *, guard: Guard = UNGUARDED
) -> dict[str, Any]:
    """Let aliases go on to another version, or to none, within a transaction that does more than that.

    Args:
        held: alias -> the version it names, as this transaction sees it.
    Returns:
        What the event says of it, as its `aliases`.
    """
    for alias in held:
        guard.alias(tx.connection, model, alias, heir)
    for alias in held:
        put_alias(tx, model, alias, heir)
    return {alias: {"from": before, "to": heir} for alias, before in held.items()}


def _named(project: Project, model: str, alias: str) -> ModelVersion | None:
    with project.database.reading() as connection:
        number = store.alias_target(connection, model, alias)
        return None if number is None else read_version(connection, model, number)
