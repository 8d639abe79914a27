"""When a difference is worth a signal: the `[monitoring]` and `[monitoring.guard]` tables of `bucle.toml`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from bucle.ground.core import Section
from bucle.ground.project import Project

__all__ = ["GuardRules", "Rules", "rules_of"]

Share = Annotated[float, Meta(ge=0, le=1)]
Chance = Annotated[float, Meta(gt=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]


class GuardRules(Section, frozen=True):
    """`[monitoring.guard]`: what a canary must keep to, beside the champion on the same traffic.

    Attributes:
        alpha: chance that a canary as good as the champion is called failing, over all looks together.
        min_requests: canary requests before it may be called healthy.
        max_error_excess: share of requests by which the canary may fail more often than the champion.
        max_error_rate: share of requests a canary may fail at all, whatever the champion does.
        max_latency_ratio: the canary's 95th percentile may be so many times the champion's.
        min_latency_excess_ms: a slower 95th percentile counts from this difference on.
        max_score_psi: how far the canary's answers may be distributed from the champion's, as PSI.
    """

    alpha: Chance = 0.001
    min_requests: Count = 500
    max_error_excess: Share = 0.02
    max_error_rate: Chance = 0.05
    max_latency_ratio: Annotated[float, Meta(ge=1)] = 1.5
    min_latency_excess_ms: Annotated[float, Meta(ge=0)] = 5.0
    max_score_psi: Positive = 1.0


class Rules(Section, frozen=True):
    """`[monitoring]`: what raises a signal.

    Attributes:
        psi: a feature, or the answers, drifted from this population stability index on …
        js: … if its Jensen-Shannon distance is this much as well, so that a handful of unseen values is not a drift …
        alpha: … and if chance alone would show so much in at most this share of the windows, all features together.
        min_rows: fewer answers in a window are not judged.
        auc_drop: quality is lost when even the upper end of the AUC's interval lies so far below the baseline.
        confidence: of the AUC's interval, two-sided.
        min_labelled: fewer labels are not judged.
        max_ece: expected calibration error that raises a quality signal; 1 never does.
        max_error_rate: share of requests that may fail.
        max_p95_ms: what 95 % of the requests should stay within.
        min_volume: answers to clients a watched stretch should have at least; 0 asks for none.
        guard: the canary's rules.
    """

    psi: Positive = 0.2
    js: Share = 0.1
    alpha: Chance = 0.001
    min_rows: Count = 200
    auc_drop: Share = 0.01
    confidence: Chance = 0.95
    min_labelled: Count = 200
    max_ece: Share = 0.1
    max_error_rate: Chance = 0.01
    max_p95_ms: Positive = 250.0
    min_volume: Count = 0
    guard: GuardRules = GuardRules()


def rules_of(project: Project) -> Rules:
    """The project's rules, defaults where `bucle.toml` says nothing.

    Raises:
        ConfigError: an unknown key or a value out of its range.
    """
    return project.config.section("monitoring", Rules)
