"""How far apart two shares-by-bin are: pure functions over counts of the same bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Histogram", "jensen_shannon", "l_infinity"]

Histogram = Sequence[float] | NDArray[np.float64] | NDArray[np.int64]
"""Counts, one a bin, >= 0, with a sum > 0."""


def l_infinity(one: Histogram, other: Histogram) -> float:
    """The greatest difference between the shares of any bin.

    Returns:
        0 (equal shares) to 1; the same either way round.
    Source: TensorFlow Data Validation, "infinity norm" of its drift and skew comparators.
    Example:
        >>> l_infinity([3, 1], [1, 1])
        0.25
    """
    return float(np.abs(_shares(one) - _shares(other)).max())


def jensen_shannon(one: Histogram, other: Histogram) -> float:
    """The Jensen-Shannon distance: the root of the divergence in bits, which is a metric.

    Returns:
        0 (equal shares) to 1 (no bin in common); the same either way round.
    Source: Lin (1991), "Divergence measures based on the Shannon entropy"; Endres & Schindelin (2003) for the metric.
    Example:
        >>> jensen_shannon([1, 1], [2, 2]), jensen_shannon([1, 0], [0, 1])
        (0.0, 1.0)
    """
    p, q = _shares(one), _shares(other)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(min(1.0, max(0.0, divergence))))


def _shares(counts: Histogram) -> NDArray[np.float64]:
    values = np.asarray(counts, dtype=np.float64)
    shares: NDArray[np.float64] = values / values.sum()
    return shares


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    used = p > 0
    return float(np.sum(p[used] * np.log2(p[used] / q[used])))
