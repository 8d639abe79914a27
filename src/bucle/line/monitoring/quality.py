"""Live quality: AUC, log loss, Brier and calibration, out of the labelled histograms of windows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bucle.ground.core import Record
from bucle.line.monitoring.bins import SCORE_BINS, Counts, as_counts, score_bin, score_centres
from bucle.line.monitoring.errors import BadHistogram
from bucle.line.monitoring.window import Window

__all__ = ["Quality", "auc_of_counts", "ece_of_counts", "label_losses", "quality", "quality_of"]

_NANO = 1e9
_CALIBRATION_BINS = 15
_CERTAIN = float(np.finfo(np.float64).eps)
"""A score this near to 0 or 1 costs no more when wrong, as in scikit-learn."""


class Quality(Record, frozen=True):
    """How good the answers were, as far as their labels are known.

    Attributes:
        model: the model; of several windows, the first one's.
        version: the version; 0 for several.
        arm: the arm; empty for several.
        labelled: answers with a label.
        positives: of these, the ones whose label came true.
        auc: area under the ROC curve; None while a class is missing.
        auc_low: lower end of its confidence interval.
        auc_high: upper end.
        log_loss: mean, in nats; None without a label, as are the others below.
        brier: mean squared error.
        ece: expected calibration error over 15 bins of equal width.
        mean_score: mean of the scores, to a score bin's width.
    """

    model: str
    version: int
    arm: str
    labelled: int
    positives: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float | None
    brier: float | None
    ece: float | None
    mean_score: float | None

    @property
    def base_rate(self) -> float | None:
        """Share of the labels that came true."""
        return self.positives / self.labelled if self.labelled else None


def quality(window: Window, *others: Window, confidence: float = 0.95) -> Quality:
    """The quality of a window's answers, or of several windows' together, whatever their versions.

    Args:
        window: the first.
        others: more, e.g. the canary's beside the champion's for all that clients got.
        confidence: of the AUC's interval, two-sided.
    """
    every = (window, *others)
    versions, arms = {one.version for one in every}, {one.arm for one in every}
    positives = np.sum([as_counts(one.positives) for one in every], axis=0)
    negatives = np.sum([as_counts(one.negatives) for one in every], axis=0)
    return _quality(
        positives,
        negatives,
        log_loss_nano=sum(one.log_loss_nano for one in every),
        brier_nano=sum(one.brier_nano for one in every),
        confidence=confidence,
        names=(window.model, window.version if len(versions) == 1 else 0, window.arm if len(arms) == 1 else ""),
    )


def quality_of(scores: NDArray[np.floating], labels: NDArray[np.generic], *, confidence: float = 0.95) -> Quality:
    """The quality of scored rows, computed as a window's is: the baseline to compare live quality with.

    Args:
        scores: float[n], 0 to 1, finite.
        labels: bool[n].
        confidence: of the AUC's interval, two-sided.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    bins = score_bin(values)
    log_loss, brier = label_losses(values, truth)
    return _quality(
        np.bincount(bins[truth], minlength=SCORE_BINS),
        np.bincount(bins[~truth], minlength=SCORE_BINS),
        log_loss_nano=int(log_loss.sum()),
        brier_nano=int(brier.sum()),
        confidence=confidence,
        names=("", 0, ""),
    )


def label_losses(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Log loss and squared error of each answer, in whole 1e-9: whole numbers add up the same in any order."""
    inside = np.clip(scores, _CERTAIN, 1 - _CERTAIN)
    log_loss = -np.log(np.where(truth, inside, 1 - inside))
    brier = (scores - truth) ** 2
    return np.rint(log_loss * _NANO).astype(np.int64), np.rint(np.minimum(brier, _NANO) * _NANO).astype(np.int64)


def auc_of_counts(positives: Counts, negatives: Counts, confidence: float = 0.95) -> tuple[float, float, float]:
    """Area under the ROC curve with its confidence interval, from two score histograms.

    Args:
        positives: int64[k], rows per score bin, lowest first, whose label came true; total > 0.
        negatives: int64[k], the same bins, whose label came false; total > 0.
        confidence: two-sided.
    Returns:
        AUC, low, high. Rows of one bin count as ties (half), so it is the AUC of the binned scores, exactly. The
        interval is DeLong's on the logit scale; where all are right or all wrong, Clopper and Pearson's for as many
        rows as the smaller class has; where every score fell into one bin, the point 0.5.
    Raises:
        BadHistogram: a class is empty or the bins differ.
    Source: DeLong, DeLong & Clarke-Pearson (1988); Sun & Xu (2014); Pepe (2003), section 5.2, for the logit.
    """
    true, false = as_counts(positives), as_counts(negatives)
    n, m = int(true.sum()), int(false.sum())
    if true.shape != false.shape or n == 0 or m == 0:
        raise BadHistogram("AUC needs rows of both classes over the same bins.", fix="Wait until labels are known.")
    over_false = (np.cumsum(false) - false / 2) / m
    under_true = 1 - (np.cumsum(true) - true / 2) / n
    auc = float(over_false @ true / n)
    variance = _variance(over_false, true, auc) / n + _variance(under_true, false, auc) / m
    low, high = _interval(auc, variance, min(n, m), confidence)
    return auc, low, high


def ece_of_counts(positives: Counts, negatives: Counts, bins: int = _CALIBRATION_BINS) -> float:
    """Expected calibration error from two score histograms; scores are taken at the middle of their bin.

    Source: Naeini, Cooper & Hauskrecht (2015).
    """
    true, every = as_counts(positives), as_counts(positives) + as_counts(negatives)
    centres = score_centres()
    group = np.minimum((centres * bins).astype(np.int64), bins - 1)
    claimed = np.bincount(group, weights=centres * every, minlength=bins)
    came = np.bincount(group, weights=true, minlength=bins)
    return float(np.abs(claimed - came).sum() / every.sum())


def _quality(
    positives: NDArray[np.int64],
    negatives: NDArray[np.int64],
    *,
    log_loss_nano: int,
    brier_nano: int,
    confidence: float,
    names: tuple[str, int, str],
) -> Quality:
    n, m = int(positives.sum()), int(negatives.sum())
    every = n + m
    auc = auc_of_counts(positives, negatives, confidence) if n and m else (None, None, None)
    return Quality(
        model=names[0],
        version=names[1],
        arm=names[2],
        labelled=every,
        positives=n,
        auc=auc[0],
        auc_low=auc[1],
        auc_high=auc[2],
        log_loss=log_loss_nano / _NANO / every if every else None,
        brier=brier_nano / _NANO / every if every else None,
        ece=ece_of_counts(positives, negatives) if every else None,
        mean_score=float(score_centres() @ (positives + negatives) / every) if every else None,
    )


def _variance(placements: NDArray[np.float64], counts: NDArray[np.int64], mean: float) -> float:
    rows = int(counts.sum())
    return float(((placements - mean) ** 2) @ counts / (rows - 1)) if rows > 1 else 0.25


def _interval(auc: float, variance: float, rows: int, confidence: float) -> tuple[float, float]:
    if auc <= 0 or auc >= 1:
        doubt = float(((1 - confidence) / 2) ** (1 / rows))
        return (doubt, 1.0) if auc >= 1 else (0.0, 1 - doubt)
    logit = math.log(auc / (1 - auc))
    from scipy.special import ndtri  # noqa: PLC0415  slow to load, and 27 MB

    reach = float(ndtri(0.5 + confidence / 2)) * math.sqrt(variance) / (auc * (1 - auc))
    return _expit(logit - reach), _expit(logit + reach)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
