"""The bins that never change: scores in thousandths, latencies in sixteenths of an octave.

Fixed bins make every summary mergeable: two histograms over the same bins add up, whoever counted them and when.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LATENCY_BINS",
    "SCORE_BINS",
    "Counts",
    "as_counts",
    "latency_bin",
    "latency_quantile_us",
    "score_bin",
    "score_centres",
]

Counts = Sequence[int] | NDArray[np.int64]
"""A histogram: one count >= 0 per bin."""

SCORE_BINS = 1000
"""Bins of equal width over [0, 1]; a score outside falls into the nearest one."""

_PER_OCTAVE = 16
_OCTAVES = 27

LATENCY_BINS = _PER_OCTAVE * _OCTAVES
"""From 1 microsecond to 134 seconds, each bin 4.4 % wider than the one before."""


def as_counts(values: Counts) -> NDArray[np.int64]:
    """A histogram as an int64 array."""
    return np.asarray(values, dtype=np.int64)


def score_bin(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each score; finite numbers."""
    inside = np.clip(scores, 0.0, 1.0)
    return np.minimum((inside * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)


def score_centres() -> NDArray[np.float64]:
    """The middle of each score bin."""
    return (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS


def latency_bin(latency_us: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each latency in microseconds."""
    exponent = np.log2(np.maximum(latency_us, 1.0)) * _PER_OCTAVE
    return np.minimum(exponent.astype(np.int64), LATENCY_BINS - 1)


def latency_quantile_us(counts: Counts, share: float) -> float | None:
    """The latency that a share of the requests stays within.

    Args:
        counts: int[LATENCY_BINS].
        share: 0 < share <= 1, e.g. 0.95.
    Returns:
        Microseconds, exact to a bin's width (4.4 %), placed geometrically within the bin; None for an empty histogram.
    """
    histogram = as_counts(counts)
    total = int(histogram.sum())
    if total == 0:
        return None
    reached = np.cumsum(histogram)
    wanted = share * total
    index = int(np.searchsorted(reached, wanted))
    before = int(reached[index - 1]) if index else 0
    within = (wanted - before) / int(histogram[index])
    return float(2.0 ** ((index + within) / _PER_OCTAVE))
