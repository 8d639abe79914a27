"""Actions: how each kind of decision is carried out, through the stations; each is idempotent under its decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from msgspec.structs import replace

from bucle.ground import governance
from bucle.ground.core import BucleError, StoreError, decode, make_ref, to_builtins
from bucle.ground.project import Project
from bucle.line import data, deploy, gates, monitoring, pipelines, registry, serving
from bucle.loop.controller import Action, Outcome
from bucle.loop.heldout import evidence_on, labels_of, read_rows
from bucle.loop.place import executor_of
from bucle.loop.policy import Policy
from bucle.loop.state import Decision, Look, Measurement, State
from bucle.loop.tail import SHADOW, Tail

__all__ = ["PROFILE", "QUALITY", "actions_for"]

PROFILE = "profile.json"
"""The file in a package that holds the reference `monitoring.Profile`."""

QUALITY = "quality.json"
"""The file in a package that holds the `monitoring.Quality` it had on held-out rows."""


def actions_for(project: Project, policy: Policy, target: deploy.Target) -> Action:
    """What carries out a model's decisions.

    Args:
        target: where its endpoint runs.
    """
    station = _Station(project, policy, target, Tail(project, policy.endpoint))
    return lambda state, decision: _ACTIONS[decision.kind](station, state, decision)


@dataclass(frozen=True)
class _Station:
    project: Project
    policy: Policy
    target: deploy.Target
    tail: Tail

    @property
    def actor(self) -> str:
        return make_ref("loop", self.policy.model)

    def version(self, number: int) -> registry.ModelVersion:
        return registry.version(self.project, self.policy.model, number)

    def package(self, number: int) -> registry.Package:
        return registry.load_package(self.project, self.version(number).digest)

    def file(self, number: int, name: str) -> bytes:
        return self.project.blobs.get(self.package(number).files[name])


def _watch(station: _Station, state: State, decision: Decision) -> Outcome:
    """Fold the prediction log of a window into summaries, with the labels known by now."""
    project, policy = station.project, station.policy
    assert decision.since is not None
    assert decision.until is not None
    serving.collect(project, policy.endpoint)
    frame = serving.predictions(project, policy.endpoint, since=decision.since, until=decision.until)
    labels = labels_of(project, policy, project.clock.now())
    profiles = {number: _profile(station, number) for number in sorted(frame["version"].unique().to_list())}
    windows: list[monitoring.Window] = []
    for number, profile in profiles.items():
        mine = frame.filter(pl.col("version") == number)
        seen = monitoring.features_of(mine, profile)
        windows += monitoring.summarise(mine, seen, labels, profile, since=decision.since, until=decision.until)
    baselines = {number: decode(station.file(number, QUALITY), monitoring.Quality) for number in profiles}
    found = monitoring.watch(
        project,
        policy.endpoint,
        windows,
        profiles,
        baseline=baselines,
        key=f"{decision.id}/watched",
        actor=station.actor,
    )
    measured = _measurement(state.champion, found, baselines)
    return {"measurement": to_builtins(measured), "signals": len(found.signals)}


def _measurement(
    champion: int, seen: monitoring.Watch, baselines: Mapping[int, monitoring.Quality]
) -> Measurement | None:
    answered = [window for window in seen.windows if window.arm != SHADOW]
    own = [window for window in answered if window.version == champion]
    if not own:
        return None
    whole = _one(own)
    quality = monitoring.quality(*own)
    drifts = {
        kind: {drift.feature: drift.psi for drift in seen.drifts if _is_own(drift, champion) and drift.kind == kind}
        for kind in ("numeric", "categorical", "prediction")
    }
    shadows = [(window.version, monitoring.quality(window).auc) for window in seen.windows if window.arm == SHADOW]
    return Measurement(
        since=whole.since,
        until=whole.until,
        version=champion,
        rows=sum(window.rows for window in own),
        labelled=quality.labelled,
        auc=quality.auc,
        baseline_auc=baselines[champion].auc if champion in baselines else None,
        psi=drifts["numeric"] | drifts["categorical"],
        prediction_psi=max(drifts["prediction"].values(), default=0.0),
        error_rate=whole.failures / whole.requests if whole.requests else 0.0,
        p95_ms=whole.latency_ms(0.95) or 0.0,
        live_auc=monitoring.quality(*answered).auc,
        shadow_auc={str(number): auc for number, auc in shadows if auc is not None},
    )


def _is_own(drift: monitoring.Drift, champion: int) -> bool:
    return drift.version == champion and drift.arm == serving.CHAMPION


def _one(windows: Iterable[monitoring.Window]) -> monitoring.Window:
    """Windows of one version as one, whichever arms it answered in."""
    (merged,) = monitoring.merge_all(replace(window, arm=serving.CHAMPION) for window in windows)
    return merged


def _hold(station: _Station, state: State, decision: Decision) -> Outcome:
    return {}


def _retrain(station: _Station, state: State, decision: Decision) -> Outcome:
    """Run the pipeline on the newest data, and register what it gives as a version."""
    project, policy = station.project, station.policy
    asked = {name: value for name, value in decision.params.items() if name != "request"}
    until = (decision.until or project.clock.now()).isoformat()
    params = {"commit": decision.commit, "until": until, **asked}
    try:
        execution = pipelines.run(
            project, policy.pipeline, params, key=f"{decision.id}/run", executor=executor_of(project)
        )
        made = execution.result
    except StoreError:
        raise
    except BucleError as error:
        return {"failed": str(error)}
    try:
        version = registry.register(
            project,
            policy.model,
            made["package"],
            run=made["run"],
            execution=execution.id,
            commit=decision.commit,
            metrics=made["metrics"],
            author=station.actor,
            reason=decision.reason,
            key=f"{decision.id}/register",
        )
    except data.PurposeRefused as error:
        return {"failed": str(error)}
    if version.version == state.champion:
        return {"failed": f"the pipeline gave the champion again, bit for bit: {version.digest[:12]}"}
    _point_challenger(station, decision, version.version)
    return {
        "version": version.version,
        "digest": version.digest,
        "holdout": made["holdout"]["blob"],
        "execution": execution.id,
        "run": made["run"],
    }


def _propose(station: _Station, state: State, decision: Decision) -> Outcome:
    """Take up a version that somebody registered by hand."""
    if not state.holdout:
        return {"failed": "there are no held-out rows to judge it on: let the loop train a version first"}
    try:
        version = station.version(decision.version)
    except BucleError as error:
        return {"failed": str(error)}
    _point_challenger(station, decision, version.version)
    return {"version": version.version, "digest": version.digest}


def _judge(station: _Station, state: State, decision: Decision) -> Outcome:
    """Score the held-out rows with challenger and champion, and let every gate look."""
    project, policy = station.project, station.policy
    judges = gates.gates_of(policy.gates)
    version = station.version(decision.version)
    champion = station.version(state.champion) if state.champion else None
    rows = read_rows(project, state.holdout)
    evidence = evidence_on(project, policy, rows, version, champion, judges=judges)
    against = make_ref("model", policy.model, state.champion) if state.champion else ""
    try:
        verdict = gates.judge(
            project,
            version.ref,
            judges,
            evidence,
            against=against,
            digest=version.digest,
            key=f"{decision.id}/verdict",
            actor=station.actor,
        )
    except data.PurposeRefused as error:
        return {"passed": False, "verdict": "", "failures": [str(error)]}
    if verdict.passed:
        _move(station, decision, "validated", decision.version, f"verdict {verdict.id}")
    failures = [f"{check.gate}: {check.detail}" for check in verdict.refusals]
    return {"passed": verdict.passed, "verdict": verdict.id, "failures": failures}


def _refuse(station: _Station, state: State, decision: Decision) -> Outcome:
    _move(station, decision, "rejected", decision.version, decision.reason)
    _point_challenger(station, decision, None)
    return {}


def _approve(station: _Station, state: State, decision: Decision) -> Outcome:
    """Say yes in the policy's name, to exactly these bytes."""
    version = station.version(decision.version)
    governance.approve(
        station.project,
        make_ref("model", version.model, version.version),
        digest=version.digest,
        principal=station.policy.principal,
        author=version.author,
        reason=decision.reason,
    )
    return {"principal": station.policy.principal}


