"""The sampling error of an AUC, and of the difference of two on the same rows.

Source: E. DeLong, D. DeLong & D. Clarke-Pearson (1988); the n log n form is that of X. Sun & W. Xu, "Fast
Implementation of DeLong's Algorithm" (2014).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bucle.line.gates.metric import Bools, Floats, midranks

__all__ = ["DeLong", "delong"]


class DeLong(NamedTuple):
    """AUCs and how they vary together.

    Attributes:
        aucs: float64[k].
        covariance: float64[k, k], of the estimates.
    """

    aucs: Floats
    covariance: NDArray[np.float64]

    def difference(self, a: int = 0, b: int = 1) -> tuple[float, float]:
        """`aucs[a] - aucs[b]` and its standard error."""
        c = self.covariance
        variance = c[a, a] + c[b, b] - 2 * c[a, b]
        # Rounding can leave a tiny negative variance where two models rank alike; NaN stays NaN.
        return float(self.aucs[a] - self.aucs[b]), float(np.sqrt(np.maximum(0.0, variance)))

    def error(self, a: int = 0) -> float:
        """The standard error of `aucs[a]`."""
        return math.sqrt(self.covariance[a, a])


def delong(labels: Bools, *scores: Floats) -> DeLong:
    """The AUCs of one or more models on the same rows, with their covariance.

    Args:
        labels: bool[n].
        scores: one float64[n] a model, finite.
    Returns:
        NaN everywhere when a class has fewer than two rows.
    Cost: n log n a model.
    """
    positives = int(labels.sum())
    negatives = labels.size - positives
    if positives < 2 or negatives < 2:
        empty = np.full(len(scores), np.nan)
        return DeLong(empty, np.full((len(scores), len(scores)), np.nan))
    parts = [_components(labels, score) for score in scores]
    by_positive = np.stack([part[0] for part in parts])
    by_negative = np.stack([part[1] for part in parts])
    covariance = _covariance(by_positive) / positives + _covariance(by_negative) / negatives
    return DeLong(by_positive.mean(axis=1), covariance)


def _components(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it; for each negative the share of positives above it."""
    above, below = scores[labels], scores[~labels]
    ranks = midranks(scores)
    of_positive = (ranks[labels] - midranks(above)) / below.size
    of_negative = 1.0 - (ranks[~labels] - midranks(below)) / above.size
    return of_positive, of_negative


def _covariance(rows: Any) -> NDArray[np.float64]:
    return np.atleast_2d(np.cov(rows))
