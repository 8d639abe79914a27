"""Tags: what people and programs write on models and versions."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from bucle.ground.project import Project
from bucle.line.registry import store
from bucle.line.registry.errors import BadTag
from bucle.line.registry.name import check_text, model_ref
from bucle.line.registry.tables import MODEL_TAGS, MODELS, VERSION_TAGS
from bucle.line.registry.version import unknown_model, unknown_version

__all__ = [
    "IS_PROMPT",
    "LONGEST_KEY",
    "LONGEST_VALUE",
    "PROMPT_TEXT",
    "check_tags",
    "delete_model_tag",
    "delete_version_tag",
    "in_full",
    "set_model_tag",
    "set_version_tag",
    "tell",
    "tell_tags",
]

LONGEST_KEY = 250
LONGEST_VALUE = 100_000
LONGEST_TOLD = 2000
"""Characters; a longer text stands on the ledger as the digest of a blob."""

IS_PROMPT = "mlflow.prompt.is_prompt"
"""The tag that makes a model a prompt when it is `true`."""

PROMPT_TEXT = "mlflow.prompt.text"
"""The tag that holds the text of a prompt's version; the version is bound to it, so it never changes."""


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags themselves when all of them can be kept.

    Raises:
        BadTag: a key is empty or odd.
        BadText: a key or a value is too long.
    """
    return {_checked_key(key): check_text(value, f"tag {key[:80]!r}", LONGEST_VALUE) for key, value in tags.items()}


def set_model_tag(project: Project, model: str, key: str, value: str, *, actor: str = "", reason: str = "") -> None:
    """Write a tag on a model. The value it has already: nothing happens.

    Raises:
        NoSuchModel: no model has this name.
        BadTag, BadText: the tag cannot be kept.
    """
    check_tags({key: value})
    _write(project, (model, None), key, value, actor=actor, reason=reason)


def delete_model_tag(project: Project, model: str, key: str, *, actor: str = "", reason: str = "") -> None:
    """Take a tag off a model; one that is not there: nothing happens.

    Raises:
        NoSuchModel: no model has this name.
    """
    _write(project, (model, None), key, None, actor=actor, reason=reason)


def set_version_tag(
    project: Project, model: str, version: int, key: str, value: str, *, actor: str = "", reason: str = ""
) -> None:
    """Write a tag on a version. The value it has already: nothing happens.

    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        BadTag, BadText: it cannot be kept, or is the text a prompt's version is bound to.
    """
    check_tags({key: value})
    _write(project, (model, version), key, value, actor=actor, reason=reason)


def delete_version_tag(
    project: Project, model: str, version: int, key: str, *, actor: str = "", reason: str = ""
) -> None:
    """Take a tag off a version; one that is not there: nothing happens.

    Raises:
        NoSuchModel, NoSuchVersion: there is no such version.
        BadTag: it is the text a prompt's version is bound to.
    """
    _write(project, (model, version), key, None, actor=actor, reason=reason)


def tell(project: Project, text: str | None) -> Any:
    """A text as the ledger tells it: itself, or the blob of a long one."""
    if text is None or len(text) <= LONGEST_TOLD:
        return text
    return {"blob": project.blobs.put(text.encode())}


def tell_tags(project: Project, tags: Mapping[str, str]) -> dict[str, Any]:
    """Tags as the ledger tells them."""
    return {key: tell(project, value) for key, value in tags.items()}


def in_full(project: Project, given: Any) -> Any:
    """What `tell` was given.

    Raises:
        BlobMissing, BlobCorrupt: the text is gone.
    """
    if isinstance(given, Mapping) and given.keys() == {"blob"}:
        return project.blobs.get(given["blob"]).decode()
    return given


class _Unchanged(Exception):
    """There is nothing to change, so there is no event."""


def _write(
    project: Project, target: tuple[str, int | None], key: str, value: str | None, *, actor: str, reason: str
) -> None:
    """Set a tag of a model or of one of its versions; None takes it away."""
    model, version = target
    table, noun = (MODEL_TAGS, "model") if version is None else (VERSION_TAGS, "version")
    place = {"model": model, "key": key} if version is None else {"model": model, "version": version, "key": key}
    kind = f"registry.{noun}_{'untagged' if value is None else 'tagged'}"
    to, who = tell(project, value), actor or project.actor
    with (
        contextlib.suppress(_Unchanged),
        project.ledger.transaction(kind, subject=model_ref(model, version), actor=who, reason=reason) as tx,
    ):
        row, before = _target(tx.connection, model, version, key)
        if before == value:
            raise _Unchanged
        _keep_text(row, key)
        if value is None:
            tx.delete(table, place)
        else:
            tx.put(table, {**place, **store.tag_row(key, value)})
        if version is None and key == IS_PROMPT:
            tx.update(MODELS, {"name": model}, {"kind": "prompt" if (value or "").lower() == "true" else "model"})
        tx.data.update({"key": key, "from": tell(project, before), "to": to, "prompt": row["kind"] == "prompt"})


def _target(connection: Connection, model: str, version: int | None, key: str) -> tuple[dict[str, Any], str | None]:
    """The row of a model or a version, and the value its tag has."""
    if version is None:
        row = store.model_row(connection, model)
        if row is None:
            raise unknown_model(connection, model)
        return row, store.model_tags(connection, model).get(key)
    row = store.version_row(connection, model, version)
    if row is None:
        raise unknown_version(connection, model, version)
    return row, store.version_tags(connection, model, version).get(key)


def _keep_text(row: Mapping[str, Any], key: str) -> None:
    if key == PROMPT_TEXT and row["kind"] == "prompt" and "version" in row:
        raise BadTag(
            f"The text of {row['model']}@{row['version']} cannot be changed.",
            why="The version is bound to the digest of its text; who approved it approved these words.",
            fix="Register the new text as the prompt's next version.",
            at=key,
        )


def _checked_key(key: str) -> str:
    if not key.strip():
        raise BadTag("A tag has an empty key.", fix="Give it a name, e.g. team.", at="key")
    return check_text(key, "key of a tag", LONGEST_KEY)
