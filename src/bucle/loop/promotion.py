"""Promotion: what a version must have before it may bear a guarded alias or the stage `production`, whoever asks.

The loop asks its gates and collects its approvals before it promotes. People and other programs, MLflow's clients among
them, move aliases and stages by themselves; where a model has a policy, their calls come through here. What still lacks
something becomes a request on the ledger and an error that says what to do; the same call succeeds once all is there.

What a version has is looked at within the transaction that promotes it, see `registry.Guard`: whatever happens at the
same moment happened before it or comes after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, digest_of_value, to_builtins
from bucle.ground.ledger import AlreadyDone, Event
from bucle.ground.project import Project
from bucle.line import deploy, registry
from bucle.line.registry import ModelVersion
from bucle.loop.errors import GuardedAlias, NotYetPromotable
from bucle.loop.lack import Lack, guard_of, lacks, read_lacks
from bucle.loop.policy import Policy

__all__ = [
    "PRODUCTION",
    "Promotion",
    "Rules",
    "ask",
    "asking",
    "delete_model",
    "delete_version",
    "move",
    "promotions",
    "rename_model",
    "retire",
    "rules_of",
    "set_alias",
    "transition",
]

PRODUCTION = "production"


class Promotion(Record, frozen=True):
    """A wish that a version be promoted.

    Attributes:
        model, version, digest: what is to be promoted.
        target: `alias champion`, `stage production`.
        missing: what it lacks; empty when the same call would succeed now.
    """

    model: str
    version: int
    digest: str
    target: str
    missing: tuple[Lack, ...]


def set_alias(
    project: Project, model: str, alias: str, version: int | None, *, actor: str = "", reason: str = ""
) -> ModelVersion | None:
    """Let an alias name another version, or none, when the model's policy has nothing against it.

    Raises:
        NoSuchModel, NoSuchVersion, ReservedAlias: see `registry.set_alias`.
        NotYetPromotable: the policy guards the alias, and the version lacks something; the ledger has the request.
        GuardedAlias: a guarded alias cannot be taken away.
    """
    who = actor or project.actor
    with asking(project, actor=who, reason=reason):
        return registry.set_alias(
            project, model, alias, version, actor=who, reason=reason, guard=rules_of(project, model)
        )


def move(
    project: Project,
    model: str,
    version: int,
    stage: str,
    *,
    actor: str = "",
    reason: str = "",
    archive_others: bool = False,
) -> ModelVersion:
    """Move a version to a stage by the shortest legal way, when the model's policy has nothing against it.

    Raises:
        NoSuchModel, NoSuchVersion, IllegalTransition: see `registry.move`.
        NotYetPromotable: it is to go to production and lacks something; the ledger has the request.
        ModelInUse: a version that answers traffic would go to the archive.
    """
    who, rules = actor or project.actor, rules_of(project, model)
    with asking(project, actor=who, reason=reason):
        return registry.move(
            project, model, version, stage, actor=who, reason=reason, archive_others=archive_others, guard=rules
        )


def transition(
    project: Project, model: str, version: int, stage: str, *, actor: str = "", reason: str = ""
) -> ModelVersion:
    """Move a version to a neighbouring stage, when the model's policy has nothing against it.

    Raises:
        NoSuchModel, NoSuchVersion, IllegalTransition: see `registry.transition`.
        NotYetPromotable, ModelInUse: as for `move`.
    """
    who, rules = actor or project.actor, rules_of(project, model)
    with asking(project, actor=who, reason=reason):
        return registry.transition(project, model, version, stage, actor=who, reason=reason, guard=rules)


def delete_version(project: Project, model: str, version: int, *, actor: str = "", reason: str = "") -> None:
    """Take away a version that answers no traffic and bears no guarded alias; see `registry.delete_version`.

    Raises:
        ModelInUse: it answers traffic, or bears a guarded alias.
    """
    registry.delete_version(project, model, version, actor=actor, reason=reason, guard=rules_of(project, model))


def delete_model(project: Project, model: str, *, actor: str = "", reason: str = "") -> None:
    """Take away a model that answers no traffic and has no policy; see `registry.delete_model`.

    Raises:
        ModelInUse: a version of it answers traffic, or a policy guards it.
    """
    registry.delete_model(project, model, actor=actor, reason=reason, guard=rules_of(project, model))


def rename_model(project: Project, model: str, to: str, *, actor: str = "", reason: str = "") -> registry.Model:
    """Call a model otherwise, unless it answers traffic or either name has a policy; see `registry.rename_model`.

    Raises:
        ModelInUse: under the new name its aliases would count as promoted by a policy that never saw it.
    """
    if guard_of(project, to) is not None:
        registry.check_unused(f"[loop.{to}] in bucle.toml guards the name {to!r}.", to, None)
    return registry.rename_model(project, model, to, actor=actor, reason=reason, guard=rules_of(project, model))


def retire(
    project: Project, model: str, version: int | None, *, successor: str, actor: str = "", reason: str = ""
) -> list[ModelVersion]:
    """Send a version or a model to the archive once it answers no traffic; see `registry.retire`.

    Raises:
        ModelInUse: it answers traffic.
        NotYetPromotable: its guarded aliases would go on to a successor that lacks something.
        GuardedAlias: its guarded aliases would be left without a version, as they would be by retiring all of a model.
    """
    who, rules = actor or project.actor, rules_of(project, model)
    with asking(project, actor=who, reason=reason):
        return registry.retire(project, model, version, successor=successor, actor=who, reason=reason, guard=rules)


def promotions(project: Project, model: str | None = None) -> list[Promotion]:
    """The wishes nobody has fulfilled yet, oldest first, each with what it lacks today.

    Cost: one look at the requests on the ledger, one at each version asked about.
    """
    asked = dict[tuple[str, int, str], str]()
    for event in project.ledger.events(kinds=["registry.promotion_requested"]):
        name, number, target = _wish(event)
        if model in (None, name):
            asked[name, number, target] = str(event.data["digest"])
    return [found for wish, digest in asked.items() if (found := _open(project, *wish, digest)) is not None]


@dataclass(frozen=True)
class Rules:
    """A model's policy and the traffic, as what the registry asks: see `registry.Guard`."""

    project: Project
    policy: Policy | None

    def alias(self, connection: Connection, model: str, alias: str, number: int | None) -> None:
        """Raises: NotYetPromotable, by way of `asking`; GuardedAlias."""
        if self.policy is None or alias not in self.policy.guarded:
            return
        if number is None:
            raise _guarded_alias(model, alias)
        self.demand(connection, registry.read_version(connection, model, number), f"alias {alias}")

    def stage(self, connection: Connection, model: str, number: int | None, to: str) -> None:
        """Raises: NotYetPromotable, by way of `asking`; ModelInUse."""
        if to == PRODUCTION and number is not None:
            self.demand(connection, registry.read_version(connection, model, number), f"stage {PRODUCTION}")
        if to in ("archived", "rejected"):
            registry.check_unused(_serving(connection, model, number), model, number)

    def removal(self, connection: Connection, model: str, number: int | None) -> None:
        """Raises: ModelInUse."""
        why = _serving(connection, model, number) or self._held(connection, model, number)
        registry.check_unused(why, model, number)

    def demand(self, connection: Connection, version: ModelVersion, target: str) -> None:
        """Raises: NotYetPromotable, by way of `asking`: the version lacks something."""
        missing = read_lacks(connection, self.policy, version) if self.policy is not None else ()
        if missing:
            raise _Wanted(version, target, missing)

    def _held(self, connection: Connection, model: str, number: int | None) -> str:
        if self.policy is None:
            return ""
        if number is None:
            return f"[loop.{model}] in bucle.toml guards the model; take that table out first."
        aliases = registry.read_version(connection, model, number).aliases
        held = [alias for alias in aliases if alias in self.policy.guarded]
        return f"It is the {held[0]} that [loop.{model}] in bucle.toml guards." if held else ""


