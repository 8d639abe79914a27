"""Model: a name under which versions are numbered, and what is said of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.engine import Connection

from bucle.ground.core import Record
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.errors import ModelExists
from bucle.line.registry.name import check_model_name, check_text, model_ref
from bucle.line.registry.tables import MODEL_TAGS, MODELS
from bucle.line.registry.tag import IS_PROMPT, check_tags, tell, tell_tags
from bucle.line.registry.version import unknown_model

__all__ = [
    "LONGEST_DESCRIPTION",
    "Model",
    "ModelKind",
    "create_model",
    "ensure_model",
    "is_prompt",
    "model",
    "models",
    "read_models",
]

LONGEST_DESCRIPTION = 100_000

ModelKind = Literal["model", "prompt"]


class Model(Record, frozen=True):
    """A model with the sum of its versions.

    Attributes:
        name: what it is called.
        latest: its greatest version number; 0 when it has none.
        aliases: alias -> version.
        stages: stage -> how many versions are in it.
        updated_at: when it was described, or a version of it registered or moved to another stage.
        created_at: when it was registered.
        kind: `model`, or `prompt` for texts that language models are asked with.
        description: for people.
        owner: who answers for it.
        tags: key -> value.
        successor: what to use instead of it once it is retired.
    """

    name: str
    latest: int
    aliases: dict[str, int]
    stages: dict[str, int]
    updated_at: datetime
    created_at: datetime
    kind: ModelKind = "model"
    description: str = ""
    owner: str = ""
    tags: dict[str, str] = {}
    successor: str = ""

    @property
    def versions(self) -> int:
        """How many versions it has; less than `latest` when some were deleted."""
        return sum(self.stages.values())

    @property
    def ref(self) -> str:
        """What it is called on the ledger, e.g. `model/flights`."""
        return model_ref(self.name)


def models(project: Project, *, kind: ModelKind | None = "model") -> list[Model]:
    """Every model by name; prompts only when asked for, everything with None."""
    with project.database.reading() as connection:
        return read_models(connection, store.model_rows(connection, kind))


def model(project: Project, name: str) -> Model:
    """One model.

    Raises:
        NoSuchModel: no model has this name.
    """
    with project.database.reading() as connection:
        row = store.model_row(connection, name)
        if row is None:
            raise unknown_model(connection, name)
        return read_models(connection, [row])[0]


def create_model(
    project: Project,
    name: str,
    *,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    owner: str = "",
    actor: str = "",
    reason: str = "",
) -> Model:
    """Register a model that has no version yet.

    Args:
        owner: who answers for it; the actor unless given.
        actor: the project's unless given.
    Raises:
        BadModelName: no model can be called so.
        ModelExists: there is one already.
        BadText, BadTag: the description or a tag cannot be kept.
    """
    check_model_name(name)
    check_text(description, "description", LONGEST_DESCRIPTION)
    checked = check_tags(tags or {})
    who = actor or project.actor
    with project.ledger.transaction("registry.model_created", subject=model_ref(name), actor=who, reason=reason) as tx:
        existing = store.model_row(tx.connection, name)
        if existing is not None:
            raise _exists(existing, checked)
        insert_model(project, tx, name, description=description, tags=checked, owner=owner or who)
        tx.data.update({"description": tell(project, description), "tags": tell_tags(project, checked)})
        tx.data.update({"owner": owner or who, "prompt": is_prompt(checked)})
    return model(project, name)


def ensure_model(project: Project, tx: Transaction, name: str, *, owner: str, prompt: bool = False) -> bool:
    """Make sure within a transaction that a model is there; whether it had to be made."""
    if store.model_row(tx.connection, name) is not None:
        return False
    tags = {IS_PROMPT: "true"} if prompt else {}
    insert_model(project, tx, name, description="", tags=tags, owner=owner)
    return True


def insert_model(
    project: Project, tx: Transaction, name: str, *, description: str, tags: Mapping[str, str], owner: str
) -> None:
    """Write the rows of a new model."""
    now = project.clock.now()
    kind: ModelKind = "prompt" if is_prompt(tags) else "model"
    row = {"name": name, "kind": kind, "description": description, "owner": owner, "successor": ""}
    tx.insert(MODELS, {**row, "created_at": now, "updated_at": now})
    for key, value in tags.items():
        tx.insert(MODEL_TAGS, {"model": name, **store.tag_row(key, value)})


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Whether these tags make a prompt of a model or a version."""
    return tags.get(IS_PROMPT, "").lower() == "true"


def read_models(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Model]:
    """The models that rows hold, with tags, aliases and stages, in the rows' order."""
    names = [row["name"] for row in rows]
    aliases, tags = store.aliases_of_models(connection, names), store.tags_of_models(connection, names)
    stages, latest = store.stage_counts(connection, names), store.greatest_versions(connection, names)
    return [
        Model(
            **row,
            latest=latest.get(row["name"], 0),
            aliases=aliases.get(row["name"], {}),
            stages=stages.get(row["name"], {}),
            tags=tags.get(row["name"], {}),
        )
        for row in rows
    ]


def _exists(existing: Mapping[str, Any], tags: Mapping[str, str]) -> ModelExists:
    there, wanted = existing["kind"], "prompt" if is_prompt(tags) else "model"
    name = existing["name"]
    return ModelExists(
        f"There is a {there} {name!r} already."
        if there == wanted
        else f"The name {name!r} belongs to a {there}, so no {wanted} can have it.",
        why="A name stands for one thing.",
        fix=f"Choose another name, or give this one its next version: bucle model versions {name}",
        at=name,
    )
