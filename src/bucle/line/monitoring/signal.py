"""Signal: something in production that somebody, or the loop, should know of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np

from bucle.ground.core import Record, digest_of_value, short
from bucle.line.monitoring.bins import as_counts, latency_bin
from bucle.line.monitoring.drift import Drift
from bucle.line.monitoring.quality import Quality
from bucle.line.monitoring.rules import Rules
from bucle.line.monitoring.window import Window

__all__ = ["Look", "Signal", "SignalKind", "signals_of"]

SignalKind = Literal["drift", "prediction_drift", "quality", "errors", "latency", "volume"]

_SURE = 0.001
"""Errors and latency are signalled when chance explains them in one window of a thousand."""


class Signal(Record, frozen=True):
    """A finding about one version in one stretch of time.

    Attributes:
        id: made of what it is about, so that finding it again is the same signal.
        kind: `drift`, `prediction_drift`, `quality`, `errors`, `latency` or `volume`.
        endpoint: the endpoint.
        model: the model; empty for `volume`.
        version: its version; 0 for `volume`.
        arm: its arm; empty for `volume`.
        feature: the feature of a drift; `auc` or `ece` for quality; else empty.
        value: what was measured.
        threshold: what was allowed.
        since: the stretch it is about.
        until: its end.
        at: when it was found.
        detail: one sentence.
    """

    id: str
    kind: SignalKind
    endpoint: str
    model: str
    version: int
    arm: str
    feature: str
    value: float
    threshold: float
    since: datetime
    until: datetime
    at: datetime
    detail: str


class Look(NamedTuple):
    """One window with everything computed from it."""

    window: Window
    drifts: tuple[Drift, ...]
    quality: Quality
    baseline: Quality | None


class _Finding(NamedTuple):
    kind: SignalKind
    feature: str
    value: float
    threshold: float
    detail: str


def signals_of(endpoint: str, looks: Iterable[Look], rules: Rules, at: datetime) -> tuple[Signal, ...]:
    """Everything in these windows that breaks a rule.

    Args:
        endpoint: the endpoint.
        looks: its windows of one stretch of time.
        rules: the thresholds.
        at: now.
    """
    every = list(looks)
    found = [_signal(look.window, finding, at) for look in every for finding in _findings(look, rules)]
    found += [_volume_signal(endpoint, every, rules, at)] if every and _volume(every) < rules.min_volume else []
    return tuple(found)


def _findings(look: Look, rules: Rules) -> Iterator[_Finding]:
    yield from (_drifted(drift) for drift in look.drifts if drift.drifted)
    yield from _quality_lost(look.quality, look.baseline, rules)
    yield from _errors(look.window, rules)
    yield from _latency(look.window, rules)


def _drifted(drift: Drift) -> _Finding:
    kind: SignalKind = "prediction_drift" if drift.kind == "prediction" else "drift"
    what = "The answers" if drift.kind == "prediction" else f"{drift.feature}"
    parts = [f"{what} drifted: PSI {drift.psi:.2f} ({drift.threshold:g} is allowed) over {drift.rows} rows"]
    if drift.mean is not None and drift.reference_mean is not None:
        parts.append(f"mean {drift.mean:.4g}, was {drift.reference_mean:.4g}")
    if drift.unseen > 0.01:
        parts.append(f"{drift.unseen:.0%} never seen in training")
    if abs(drift.nulls - drift.reference_nulls) > 0.01:
        parts.append(f"{drift.nulls:.0%} missing, was {drift.reference_nulls:.0%}")
    return _Finding(kind, drift.feature, drift.psi, drift.threshold, "; ".join(parts) + ".")


def _quality_lost(quality: Quality, baseline: Quality | None, rules: Rules) -> Iterator[_Finding]:
    if quality.labelled < rules.min_labelled:
        return
    if baseline is not None and baseline.auc is not None and quality.auc is not None and quality.auc_high is not None:
        least = baseline.auc - rules.auc_drop
        if quality.auc_high < least:
            yield _Finding(
                "quality",
                "auc",
                quality.auc,
                least,
                f"AUC {quality.auc:.3f} ({quality.auc_low:.3f} to {quality.auc_high:.3f}) over {quality.labelled} "
                f"labels; the baseline is {baseline.auc:.3f}.",
            )
    if quality.ece is not None and quality.ece > rules.max_ece:
        yield _Finding(
            "quality",
            "ece",
            quality.ece,
            rules.max_ece,
            f"Scores are off by {quality.ece:.3f} over {quality.labelled} labels; {rules.max_ece:g} is allowed.",
        )


def _errors(window: Window, rules: Rules) -> Iterator[_Finding]:
    if _surely_above(window.failures, window.requests, rules.max_error_rate):
        yield _Finding(
            "errors",
            "",
            window.error_rate,
            rules.max_error_rate,
            f"{window.failures} of {window.requests} requests failed; {rules.max_error_rate:.1%} is allowed.",
        )


def _latency(window: Window, rules: Rules) -> Iterator[_Finding]:
    latencies = as_counts(window.latencies)
    first_slow = int(latency_bin(np.array([rules.max_p95_ms * 1000]))[0]) + 1
    slow, p95 = int(latencies[first_slow:].sum()), window.latency_ms(0.95)
    if p95 is not None and _surely_above(slow, int(latencies.sum()), 0.05):
        yield _Finding(
            "latency",
            "",
            p95,
            rules.max_p95_ms,
            f"95 % of {window.requests} requests took up to {p95:.1f} ms; {rules.max_p95_ms:g} ms is allowed.",
        )


def _surely_above(hits: int, trials: int, share: float) -> bool:
    """Whether the one-sided Clopper-Pearson bound lies above a share."""
    from scipy.special import betaincinv  # noqa: PLC0415  slow to load, and 27 MB

    return hits > 0 and float(betaincinv(hits, trials - hits + 1, _SURE)) > share


def _volume(looks: list[Look]) -> int:
    return sum(look.window.rows - look.window.errors for look in looks if look.window.arm != "shadow")


def _signal(window: Window, finding: _Finding, at: datetime) -> Signal:
    about = [*window.key, finding.kind, finding.feature, window.since, window.until]
    return Signal(
        id=short(digest_of_value(about)),
        endpoint=window.endpoint,
        model=window.model,
        version=window.version,
        arm=window.arm,
        since=window.since,
        until=window.until,
        at=at,
        **finding._asdict(),
    )


def _volume_signal(endpoint: str, looks: list[Look], rules: Rules, at: datetime) -> Signal:
    since, until = min(look.window.since for look in looks), max(look.window.until for look in looks)
    answers = _volume(looks)
    return Signal(
        id=short(digest_of_value([endpoint, "volume", since, until])),
        kind="volume",
        endpoint=endpoint,
        model="",
        version=0,
        arm="",
        feature="",
        value=float(answers),
        threshold=float(rules.min_volume),
        since=since,
        until=until,
        at=at,
        detail=f"{answers} answers to clients; at least {rules.min_volume} were expected.",
    )
