"""Adoption: a model of another registry comes under the policy it has here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import ModelVersion
from bucle.loop.lack import guard_of, lacks
from bucle.loop.policy import Policy
from bucle.loop.promotion import PRODUCTION, ask

__all__ = ["Adopted", "adopt_model"]


class Adopted(Record, frozen=True):
    """What came of taking a model over under its policy.

    Attributes:
        adoption: see `registry.Adoption`.
        asked: what the policy keeps back: version -> `alias champion`, `stage production`; each is a request now.
    """

    adoption: registry.Adoption
    asked: tuple[tuple[int, str], ...]


def adopt_model(
    project: Project, found: registry.Model, versions: Sequence[tuple[ModelVersion, registry.Content]], *, reason: str
) -> Adopted:
    """Take over a model of another registry; see `registry.adopt_model`.

    What the model's policy guards is not taken over but asked for: a guarded alias names nothing until somebody gives
    it, and what was in production there is `validated` here. Both stand among the `promotions`.

    Raises:
        BadModelName, BadTag, BadText, ReservedAlias: it cannot be called, numbered, described or tagged so here.
    """
    policy = guard_of(project, found.name)
    if policy is None:
        return Adopted(adoption=registry.adopt_model(project, found, versions, reason=reason), asked=())
    free = {alias: number for alias, number in found.aliases.items() if alias not in policy.guarded}
    held_back = [(replace(one, stage="validated") if one.stage == PRODUCTION else one, it) for one, it in versions]
    adoption = registry.adopt_model(project, replace(found, aliases=free), held_back, reason=reason)
    asked = tuple(_asked_for(project, policy, found, versions))
    for version, target in asked:
        ask(project, version, target, lacks(project, policy, version), actor=project.actor, reason=reason)
    return Adopted(adoption=adoption, asked=tuple((version.version, target) for version, target in asked))


def _asked_for(
    project: Project,
    policy: Policy,
    found: registry.Model,
    versions: Sequence[tuple[ModelVersion, registry.Content]],
) -> Iterator[tuple[ModelVersion, str]]:
    """What a version has there, has not here, and may have here only when its policy is content."""
    named = registry.model(project, found.name).aliases
    here = {one.version: one for one in registry.versions(project, found.name)}
    for there, content in versions:
        one = here.get(there.version)
        if one is None or one.digest != content.digest:
            continue
        if there.stage == PRODUCTION and one.stage == "validated":
            yield one, f"stage {PRODUCTION}"
        for alias, number in found.aliases.items():
            if number == one.version and alias in policy.guarded and alias not in named:
                yield one, f"alias {alias}"
