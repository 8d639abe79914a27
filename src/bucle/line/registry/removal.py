"""Taking away and renaming: what is gone stays on the ledger, and no number is ever given again."""

from __future__ import annotations

from collections.abc import Callable

from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.alias import set_alias
from bucle.line.registry.errors import ModelExists, ModelInUse, NameTaken
from bucle.line.registry.model import Model, model
from bucle.line.registry.name import check_model_name, model_ref
from bucle.line.registry.tables import ALIASES, MODEL_TAGS, MODELS, NUMBERS, VERSION_TAGS, VERSIONS
from bucle.line.registry.tag import tell, tell_tags
from bucle.line.registry.version import unknown_model, unknown_version, version

__all__ = ["InUse", "check_unused", "delete_model", "delete_version", "rename_model"]

InUse = Callable[[str, int | None], str]
"""Why a version, or with None any version of a model, cannot go now, e.g. because it answers traffic; empty when it
can. Later rooms know; they pass it in."""


def delete_version(
    project: Project, model: str, number: int, *, actor: str = "", reason: str = "", in_use: InUse | None = None
) -> None:
    """Take a version away, and the aliases that name it. The ledger tells what it was; its blobs stay.

    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        ModelInUse: it answers traffic.
    """
    found, who = version(project, model, number), actor or project.actor
    check_unused(in_use, model, number)
    _drop_aliases(project, model, found.aliases, who, reason or "its version is deleted")
    with project.ledger.transaction(
        "registry.version_deleted", subject=model_ref(model, number), actor=who, reason=reason
    ) as tx:
        row = store.version_row(tx.connection, model, number)
        if row is None:
            raise unknown_version(tx.connection, model, number)
        _refuse_named(store.aliases_of_version(tx.connection, model, number), found.ref)
        tx.delete_all(VERSION_TAGS, {"model": model, "version": number})
        tx.delete(VERSIONS, {"model": model, "version": number})
        names = ("kind", "digest", "stage", "run", "source", "author", "description")
        tx.data.update({name: tell(project, row[name]) for name in names})
        tx.data["tags"] = tell_tags(project, found.tags)
        tx.update(MODELS, {"name": model}, {"updated_at": project.clock.now()})


def delete_model(
    project: Project, name: str, *, actor: str = "", reason: str = "", in_use: InUse | None = None
) -> None:
    """Take a model away with all its versions. Registered again, its numbers go on where they ended.

    Raises:
        NoSuchModel: no model has this name.
        ModelInUse: one of its versions answers traffic.
    """
    found, who = model(project, name), actor or project.actor
    check_unused(in_use, name, None)
    _drop_aliases(project, name, tuple(found.aliases), who, reason or "its model is deleted")
    with project.ledger.transaction("registry.model_deleted", subject=found.ref, actor=who, reason=reason) as tx:
        row = store.model_row(tx.connection, name)
        if row is None:
            raise unknown_model(tx.connection, name)
        _refuse_named(tuple(store.aliases_of_models(tx.connection, (name,)).get(name, {})), found.ref)
        rows = store.rows_of_model(tx.connection, name)
        for table in (VERSION_TAGS, VERSIONS, MODEL_TAGS):
            tx.delete_all(table, {"model": name})
        tx.delete(MODELS, {"name": name})
        tx.data["versions"] = {str(one["version"]): one["digest"] for one in rows}
        tx.data.update({"prompt": row["kind"] == "prompt", "description": tell(project, row["description"])})
        tx.data.update({"owner": row["owner"], "tags": tell_tags(project, found.tags)})


def rename_model(
    project: Project, name: str, to: str, *, actor: str = "", reason: str = "", in_use: InUse | None = None
) -> Model:
    """Call a model, its versions and aliases otherwise. Verdicts and approvals stay with the old name: judge anew.

    Raises:
        NoSuchModel: no model has this name.
        BadModelName: none can have the new one.
        ModelExists: another model has it.
        NameTaken: versions were once registered under it.
        ModelInUse: a version answers traffic under the old name.
    """
    check_model_name(to)
    if to == name:
        return model(project, name)
    check_unused(in_use, name, None)
    with project.ledger.transaction(
        "registry.model_renamed", subject=model_ref(to), actor=actor or project.actor, reason=reason
    ) as tx:
        if store.model_row(tx.connection, name) is None:
            raise unknown_model(tx.connection, name)
        _check_free(tx, to)
        _move_rows(project, tx, name, to)
        tx.data.update({"from": name, "to": to})
        tx.edge(model_ref(name), model_ref(to), "renamed")
    return model(project, to)


def check_unused(in_use: InUse | None, model: str, number: int | None) -> None:
    """Raises: ModelInUse: somebody says it cannot go now."""
    why = in_use(model, number) if in_use is not None else ""
    if why:
        name = model if number is None else f"{model}@{number}"
        raise ModelInUse(
            f"{name} is in use.",
            why=why,
            fix=f"Give the traffic to another version first: bucle deploy roll ENDPOINT {model}@VERSION",
            at=name,
        )


def _drop_aliases(project: Project, model: str, aliases: tuple[str, ...], actor: str, reason: str) -> None:
    """Each alias as an event of its own: whoever follows it, like the loop, sees it go."""
    for alias in aliases:
        set_alias(project, model, alias, None, actor=actor, reason=reason)


def _refuse_named(aliases: tuple[str, ...], ref: str) -> None:
    if aliases:
        raise ModelInUse(
            f"{ref} was given the alias {aliases[0]!r} just now.",
            why="Somebody else is working with it.",
            fix="Ask them; then repeat.",
            at=ref,
        )


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