def _roll(station: _Station, state: State, decision: Decision) -> Outcome:
    policy = station.policy
    rollout = deploy.start(
        station.project,
        policy.endpoint,
        policy.model,
        decision.version,
        steps=policy.rollout.steps if state.champion else (),
        share=decision.share,
        actor=station.actor,
        reason=decision.reason,
        key=f"{decision.id}/rollout",
    )
    deploy.apply(station.project, policy.endpoint, station.target)
    return {"rollout": rollout.id}


def _look(station: _Station, state: State, decision: Decision) -> Outcome:
    """Compare what the canary answered since the last shift with what the champion answered."""
    project, cycle = station.project, state.cycle
    assert cycle is not None
    assert cycle.step_since is not None
    frame = _answers(station, cycle.step_since)
    since, until = cycle.step_since, project.clock.now()
    sides = [_side(station, frame, number, since, until) for number in (cycle.champion, decision.version)]
    rules = monitoring.rules_of(project).guard
    found = monitoring.guard(sides[0], sides[1], rules)
    look = Look(at=until, status=found.status, rows=sides[1].rows, reasons=found.reasons)
    return {"look": to_builtins(look), "guard": to_builtins(found)}


def _answers(station: _Station, since: datetime) -> pl.DataFrame:
    """What was answered for instants from `since` on: still in the log, or collected meanwhile."""
    waiting = station.tail.since(since)
    kept = serving.predictions(station.project, station.policy.endpoint, since=since)
    both = pl.concat([kept, waiting])
    return both.filter(pl.col("arm") != SHADOW).unique(
        ["prediction_id", "version", "arm"], keep="first", maintain_order=True
    )


