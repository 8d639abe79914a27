"""Decompose: how the mean of a loss changed, slice by slice, so that the parts add up to the change.

A mean over rows is the sum of its slices' shares times their means. Between two sets of rows the change of a slice has
two parts: its share became another (`mix`), and its rows fare otherwise (`within`). On the same rows no share changes,
and what is left is the slice's share times the change of its mean.

Source: E. M. Kitagawa: "Components of a Difference Between Two Rates", Journal of the American Statistical Association
50 (1955). A share counts by how far the slice's mean lies from the mean of all, which changes no sum: a slice that
grows counts as harm only where it is worse than the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bucle.ground.core import Record
from bucle.line import gates

__all__ = ["Contribution", "Floats", "concentration", "decompose", "headline"]

_HELD = 0.5
"""A slice that holds this much of the change, …"""

_MORE = 0.2
"""… and this much more than its share of the rows, is named as where it happened."""

Floats = NDArray[np.float64]


class Contribution(Record, frozen=True):
    """What one slice adds to the change of a mean.

    Attributes:
        slice: which rows, `carrier=AA`.
        rows_before, rows_after: how many it has.
        share_before, share_after: of all rows, 0 to 1.
        before, after: its mean; None where it has no row.
        mix: what the change of its share adds.
        within: what the change of its mean adds.
        change: both together; over all slices these add up to the change of the mean.
    """

    slice: str
    rows_before: int
    rows_after: int
    share_before: float
    share_after: float
    before: float | None
    after: float | None
    mix: float
    within: float
    change: float


def decompose(
    column: str, before: Floats, after: Floats, groups_before: NDArray[Any], groups_after: NDArray[Any]
) -> tuple[Contribution, ...]:
    """The change of a mean, slice by slice, the greatest contribution first.

    Args:
        column: what the rows are parted by.
        before: float64[n], n > 0, finite: a value a row.
        after: float64[m], m > 0.
        groups_before: text[n], the slice each row is in; `groups_after`: text[m].
    Returns:
        One a slice; their `change` adds up to `mean(after) - mean(before)`, to rounding.
    Example:
        >>> [part] = decompose("c", np.array([0.0, 1.0]), np.array([1.0, 1.0]), *[np.array(["a", "a"])] * 2)
        >>> part.slice, part.mix, part.change
        ('c=a', 0.0, 0.5)
    """
    middle = (_mean(before, before.size) + _mean(after, after.size)) / 2
    sides = [dict(gates.masks_of(column, groups)) for groups in (groups_before, groups_after)]
    names = dict.fromkeys(name for side in sides for name in side)
    found = [_part(name, _rows(before, sides[0], name), _rows(after, sides[1], name), middle=middle,
                   sizes=(before.size, after.size)) for name in names]  # fmt: skip
    return tuple(sorted(found, key=lambda part: (-abs(part.change), part.slice)))


def concentration(part: Contribution, total: float) -> float:
    """How much more of a change a slice holds than its share of the rows would let expect; at most 1.

    Returns:
        0 when it changed as all others did; below 0 when it changed less, or the other way.
    """
    share = (part.share_before + part.share_after) / 2
    return part.change / total - share if total else 0.0


def headline(slices: Mapping[str, Sequence[Contribution]], total: float) -> Contribution | None:
    """The slice that holds most of a change beyond its share of the rows; None where the change is spread.

    Args:
        slices: column -> its slices.
        total: the change they add up to.
    """
    every = [part for parts in slices.values() for part in parts] if total else []
    named = [one for one in every if one.change / total >= _HELD and concentration(one, total) >= _MORE]
    return max(named, key=lambda part: concentration(part, total), default=None)


def _part(name: str, before: Floats, after: Floats, *, middle: float, sizes: tuple[int, int]) -> Contribution:
    shares = before.size / sizes[0], after.size / sizes[1]
    # A slice that is not there on one side fares there as it does on the other: all it adds is its share.
    means = _mean(before, before.size or 1), _mean(after, after.size or 1)
    means = (means[0] if before.size else means[1], means[1] if after.size else means[0])
    mix = (shares[1] - shares[0]) * ((means[0] + means[1]) / 2 - middle) + 0.0  # never -0.0
    within = (shares[0] + shares[1]) / 2 * (means[1] - means[0])
    return Contribution(
        slice=name,
        rows_before=before.size,
        rows_after=after.size,
        share_before=shares[0],
        share_after=shares[1],
        before=means[0] if before.size else None,
        after=means[1] if after.size else None,
        mix=mix,
        within=within,
        change=mix + within,
    )


def _rows(values: Floats, masks: dict[str, NDArray[np.bool_]], name: str) -> Floats:
    return values[masks[name]] if name in masks else values[:0]


def _mean(values: Floats, count: int) -> float:
    return math.fsum(values.tolist()) / count
