"""Retirement: a version or a whole model steps down for good and says who follows."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.alias import hand_over
from bucle.line.registry.errors import IllegalTransition
from bucle.line.registry.guard import UNGUARDED, Guard
from bucle.line.registry.name import model_ref
from bucle.line.registry.stage import way
from bucle.line.registry.tables import MODELS, VERSIONS
from bucle.line.registry.version import ModelVersion, read_version, read_versions, unknown_model

__all__ = ["retire"]

OUT = ("archived", "rejected")


def retire(
    project: Project,
    name: str,
    number: int | None = None,
    *,
    successor: str,
    actor: str = "",
    reason: str = "",
    guard: Guard = UNGUARDED,
) -> list[ModelVersion]:
    """Send a version, or with None all of a model, to the archive, and name what is to be used instead.

    Aliases that name a retired version by then go on to its successor when that is a version of the same model; else
    they go. It is one transaction, with the successor as it stands in it.

    Args:
        successor: `flights@4`, or another model's name. What stands behind the `@` may be an alias.
        guard: is asked before anything changes, for the archive and for each alias.
    Returns:
        The versions retired, oldest first.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version or successor.
        IllegalTransition: the successor is itself retired, rejected, or what is to be retired.
    """
    with project.ledger.transaction(
        "registry.retired", subject=model_ref(name, number), actor=actor or project.actor, reason=reason
    ) as tx:
        leaving = _leaving(tx.connection, name, number)
        heir = _heir(tx.connection, name, number, successor)
        guard.stage(tx.connection, name, number, "archived")
        held = {alias: one.version for one in leaving for alias in one.aliases}
        to = heir.version if heir is not None and heir.model == name else None
        tx.data["aliases"] = hand_over(tx, name, held, to, guard=guard)
        followed = f"{heir.model}@{heir.version}" if heir is not None else successor
        changes = {"successor": followed, "updated_at": project.clock.now()}
        for one in leaving:
            stage = "archived" if way(one.stage, "archived") else one.stage
            tx.update(VERSIONS, {"model": name, "version": one.version}, {**changes, "stage": stage})
        tx.update(MODELS, {"name": name}, changes if number is None else {"updated_at": changes["updated_at"]})
        tx.data.update(_told(tx.connection, name, leaving, followed))
    with project.database.reading() as connection:
        rows = [store.version_row(connection, name, one.version) for one in leaving]
        return read_versions(connection, [row for row in rows if row is not None])


def _told(connection: Connection, name: str, leaving: list[ModelVersion], successor: str) -> dict[str, Any]:
    row = store.model_row(connection, name)
    stages = {str(one.version): one.stage for one in leaving}
    return {"versions": stages, "successor": successor, "prompt": row is not None and row["kind"] == "prompt"}


def _leaving(connection: Connection, name: str, number: int | None) -> list[ModelVersion]:
    if number is not None:
        return [read_version(connection, name, number)]
    if store.model_row(connection, name) is None:
        raise unknown_model(connection, name)
    return read_versions(connection, store.rows_of_model(connection, name))


def _heir(connection: Connection, name: str, number: int | None, successor: str) -> ModelVersion | None:
    """The version that follows; None when a whole model does."""
    other, _, given = successor.rpartition("@") if "@" in successor else (successor, "", "")
    if not given:
        row = store.model_row(connection, other)
        if row is None:
            raise unknown_model(connection, other)
        _refuse(other == name, successor, f"it is what is retired: {name}")
        _refuse(bool(row["successor"]), successor, "it is retired itself")
        return None
    heir = read_version(connection, other, given)
    _refuse(heir.stage in OUT or bool(heir.successor), successor, f"it is {heir.stage}")
    _refuse(heir.model == name and number in (None, heir.version), successor, "it is to be retired itself")
    return heir


def _refuse(wrong: bool, successor: str, why: str) -> None:
    if wrong:
        raise IllegalTransition(
            f"{successor} cannot follow.", why=f"{why[0].upper()}{why[1:]}.", fix="Name a version in use.", at=successor
        )
