"""Guard: may the canary go on, must it stop, or is it too early to say?

Three questions are asked of the counts since traffic was last shifted, each by an e-value, so that looking after every
request is allowed and `alpha` holds for all looks together:

- *More failures than the champion?* While both fail alike, each failure is the canary's with the chance of its share of
  the traffic, whenever it happens; a bad hour that strikes both arms says nothing against either.
- *More failures than anyone may have?* The canary's failures beside `max_error_rate`.
- *Slower?* While its 95th percentile is within `max_latency_ratio` of the champion's, at most 5 % of its requests take
  longer than that.

Source: Lindon & Malek (2022), "Anytime-valid inference for multinomial count data", for the first.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from bucle.ground.core import Record
from bucle.line.monitoring.bins import as_counts, latency_bin
from bucle.line.monitoring.distance import chi_square, jensen_shannon, pool_rare, psi
from bucle.line.monitoring.drift import score_groups
from bucle.line.monitoring.rules import GuardRules
from bucle.line.monitoring.sequential import log_e_value, lower_bound, upper_bound
from bucle.line.monitoring.window import Window

__all__ = ["Guard", "guard"]

_TESTS = 3
_TAIL = 0.95
_BOUND_ALPHA = 0.05
_LEAST_DISTANCE = 0.1
"""A few answers in bins the champion left empty weigh too much in PSI alone."""
_LN10 = math.log(10)


class Guard(Record, frozen=True):
    """What a look at canary and champion says.

    Attributes:
        status: `healthy`, `failing` or `undecided`.
        reasons: one sentence a finding.
        champion: version.
        canary: version.
        champion_requests: requests it answered or failed.
        canary_requests: the same of the canary.
        champion_error_rate: share of its requests that failed.
        canary_error_rate: the same of the canary.
        error_excess_high: the canary's error rate lies at most this far above the champion's (95 %, at all looks).
        error_evidence: e-value, as a power of ten, that the canary fails more often than the champion.
        champion_p95_ms: None without a request.
        canary_p95_ms: the same of the canary.
        latency_evidence: e-value, as a power of ten, that it is slower than allowed.
        score_psi: how far the answers' distributions lie apart; None while there are too few.
    """

    status: Literal["healthy", "failing", "undecided"]
    reasons: tuple[str, ...]
    champion: int
    canary: int
    champion_requests: int
    canary_requests: int
    champion_error_rate: float
    canary_error_rate: float
    error_excess_high: float
    error_evidence: float
    champion_p95_ms: float | None
    canary_p95_ms: float | None
    latency_evidence: float
    score_psi: float | None


def guard(champion: Window, canary: Window, rules: GuardRules | None = None) -> Guard:
    """Look at a canary beside its champion.

    Args:
        champion: since the last shift of traffic. Over a shift the shares of the traffic differ, and with them who
            bears which failure.
        canary: the same stretch.
        rules: the thresholds; the defaults unless given.
    Returns:
        `failing` as soon as one test is sure; `healthy` once `min_requests` are in and the excess of failures is
        bounded by `max_error_excess`; `undecided` until then. A champion without traffic leaves the absolute limits.
    """
    rules = rules or GuardRules()
    limit = math.log(_TESTS / rules.alpha)
    excess, excess_evidence = _error_excess(champion, canary)
    absolute_evidence = log_e_value(canary.failures, canary.requests, rules.max_error_rate)
    latency_evidence = _latency_evidence(champion, canary, rules)
    score_psi, apart = _scores_apart(champion, canary, rules)
    against = []
    if excess_evidence >= limit and canary.error_rate - champion.error_rate > rules.max_error_excess:
        against.append(_errors_sentence(champion, canary))
    if absolute_evidence >= limit:
        against.append(
            f"The canary failed {canary.failures} of {canary.requests} requests; {rules.max_error_rate:.1%} is allowed."
        )
    if latency_evidence >= limit:
        against.append(_latency_sentence(champion, canary, rules))
    if apart:
        against.append(
            f"Its answers lie elsewhere: PSI {score_psi:.2f} from the champion's; {rules.max_score_psi:g} is allowed."
        )
    waiting = _waiting(champion, canary, excess, rules)
    return Guard(
        status="failing" if against else "undecided" if waiting else "healthy",
        reasons=tuple(against or waiting or [_healthy_sentence(champion, canary, excess)]),
        champion=champion.version,
        canary=canary.version,
        champion_requests=champion.requests,
        canary_requests=canary.requests,
        champion_error_rate=champion.error_rate,
        canary_error_rate=canary.error_rate,
        error_excess_high=excess,
        error_evidence=max(-300.0, min(300.0, excess_evidence / _LN10)),
        champion_p95_ms=champion.latency_ms(_TAIL),
        canary_p95_ms=canary.latency_ms(_TAIL),
        latency_evidence=max(-300.0, min(300.0, latency_evidence / _LN10)),
        score_psi=score_psi,
    )


def _error_excess(champion: Window, canary: Window) -> tuple[float, float]:
    """Upper bound of the excess of failures, and the log e-value that there is one."""
    requests, failures = champion.requests + canary.requests, champion.failures + canary.failures
    evidence = log_e_value(canary.failures, failures, canary.requests / requests) if champion.requests else 0.0
    high = upper_bound(canary.failures, canary.requests, _BOUND_ALPHA / 2)
    low = lower_bound(champion.failures, champion.requests, _BOUND_ALPHA / 2)
    return max(0.0, high - low), evidence


def _latency_evidence(champion: Window, canary: Window, rules: GuardRules) -> float:
    before, after = champion.latency_ms(_TAIL), canary.latency_ms(_TAIL)
    if before is None or after is None:
        return 0.0
    allowed = max(before * rules.max_latency_ratio, before + rules.min_latency_excess_ms)
    if after <= allowed or champion.requests < rules.min_requests:
        return 0.0
    first_slow = int(latency_bin(np.array([allowed * 1000]))[0]) + 1
    slow = int(as_counts(canary.latencies)[first_slow:].sum())
    return log_e_value(slow, sum(canary.latencies), 1 - _TAIL)


def _scores_apart(champion: Window, canary: Window, rules: GuardRules) -> tuple[float | None, bool]:
    """PSI of the answers, and whether it is too far; None while there are too few."""
    before, after = as_counts(champion.scores), as_counts(canary.scores)
    # Rows of one request are alike (one hour, one customer), so requests are counted, not rows.
    if min(champion.requests, canary.requests) < max(1, rules.min_requests) or not before.sum() or not after.sum():
        return None, False
    group = score_groups(before)
    coarse = np.bincount(group, weights=before).astype(np.int64), np.bincount(group, weights=after).astype(np.int64)
    index = psi(*coarse)
    sure = chi_square(*pool_rare(*coarse)).p_value <= rules.alpha / _TESTS
    return index, sure and index >= rules.max_score_psi and jensen_shannon(*coarse) >= _LEAST_DISTANCE


def _waiting(champion: Window, canary: Window, excess: float, rules: GuardRules) -> list[str]:
    if canary.requests < rules.min_requests:
        return [f"The canary has {canary.requests} requests of the {rules.min_requests} it needs."]
    allowed = rules.max_error_excess if champion.requests else rules.max_error_rate
    if excess <= allowed:
        return []
    above = " above the champion's" if champion.requests else ""
    return [f"Its error rate may still be {excess:.1%}{above}; it must be known to be within {allowed:.1%}."]


def _errors_sentence(champion: Window, canary: Window) -> str:
    return (
        f"The canary failed {canary.failures} of {canary.requests} requests ({canary.error_rate:.1%}), the champion "
        f"{champion.failures} of {champion.requests} ({champion.error_rate:.1%})."
    )


def _latency_sentence(champion: Window, canary: Window, rules: GuardRules) -> str:
    before, after = champion.latency_ms(_TAIL), canary.latency_ms(_TAIL)
    return (
        f"Its 95th percentile is {after:.1f} ms, the champion's {before:.1f} ms; "
        f"{rules.max_latency_ratio:g} times that is allowed."
    )


def _healthy_sentence(champion: Window, canary: Window, excess: float) -> str:
    above = " above the champion's" if champion.requests else ""
    return f"{canary.requests} requests; its error rate is at most {excess:.1%}{above}; nothing else speaks against it."
