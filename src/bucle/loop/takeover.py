"""Takeover by hand: a rollout that somebody starts or promotes at the command line, under the policy of its model.

The loop does the same in its own `promote`, after its gates and approvals.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from bucle.ground.project import Project
from bucle.line import deploy, registry
from bucle.line.deploy import Rollout
from bucle.line.registry import ModelVersion
from bucle.loop.promotion import PRODUCTION, Rules, asking, rules_of

__all__ = ["crown", "promote", "roll"]


def roll(
    project: Project,
    endpoint: str,
    version: ModelVersion,
    *,
    steps: Sequence[float],
    share: float | None = None,
    actor: str = "",
    reason: str = "",
) -> Rollout:
    """Give a version its first traffic; see `deploy.start`.

    Raises:
        NotYetPromotable: it would get all the traffic and lacks something its policy wants. Nothing was changed; the
            ledger has the request.
    """
    who, rules = actor or project.actor, rules_of(project, version.model)
    with asking(project, actor=who, reason=reason):
        return deploy.start(
            project,
            endpoint,
            version.model,
            version.version,
            steps=steps,
            share=share,
            actor=who,
            reason=reason,
            consent=_consent(rules),
        )


def promote(project: Project, rollout: Rollout, *, actor: str = "", reason: str = "") -> Rollout:
    """Give the candidate all the traffic; see `deploy.promote`.

    Raises:
        NotYetPromotable: it lacks something its policy wants. Nothing was changed; the ledger has the request.
    """
    who, rules = actor or project.actor, rules_of(project, rollout.model)
    with asking(project, actor=who, reason=reason):
        return deploy.promote(project, rollout.id, actor=who, reason=reason, consent=_consent(rules))


def crown(project: Project, rollout: Rollout, *, actor: str = "") -> None:
    """Make the candidate of a promoted rollout `production` and `champion`; see `registry.crown`.

    Where a later rollout promoted another version of the model, nothing happens.

    Raises:
        NotYetPromotable: it lacks something its policy wants; the ledger has the request.
    """
    who, reason = actor or project.actor, f"rollout {rollout.id}"
    rules = rules_of(project, rollout.model)
    with contextlib.suppress(_Superseded), asking(project, actor=who, reason=reason):
        registry.crown(
            project,
            rollout.model,
            rollout.candidate,
            before=_before(project, rollout),
            actor=who,
            reason=reason,
            guard=_Newest(rules.project, rules.policy, rollout.id),
        )


class _Superseded(Exception):
    """A later rollout promoted another version."""


@dataclass(frozen=True)
class _Newest(Rules):
    """The rules, for the newest promotion only."""

    rollout: str

    def stage(self, connection: Connection, model: str, number: int | None, to: str) -> None:
        """Raises: _Superseded; else as `Rules`."""
        if deploy.newest_promotion(connection, model) != self.rollout:
            raise _Superseded
        super().stage(connection, model, number, to)


def _consent(rules: Rules) -> deploy.Consent:
    return lambda connection, version: rules.demand(connection, version, f"stage {PRODUCTION}")


def _before(project: Project, rollout: Rollout) -> int | None:
    """The version of the same model that answered until then; an endpoint may have had another model."""
    earlier = [one for one in deploy.rollouts(project, rollout.endpoint) if one.generation < rollout.generation]
    is_same = any((one.model, one.candidate) == (rollout.model, rollout.champion) for one in earlier)
    return rollout.champion if is_same else None
