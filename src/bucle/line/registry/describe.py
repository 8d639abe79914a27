"""What is said of a model or a version, for people, and who answers for it."""

from __future__ import annotations

from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.model import LONGEST_DESCRIPTION, Model, model
from bucle.line.registry.name import check_text, model_ref
from bucle.line.registry.tables import MODELS, VERSIONS
from bucle.line.registry.tag import tell
from bucle.line.registry.version import ModelVersion, unknown_model, unknown_version, version

__all__ = ["describe_model", "describe_version"]


def describe_model(
    project: Project,
    name: str,
    *,
    description: str | None = None,
    owner: str | None = None,
    actor: str = "",
    reason: str = "",
) -> Model:
    """Say something else about a model, or who answers for it; None leaves it as it is.

    Raises:
        NoSuchModel: no model has this name.
        BadText: the description is too long.
    """
    if description is not None:
        check_text(description, "description", LONGEST_DESCRIPTION)
    wanted = {"description": description, "owner": owner}
    with project.ledger.transaction(
        "registry.model_updated", subject=model_ref(name), actor=actor or project.actor, reason=reason
    ) as tx:
        row = store.model_row(tx.connection, name)
        if row is None:
            raise unknown_model(tx.connection, name)
        changes = {field: value for field, value in wanted.items() if value is not None}
        tx.update(MODELS, {"name": name}, {**changes, "updated_at": project.clock.now()})
        for field, value in changes.items():
            tx.data[field] = {"from": tell(project, row[field]), "to": tell(project, value)}
    return model(project, name)


def describe_version(
    project: Project, model: str, number: int, description: str, *, actor: str = "", reason: str = ""
) -> ModelVersion:
    """Say something else about a version.

    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        BadText: the description is too long.
    """
    check_text(description, "description", LONGEST_DESCRIPTION)
    to, who = tell(project, description), actor or project.actor
    with project.ledger.transaction(
        "registry.version_updated", subject=model_ref(model, number), actor=who, reason=reason
    ) as tx:
        row = store.version_row(tx.connection, model, number)
        if row is None:
            raise unknown_version(tx.connection, model, number)
        changes = {"description": description, "updated_at": project.clock.now()}
        tx.update(VERSIONS, {"model": model, "version": number}, changes)
        tx.data["description"] = {"from": tell(project, row["description"]), "to": to}
    return version(project, model, number)
