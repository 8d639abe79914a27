"""Metrics of a probability: how well it ranks, how far it is off, how true it is to its word."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bucle.ground.core import Record

__all__ = [
    "HIGHER_IS_BETTER",
    "Bools",
    "Floats",
    "Metric",
    "Reliability",
    "accuracy",
    "auc",
    "brier",
    "debiased_ece",
    "ece",
    "log_loss",
    "measure",
    "midranks",
    "reliability",
    "row_losses",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Metric = Literal["auc", "log_loss", "brier", "accuracy"]

HIGHER_IS_BETTER: Mapping[str, bool] = {"auc": True, "accuracy": True, "log_loss": False, "brier": False}
"""Each metric that can be compared, and which way is better."""

_TINY = float(np.finfo(np.float64).eps)


class Reliability(Record, frozen=True):
    """One bin of a calibration curve.

    Attributes:
        rows: how many predictions are in it.
        predicted: their mean probability.
        observed: the share of them that came true.
    """

    rows: int
    predicted: float
    observed: float


def midranks(values: Floats) -> Floats:
    """The rank of each value from 1; equal values share the mean of their ranks.

    Cost: n log n.
    Example:
        >>> midranks(np.array([3.0, 1.0, 3.0])).tolist()
        [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place], dtype=np.float64)


def auc(labels: Bools, scores: Floats) -> float:
    """Area under the ROC curve: how often a positive has a greater score than a negative, ties counting half.

    Args:
        labels: bool[n].
        scores: float64[n], finite.
    Returns:
        0 to 1; NaN when a class is absent.
    Source: Hanley & McNeil (1982), the Mann-Whitney statistic.
    Example:
        >>> auc(np.array([False, True]), np.array([0.1, 0.9]))
        1.0
    """
    positives = int(labels.sum())
    negatives = labels.size - positives
    if positives == 0 or negatives == 0:
        return math.nan
    ranks = float(midranks(scores)[labels].sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def log_loss(labels: Bools, scores: Floats) -> float:
    """Mean negative log likelihood, in nats; 0 is perfect. Probabilities are kept off 0 and 1 by 2.2e-16."""
    return _mean(row_losses("log_loss", labels, scores))


def brier(labels: Bools, scores: Floats) -> float:
    """Mean squared distance of the probability from what came true, 0 to 1; 0 is perfect.

    Source: Brier (1950).
    """
    return _mean(row_losses("brier", labels, scores))


def accuracy(labels: Bools, scores: Floats) -> float:
    """Share of rows that a threshold of one half puts on the right side."""
    return 1.0 - _mean(row_losses("accuracy", labels, scores))


def row_losses(metric: Metric, labels: Bools, scores: Floats) -> Floats:
    """What each row adds to a metric that is a mean over rows; smaller is better (for accuracy: 1 when wrong).

    Args:
        metric: any but `auc`.
    """
    if metric == "log_loss":
        kept = np.clip(scores, _TINY, 1.0 - _TINY)
        return np.asarray(-np.log(np.where(labels, kept, 1.0 - kept)), dtype=np.float64)
    if metric == "brier":
        return np.asarray((scores - labels) ** 2, dtype=np.float64)
    return np.asarray((scores >= 0.5) != labels, dtype=np.float64)


def measure(metric: Metric, labels: Bools, scores: Floats) -> float:
    """A metric by name; NaN where it is not defined."""
    if metric == "auc":
        return auc(labels, scores)
    loss = _mean(row_losses(metric, labels, scores))
    return 1.0 - loss if metric == "accuracy" else loss


def reliability(labels: Bools, scores: Floats, bins: int = 15) -> list[Reliability]:
    """A calibration curve over bins of equally many rows; equal scores are never parted.

    Args:
        bins: at most so many, >= 1.
    Cost: n log n.
    """
    order, starts = _bins(scores, bins)
    sizes = np.diff([*starts, scores.size])
    predicted, observed = (np.add.reduceat(values[order], starts) / sizes for values in _pair(scores, labels))
    return [
        Reliability(rows=int(rows), predicted=float(said), observed=float(seen))
        for rows, said, seen in zip(sizes, predicted, observed, strict=True)
    ]


def ece(labels: Bools, scores: Floats, bins: int = 15) -> float:
    """Expected calibration error: the mean distance, over rows, of what was said from what was seen in its bin.

    Returns:
        0 to 1; NaN without rows.
    Source: Naeini, Cooper & Hauskrecht (2015), with bins of equal mass.
    """
    if scores.size == 0:
        return math.nan
    curve = reliability(labels, scores, bins)
    return sum(bin_.rows * abs(bin_.predicted - bin_.observed) for bin_ in curve) / scores.size


def debiased_ece(labels: Bools, scores: Floats, bins: int = 15) -> float:
    """Calibration error less what chance explains: near 0 for a calibrated model, however few its rows.

    The plain error is shrunk by the share of the squared distances that the bins' sampling noise accounts for.

    Returns:
        0 to the plain error; NaN without rows.
    Source: the unbiased squared error is that of Kumar, Liang & Ma (2019), "Verified Uncertainty Calibration"; the
        shrinkage is the positive part of James & Stein (1961).
    """
    if scores.size == 0:
        return math.nan
    curve = reliability(labels, scores, bins)
    gaps = [bin_.rows * (bin_.predicted - bin_.observed) ** 2 for bin_ in curve]
    noise = [bin_.rows * bin_.observed * (1 - bin_.observed) / max(1, bin_.rows - 1) for bin_ in curve]
    kept = max(0.0, 1.0 - sum(noise) / sum(gaps)) if sum(gaps) > 0 else 0.0
    return ece(labels, scores, bins) * math.sqrt(kept)


def _bins(scores: Floats, bins: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Order of the rows by score, and where in that order each bin starts."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    wished = np.unique(np.linspace(0, scores.size, bins, endpoint=False).astype(np.int64))
    return order, np.unique(np.searchsorted(ranked, ranked[wished], side="left"))


def _pair(scores: Floats, labels: Bools) -> tuple[Floats, Floats]:
    return scores, labels.astype(np.float64)


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else math.nan
