"""A registered model of MLflow in our nouns, from its database or its files alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bucle.doors.migrate.found import FoundModel, FoundVersion
from bucle.doors.migrate.mlflow_words import known_instant, stage_of
from bucle.line.registry import Model, ModelVersion

__all__ = ["found_model"]

_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})(?:/(.*))?")
_OF_RUN = re.compile(r"runs:/([^/]+)(?:/(.*))?")
_IN_RUN = re.compile(r".*/([0-9a-f]{32})/artifacts(?:/(.*))?")
_IN_MODEL = re.compile(r".*/models/(m-[0-9a-f]{32})/artifacts(?:/(.*))?")

IS_PROMPT = "mlflow.prompt.is_prompt"


def found_model(about: Mapping[str, Any], versions: Sequence[Mapping[str, Any]]) -> FoundModel:
    """A registered model.

    Args:
        about: `name`, `creation_time`, `last_updated_time`, `description`, `tags`, `aliases` of alias -> version.
        versions: of each `version`, the same times, `description`, `user_id`, `current_stage`, `source`,
            `storage_location`, `run_id`, `run_link`, `status`, `status_message`, `tags`.
    """
    aliases = {alias: int(version) for alias, version in about["aliases"].items()}
    is_prompt = about["tags"].get(IS_PROMPT) == "true"
    found = [_version(about["name"], one, aliases, is_prompt=is_prompt) for one in versions]
    stages: dict[str, int] = {}
    for one in found:
        stages[one.version.stage] = stages.get(one.version.stage, 0) + 1
    model = Model(
        name=about["name"],
        latest=max((one.version.version for one in found), default=0),
        aliases=aliases,
        stages=stages,
        created_at=known_instant(about["creation_time"]),
        updated_at=known_instant(about["last_updated_time"], about["creation_time"]),
        kind="prompt" if is_prompt else "model",
        description=about["description"] or "",
        tags=about["tags"],
    )
    return FoundModel(model, found)


def _version(name: str, about: Mapping[str, Any], aliases: Mapping[str, int], *, is_prompt: bool) -> FoundVersion:
    number = int(about["version"])
    source, stored = about["source"] or "", about["storage_location"] or ""
    owner, path, model_id = _owner(source, stored)
    status = about["status"] or "READY"
    version = ModelVersion(
        model=name,
        version=number,
        digest="",
        stage=stage_of(about["current_stage"]),
        run=about["run_id"] or "",
        execution="",
        commit="",
        author=about["user_id"] or "",
        created_at=known_instant(about["creation_time"]),
        updated_at=known_instant(about["last_updated_time"], about["creation_time"]),
        metrics={},
        description=about["description"] or "",
        aliases=tuple(sorted(alias for alias, version in aliases.items() if version == number)),
        kind="prompt" if is_prompt else "files",
        source=source,
        run_link=about["run_link"] or "",
        model_id=model_id,
        status="READY" if status == "READY" else "PENDING" if status.startswith("PENDING") else "FAILED",
        status_message=about["status_message"] or "",
        tags=about["tags"],
    )
    return FoundVersion(version, owner, path)


def _owner(source: str, stored: str) -> tuple[str, str, str]:
    """Whose files a version is made of, in which folder, and the logged model's id."""
    for address in (source, stored):
        for pattern in (_LOGGED, _IN_MODEL):
            if found := pattern.fullmatch(address.rstrip("/")):
                return f"logged-model/{found[1]}", found[2] or "", found[1]
    for address in (source, stored):
        for pattern in (_OF_RUN, _IN_RUN):
            if found := pattern.fullmatch(address.rstrip("/")):
                return f"run/{found[1]}", found[2] or "", ""
    return "", "", ""
