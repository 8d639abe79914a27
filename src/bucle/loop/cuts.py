"""Cuts: the columns by which rows are parted into slices: words by their value, numbers by quarters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bucle.ground.core import NotFound, suggest

__all__ = ["MOST_STEPS", "MOST_VALUES", "Groups", "NoSuchColumn", "cut"]

MOST_VALUES = 30
"""A column of more words than this names rows rather than slices."""

MOST_STEPS = 10
"""A column of more numbers than this is parted into quarters."""

Groups = tuple[NDArray[Any], NDArray[Any]]
"""The slice of each row, before and after."""

_MISSING = "missing"


class NoSuchColumn(NotFound):
    """The rows have no column of this name to be parted by."""

    code = "BU1510"


def cut(before: pl.DataFrame, after: pl.DataFrame, columns: Sequence[str] = ()) -> dict[str, Groups]:
    """Column -> the slice of each row on both sides.

    Args:
        columns: which; every column that both sides have and that parts the rows unless given.
    Raises:
        NoSuchColumn: one is not among the columns of both.
    Cost: a sort of each column of numbers.
    """
    both = [name for name in before.columns if name in after.columns]
    for name in columns:
        if name not in both:
            raise NoSuchColumn(
                f"The rows have no column {name!r}.",
                why=f"They have: {', '.join(both)}.",
                fix=suggest(name, both) or "Choose one of them.",
                at=name,
            )
    return dict(_cuts(before, after, columns or both, is_asked=bool(columns)))


def _cuts(
    before: pl.DataFrame, after: pl.DataFrame, names: Sequence[str], *, is_asked: bool
) -> Iterator[tuple[str, Groups]]:
    for name in names:
        pooled = pl.concat([before[name].cast(_wide(before[name])), after[name].cast(_wide(before[name]))])
        values = pooled.n_unique()
        if pooled.dtype.is_numeric() and values > MOST_STEPS:
            yield name, _parted(_quarters(pooled), before.height)
        elif not pooled.dtype.is_temporal() and (is_asked or 1 < values <= MOST_VALUES):
            yield name, _parted(pooled.cast(pl.String).fill_null(_MISSING), before.height)


def _wide(column: pl.Series) -> pl.DataType | type[pl.DataType]:
    return pl.Float64 if column.dtype.is_numeric() else column.dtype


def _quarters(values: pl.Series) -> pl.Series:
    """`[low, high)` of the quarter each number is in, by the quartiles of all."""
    known = values.fill_nan(None)
    edges = sorted({float(known.quantile(share) or 0.0) for share in (0.25, 0.5, 0.75)})
    labels = [
        f"below {edges[0]:.4g}",
        *(f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)),
    ]
    labels.append(f"from {edges[-1]:.4g}")
    place = np.searchsorted(np.array(edges), known.fill_null(0.0).to_numpy(), side="right")
    texts = pl.Series([labels[number] for number in place.tolist()])
    return texts.zip_with(known.is_not_null(), pl.Series([_MISSING] * len(texts), dtype=pl.String))


def _parted(texts: pl.Series, first: int) -> Groups:
    values = np.array(texts.to_list(), dtype=object)
    return values[:first], values[first:]
