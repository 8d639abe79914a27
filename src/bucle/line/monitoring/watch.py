"""Watch: fold a stretch of production into the ledger, with every signal it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bucle.ground.core import Record, decode, encode, make_ref
from bucle.ground.ledger import AlreadyDone
from bucle.ground.project import Project
from bucle.line.monitoring.drift import Drift, drift
from bucle.line.monitoring.errors import ProfileMismatch
from bucle.line.monitoring.profile import Profile
from bucle.line.monitoring.quality import Quality, quality
from bucle.line.monitoring.rules import Rules, rules_of
from bucle.line.monitoring.signal import Look, Signal, signals_of
from bucle.line.monitoring.store import keep_signals, keep_windows
from bucle.line.monitoring.window import Window

__all__ = ["Watch", "watch", "watched"]

_WATCHED = "monitoring.watched"


class Watch(Record, frozen=True):
    """What one look at an endpoint found.

    Attributes:
        endpoint: the endpoint.
        windows: what was looked at.
        drifts: every feature of every window.
        quality: one a window, in the same order.
        signals: what broke a rule.
    """

    endpoint: str
    windows: tuple[Window, ...]
    drifts: tuple[Drift, ...]
    quality: tuple[Quality, ...]
    signals: tuple[Signal, ...]


def watch(
    project: Project,
    endpoint: str,
    windows: Sequence[Window],
    profile: Profile | Mapping[int, Profile],
    *,
    rules: Rules | None = None,
    baseline: Quality | Mapping[int, Quality] | None = None,
    key: str | None = None,
    actor: str | None = None,
    reason: str = "",
) -> Watch:
    """Judge windows by the rules and keep both, in one event `monitoring.watched`.

    Watching a stretch again, when more labels are known, replaces its windows and adds what is new.

    Args:
        windows: of this endpoint, one a version and arm.
        profile: the reference they were counted over, or one for each version.
        rules: the project's own unless given.
        baseline: the quality they should keep, or one for each version; without one only calibration is judged.
        key: an idempotency key; the second call with it gives back what the first one found.
        actor: who watches; the project's actor unless given.
        reason: why, for the ledger.
    Raises:
        ProfileMismatch: a window is of another endpoint, has no profile here, or was counted over another one.
    """
    rules = rules or rules_of(project)
    looks = [_look(endpoint, window, profile, rules, baseline) for window in windows]
    found = Watch(
        endpoint=endpoint,
        windows=tuple(windows),
        drifts=tuple(drift for look in looks for drift in look.drifts),
        quality=tuple(look.quality for look in looks),
        signals=signals_of(endpoint, looks, rules, project.clock.now()),
    )
    report = project.blobs.put(encode(found))
    try:
        with project.ledger.transaction(
            _WATCHED,
            subject=make_ref("endpoint", endpoint),
            actor=actor or project.actor,
            reason=reason,
            key=key,
            data={"report": report, "windows": [_brief(look) for look in looks], "signals": _briefs(found.signals)},
        ) as transaction:
            keep_windows(transaction, found.windows)
            keep_signals(transaction, found.signals)
            for window in found.windows:
                transaction.edge(make_ref("model", window.model, window.version), make_ref("blob", report), "watched")
            for signal in found.signals:
                transaction.edge(make_ref("blob", report), make_ref("signal", signal.id), "raised")
    except AlreadyDone:
        return _recorded(project, key or "")
    return found


def watched(project: Project, endpoint: str, *, limit: int | None = None) -> list[Watch]:
    """What earlier looks at an endpoint found, newest first."""
    events = project.ledger.events(
        kinds=[_WATCHED], subject=make_ref("endpoint", endpoint), limit=limit, newest_first=True
    )
    return [decode(project.blobs.get(event.data["report"]), Watch, what="watch") for event in events]


def _recorded(project: Project, key: str) -> Watch:
    event = project.ledger.find(key)
    if event is None or event.kind != _WATCHED:
        raise ProfileMismatch(
            f"The key {key!r} belongs to another event{'' if event is None else f', {event.kind}'}.",
            why="A key says that two calls are the same call.",
            fix="Give this watch a key of its own.",
        )
    return decode(project.blobs.get(event.data["report"]), Watch, what="watch")


def _look(
    endpoint: str,
    window: Window,
    profile: Profile | Mapping[int, Profile],
    rules: Rules,
    baseline: Quality | Mapping[int, Quality] | None,
) -> Look:
    if window.endpoint != endpoint:
        raise ProfileMismatch(
            f"A window of endpoint {window.endpoint!r} was handed over as one of {endpoint!r}.",
            fix="Watch each endpoint by itself.",
        )
    reference = profile.get(window.version) if isinstance(profile, Mapping) else profile
    if reference is None:
        raise ProfileMismatch(
            f"There is no profile for {window.model}@{window.version}.",
            why="Drift is measured from the profile of the version that answered.",
            fix=f"Add it: {{{window.version}: profile, ...}}.",
        )
    return Look(
        window=window,
        drifts=drift(reference, window, rules),
        quality=quality(window, confidence=rules.confidence),
        baseline=baseline.get(window.version) if isinstance(baseline, Mapping) else baseline,
    )


def _brief(look: Look) -> dict[str, Any]:
    """A window on one line of the ledger."""
    window = look.window
    return {
        "model": window.model,
        "version": window.version,
        "arm": window.arm,
        "since": window.since,
        "until": window.until,
        "rows": window.rows,
        "errors": window.errors,
        "labelled": window.labelled,
        "auc": look.quality.auc,
        "p95_ms": window.latency_ms(0.95),
        "drifted": [drift.feature for drift in look.drifts if drift.drifted],
    }


def _briefs(signals: Sequence[Signal]) -> list[dict[str, Any]]:
    names = ("id", "kind", "model", "version", "arm", "feature", "value", "threshold", "detail")
    return [{name: getattr(signal, name) for name in names} for signal in signals]
