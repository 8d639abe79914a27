"""Profile: what the training data looked like, small enough to travel inside the package as `profile.json`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bucle.ground.core import Digest, Record, digest_of_value
from bucle.line.monitoring.bins import SCORE_BINS, score_bin
from bucle.line.monitoring.errors import BadFrame

__all__ = ["FeatureProfile", "Profile", "profile_of"]

_FINENESS = 2.0**-16
"""A feature's values are summed in steps of its standard deviation times this: whole numbers add up in any order."""

_LEAST_SPREAD, _MOST_SPREAD = 1e-290, 1e300
_MARGIN = 1e-6
_FLOAT32 = 2.0**-23
"""How far outside the reference a value may lie, in spans and relative to its size, so that rounding to float32 does
not make it a new one."""


class FeatureProfile(Record, frozen=True):
    """The reference of one feature, and the bins that windows count it over.

    Attributes:
        name: the feature's name.
        kind: `numeric` or `categorical`.
        edges: numeric: the bins' inner edges, ascending. The first bin holds what is below everything in the
            reference, the last what is above.
        categories: categorical: the values that have a bin of their own, most frequent first; one more bin takes the
            rest.
        counts: rows per bin; `len(edges) + 1` or `len(categories) + 1` of them.
        nulls: rows without a value (NaN included).
        mean: numeric: the mean of the reference, else None.
        unit: numeric: the step in which a window sums this feature's distance from `mean`, else 0.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    nulls: int
    mean: float | None
    unit: float


class Profile(Record, frozen=True):
    """The reference of a model version: its training data and how it scored them.

    Attributes:
        rows: rows of the reference.
        features: one a feature, in the frame's order.
        scores: the reference scores over `SCORE_BINS` bins; empty when none were given.
    """

    rows: int
    features: tuple[FeatureProfile, ...]
    scores: tuple[int, ...]

    @property
    def digest(self) -> Digest:
        """The name of this profile: windows over equal profiles can be merged."""
        return digest_of_value(self)


def profile_of(
    frame: pl.DataFrame, score: NDArray[np.floating] | None = None, bins: int = 20, *, categories: int = 50
) -> Profile:
    """The profile of a training frame.

    Args:
        frame: one column a feature: numbers, or strings, booleans and categories.
        score: float[n], the model's scores of rows like these, 0 to 1, best out of sample; NaN is left out.
        bins: numeric features get at most so many bins of equal count, and one below and one above.
        categories: categorical features get at most so many bins of their own.
    Raises:
        BadFrame: there is no row, or a column's type is neither a number nor a category.
    Cost: one sort a numeric column.
    """
    if frame.height == 0:
        raise BadFrame("A profile needs rows, the frame has none.", fix="Profile the frame the model was fitted on.")
    features = tuple(
        _numeric(column, bins) if column.dtype.is_numeric() else _categorical(column, categories) for column in frame
    )
    return Profile(rows=frame.height, features=features, scores=_scores(score))


def _scores(score: NDArray[np.floating] | None) -> tuple[int, ...]:
    if score is None:
        return ()
    values = np.asarray(score, dtype=np.float64).ravel()
    return tuple(np.bincount(score_bin(values[np.isfinite(values)]), minlength=SCORE_BINS).tolist())


def _numeric(column: pl.Series, bins: int) -> FeatureProfile:
    values = column.cast(pl.Float64).drop_nulls().drop_nans().sort().to_numpy()
    values = values[np.isfinite(values)]
    mean, spread = _mean_and_spread(values)
    edges = _edges(values, bins) if values.size else np.zeros(1)
    counts = np.bincount(np.searchsorted(edges, values), minlength=edges.size + 1)
    return FeatureProfile(
        name=column.name,
        kind="numeric",
        edges=tuple(edges.tolist()),
        categories=(),
        counts=tuple(counts.tolist()),
        nulls=column.len() - values.size,
        mean=mean,
        unit=max(spread or abs(mean) or 1.0, _LEAST_SPREAD) * _FINENESS,
    )


def _mean_and_spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation, finite for any finite values."""
    scale = float(np.abs(values).max(initial=0.0))
    if scale < _LEAST_SPREAD:
        return 0.0, 0.0
    return float((values / scale).mean()) * scale, min(float((values / scale).std()) * scale, _MOST_SPREAD)


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Edges between values, never on one, so that a value rounded to float32 stays in its bin."""
    last = values[np.unique((np.arange(1, bins) * values.size) // bins)]
    following = np.searchsorted(values, last, side="right")
    inside = following < values.size
    between = last[inside] / 2 + values[following[inside]] / 2
    low, high = float(values[0]), float(values[-1])
    margin = max(high * _MARGIN - low * _MARGIN, max(abs(low), abs(high)) * _FLOAT32) or _MARGIN
    most = np.finfo(np.float64).max
    return np.unique(np.concatenate([[max(low - margin, -most)], between, [min(high + margin, most)]]))


def _categorical(column: pl.Series, most: int) -> FeatureProfile:
    if column.dtype.is_nested() or column.dtype.is_temporal() or column.dtype == pl.Binary:
        raise BadFrame(
            f"Column {column.name!r} is {column.dtype}, which is neither a number nor a category.",
            why="A profile counts numbers in bins and categories by value.",
            fix=f"Turn it into a number or a string, or leave it out: frame.drop({column.name!r}).",
            at=column.name,
        )
    name = column.name
    found = column.cast(pl.String).drop_nulls().value_counts(name="rows").sort(["rows", name], descending=[True, False])
    kept, rest = found.head(most), found.slice(most)
    return FeatureProfile(
        name=name,
        kind="categorical",
        edges=(),
        categories=tuple(kept[name].to_list()),
        counts=(*kept["rows"].to_list(), int(rest["rows"].sum())),
        nulls=column.null_count(),
        mean=None,
        unit=0.0,
    )
