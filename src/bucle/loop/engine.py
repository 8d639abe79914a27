"""The engine: two pure functions. `fold` learns from an event, `decide` says what to do next.

No I/O, no clock, no randomness: the same events and the same instants give the same decisions. That is why production,
replay over history and tests run this very code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from bucle.ground.ledger import Event
from bucle.line import registry
from bucle.loop.policy import Policy, duration, last_due
from bucle.loop.state import Cycle, Decision, DecisionKind, Look, Measurement, Request, State

__all__ = ["DATA_KINDS", "KINDS", "decide", "fold", "fold_all"]

DATA_KINDS = ("data.committed", "data.merged", "data.picked", "data.restored", "data.reverted")
"""The events by which tables of a branch change."""

KINDS = (*DATA_KINDS, "governance.approved", *registry.ALIAS_EVENTS, "loop.requested", "loop.decided", "loop.done")
"""The events the engine reads; everything else on the ledger is for people."""


def fold_all(state: State, events: Iterable[Event], tables: tuple[str, ...]) -> State:
    """The state after a sequence of events; see `fold`."""
    for event in events:
        state = fold(state, event, tables)
    return state


def fold(state: State, event: Event, tables: tuple[str, ...]) -> State:
    """The state after one more event.

    Args:
        tables: the policy's tables: commits to others are no news. Empty means all.
    """
    if event.kind in DATA_KINDS:
        return _committed(state, event, tables)
    if event.kind == "governance.approved":
        return _approved(state, event)
    if event.kind in registry.ALIAS_EVENTS:
        return _aliased(state, event)
    if event.subject != f"loop/{state.model}":
        return state
    if event.kind == "loop.requested":
        return replace(state, requests=(*state.requests, msgspec.convert(event.data, Request)))
    if event.kind == "loop.decided":
        return _decided(state, msgspec.convert(event.data, Decision), event.at)
    if event.kind == "loop.done" and state.awaiting is not None and event.data["decision"] == state.awaiting.id:
        return _AFTER[state.awaiting.kind](replace(state, awaiting=None), state.awaiting, event)
    return state


def decide(policy: Policy, state: State, now: datetime) -> Decision | None:
    """The next thing to do, or None when there is nothing to do now.

    A decision made but not yet carried out comes again, unchanged, until its `loop.done` stands on the ledger.
    """
    if state.awaiting is not None:
        return state.awaiting
    if watch := _watch(policy, state, now):
        return watch
    if state.cycle is not None:
        return _PHASES[state.cycle.phase](policy, state, state.cycle, now)
    return _begin_requested(state, state.requests[0], now) if state.requests else _consider(policy, state, now)


def _watch(policy: Policy, state: State, now: datetime) -> Decision | None:
    if not state.champion or state.watched_until is None:
        return None
    until = last_due(state.watched_until, policy.watch_every, now)
    if until is None:
        return None
    return _say(state, "watch", f"the window ends {until:%Y-%m-%d}", since=state.watched_until, until=until)


def _begin_requested(state: State, request: Request, now: datetime) -> Decision:
    kind: DecisionKind = "propose" if request.version else "retrain"
    reason = f"manual: {request.reason}"
    params = {"request": request.id, **request.params}
    return _say(state, kind, reason, version=request.version, commit=state.commit, until=now, params=params, opens=True)


def _consider(policy: Policy, state: State, now: datetime) -> Decision | None:
    triggers = _triggers(policy, state, now)
    measured = state.measurement is not None
    if not triggers:
        return _say(state, "hold", "nothing is over its threshold", until=now) if measured else None
    reason = "; ".join(triggers)
    if against := _against(policy, state, now, scheduled="schedule: " in reason or "data: " in reason):
        over = {"over": True}
        return _say(state, "hold", f"{reason}; but {against}", until=now, params=over) if measured else None
    return _say(state, "retrain", reason, commit=state.commit, until=now, opens=True)


def _triggers(policy: Policy, state: State, now: datetime) -> list[str]:
    rules, seen = policy.retrain, state.measurement
    found = [] if seen is None else [text for name in rules.on if (text := _MEASURED[name](policy, seen))]
    last = _last_renewal(state)
    if "schedule" in rules.on and last is not None and now - last >= duration(rules.every):
        found.append(f"schedule: {rules.every} since the last retraining")
    if "data" in rules.on and state.fresh and state.champion:
        found.append("data: new rows were committed")
    return found


def _last_renewal(state: State) -> datetime | None:
    """When the policy last retrained, or a version last took over, whichever came later."""
    promoted = [cycle.closed_at for cycle in state.cycles if cycle.outcome == "promoted" and cycle.closed_at]
    return max([*state.retrained_at[-1:], *promoted[-1:]], default=None)


def _quality(policy: Policy, seen: Measurement) -> str:
    if seen.auc is None:
        return ""
    if seen.auc < policy.retrain.min_auc:
        return f"quality: AUC {seen.auc:.4f} is below {policy.retrain.min_auc}"
    drop = (seen.baseline_auc or seen.auc) - seen.auc
    if drop <= policy.retrain.max_auc_drop:
        return ""
    return f"quality: AUC {seen.auc:.4f} is {drop:.4f} below the {seen.baseline_auc:.4f} of its gates"


def _drift(policy: Policy, seen: Measurement) -> str:
    over = {name: psi for name, psi in seen.psi.items() if psi > policy.retrain.max_psi}
    if len(over) < max(1, policy.retrain.min_drifted):
        return ""
    worst = max(over, key=lambda name: over[name])
    return f"drift: {len(over)} feature(s) over PSI {policy.retrain.max_psi}, worst {worst} {over[worst]:.3f}"


def _prediction_drift(policy: Policy, seen: Measurement) -> str:
    over = seen.prediction_psi > policy.retrain.max_prediction_psi
    return f"prediction_drift: PSI of the answers {seen.prediction_psi:.3f}" if over else ""


def _errors(policy: Policy, seen: Measurement) -> str:
    return f"errors: {seen.error_rate:.2%} failed" if seen.error_rate > policy.retrain.max_error_rate else ""


def _not_measured(policy: Policy, seen: Measurement) -> str:
    return ""


_MEASURED: dict[str, Callable[[Policy, Measurement], str]] = {
    "quality": _quality,
    "drift": _drift,
    "prediction_drift": _prediction_drift,
    "errors": _errors,
    "schedule": _not_measured,
    "data": _not_measured,
}


def _against(policy: Policy, state: State, now: datetime, *, scheduled: bool) -> str:
    rules = policy.retrain
    if not scheduled and state.holds + 1 < rules.consecutive:
        return f"only {state.holds + 1} of {rules.consecutive} looks in a row"
    if state.retrained_at and now - state.retrained_at[-1] < duration(rules.min_interval):
        return f"the last retraining was less than {rules.min_interval} ago"
    recent = [at for at in state.retrained_at if now - at < duration(rules.budget_period)]
    return f"the budget of {rules.budget} in {rules.budget_period} is spent" if len(recent) >= rules.budget else ""


def _judge(policy: Policy, state: State, cycle: Cycle, now: datetime) -> Decision | None:
    return _say(state, "judge", f"version {cycle.candidate} must pass the gates", version=cycle.candidate)


def _refuse(policy: Policy, state: State, cycle: Cycle, now: datetime) -> Decision | None:
    return _say(state, "refuse", "; ".join(cycle.failures), version=cycle.candidate)


def _approve(policy: Policy, state: State, cycle: Cycle, now: datetime) -> Decision | None:
    if policy.approvals == 0 and not cycle.approvals:
        return _say(state, "approve", "passed every gate; the policy asks for no person", version=cycle.candidate)
    if len(cycle.approvals) < policy.approvals:
        return None
    share = policy.rollout.steps[0] if state.champion and policy.rollout.steps else 1.0
    whole = "no canary asked" if state.champion else "nothing serves yet"
    reason = f"canary at {share:.0%}" if share < 1 else whole
    return _say(state, "roll", reason, version=cycle.candidate, share=share)


def _roll(policy: Policy, state: State, cycle: Cycle, now: datetime) -> Decision | None:
    if not cycle.champion or not policy.rollout.steps:
        return _say(state, "promote", "it takes all traffic", version=cycle.candidate, share=1.0)
    last = cycle.looks[-1] if cycle.looks else None
    looked_at = last.at if last else cycle.step_since or now
    fresh = last is not None and cycle.step_since is not None and last.at > cycle.step_since
    if last is not None and last.status == "failing":
        return _say(state, "roll_back", "; ".join(last.reasons), version=cycle.candidate)
    held = cycle.step_since is not None and now - cycle.step_since >= duration(policy.rollout.hold)
    if fresh and held and last is not None and last.status == "healthy" and last.rows >= policy.rollout.min_rows:
        return _next_step(policy, state, cycle, last)
    if now - cycle.opened_at >= duration(policy.rollout.timeout) and last is not None:
        return _say(state, "roll_back", f"undecided after {policy.rollout.timeout}", version=cycle.candidate)
    if now - looked_at >= duration(policy.rollout.look_every):
        return _say(state, "look", f"after {policy.rollout.look_every}", version=cycle.candidate, until=now)
    return None


def _next_step(policy: Policy, state: State, cycle: Cycle, look: Look) -> Decision:
    steps = policy.rollout.steps
    if cycle.step + 1 < len(steps):
        share = steps[cycle.step + 1]
        return _say(state, "shift", f"healthy after {look.rows} answers", version=cycle.candidate, share=share)
    return _say(state, "promote", f"healthy after {look.rows} answers", version=cycle.candidate, share=1.0)


_PHASES: dict[str, Callable[[Policy, State, Cycle, datetime], Decision | None]] = {
    "judging": _judge,
    "refusing": _refuse,
    "approving": _approve,
    "rolling": _roll,
}


def _say(state: State, kind: DecisionKind, reason: str, *, opens: bool = False, **fields: Any) -> Decision:
    number = len(state.cycles) + 1 if opens else state.cycle.number if state.cycle else 0
    identity = f"{state.model}/{number}/{kind}/{state.decisions + 1}"
    return Decision(id=identity, kind=kind, cycle=number, reason=reason, **fields)


def _committed(state: State, event: Event, tables: tuple[str, ...]) -> State:
    touched = set(event.data.get("tables", {}))
    if event.kind != "data.committed" and not touched:
        return state  # older versions did not say what a merge changed
    if event.data.get("branch") != "main" or (tables and not touched & set(tables)):
        return state
    return replace(state, commit=event.data["commit"], fresh=True)


def _approved(state: State, event: Event) -> State:
    cycle = state.cycle
    if cycle is None or event.subject != f"model/{state.model}@{cycle.candidate}":
        return state
    if event.data.get("digest") != cycle.digest:
        return state
    return replace(state, cycle=replace(cycle, approvals=(*cycle.approvals, event.actor)))


def _aliased(state: State, event: Event) -> State:
    """Who bears the alias `champion` is the champion, also when somebody gave it by hand."""
    moved = registry.alias_moves(event)
    if registry.CHAMPION not in moved or registry.model_of(event.subject)[0] != state.model:
        return state
    return replace(state, champion=moved[registry.CHAMPION] or 0, watched_until=state.watched_until or event.at)


def _decided(state: State, decision: Decision, at: datetime) -> State:
    state = replace(state, awaiting=decision, decisions=state.decisions + 1)
    if decision.kind not in ("retrain", "propose"):
        return state
    trigger, _, _ = decision.reason.partition(":")
    cycle = Cycle(
        number=decision.cycle,
        trigger=trigger,
        reason=decision.reason,
        opened_at=at,
        champion=state.champion,
        measurement=state.measurement,
    )
    asked = decision.params.get("request")
    waiting = tuple(request for request in state.requests if request.id != asked)
    retrained = state.retrained_at if asked else (*state.retrained_at, at)  # the budget is the policy's, not people's
    return replace(state, cycle=cycle, requests=waiting, measurement=None, holds=0, fresh=False, retrained_at=retrained)


def _after_watch(state: State, decision: Decision, event: Event) -> State:
    measured = event.data.get("measurement")
    measurement = None if measured is None else msgspec.convert(measured, Measurement)
    return replace(state, watched_until=decision.until, measurement=measurement)


def _after_hold(state: State, decision: Decision, event: Event) -> State:
    return replace(state, measurement=None, holds=state.holds + 1 if decision.params.get("over") else 0)


def _after_retrain(state: State, decision: Decision, event: Event) -> State:
    failed = event.data.get("failed")
    if failed:
        return _close(state, "failed", event.at, failures=(failed,))
    return _with_cycle(
        replace(state, holdout=event.data.get("holdout") or state.holdout),
        phase="judging",
        candidate=event.data["version"],
        digest=event.data["digest"],
    )


def _after_judge(state: State, decision: Decision, event: Event) -> State:
    passed, failures = event.data["passed"], tuple(event.data["failures"])
    phase = "approving" if passed else "refusing"
    return _with_cycle(state, phase=phase, verdict=event.data["verdict"], failures=failures)


def _after_refuse(state: State, decision: Decision, event: Event) -> State:
    return _close(state, "refused", event.at)


def _after_approve(state: State, decision: Decision, event: Event) -> State:
    return state


def _after_roll(state: State, decision: Decision, event: Event) -> State:
    return _with_cycle(state, phase="rolling", rollout=event.data["rollout"], step=0, step_since=event.at)


def _after_look(state: State, decision: Decision, event: Event) -> State:
    look = msgspec.convert(event.data["look"], Look)
    return _with_cycle(state, looks=(*(state.cycle.looks if state.cycle else ()), look))


def _after_shift(state: State, decision: Decision, event: Event) -> State:
    return _with_cycle(state, step=(state.cycle.step if state.cycle else 0) + 1, step_since=event.at)


def _after_promote(state: State, decision: Decision, event: Event) -> State:
    watched = state.watched_until or event.at
    return _close(replace(state, champion=decision.version, watched_until=watched), "promoted", event.at)


def _after_roll_back(state: State, decision: Decision, event: Event) -> State:
    return _close(state, "rolled_back", event.at, failures=(decision.reason,))


_AFTER: dict[str, Callable[[State, Decision, Event], State]] = {
    "watch": _after_watch,
    "hold": _after_hold,
    "retrain": _after_retrain,
    "propose": _after_retrain,
    "judge": _after_judge,
    "refuse": _after_refuse,
    "approve": _after_approve,
    "roll": _after_roll,
    "look": _after_look,
    "shift": _after_shift,
    "promote": _after_promote,
    "roll_back": _after_roll_back,
}


def _with_cycle(state: State, **changes: Any) -> State:
    return replace(state, cycle=replace(state.cycle, **changes)) if state.cycle else state


def _close(state: State, outcome: str, at: datetime, **changes: Any) -> State:
    if state.cycle is None:
        return state
    closed = replace(state.cycle, phase="closed", outcome=outcome, closed_at=at, **changes)
    return replace(state, cycle=None, cycles=(*state.cycles, closed))
