"""Drift: how far a window's features and answers lie from the profile, and whether that is worth a signal.

A p-value alone would call any difference a drift once there are enough rows, and an effect size alone would call noise
one while there are few. So three things must agree: PSI says it is far, Jensen-Shannon that it is not a handful of
values in bins the reference never filled, and a chi-square test that chance does not explain it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bucle.ground.core import Record
from bucle.line.monitoring.bins import as_counts
from bucle.line.monitoring.distance import Test, chi_square, jensen_shannon, kolmogorov_smirnov, pool_rare, psi
from bucle.line.monitoring.errors import ProfileMismatch
from bucle.line.monitoring.profile import FeatureProfile, Profile
from bucle.line.monitoring.rules import Rules
from bucle.line.monitoring.window import FeatureCounts, Window

__all__ = ["PREDICTION", "Drift", "drift"]

PREDICTION = "prediction"
"""What the drift of the answers themselves is filed under."""

_SCORE_GROUPS = 20


class Drift(Record, frozen=True):
    """One feature of one window beside the reference.

    Attributes:
        version: the version that answered.
        arm: its arm.
        feature: the feature; `prediction` for the answers.
        kind: `numeric`, `categorical` or `prediction`.
        rows: rows compared.
        psi: population stability index, nulls as a bin of their own.
        js: Jensen-Shannon distance, 0 to 1, nulls as a bin of their own.
        ks: the largest gap between the cumulated shares; None where values have no order.
        ks_p: its p-value.
        chi2_p: p-value of the chi-square test over the bins, rare ones pooled.
        nulls: share of rows without a value.
        reference_nulls: the same in the reference.
        unseen: share of rows with a value outside the reference's range, or of a category without a bin.
        mean: of the window, numeric features only.
        reference_mean: of the reference.
        threshold: the PSI from which on it counts.
        drifted: whether PSI, distance and test agree that it did.
    """

    version: int
    arm: str
    feature: str
    kind: Literal["numeric", "categorical", "prediction"]
    rows: int
    psi: float
    js: float
    ks: float | None
    ks_p: float | None
    chi2_p: float
    nulls: float
    reference_nulls: float
    unseen: float
    mean: float | None
    reference_mean: float | None
    threshold: float
    drifted: bool


def drift(profile: Profile, window: Window, rules: Rules | None = None) -> tuple[Drift, ...]:
    """Every feature's drift, in the profile's order, then that of the answers if the profile has scores.

    Args:
        profile: the reference the window was counted over.
        window: any stretch of time.
        rules: the thresholds; the defaults unless given.
    Returns:
        What has no row on one side is left out.
    Raises:
        ProfileMismatch: the window was counted over another profile.
    """
    rules = rules or Rules()
    if window.profile != profile.digest:
        raise ProfileMismatch(
            f"The window of {window.model}@{window.version} was counted over another profile.",
            why="Counts over other bins cannot be compared with this reference.",
            fix="Use the profile in the package of that version.",
        )
    alpha = rules.alpha / (len(profile.features) + 1)
    found = [
        _of_feature(reference, counted, window, rules, alpha)
        for reference, counted in zip(profile.features, window.features, strict=True)
        if sum(counted.counts) + counted.nulls and sum(reference.counts) + reference.nulls
    ]
    if sum(profile.scores) and sum(window.scores):
        found.append(_of_scores(profile, window, rules, alpha))
    return tuple(found)


def _of_feature(reference: FeatureProfile, counted: FeatureCounts, window: Window, rules: Rules, alpha: float) -> Drift:
    before = as_counts((*reference.counts, reference.nulls))
    after = as_counts((*counted.counts, counted.nulls))
    rows, known = int(after.sum()), int(after[:-1].sum())
    numeric = reference.kind == "numeric"
    ordered = numeric and known > 0 and before[:-1].sum() > 0
    outside = after[0] + after[-2] if numeric else after[-2]
    mean = (reference.mean or 0.0) + reference.unit * counted.total / known if numeric and known else None
    return _judged(
        window,
        (reference.name, reference.kind),
        before,
        after,
        test=kolmogorov_smirnov(before[:-1], after[:-1]) if ordered else None,
        limits=(rules, alpha),
        nulls=counted.nulls / rows,
        reference_nulls=reference.nulls / int(before.sum()),
        unseen=int(outside) / rows,
        mean=mean,
        reference_mean=reference.mean,
    )


def _of_scores(profile: Profile, window: Window, rules: Rules, alpha: float) -> Drift:
    fine = as_counts(profile.scores)
    current = as_counts(window.scores)
    group = score_groups(fine)
    width = int(group[-1]) + 1
    before = np.bincount(group, weights=fine, minlength=width).astype(np.int64)
    after = np.bincount(group, weights=current, minlength=width).astype(np.int64)
    return _judged(
        window,
        (PREDICTION, "prediction"),
        before,
        after,
        test=kolmogorov_smirnov(fine, current),
        limits=(rules, alpha),
        nulls=0.0,
        reference_nulls=0.0,
        unseen=int(current[fine == 0].sum()) / int(current.sum()),
        mean=_mean(current),
        reference_mean=_mean(fine),
    )


def score_groups(reference: NDArray[np.int64], groups: int = _SCORE_GROUPS) -> NDArray[np.int64]:
    """For each fine score bin the coarse one it goes to: about equal counts in each, as the reference has them."""
    reached = (np.cumsum(reference) - reference / 2) / reference.sum()
    coarse = np.minimum((reached * groups).astype(np.int64), groups - 1)
    _, dense = np.unique(coarse, return_inverse=True)
    return dense.astype(np.int64)


def _judged(
    window: Window,
    what: tuple[str, Literal["numeric", "categorical", "prediction"]],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    *,
    test: Test | None,
    limits: tuple[Rules, float],
    nulls: float,
    reference_nulls: float,
    unseen: float,
    mean: float | None,
    reference_mean: float | None,
) -> Drift:
    rules, alpha = limits
    rows, index, distance = int(after.sum()), psi(before, after), jensen_shannon(before, after)
    chance = chi_square(*pool_rare(before, after)).p_value
    return Drift(
        version=window.version,
        arm=window.arm,
        feature=what[0],
        kind=what[1],
        rows=rows,
        psi=index,
        js=distance,
        ks=test.statistic if test else None,
        ks_p=test.p_value if test else None,
        chi2_p=chance,
        nulls=nulls,
        reference_nulls=reference_nulls,
        unseen=unseen,
        mean=mean,
        reference_mean=reference_mean,
        threshold=rules.psi,
        drifted=rows >= rules.min_rows and index >= rules.psi and distance >= rules.js and chance <= alpha,
    )


def _mean(scores: NDArray[np.int64]) -> float:
    return float((np.arange(scores.size) + 0.5) @ scores / scores.size / scores.sum())