def rules_of(project: Project, model: str) -> Rules:
    """What stands against changes of a model.

    Raises:
        ConfigError: it has a policy that cannot be read.
    """
    return Rules(project, guard_of(project, model))


@contextlib.contextmanager
def asking(project: Project, *, actor: str, reason: str) -> Iterator[None]:
    """Make a request of what turns out to lack something, once the transaction that found it out is undone.

    Raises:
        NotYetPromotable: something was lacking; the ledger has the request.
    """
    try:
        yield
    except _Wanted as wanted:
        ask(project, wanted.version, wanted.target, wanted.missing, actor=actor, reason=reason)
        raise _not_yet(wanted) from None


class _Wanted(Exception):
    """A version is to get what it does not have all for."""

    def __init__(self, version: ModelVersion, target: str, missing: tuple[Lack, ...]) -> None:
        super().__init__(version.ref, target)
        self.version, self.target, self.missing = version, target, missing


def ask(
    project: Project, version: ModelVersion, target: str, missing: tuple[Lack, ...], *, actor: str, reason: str
) -> None:
    """Write a wish on the ledger; the same wish with the same lacks stands there once."""
    plain = to_builtins(missing)
    key = f"promotion/{version.ref}/{version.digest}/{target}/{digest_of_value(plain)[:16]}"
    with contextlib.suppress(AlreadyDone):
        project.ledger.record(
            "registry.promotion_requested",
            subject=version.ref,
            actor=actor,
            reason=reason,
            key=key,
            data={"target": target, "digest": version.digest, "missing": plain},
        )


