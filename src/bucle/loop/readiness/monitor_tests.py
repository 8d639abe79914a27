"""The seven tests for monitoring."""

from __future__ import annotations

from bucle.ground.ledger import Event
from bucle.line import monitoring
from bucle.loop.policy import duration
from bucle.loop.readiness.evidence import Evidence, event_ref, is_automatic
from bucle.loop.readiness.score import Marks, RubricTest

__all__ = ["MONITOR"]

_BY_ITSELF = ("schedule", "data", "drift", "prediction_drift", "quality", "errors")


def _dependencies(evidence: Evidence) -> Marks:
    refused = [
        one for one in evidence.events("data.refused") if set(one.data.get("contracts", ())) & evidence.contracted
    ]
    if refused:
        return Marks(1, "A batch that broke its contract was refused and told.", event_ref(refused[0].seq))
    if evidence.contracted:
        table = min(evidence.contracted)
        return Marks(0.5, "Contracts would refuse a changed batch; none had to yet.", f"contracts/{table}.yaml")
    return Marks(0, "No contract would notice that an upstream table changed.")


def _invariants(evidence: Evidence) -> Marks:
    trained = [evidence.landings[table] for table in evidence.contracted if table in evidence.landings]
    served = _drifts(evidence)
    if trained and served is not None and len(trained) == len(evidence.tables) and is_automatic(served):
        return Marks(1, "Contracts hold what is trained on, profiles what is served.", event_ref(served.seq))
    if served is not None:
        return Marks(0.5, "Profiles hold what is served; contracts not all that is trained on.", event_ref(served.seq))
    if trained:
        told = "Contracts hold what is trained on; nobody looked at what is served."
        return Marks(0.5, told, event_ref(max(one.seq for one in trained)))
    return Marks(0, "Neither what is trained on nor what is served is held to anything.")


def _skew(evidence: Evidence) -> Marks:
    served = _drifts(evidence)
    if served is None:
        return Marks(0, "Nobody compared what is served with what was trained on.")
    told = "Features served were compared with the profile of those trained on."
    return Marks(1 if is_automatic(served) else 0.5, told, event_ref(served.seq))


def _fresh(evidence: Evidence) -> Marks:
    policy = evidence.policy
    triggers = [one for one in _BY_ITSELF if policy and one in policy.retrain.on]
    if policy is None or not triggers:
        return Marks(0, "Nothing starts a retraining by itself.")
    age = evidence.project.clock.now() - evidence.version.created_at
    too_old = "schedule" in triggers and age > duration(policy.retrain.every)
    own = [one for one in evidence.cycles if one.trigger != "manual" and one.outcome]
    if too_old:
        return Marks(0, f"{evidence.version.ref} is {age.days} days old; the policy allows {policy.retrain.every}.")
    if own and evidence.has_newer_data:
        return Marks(
            0.5, "The loop retrains by itself; newer data wait for it.", f"loop/{evidence.model}@{own[-1].number}"
        )
    if own:
        told = f"Cycle {own[-1].number} was started by {own[-1].trigger}; the version is {age.days} days old."
        return Marks(1, told, f"loop/{evidence.model}@{own[-1].number}")
    return Marks(0.5, f"The policy retrains on {', '.join(triggers)}; it has not had to yet.", "bucle.toml")


def _stable(evidence: Evidence) -> Marks:
    """An answer that is not a number counts as a failed one in every window."""
    for event, seen in evidence.watched:
        mine = [one for one in seen.windows if one.model == evidence.model]
        told = f"{sum(one.errors for one in mine)} of {sum(one.rows for one in mine)} answers failed or were no number."
        return Marks(1 if is_automatic(event) else 0.5, told, event_ref(event.seq))
    return Marks(0, "Nobody looks whether answers are numbers.")


def _performance(evidence: Evidence) -> Marks:
    looked = [event for event in evidence.done if (event.data.get("guard") or {}).get("canary_p95_ms") is not None]
    if looked:
        guard = looked[0].data["guard"]
        told = f"The canary's 95th percentile was {guard['canary_p95_ms']:.1f} ms beside the champion's."
        return Marks(1, told, event_ref(looked[0].seq))
    for event, seen in evidence.watched:
        timed = [one for one in seen.windows if one.model == evidence.model and one.latency_ms(0.95) is not None]
        if timed:
            return Marks(0.5, "Latencies are measured; no version was compared with another.", event_ref(event.seq))
    return Marks(0, "No latency is on record.")


def _quality(evidence: Evidence) -> Marks:
    for event, seen in evidence.watched:
        known = [one for one in seen.quality if one.model == evidence.model and one.auc is not None]
        if known:
            told = f"AUC {known[0].auc:.3f} on {known[0].labelled} answers whose label is known."
            return Marks(1 if is_automatic(event) else 0.5, told, event_ref(event.seq))
    if evidence.policy:
        return Marks(0.5, "The policy says where labels arrive; none is known for an answer yet.", "bucle.toml")
    return Marks(0, "No label of an answer is known.")


def _drifts(evidence: Evidence) -> Event | None:
    """The newest look that compared features with the profile of training."""
    numbers = {one.version for one in evidence.versions}
    return next((event for event, seen in evidence.watched if _compared(seen, numbers)), None)


def _compared(seen: monitoring.Watch, numbers: set[int]) -> bool:
    return any(one.kind != "prediction" and one.version in numbers for one in seen.drifts)


_WATCHED = "Let the loop look at its traffic: bucle loop run"
MONITOR = (
    RubricTest("monitor-1", "changes of dependencies are told", _dependencies, "bucle data infer TABLE"),
    RubricTest("monitor-2", "data invariants hold for inputs", _invariants, _WATCHED),
    RubricTest("monitor-3", "training and serving are not skewed", _skew, _WATCHED),
    RubricTest(
        "monitor-4",
        "models are not too stale",
        _fresh,
        'Write in bucle.toml: [loop.MODEL.retrain] on = ["schedule"], and: bucle loop run',
    ),
    RubricTest("monitor-5", "models are numerically stable", _stable, _WATCHED),
    RubricTest("monitor-6", "computing performance has not regressed", _performance, _WATCHED),
    RubricTest(
        "monitor-7",
        "quality on served data has not regressed",
        _quality,
        "Let labels arrive in the table of [loop.MODEL.labels], and let the loop run: bucle loop run",
    ),
)
