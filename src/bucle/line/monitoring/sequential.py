"""Evidence that may be looked at as often as one likes: e-values for shares, and confidence sequences from them.

An e-value of independent trials is a test martingale: while the null hypothesis holds, the chance that it *ever*
reaches 1 / alpha is at most alpha (Ville 1939). So a guard can look after every request and stop at once.
"""

from __future__ import annotations

import math

__all__ = ["log_e_value", "lower_bound", "upper_bound"]

_HALVINGS = 60


def log_e_value(hits: int, trials: int, share: float) -> float:
    """Evidence that each trial hits with a chance above `share`.

    The likelihood ratio of a uniform mixture over the chances above `share` against `share` itself. Its logarithm
    reaches `log(1 / alpha)` with a chance of at most alpha while the true chance is `share` or less, over all looks
    together.

    Args:
        hits: 0 <= hits <= trials.
        trials: >= 0.
        share: 0 <= share <= 1.
    Returns:
        Natural logarithm of the e-value; 0 before the first trial; infinite after a hit that `share` = 0 rules out.
    Source: Robbins (1970), "Statistical methods related to the law of the iterated logarithm"; Ramdas et al. (2023),
        "Game-theoretic statistics and safe anytime-valid inference".
    """
    if trials == 0 or share >= 1.0:
        return 0.0
    if share <= 0.0:
        return math.inf if hits else -math.log1p(trials)
    misses = trials - hits
    from scipy.special import betaincc, betaln  # noqa: PLC0415  slow to load, and 27 MB

    above = float(betaincc(hits + 1, misses + 1, share))
    if above <= 0.0:
        return -math.inf
    mixture = float(betaln(hits + 1, misses + 1)) + math.log(above) - math.log1p(-share)
    return mixture - hits * math.log(share) - misses * math.log1p(-share)


def lower_bound(hits: int, trials: int, alpha: float) -> float:
    """A share that the true chance lies above, at all looks together, but for a chance of alpha.

    Source: the chances whose `log_e_value` stays below log(1 / alpha).
    """
    limit = -math.log(alpha)
    if hits == 0 or log_e_value(hits, trials, 1e-12) < limit:
        return 0.0
    low, high = 1e-12, hits / trials
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if log_e_value(hits, trials, middle) >= limit else (low, middle)
    return low


def upper_bound(hits: int, trials: int, alpha: float) -> float:
    """A share that the true chance lies below, at all looks together, but for a chance of alpha."""
    return 1.0 if trials == 0 else 1.0 - lower_bound(trials - hits, trials, alpha)
