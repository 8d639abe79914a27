"""Estimates with their uncertainty: of one model, and of one model against another on the same rows."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from bucle.ground.core import Record
from bucle.line.gates.delong import delong
from bucle.line.gates.metric import Bools, Floats, Metric, measure, row_losses

__all__ = ["ROUNDS", "Comparison", "Estimate", "compare", "estimate", "holm", "quantile"]

ROUNDS = 1000
"""Resamples of a bootstrap: the ends of a 95 % interval then vary by about 4 % of its width."""

LARGE = 20_000
"""Rows from which a mean is so nearly normal that resampling would only repeat what the standard error says."""

_SEED = 20130101


class Estimate(Record, frozen=True):
    """A metric with its interval.

    Attributes:
        metric: its name.
        value: on these rows; NaN when not defined.
        error: standard error.
        low, high: the ends of the two-sided interval.
    """

    metric: str
    value: float
    error: float
    low: float
    high: float


class Comparison(Record, frozen=True):
    """A challenger against a champion, row by row.

    Attributes:
        metric: its name.
        challenger, champion: the metric of each.
        gain: how much better the challenger is, whichever way the metric runs; below 0 it is worse.
        error: standard error of the gain.
        low, high: the ends of the gain's two-sided interval.
    """

    metric: str
    challenger: float
    champion: float
    gain: float
    error: float
    low: float
    high: float


def estimate(metric: Metric, labels: Bools, scores: Floats, confidence: float = 0.95) -> Estimate:
    """A metric with its interval: DeLong for AUC, bootstrap over rows for the others.

    Args:
        confidence: of the two-sided interval, 0 < confidence < 1.
    Cost: n log n for AUC; 1000 n up to 20,000 rows and n beyond for the others.
    """
    value = measure(metric, labels, scores)
    if metric == "auc":
        error = delong(labels, scores).error()
        return Estimate(metric=metric, value=value, error=error, **_normal(value, error, confidence))
    sign = -1.0 if metric == "accuracy" else 1.0
    rows = sign * row_losses(metric, labels, scores) + (1.0 if metric == "accuracy" else 0.0)
    return Estimate(metric=metric, value=value, error=_standard_error(rows), **_bootstrap(rows, confidence))


def compare(
    metric: Metric, labels: Bools, challenger: Floats, champion: Floats, confidence: float = 0.95
) -> Comparison:
    """How much better a challenger is on the same rows: paired DeLong for AUC, paired bootstrap for the others.

    Args:
        confidence: of the two-sided interval of the gain, 0 < confidence < 1.
    Returns:
        A comparison; its numbers are NaN where the metric is not defined.
    Cost: n log n for AUC; 1000 n up to 20,000 rows and n beyond for the others.
    Source: Efron & Tibshirani (1993), percentile interval over resampled pairs; the seed is fixed, so equal rows give
        equal intervals.
    """
    values = {
        "challenger": measure(metric, labels, challenger),
        "champion": measure(metric, labels, champion),
    }
    if metric == "auc":
        gain, error = delong(labels, challenger, champion).difference()
        return Comparison(metric=metric, **values, gain=gain, error=error, **_normal(gain, error, confidence))
    gains = row_losses(metric, labels, champion) - row_losses(metric, labels, challenger)
    gain = float(gains.mean()) if gains.size else math.nan
    return Comparison(metric=metric, **values, gain=gain, error=_standard_error(gains), **_bootstrap(gains, confidence))


def quantile(probability: float) -> float:
    """The standard normal quantile.

    Example:
        >>> round(quantile(0.975), 3)
        1.96
    """
    return NormalDist().inv_cdf(probability)


def holm(p_values: list[float], alpha: float) -> list[float]:
    """The level at which each of several tests is held, so that all together err with probability `alpha` at most.

    Returns:
        One level a test, in the order given: a test is rejected if and only if its p-value is at or below its level.
    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    Example:
        >>> holm([0.5, 0.01], 0.04)
        [0.04, 0.02]
    """
    levels, left = [0.0] * len(p_values), len(p_values)
    for index in sorted(range(len(p_values)), key=p_values.__getitem__):
        levels[index] = alpha / left
        left -= p_values[index] <= alpha / left
    return levels


def _normal(value: float, error: float, confidence: float) -> dict[str, float]:
    reach = quantile((1 + confidence) / 2) * error
    return {"low": value - reach, "high": value + reach}


def _standard_error(rows: Floats) -> float:
    return float(rows.std(ddof=1)) / math.sqrt(rows.size) if rows.size > 1 else math.nan


def _bootstrap(rows: Floats, confidence: float) -> dict[str, float]:
    """The percentile interval of a mean. Cost: ROUNDS resamples of all rows, up to LARGE rows."""
    if rows.size < 2:
        return {"low": math.nan, "high": math.nan}
    if rows.size > LARGE:
        return _normal(float(rows.mean()), _standard_error(rows), confidence)
    generator = np.random.default_rng(_SEED)
    means = [rows[generator.integers(rows.size, size=rows.size)].mean() for _ in range(ROUNDS)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"low": float(low), "high": float(high)}
