"""Notices: what a webhook is told of an event of the ledger, in MLflow's shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bucle.doors.protocols.mlflow.wire import Json
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.line import registry

__all__ = ["EXAMPLES", "KINDS", "Notice", "notices_of"]

PROMPT_TYPE = "_mlflow_prompt_type"

KINDS = (
    "registry.model_created",
    "registry.version_registered",
    "registry.model_tagged",
    "registry.model_untagged",
    "registry.version_tagged",
    "registry.version_untagged",
    "registry.alias_set",
    "registry.alias_removed",
    "registry.version_deleted",
    "registry.model_deleted",
    "registry.retired",
)
"""The events a webhook may be told of."""


class Notice(msgspec.Struct, frozen=True):
    """One message.

    Attributes:
        hook: what it is about, one of `registry.HOOKS`.
        data: what it says.
    """

    hook: str
    data: Json


def notices_of(project: Project, event: Event) -> tuple[Notice, ...]:
    """What one event of the ledger is told as; usually one message, sometimes none.

    Raises:
        BlobMissing, BlobCorrupt: a long text of it is gone.
    """
    return tuple(_notices(project, event, event.data))


def _notices(project: Project, event: Event, data: Mapping[str, Any]) -> Iterator[Notice]:
    name, number = registry.model_of(event.subject)
    prompt, version = bool(data.get("prompt")), str(number)
    kind = event.kind.removeprefix("registry.")
    if kind == "model_created" or data.get("made_model"):
        yield _created(project, name, data if kind == "model_created" else {}, prompt=prompt)
    match kind:
        case "version_registered":
            yield _registered(project, name, version, data, prompt=prompt)
        case "version_tagged" | "version_untagged":
            base = {"name": name, "version": version, "key": data["key"]}
            yield _tag(project, "prompt_version_tag" if prompt else "model_version_tag", base, data["to"])
        case "model_tagged" | "model_untagged" if prompt:
            yield _tag(project, "prompt_tag", {"name": name, "key": data["key"]}, data["to"])
    for alias, to in registry.alias_moves(event).items():
        told = {"name": name, "alias": alias}
        if to is None:
            yield Notice(hook=f"{_alias(prompt)}.deleted", data=told)
        else:
            yield Notice(hook=f"{_alias(prompt)}.created", data={**told, "version": str(to)})


def _created(project: Project, name: str, data: Mapping[str, Any], *, prompt: bool) -> Notice:
    hidden = (registry.IS_PROMPT, PROMPT_TYPE) if prompt else ()
    told = {
        "name": name,
        "tags": _tags(project, data, hidden),
        "description": registry.in_full(project, data.get("description", "")),
    }
    return Notice(hook="prompt.created" if prompt else "registered_model.created", data=told)


def _registered(project: Project, name: str, version: str, data: Mapping[str, Any], *, prompt: bool) -> Notice:
    description = registry.in_full(project, data.get("description")) or None
    if prompt:
        text = registry.in_full(project, data.get("tags", {}).get(registry.PROMPT_TEXT))
        tags = _tags(project, data, (registry.PROMPT_TEXT, registry.IS_PROMPT, PROMPT_TYPE))
        told = {"name": name, "version": version, "template": text, "tags": tags, "description": description}
        return Notice(hook="prompt_version.created", data=told)
    told = {
        "name": name,
        "version": version,
        "source": data.get("source", ""),
        "run_id": data.get("run") or None,
        "tags": _tags(project, data, ()),
        "description": description,
    }
    return Notice(hook="model_version.created", data=told)


def _tag(project: Project, entity: str, base: Json, value: Any) -> Notice:
    if value is None:
        return Notice(hook=f"{entity}.deleted", data=base)
    return Notice(hook=f"{entity}.set", data={**base, "value": registry.in_full(project, value)})


def _tags(project: Project, data: Mapping[str, Any], hidden: tuple[str, ...]) -> dict[str, str]:
    return {key: registry.in_full(project, value) for key, value in data.get("tags", {}).items() if key not in hidden}


def _alias(prompt: bool) -> str:
    return "prompt_alias" if prompt else "model_version_alias"


_TAGS = {"example_key": "example_value"}
_MODEL, _PROMPT = {"name": "example_model"}, {"name": "example_prompt"}

EXAMPLES: Mapping[str, Json] = {
    "registered_model.created": {**_MODEL, "tags": _TAGS, "description": "An example registered model"},
    "model_version.created": {
        **_MODEL,
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": _TAGS,
        "description": "An example model version",
    },
    "model_version_tag.set": {**_MODEL, "version": "1", "key": "example_key", "value": "example_value"},
    "model_version_tag.deleted": {**_MODEL, "version": "1", "key": "example_key"},
    "model_version_alias.created": {**_MODEL, "alias": "example_alias", "version": "1"},
    "model_version_alias.deleted": {**_MODEL, "alias": "example_alias"},
    "prompt.created": {**_PROMPT, "tags": _TAGS, "description": "An example prompt"},
    "prompt_version.created": {
        **_PROMPT,
        "version": "1",
        "template": "Hello {{name}}!",
        "tags": _TAGS,
        "description": "An example prompt version",
    },
    "prompt_tag.set": {**_PROMPT, "key": "example_key", "value": "example_value"},
    "prompt_tag.deleted": {**_PROMPT, "key": "example_key"},
    "prompt_version_tag.set": {**_PROMPT, "version": "1", "key": "example_key", "value": "example_value"},
    "prompt_version_tag.deleted": {**_PROMPT, "version": "1", "key": "example_key"},
    "prompt_alias.created": {**_PROMPT, "alias": "example_alias", "version": "1"},
    "prompt_alias.deleted": {**_PROMPT, "alias": "example_alias"},
}
"""What a test sends for each hook; receivers written for MLflow know these values."""
