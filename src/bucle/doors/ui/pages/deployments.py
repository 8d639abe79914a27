"""`/deployments`: what answers where, and shall the canary go on?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from bucle.doors.ui.parameters import Id
from bucle.doors.ui.problems import attempt
from bucle.doors.ui.store import loop_events
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
    return Deployments(endpoints=tuple(found), rollouts=tuple(deploy.rollouts(project)[::-1]), problems=tuple(problems))


def rollout(project: Project, *, rollout: Id) -> RolloutPage:
    """One rollout with the evidence so far.

    Raises:
        NoSuchRollout: there is none.
    Cost: one read of what was answered while it was under way.
    """
    found = deploy.rollout(project, rollout)
    rules = rules_of(project).guard
    looks, cycle = _looks(project, found)
    history = [
        event
        for event in project.ledger.events(kinds=["deploy.rollout_*"], subject=f"endpoint/{found.endpoint}")
        if event.data.get("rollout") == found.id
    ]
    return RolloutPage(
        rollout=found,
        sides=_sides(found, looks[-1].guard if looks else None, _answers(project, found, history)),
        looks=tuple(looks[::-1]),
        rules=rules,
        needed=rules.min_requests,
        cycle=cycle,
        history=tuple(history),
    )


def _endpoint(project: Project, name: str, problems: list[dict[str, str]]) -> Endpoint:
    folder = serving.endpoint_folder(project.state, name)
    staged = attempt(problems, lambda: serving.load_routes(folder)) if (folder / "routes.json").exists() else None
    return Endpoint(
        routes=deploy.routes(project, name),
        process=attempt(problems, lambda: serving.find_process(project.state, name)),
        applied=staged.generation if staged else None,
    )


def _looks(project: Project, found: Rollout) -> tuple[list[GuardLook], int]:
    """The loop's comparisons of this rollout, oldest first, and the number of its cycle."""
    decided, done = loop_events(project, found.model)
    rolled = [event for event in decided if _outcome(done, event).get("rollout") == found.id]
    if not rolled:
        return [], 0
    cycle = int(rolled[0].data["cycle"])
    looks = [
        GuardLook(
            at=event.at,
            look=msgspec.convert(_outcome(done, event)["look"], Look),
            guard=msgspec.convert(guard, Guard) if (guard := _outcome(done, event).get("guard")) else None,
        )
        for event in decided
        if event.data["cycle"] == cycle and "look" in _outcome(done, event)
    ]
    return looks, cycle


def _outcome(done: dict[str, Event], event: Event) -> dict[str, Any]:
    end = done.get(event.data["id"])
    return end.data if end else {}


def _answers(project: Project, found: Rollout, history: list[Event]) -> pl.DataFrame:
    """One row a request that was answered since traffic was last shifted, or during the rollout when it is over."""
    shifts = [event.at for event in history if event.kind in ("deploy.rollout_started", "deploy.rollout_shifted")]
    since = shifts[-1] if shifts and found.ended_at is None else found.started_at
    columns = ["request_id", "instant", "version", "arm", "status", "latency_us"]
    kept = serving.predictions(project, found.endpoint, since=since, until=found.ended_at, columns=columns)
    waiting, _ = serving.live(project, found.endpoint)
    fresh = waiting.select(columns).filter(pl.col("instant") >= since)
    if found.ended_at is not None:
        fresh = fresh.filter(pl.col("instant") < found.ended_at)
    both = pl.concat([kept, fresh]).filter(pl.col("arm") != "shadow")
    return both.unique(["request_id", "version", "arm"], keep="first", maintain_order=True)


def _sides(found: Rollout, guard: Guard | None, answers: pl.DataFrame) -> tuple[Side, Side]:
    shares = {"canary": found.share, "champion": 1 - found.share}
    if found.state != deploy.CANARY:
        shares = {"canary": float(found.state == "promoted"), "champion": float(found.state != "promoted")}
    champion = _side("champion", found.model, found.champion, shares["champion"], answers)
    candidate = _side("canary", found.model, found.candidate, shares["canary"], answers)
    if guard is None or champion.requests or candidate.requests:
        return champion, candidate
    return (
        _as_guarded(champion, guard.champion_requests, guard.champion_error_rate, guard.champion_p95_ms),
        _as_guarded(candidate, guard.canary_requests, guard.canary_error_rate, guard.canary_p95_ms),
    )


def _as_guarded(side: Side, requests: int, error_rate: float, p95_ms: float | None) -> Side:
    """What the last look saw, where the answers themselves are gone."""
    return msgspec.structs.replace(side, requests=requests, error_rate=error_rate, p95_ms=p95_ms) if requests else side


def _side(name: str, model: str, version: int | None, share: float, answers: pl.DataFrame) -> Side:
    mine = answers.filter(pl.col("version") == version) if version is not None else answers.clear()
    failed = mine.filter(pl.col("status") == "error").height
    p50, p95, p99 = (mine["latency_us"].quantile(quantile, "higher") for quantile in (0.5, 0.95, 0.99))
    return Side(
        name=name,
        model=model,
        version=version,
        share=share,
        requests=mine.height or None,
        error_rate=failed / mine.height if mine.height else None,
        p50_ms=None if p50 is None else p50 / 1000,
        p95_ms=None if p95 is None else p95 / 1000,
        p99_ms=None if p99 is None else p99 / 1000,
    )
