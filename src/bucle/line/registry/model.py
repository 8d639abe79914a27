"""Model: a name under which versions are numbered."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.registry.version import ModelVersion, versions

__all__ = ["Model", "models"]


class Model(Record, frozen=True):
    """A model with the sum of its versions.

    Attributes:
        name: what it is called.
        latest: its greatest version number, which is also how many it has.
        aliases: alias -> version.
        stages: stage -> how many versions are in it.
        updated_at: when its latest version was registered.
    """

    name: str
    latest: int
    aliases: dict[str, int]
    stages: dict[str, int]
    updated_at: datetime


def models(project: Project) -> list[Model]:
    """Every model that has a version, by name."""
    grouped: dict[str, list[ModelVersion]] = {}
    for version in versions(project):
        grouped.setdefault(version.model, []).append(version)
    return [_sum_up(name, held) for name, held in grouped.items()]


def _sum_up(name: str, held: list[ModelVersion]) -> Model:
    return Model(
        name=name,
        latest=held[-1].version,
        aliases={alias: version.version for version in held for alias in version.aliases},
        stages=dict(Counter(version.stage for version in held)),
        updated_at=held[-1].created_at,
    )
