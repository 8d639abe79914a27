"""A world small enough to live in memory: a log, a clock, and outcomes drawn by chance."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from bucle.ground.core import to_builtins
from bucle.ground.ledger import Event
from bucle.loop import Decision, Labels, Policy, State, decide, fold

START = datetime(2020, 1, 1, tzinfo=UTC)
LABELS = Labels(table="labels", entity="id", label="late", known_at="known_at")


def policy(**changes: Any) -> Policy:
    return Policy(pipeline="retrain", labels=LABELS, model="m", endpoint="m", tables=("rows",), **changes)


class World:
    """Everything outside the engine, with a seed.

    Each run folds the log again from the start, as a controller does after a crash.
    """

    def __init__(self, rules: Policy, seed: int = 0) -> None:
        self.policy = rules
        self.now = START
        self.log: list[Event] = []
        self.random = random.Random(seed)
        self.versions = 0
        self.carried: list[Decision] = []
        self.good: set[int] = set()

    def state(self) -> State:
        state = State(model="m")
        for event in self.log:
            state = fold(state, event, self.policy.tables)
        return state

    def happen(self, kind: str, subject: str, data: dict[str, Any], actor: str = "ana") -> None:
        event = Event(
            seq=len(self.log), at=self.now, actor=actor, kind=kind, subject=subject, reason="", key=None, data=data,
            state=(), leaf="", root="",
        )  # fmt: skip
        self.log.append(event)

    def commit(self, branch: str = "main", table: str = "rows") -> None:
        data = {"commit": f"c{len(self.log)}", "branch": branch, "tables": {table: {"rows_added": 1}}}
        self.happen("data.committed", f"branch/{branch}", data)

    def ask(self, **fields: Any) -> None:
        data = {"id": f"r{len(self.log)}", "reason": "please", "actor": "ana", **fields}
        self.happen("loop.requested", "loop/m", data)

    def tick(self, crash_before_done: bool = False) -> Decision | None:
        """One decision carried out; with a crash the action happens but its end is not written down."""
        state = self.state()
        decision = decide(self.policy, state, self.now)
        if decision is None:
            return None
        if state.awaiting is None:
            self.happen("loop.decided", "loop/m", to_builtins(decision))
        if not crash_before_done:
            self.carried.append(decision)
            outcome = self.outcome(decision)
            self.happen("loop.done", "loop/m", {**outcome, "decision": decision.id})
        return decision

    def settle(self) -> None:
        for _ in range(50):
            if self.tick() is None:
                return
        raise AssertionError("the engine does not come to rest")

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def outcome(self, decision: Decision) -> dict[str, Any]:
        return getattr(self, f"do_{decision.kind}", lambda _: {})(decision)

    def do_watch(self, decision: Decision) -> dict[str, Any]:
        measured = {
            "since": decision.since, "until": decision.until, "version": self.state().champion, "rows": 1000,
            "labelled": 900, "auc": self.random.uniform(0.6, 0.8), "baseline_auc": 0.75,
            "psi": {"a": self.random.uniform(0, 0.3)}, "prediction_psi": 0.0, "error_rate": 0.0, "p95_ms": 1.0,
        }  # fmt: skip
        return {"measurement": to_builtins(measured)}

    def do_retrain(self, decision: Decision) -> dict[str, Any]:
        if self.random.random() < 0.2:
            return {"failed": "step train failed"}
        self.versions += 1
        return {"version": self.versions, "digest": f"d{self.versions}", "holdout": "h"}

    def do_propose(self, decision: Decision) -> dict[str, Any]:
        return {"version": decision.version, "digest": f"d{decision.version}"}

    def do_judge(self, decision: Decision) -> dict[str, Any]:
        passed = self.random.random() < 0.6
        if passed:
            self.good.add(decision.version)
        return {"passed": passed, "verdict": "v", "failures": [] if passed else ["auc"]}

    def do_approve(self, decision: Decision) -> dict[str, Any]:
        digest = self.state().cycle.digest
        self.happen("governance.approved", f"model/m@{decision.version}", {"digest": digest}, "policy:m")
        return {}

    def do_roll(self, decision: Decision) -> dict[str, Any]:
        return {"rollout": f"roll{decision.version}"}

    def do_promote(self, decision: Decision) -> dict[str, Any]:
        data = {"alias": "champion", "version": decision.version}
        self.happen("registry.alias_set", "model/m", data, "loop/m")
        return {}

    def do_look(self, decision: Decision) -> dict[str, Any]:
        status = self.random.choice(["healthy", "healthy", "undecided", "failing"])
        return {"look": {"at": self.now.isoformat(), "status": status, "rows": 1000, "reasons": [status]}}
