"""Promotion: what a version must have before it may bear a guarded alias or the stage `production`, whoever asks.

The loop asks its gates and collects its approvals before it promotes. People and other programs, MLflow's clients among
them, move aliases and stages by themselves; where a model has a policy, their calls come through here. What still lacks
something becomes a request on the ledger and an error that says what to do; the same call succeeds once all is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bucle.ground import governance
from bucle.ground.core import Record, digest_of, digest_of_value, short, to_builtins
from bucle.ground.ledger import AlreadyDone, Event
from bucle.ground.project import Project
from bucle.line import deploy, gates, registry
from bucle.line.registry import ModelVersion
from bucle.loop.errors import GuardedAlias, NotYetPromotable
from bucle.loop.policy import Policy, policy_of

__all__ = [
    "Lack",
    "Promotion",
    "delete_model",
    "delete_version",
    "guard_of",
    "in_use",
    "lacks",
    "move",
    "promotions",
    "rename_model",
    "retire",
    "set_alias",
    "transition",
]

PRODUCTION = "production"


class Lack(Record, frozen=True):
    """One thing a version does not have yet.

    Attributes:
        what: in a sentence.
        fix: the command that gets it.
    """

    what: str
    fix: str


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


def guard_of(project: Project, model: str) -> Policy | None:
    """The policy that guards a model; None when there is none, or it wants neither gates nor approvals.

    Raises:
        ConfigError: there is one, and it cannot be read.
    """
    if model not in project.config.names("loop"):
        return None
    policy = policy_of(project, model)
    return policy if policy.gates or policy.approvals else None


def lacks(project: Project, policy: Policy, version: ModelVersion) -> tuple[Lack, ...]:
    """What a version does not have of what its policy wants: a verdict of today's gates, approvals of its digest."""
    return (*_of_gates(project, policy, version), *_of_approvals(project, policy, version))


def set_alias(
    project: Project, model: str, alias: str, version: int | None, *, actor: str = "", reason: str = ""
) -> ModelVersion | None:
    """Let an alias name another version, or none, when the model's policy has nothing against it.

    Raises:
        NoSuchModel, NoSuchVersion, ReservedAlias: see `registry.set_alias`.
        NotYetPromotable: the policy guards the alias, and the version lacks something; the ledger has the request.
        GuardedAlias: a guarded alias cannot be taken away.
    """
    registry.check_alias(alias)
    policy, who = guard_of(project, model), actor or project.actor
    if policy is not None and alias in policy.guarded:
        if version is None:
            _keep_alias(project, model, alias)
        else:
            _demand(
                project, policy, registry.version(project, model, version), f"alias {alias}", actor=who, reason=reason
            )
    return registry.set_alias(project, model, alias, version, actor=who, reason=reason)


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
    who = actor or project.actor
    _guard_stage(project, registry.version(project, model, version), stage, actor=who, reason=reason)
    if archive_others:
        for one in registry.versions(project, model):
            if one.stage == stage and one.version != version:
                registry.check_unused(_serving(project), model, one.version)
    return registry.move(project, model, version, stage, actor=who, reason=reason, archive_others=archive_others)


def transition(
    project: Project, model: str, version: int, stage: str, *, actor: str = "", reason: str = ""
) -> ModelVersion:
    """Move a version to a neighbouring stage, when the model's policy has nothing against it.

    Raises:
        NoSuchModel, NoSuchVersion, IllegalTransition: see `registry.transition`.
        NotYetPromotable, ModelInUse: as for `move`.
    """
    found, who = registry.version(project, model, version), actor or project.actor
    if stage in registry.TRANSITIONS[found.stage]:
        _guard_stage(project, found, stage, actor=who, reason=reason)
    return registry.transition(project, model, version, stage, actor=who, reason=reason)


def delete_version(project: Project, model: str, version: int, *, actor: str = "", reason: str = "") -> None:
    """Take away a version that answers no traffic and bears no guarded alias; see `registry.delete_version`."""
    registry.delete_version(project, model, version, actor=actor, reason=reason, in_use=in_use(project))


def delete_model(project: Project, model: str, *, actor: str = "", reason: str = "") -> None:
    """Take away a model that answers no traffic and has no policy; see `registry.delete_model`."""
    registry.delete_model(project, model, actor=actor, reason=reason, in_use=in_use(project))


def rename_model(project: Project, model: str, to: str, *, actor: str = "", reason: str = "") -> registry.Model:
    """Call a model otherwise, unless it answers traffic or either name has a policy; see `registry.rename_model`.

    Raises:
        ModelInUse: under the new name its aliases would count as promoted by a policy that never saw it.
    """
    if guard_of(project, to) is not None:
        registry.check_unused(lambda _name, _number: f"[loop.{to}] in bucle.toml guards the name {to!r}.", to, None)
    return registry.rename_model(project, model, to, actor=actor, reason=reason, in_use=in_use(project))


