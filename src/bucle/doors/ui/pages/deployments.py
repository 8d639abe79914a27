"""`/deployments`: what answers where, and shall the canary go on?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bucle.doors.ui.parameters import Id
from bucle.doors.ui.problems import attempt
from bucle.ground.core import Record
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.line import deploy, serving
from bucle.line.deploy import Rollout
from bucle.line.monitoring import Guard, GuardRules, rules_of
from bucle.line.serving import Process, Routes
from bucle.loop import Look

__all__ = ["Deployments", "Endpoint", "GuardLook", "RolloutPage", "Side", "deployments", "rollout"]


class Endpoint(Record, frozen=True):
    """One endpoint.

    Attributes:
        routes: as the ledger wants them.
        process: what answers on this machine; None when nothing does.
        applied: the generation its files say; None when it was never staged here.
    """

    routes: Routes
    process: Process | None
    applied: int | None


class Deployments(Record, frozen=True):
    """Every endpoint and every rollout.

    Attributes:
        endpoints: by name.
        rollouts: newest first.
        problems: what could not be read.
    """

    endpoints: tuple[Endpoint, ...]
    rollouts: tuple[Rollout, ...]
    problems: tuple[dict[str, str], ...]


class GuardLook(Record, frozen=True):
    """One comparison of the canary with the champion.

    Attributes:
        at: when it was made.
        look: what the loop took from it.
        guard: all that was found; None in ledgers that do not hold it.
    """

    at: datetime
    look: Look
    guard: Guard | None


class Side(Record, frozen=True):
    """One of the two columns.

    Attributes:
        name: `champion` or `canary`.
        model, version: what answers.
        share: of the requests.
        requests: answered or failed since the last shift.
        error_rate: share of these that failed.
        p50_ms, p95_ms, p99_ms: latency since the last shift, in the rooms that measured it.
    """

    name: str
    model: str
    version: int | None
    share: float
    requests: int | None
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class RolloutPage(Record, frozen=True):
    """One rollout.

    Attributes:
        rollout: the rollout.
        sides: champion and candidate.
        looks: every comparison, newest first.
        rules: what a canary must keep to.
        needed: requests the canary needs before it may be called healthy.
        cycle: the turn of the loop it belongs to; 0 when a person started it.
        history: what happened to it, oldest first.
    """

    rollout: Rollout
    sides: tuple[Side, Side]
    looks: tuple[GuardLook, ...]
    rules: GuardRules
    needed: int
    cycle: int
    history: tuple[Event, ...]


def deployments(project: Project) -> Deployments:
    """Every endpoint and rollout."""
    problems = list[dict[str, str]]()
    found = [_endpoint(project, name, problems) for name in deploy.endpoints(project)]
    return Deployments(
        endpoints=tuple(found), rollouts=tuple(deploy.rollouts(project)[::-1]), problems=tuple(problems)
    )
