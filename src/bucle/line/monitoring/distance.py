"""How far apart two histograms are. Pure functions over counts; no thresholds stand here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bucle.line.monitoring.bins import Counts, as_counts
from bucle.line.monitoring.errors import BadHistogram

__all__ = ["Test", "chi_square", "jensen_shannon", "kolmogorov_smirnov", "pool_rare", "psi"]


class Test(NamedTuple):
    """A test statistic with the chance to see it, or more, when nothing changed."""

    statistic: float
    p_value: float


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index of two histograms over the same bins.

    Args:
        reference: int64[k], counts per bin, total > 0.
        current: int64[k], the same bins, total > 0.
    Returns:
        Index in nats, >= 0; 0 when the shares agree. A bin empty on one side counts as half an observation there; a
        bin empty on both sides counts for nothing.
    Raises:
        BadHistogram: the two differ in length, or one is empty.
    Source: Jeffreys (1946), symmetric divergence; the half observation is ours.
    Example:
        >>> psi([50, 50], [50, 50])
        0.0
    """
    before, after = _pair(reference, current)
    used = (before + after) > 0
    p = _shares(np.maximum(before[used], 0.5))
    q = _shares(np.maximum(after[used], 0.5))
    return max(0.0, float(np.sum((q - p) * np.log(q / p))))


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Jensen-Shannon distance of two histograms over the same bins.

    Args:
        reference: int64[k], total > 0.
        current: int64[k], total > 0.
    Returns:
        0 (equal shares) to 1 (no bin in common): the root of the divergence in bits, which is a metric.
    Raises:
        BadHistogram: the two differ in length, or one is empty.
    Source: Lin (1991), "Divergence measures based on the Shannon entropy"; Endres & Schindelin (2003) for the metric.
    """
    before, after = _pair(reference, current)
    p, q = _shares(before), _shares(after)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(min(1.0, max(0.0, divergence))))


def kolmogorov_smirnov(reference: Counts, current: Counts) -> Test:
    """Two-sample Kolmogorov-Smirnov test on binned numbers.

    Args:
        reference: int64[k], in the order of the bins, total > 0.
        current: int64[k], total > 0.
    Returns:
        The largest gap between the two cumulated shares at a bin's edge, and its asymptotic p-value. Binning can only
        lower the gap, so the p-value is never too small.
    Raises:
        BadHistogram: the two differ in length, or one is empty.
    Source: Smirnov (1948); the limit distribution of Kolmogorov (1933).
    """
    before, after = _pair(reference, current)
    gap = float(np.abs(np.cumsum(_shares(before)) - np.cumsum(_shares(after))).max())
    n, m = float(before.sum()), float(after.sum())
    from scipy.special import kolmogorov  # noqa: PLC0415  slow to load, and 27 MB

    return Test(gap, float(kolmogorov(np.sqrt(n * m / (n + m)) * gap)))


def chi_square(reference: Counts, current: Counts) -> Test:
    """Pearson's chi-square test of homogeneity of two histograms over the same bins.

    Args:
        reference: int64[k], total > 0.
        current: int64[k], total > 0.
    Returns:
        The statistic and its p-value; a bin empty on both sides costs no degree of freedom.
    Raises:
        BadHistogram: the two differ in length, or one is empty.
    Source: Pearson (1900); no continuity correction.
    """
    before, after = _pair(reference, current)
    used = (before + after) > 0
    table = np.stack([before[used], after[used]])
    degrees = table.shape[1] - 1
    if degrees == 0:
        return Test(0.0, 1.0)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    from scipy.special import chdtrc  # noqa: PLC0415  slow to load, and 27 MB

    return Test(statistic, float(chdtrc(degrees, statistic)))


def pool_rare(reference: Counts, current: Counts, least: float = 5.0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both histograms with their rare bins put into one: those where fewer than `least` rows are expected.

    The chi-square limit holds only where counts are expected, and a p-value of 1e-5 lies far out in its tail. Where
    even the rare bins together expect too few, the rarest of the others joins them.

    Args:
        reference: int64[k], total > 0.
        current: int64[k], total > 0.
        least: rows expected, by the shares of both together, in the smaller histogram.
    Raises:
        BadHistogram: the two differ in length, or one is empty.
    Source: Cochran (1954), "Some methods for strengthening the common chi-square tests".
    """
    before, after = as_counts(reference), as_counts(current)
    _pair(before, after)
    expected = (before + after) * (min(int(before.sum()), int(after.sum())) / int((before + after).sum()))
    rare = expected < least
    if 0 < expected[rare].sum() < least and not rare.all():
        rare[np.argmin(np.where(rare, np.inf, expected))] = True
    return _pooled(before, rare), _pooled(after, rare)


def _pooled(counts: NDArray[np.int64], rare: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.append(counts[~rare], counts[rare].sum())


def _pair(reference: Counts, current: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    before, after = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if before.shape != after.shape:
        raise BadHistogram(
            f"Histograms of {before.size} and {after.size} bins cannot be compared.",
            fix="Count both over the same bins, those of one profile.",
        )
    if before.sum() <= 0 or after.sum() <= 0:
        raise BadHistogram("An empty histogram cannot be compared.", fix="Wait until there are rows.")
    return before, after


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    used = p > 0
    return float(np.sum(p[used] * np.log2(p[used] / q[used])))
