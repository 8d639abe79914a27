"""Taking away and renaming: what is gone stays on the ledger, and no number is ever given again."""

from __future__ import annotations

from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.alias import hand_over
from bucle.line.registry.errors import ModelExists, NameTaken
from bucle.line.registry.guard import UNGUARDED, Guard
from bucle.line.registry.model import Model, model
from bucle.line.registry.name import check_model_name, model_ref
from bucle.line.registry.tables import ALIASES, MODEL_TAGS, MODELS, NUMBERS, VERSION_TAGS, VERSIONS
from bucle.line.registry.tag import tell, tell_tags
from bucle.line.registry.version import unknown_model, unknown_version

__all__ = ["delete_model", "delete_version", "rename_model"]


def delete_version(
    project: Project, model: str, number: int, *, actor: str = "", reason: str = "", guard: Guard = UNGUARDED
) -> None:
    """Take a version away, and the aliases that name it by then. The ledger tells what it was; its blobs stay.

    Args:
        guard: is asked before it goes.
    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
    """
    with project.ledger.transaction(
        "registry.version_deleted", subject=model_ref(model, number), actor=actor or project.actor, reason=reason
    ) as tx:
        row = store.version_row(tx.connection, model, number)
        if row is None:
            raise unknown_version(tx.connection, model, number)
        guard.removal(tx.connection, model, number)
        held = dict.fromkeys(store.aliases_of_version(tx.connection, model, number), number)
        tags = store.version_tags(tx.connection, model, number)
        names = ("kind", "digest", "stage", "run", "source", "author", "description")
        tx.data.update({name: tell(project, row[name]) for name in names})
        tx.data.update({"tags": tell_tags(project, tags), "prompt": row["kind"] == "prompt"})
        tx.data["aliases"] = hand_over(tx, model, held, None)
        tx.delete_all(VERSION_TAGS, {"model": model, "version": number})
        tx.delete(VERSIONS, {"model": model, "version": number})
        tx.update(MODELS, {"name": model}, {"updated_at": project.clock.now()})


def delete_model(project: Project, name: str, *, actor: str = "", reason: str = "", guard: Guard = UNGUARDED) -> None:
    """Take a model away with all its versions. Registered again, its numbers go on where they ended.

    Args:
        guard: is asked before it goes.
    Raises:
        NoSuchModel: no model has this name.
    """
    with project.ledger.transaction(
        "registry.model_deleted", subject=model_ref(name), actor=actor or project.actor, reason=reason
    ) as tx:
        row = store.model_row(tx.connection, name)
        if row is None:
            raise unknown_model(tx.connection, name)
        guard.removal(tx.connection, name, None)
        held = store.aliases_of_models(tx.connection, (name,)).get(name, {})
        tags, rows = store.model_tags(tx.connection, name), store.rows_of_model(tx.connection, name)
        tx.data["versions"] = {str(one["version"]): one["digest"] for one in rows}
        tx.data.update({"prompt": row["kind"] == "prompt", "description": tell(project, row["description"])})
        tx.data.update({"owner": row["owner"], "tags": tell_tags(project, tags)})
        tx.data["aliases"] = hand_over(tx, name, held, None)
        for table in (VERSION_TAGS, VERSIONS, MODEL_TAGS):
            tx.delete_all(table, {"model": name})
        tx.delete(MODELS, {"name": name})


def rename_model(
    project: Project, name: str, to: str, *, actor: str = "", reason: str = "", guard: Guard = UNGUARDED
) -> Model:
    """Call a model, its versions and aliases otherwise. Verdicts and approvals stay with the old name: judge anew.

    Args:
        guard: is asked before the old name goes.
    Raises:
        NoSuchModel: no model has this name.
        BadModelName: none can have the new one.
        ModelExists: another model has it.
        NameTaken: versions were once registered under it.
    """
    check_model_name(to)
    if to == name:
        return model(project, name)
    with project.ledger.transaction(
        "registry.model_renamed", subject=model_ref(to), actor=actor or project.actor, reason=reason
    ) as tx:
        if store.model_row(tx.connection, name) is None:
            raise unknown_model(tx.connection, name)
        _check_free(tx, to)
        guard.removal(tx.connection, name, None)
        _move_rows(project, tx, name, to)
        tx.data.update({"from": name, "to": to})
        tx.edge(model_ref(name), model_ref(to), "renamed")
    return model(project, to)


def _check_free(tx: Transaction, to: str) -> None:
    if store.model_row(tx.connection, to) is not None:
        raise ModelExists(
            f"There is a model {to!r} already.", why="A name stands for one thing.", fix="Choose another.", at=to
        )
    last = store.last_number(tx.connection, to)
    if last:
        raise NameTaken(
            f"The name {to!r} was given to other versions before, up to {to}@{last}.",
            why="The ledger's verdicts and lineage speak of them under that name.",
            fix="Choose a name that was never used.",
            at=to,
        )


def _move_rows(project: Project, tx: Transaction, name: str, to: str) -> None:
    tx.update(MODELS, {"name": name}, {"name": to, "updated_at": project.clock.now()})
    tx.put(NUMBERS, {"model": to, "last": store.last_number(tx.connection, name)})
    numbers = [row["version"] for row in store.rows_of_model(tx.connection, name)]
    for table in (MODEL_TAGS, ALIASES, VERSION_TAGS, VERSIONS):
        tx.update_all(table, {"model": name}, {"model": to})
    for number in numbers:
        tx.edge(model_ref(name, number), model_ref(to, number), "renamed")