def retire(
    project: Project, model: str, version: int | None, *, successor: str, actor: str = "", reason: str = ""
) -> list[ModelVersion]:
    """Send a version or a model to the archive once it answers no traffic; see `registry.retire`.

    Raises:
        NotYetPromotable: its guarded aliases would go on to a successor that lacks something.
        GuardedAlias: its guarded aliases would be left without a version.
    """
    policy, who = guard_of(project, model), actor or project.actor
    if policy is not None and version is not None:
        held = [alias for alias in registry.version(project, model, version).aliases if alias in policy.guarded]
        name, _, number = successor.rpartition("@")
        for alias in held:
            if name != model:
                _keep_alias(project, model, alias)
            heir = registry.version(project, model, int(number) if number.isdecimal() else number)
            _demand(project, policy, heir, f"alias {alias}", actor=who, reason=reason)
    return registry.retire(
        project, model, version, successor=successor, actor=who, reason=reason, in_use=_serving(project)
    )


def in_use(project: Project) -> registry.InUse:
    """Why a version or a model cannot go: it answers traffic, or a policy guards it."""
    serving = _serving(project)

    def why(model: str, version: int | None) -> str:
        return serving(model, version) or _guarded(project, model, version)

    return why


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


def _of_gates(project: Project, policy: Policy, version: ModelVersion) -> Iterator[Lack]:
    if not policy.gates:
        return
    name = _name(version)
    today = digest_of(gates.policy_bytes(gates.gates_of(policy.gates)))
    found = gates.verdicts(project, version.ref)
    under = [verdict for verdict in found if verdict.policy == today]
    if version.kind != "package":
        yield Lack(
            what=f"no gate can judge it: it is {version.kind}, not an ONNX package",
            fix=f"bucle model register {version.model} FILE.onnx",
        )
    elif not under:
        what = f"the gates were changed since verdict {found[-1].id}" if found else "no gate has judged it"
        yield Lack(what=what, fix=f"bucle gate judge {name}")
    elif not under[-1].passed:
        refusal = under[-1].refusals[0] if under[-1].refusals else None
        what = f"verdict {under[-1].id} refused it" + (f": {refusal.gate}: {refusal.detail}" if refusal else "")
        yield Lack(what=what, fix=f"bucle gate show {under[-1].id}")


def _of_approvals(project: Project, policy: Policy, version: ModelVersion) -> Iterator[Lack]:
    said = governance.approvals(project, version.ref, digest=version.digest)
    people = {one.principal for one in said if not one.principal.startswith("policy:")} - {version.author}
    if len(people) < policy.approvals:
        by = f" (by {', '.join(sorted(people))})" if people else ""
        yield Lack(
            what=f"it has {len(people)} of {policy.approvals} approvals{by} of the digest {short(version.digest)}; "
            f"its author {version.author} cannot give one",
            fix=f"bucle model approve {_name(version)} --as NAME",
        )


def _demand(project: Project, policy: Policy, version: ModelVersion, target: str, *, actor: str, reason: str) -> None:
    """Raises: NotYetPromotable: the version lacks something; the ledger has the request."""
    missing = lacks(project, policy, version)
    if not missing:
        return
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
    raise NotYetPromotable(
        f"{_name(version)} cannot get the {target} yet: {'; '.join(one.what for one in missing)}.",
        why=f"[loop.{version.model}] in bucle.toml wants this of every version. The request is on the ledger.",
        fix=f"{' && '.join(one.fix for one in missing)}, then repeat the call",
        at=_name(version),
    )


def _guard_stage(project: Project, found: ModelVersion, stage: str, *, actor: str, reason: str) -> None:
    policy = guard_of(project, found.model)
    if policy is not None and stage == PRODUCTION and found.stage != PRODUCTION:
        _demand(project, policy, found, f"stage {PRODUCTION}", actor=actor, reason=reason)
    if stage in ("archived", "rejected") and found.stage != stage:
        registry.check_unused(_serving(project), found.model, found.version)


def _keep_alias(project: Project, model: str, alias: str) -> None:
    """Raises: GuardedAlias: it names a version, and must go on to name one."""
    if alias not in registry.model(project, model).aliases:
        return
    raise GuardedAlias(
        f"The alias {alias!r} of {model} cannot be taken away.",
        why=f"[loop.{model}] in bucle.toml guards it: whoever asks for {model}@{alias} must find a version.",
        fix=f"Give it to another version: bucle model alias {model}@VERSION {alias}",
        at=f"{model}@{alias}",
    )


def _serving(project: Project) -> registry.InUse:
    def why(model: str, version: int | None) -> str:
        for endpoint in deploy.endpoints(project):
            routes = deploy.routes(project, endpoint)
            for arm in (*routes.arms, *routes.shadows):
                if arm.model == model and version in (None, arm.version):
                    return f"{model}@{arm.version} is {arm.name} at the endpoint {endpoint!r}."
        return ""

    return why


def _guarded(project: Project, model: str, version: int | None) -> str:
    policy = guard_of(project, model)
    if policy is None:
        return ""
    if version is None:
        return f"[loop.{model}] in bucle.toml guards the model; take that table out first."
    held = [alias for alias in registry.version(project, model, version).aliases if alias in policy.guarded]
    return f"It is the {held[0]} that [loop.{model}] in bucle.toml guards." if held else ""


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


def _name(version: ModelVersion) -> str:
    return f"{version.model}@{version.version}"