def _side(station: _Station, frame: pl.DataFrame, number: int, since: datetime, until: datetime) -> monitoring.Window:
    """One version's answers as a window without features; the guard asks for none."""
    version = station.version(number)
    plain = monitoring.Profile(rows=0, features=(), scores=())
    mine = frame.filter(pl.col("version") == number)
    windows = monitoring.summarise(mine, pl.DataFrame(), None, plain, since=since, until=until)
    empty = monitoring.empty_window(station.policy.endpoint, version.model, number, serving.CHAMPION, plain)
    return _one([empty, *windows])


def _shift(station: _Station, state: State, decision: Decision) -> Outcome:
    assert state.cycle is not None
    deploy.shift(
        station.project,
        state.cycle.rollout,
        decision.share,
        actor=station.actor,
        reason=decision.reason,
        key=f"{decision.id}/traffic",
    )
    deploy.apply(station.project, station.policy.endpoint, station.target)
    return {}


def _promote(station: _Station, state: State, decision: Decision) -> Outcome:
    """Give the candidate all traffic, the alias `champion` and the stage `production`; the old one stands by."""
    project, policy = station.project, station.policy
    assert state.cycle is not None
    before = state.cycle.champion
    if deploy.rollout(project, state.cycle.rollout).state == deploy.CANARY:
        deploy.promote(
            project, state.cycle.rollout, actor=station.actor, reason=decision.reason, key=f"{decision.id}/traffic"
        )
    shadows = [(policy.model, number) for number in policy.rollout.shadows if number <= decision.version]
    deploy.set_shadows(
        project,
        policy.endpoint,
        shadows,
        actor=station.actor,
        reason="the policy's shadows",
        key=f"{decision.id}/shadows",
    )
    deploy.apply(project, policy.endpoint, station.target)
    registry.crown(
        project,
        policy.model,
        decision.version,
        before=before or None,
        actor=station.actor,
        reason=decision.reason,
        key=f"{decision.id}/champion",
    )
    _point_challenger(station, decision, None)
    return {}


def _roll_back(station: _Station, state: State, decision: Decision) -> Outcome:
    assert state.cycle is not None
    deploy.roll_back(
        station.project, state.cycle.rollout, actor=station.actor, reason=decision.reason, key=f"{decision.id}/traffic"
    )
    deploy.apply(station.project, station.policy.endpoint, station.target)
    _move(station, decision, "rejected", decision.version, decision.reason)
    _point_challenger(station, decision, None)
    return {}


_ACTIONS: dict[str, Callable[[_Station, State, Decision], Outcome]] = {
    "watch": _watch,
    "hold": _hold,
    "retrain": _retrain,
    "propose": _propose,
    "judge": _judge,
    "refuse": _refuse,
    "approve": _approve,
    "roll": _roll,
    "look": _look,
    "shift": _shift,
    "promote": _promote,
    "roll_back": _roll_back,
}


def _profile(station: _Station, number: int) -> monitoring.Profile:
    return decode(station.file(number, PROFILE), monitoring.Profile, what="profile")


def _move(station: _Station, decision: Decision, stage: str, number: int, reason: str) -> None:
    key = f"{decision.id}/{stage}/{number}"
    registry.transition(
        station.project, station.policy.model, number, stage, actor=station.actor, reason=reason, key=key
    )


def _alias(station: _Station, decision: Decision, alias: str, number: int | None) -> None:
    registry.set_alias(
        station.project,
        station.policy.model,
        alias,
        number,
        actor=station.actor,
        reason=decision.reason,
        key=f"{decision.id}/{alias}",
    )


def _point_challenger(station: _Station, decision: Decision, number: int | None) -> None:
    _alias(station, decision, "challenger", number)
