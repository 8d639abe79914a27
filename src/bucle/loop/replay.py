"""Replay: the same engine over the recorded past under another policy.

The past is a partial oracle. Windows, trainings, verdicts and canaries that really happened answer for themselves; what
another policy would have done and nobody recorded is assumed to have gone well, and every such assumption is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from bucle.ground.core import Record, to_builtins
from bucle.ground.ledger import Event
from bucle.loop.engine import DATA_KINDS, decide, fold
from bucle.loop.policy import Policy
from bucle.loop.state import Decision, Look, Measurement, State

__all__ = ["Replay", "ReplayedWindow", "replay"]

SAME = timedelta(days=1)
UNRECORDED = 1000
"""Versions that only a replay has trained are numbered from here."""


class ReplayedWindow(Record, frozen=True):
    """One monitoring window, as it was and as it would have been.

    Attributes:
        since, until: the window.
        version, auc: what served then and how well.
        other_version: what would have served; from 1001 on a version that was never trained.
        other_auc: how well, when that version answered then, be it in the shadow; None when nobody knows.
    """

    since: datetime
    until: datetime
    version: int
    auc: float | None
    other_version: int
    other_auc: float | None


class Replay(Record, frozen=True):
    """The recorded past beside the replayed one.

    Attributes:
        windows: every monitoring window.
        recorded, replayed: how often each kind of decision was made.
        decisions: what the other policy decided.
        assumptions: what had to be assumed.
    """

    windows: tuple[ReplayedWindow, ...]
    recorded: dict[str, int]
    replayed: dict[str, int]
    decisions: tuple[Decision, ...]
    assumptions: tuple[str, ...]


def replay(policy: Policy, events: Sequence[Event]) -> Replay:
    """Run the engine over recorded events under a policy.

    Args:
        policy: the other one.
        events: the ledger's events of the kinds `engine.KINDS`, in order.
    Returns:
        Both courses side by side. The same events and policy give the same replay.
    """
    past = _Past(policy, events)
    for event in events:
        past.live_through(event)
    windows = tuple(past.windows)
    recorded = _count(event.data["kind"] for event in past.done)
    decisions = tuple(past.decisions)
    replayed = _count(decision.kind for decision in decisions)
    return Replay(
        windows=windows,
        recorded=recorded,
        replayed=replayed,
        decisions=decisions,
        assumptions=tuple(dict.fromkeys(past.assumptions)),
    )


class _Past:
    """The recorded events as a world in which the engine can act."""

    def __init__(self, policy: Policy, events: Sequence[Event]) -> None:
        self.policy = policy
        self.subject = f"loop/{policy.model}"
        self.state = State(model=policy.model)
        self.decisions: list[Decision] = []
        self.windows: list[ReplayedWindow] = []
        self.assumptions: list[str] = []
        mine = [event for event in events if event.subject == self.subject]
        self.done = [event for event in mine if event.kind == "loop.done"]
        self.made = {event.data["id"]: event for event in mine if event.kind == "loop.decided"}
        self.unrecorded = UNRECORDED

    def live_through(self, event: Event) -> None:
        if event.kind in DATA_KINDS or (event.kind == "loop.requested" and event.subject == self.subject):
            self.state = fold(self.state, event, self.policy.tables)
        for _ in range(100):
            decision = decide(self.policy, self.state, event.at)
            if decision is None or (decision.kind == "watch" and not self._recorded_watch(decision)):
                return
            self._carry_out(decision, event)

    def _carry_out(self, decision: Decision, now: Event) -> None:
        self.decisions.append(decision)
        self._tell("loop.decided", now, to_builtins(decision))
        if decision.kind == "approve" and self.state.cycle:
            approved = replace(
                now,
                kind="governance.approved",
                subject=f"model/{self.policy.model}@{decision.version}",
                actor=self.policy.principal,
                data={"digest": self.state.cycle.digest},
            )
            self.state = fold(self.state, approved, self.policy.tables)
        outcome = getattr(self, f"_{decision.kind}", self._nothing)(decision, now)
        self._tell("loop.done", now, {**outcome, "decision": decision.id, "kind": decision.kind})

    def _tell(self, kind: str, now: Event, data: dict[str, Any]) -> None:
        told = replace(now, kind=kind, subject=self.subject, data=data)
        self.state = fold(self.state, told, self.policy.tables)

    def _nothing(self, decision: Decision, now: Event) -> dict[str, Any]:
        return {"rollout": ""}

    def _recorded_watch(self, decision: Decision) -> Event | None:
        until = msgspec.to_builtins(decision.until)
        return next((e for e in self._outcomes("watch") if self.made[e.data["decision"]].data["until"] == until), None)

    def _watch(self, decision: Decision, now: Event) -> dict[str, Any]:
        event = self._recorded_watch(decision)
        if event is None or event.data.get("measurement") is None:
            return {"measurement": None}
        seen = msgspec.convert(event.data["measurement"], Measurement)
        known = {str(seen.version): seen.auc, **seen.shadow_auc}
        version = self.state.champion
        auc = known.get(str(version))
        self.windows.append(
            ReplayedWindow(
                since=seen.since,
                until=seen.until,
                version=seen.version,
                auc=seen.auc,
                other_version=version,
                other_auc=auc,
            )
        )
        if auc is None:
            when = f"{seen.since:%Y-%m-%d} to {seen.until:%Y-%m-%d}"
            self.assumptions.append(f"version {version} did not answer {when}: its AUC is unknown")
        return {"measurement": to_builtins(replace(seen, version=version, auc=auc))}

    def _retrain(self, decision: Decision, now: Event) -> dict[str, Any]:
        for event in self._outcomes("retrain"):
            made = self.made[event.data["decision"]]
            same_request = made.data["params"].get("request") == decision.params.get("request")
            if same_request and abs(made.at - now.at) <= SAME:
                return event.data
        self.unrecorded += 1
        self.assumptions.append(f"nobody trained on {now.at:%Y-%m-%d}: version {self.unrecorded} is assumed to pass")
        return {"version": self.unrecorded, "digest": f"unrecorded-{self.unrecorded}"}

    def _propose(self, decision: Decision, now: Event) -> dict[str, Any]:
        recorded = [e for e in self._outcomes("propose") if e.data.get("version") == decision.version]
        return recorded[0].data if recorded else {"version": decision.version, "digest": ""}

    def _judge(self, decision: Decision, now: Event) -> dict[str, Any]:
        for event in self._outcomes("judge"):
            if self.made[event.data["decision"]].data["version"] == decision.version:
                return event.data
        return {"passed": True, "verdict": "", "failures": []}

    def _look(self, decision: Decision, now: Event) -> dict[str, Any]:
        for event in self._outcomes("look"):
            failing = event.data["look"]["status"] == "failing"
            if failing and self.made[event.data["decision"]].data["version"] == decision.version:
                return {"look": {**event.data["look"], "at": now.at.isoformat()}}
        look = Look(at=now.at, status="healthy", rows=self.policy.rollout.min_rows)
        return {"look": to_builtins(look)}

    def _outcomes(self, kind: str) -> list[Event]:
        return [event for event in self.done if event.data["kind"] == kind]


def _count(kinds: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for kind in kinds:
        counted[kind] = counted.get(kind, 0) + 1
    return dict(sorted(counted.items()))
