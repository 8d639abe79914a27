"""Retirement: a version or a whole model steps down for good and says who follows."""

from __future__ import annotations

from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.alias import set_alias
from bucle.line.registry.errors import IllegalTransition, ModelInUse
from bucle.line.registry.model import model
from bucle.line.registry.name import model_ref
from bucle.line.registry.removal import InUse, check_unused
from bucle.line.registry.stage import way
from bucle.line.registry.tables import MODELS, VERSIONS
from bucle.line.registry.version import ModelVersion, version, versions

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
    in_use: InUse | None = None,
) -> list[ModelVersion]:
    """Send a version, or with None all of a model, to the archive, and name what is to be used instead.

    Aliases of a retired version go on to its successor when that is a version of the same model; else they go.

    Args:
        successor: `flights@4`, or another model's name.
    Returns:
        The versions retired, oldest first.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version or successor.
        IllegalTransition: the successor is itself retired, rejected, or what is to be retired.
        ModelInUse: it answers traffic.
    """
    who = actor or project.actor
    heir = _heir(project, name, number, successor)
    leaving = versions(project, name) if number is None else [version(project, name, number)]
    check_unused(in_use, name, number)
    _pass_on(project, leaving, heir, who, reason)
    with project.ledger.transaction(
        "registry.retired", subject=model_ref(name, number), actor=who, reason=reason
    ) as tx:
        changes = {"successor": successor, "updated_at": project.clock.now()}
        told = dict[str, str]()
        for one in leaving:
            row = store.version_row(tx.connection, name, one.version)
            if row is None or store.aliases_of_version(tx.connection, name, one.version):
                raise _disturbed(one)
            stage = "archived" if row["stage"] == "archived" or way(row["stage"], "archived") else row["stage"]
            told[str(one.version)] = row["stage"]
            tx.update(VERSIONS, {"model": name, "version": one.version}, {**changes, "stage": stage})
        if number is None:
            tx.update(MODELS, {"name": name}, changes)
        tx.data.update({"versions": told, "successor": successor})
    return [version(project, name, one.version) for one in leaving]


def _heir(project: Project, name: str, number: int | None, successor: str) -> ModelVersion | None:
    """The version that follows; None when a whole model does."""
    other, _, given = successor.rpartition("@") if "@" in successor else (successor, "", "")
    if not given:
        _refuse(other == name, successor, f"it is what is retired: {name}")
        _refuse(bool(model(project, other).successor), successor, "it is retired itself")
        return None
    heir = version(project, other, int(given) if given.isdecimal() else given)
    _refuse(heir.stage in OUT or bool(heir.successor), successor, f"it is {heir.stage}")
    _refuse(heir.model == name and number in (None, heir.version), successor, "it is to be retired itself")
    return heir


def _refuse(wrong: bool, successor: str, why: str) -> None:
    if wrong:
        raise IllegalTransition(
            f"{successor} cannot follow.", why=f"{why[0].upper()}{why[1:]}.", fix="Name a version in use.", at=successor
        )


def _pass_on(project: Project, leaving: list[ModelVersion], heir: ModelVersion | None, actor: str, reason: str) -> None:
    for one in leaving:
        to = heir.version if heir is not None and heir.model == one.model else None
        for alias in one.aliases:
            set_alias(project, one.model, alias, to, actor=actor, reason=reason or f"{one.ref} is retired")


def _disturbed(one: ModelVersion) -> ModelInUse:
    return ModelInUse(
        f"{one.ref} was changed meanwhile.",
        why="Somebody gave it an alias, or deleted it.",
        fix="Look at it and repeat.",
        at=one.ref,
    )