def _not_yet(wanted: _Wanted) -> NotYetPromotable:
    name, missing = f"{wanted.version.model}@{wanted.version.version}", wanted.missing
    return NotYetPromotable(
        f"{name} cannot get the {wanted.target} yet: {'; '.join(one.what for one in missing)}.",
        why=f"[loop.{wanted.version.model}] in bucle.toml wants this of every version. The request is on the ledger.",
        fix=f"{' && '.join(one.fix for one in missing)}, then repeat the call",
        at=name,
    )


def _guarded_alias(model: str, alias: str) -> GuardedAlias:
    return GuardedAlias(
        f"The alias {alias!r} of {model} cannot be taken away.",
        why=f"[loop.{model}] in bucle.toml guards it: whoever asks for {model}@{alias} must find a version.",
        fix=f"Give it to another version (bucle model alias {model}@VERSION {alias}), or take that table out first",
        at=f"{model}@{alias}",
    )


def _serving(connection: Connection, model: str, version: int | None) -> str:
    """Why a version or a model cannot go: it answers traffic. Empty when it does not."""
    for routes in deploy.read_routes(connection):
        for arm in (*routes.arms, *routes.shadows):
            if arm.model == model and version in (None, arm.version):
                return f"{model}@{arm.version} is {arm.name} at the endpoint {routes.endpoint!r}."
    return ""


def _wish(event: Event) -> tuple[str, int, str]:
    name, number = registry.model_of(event.subject)
    return name, number or 0, str(event.data["target"])


def _open(project: Project, model: str, version: int, target: str, digest: str) -> Promotion | None:
    """A wish as it stands today; None when it was fulfilled or its version is gone."""
    try:
        found = registry.version(project, model, version)
    except (registry.NoSuchModel, registry.NoSuchVersion):
        return None
    kind, _, name = target.partition(" ")
    if found.digest != digest or (name in found.aliases if kind == "alias" else found.stage == name):
        return None
    policy = guard_of(project, model)
    missing = lacks(project, policy, found) if policy is not None else ()
    return Promotion(model=model, version=version, digest=digest, target=target, missing=missing)
