"""Two profiles side by side: what changed from one snapshot of a table to another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from bucle.ground.core import Record
from bucle.line.profiles.profile import ColumnProfile, TableProfile

__all__ = ["ColumnChange", "Comparison", "compare"]


class ColumnChange(Record, frozen=True):
    """What changed in one column.

    Attributes:
        name: the column.
        change: whether it came, went, became another type, or has other figures.
        text: the same for people, figure by figure.
        mean_shift: how far the mean moved, in standard deviations of before; None where there is none.
    """

    name: str
    change: Literal["added", "removed", "type", "figures"]
    text: str
    mean_shift: float | None = None


class Comparison(Record, frozen=True):
    """Two profiles of one table.

    Attributes:
        before: the older one.
        after: the newer one.
        changes: columns that differ, in the order of the newer table.
    """

    before: TableProfile
    after: TableProfile
    changes: tuple[ColumnChange, ...]


def compare(before: TableProfile, after: TableProfile) -> Comparison:
    """What changed between two profiles."""
    old = {one.name: one for one in before.columns}
    new = {one.name: one for one in after.columns}
    names = [*new, *(name for name in old if name not in new)]
    changes = (_change(name, old.get(name), new.get(name), before.rows, after.rows) for name in names)
    return Comparison(before=before, after=after, changes=tuple(one for one in changes if one is not None))


def _change(
    name: str, old: ColumnProfile | None, new: ColumnProfile | None, rows_before: int, rows_after: int
) -> ColumnChange | None:
    if old is None:
        return ColumnChange(name=name, change="added", text="The column is new.")
    if new is None:
        return ColumnChange(name=name, change="removed", text="The column is gone.")
    if old.type != new.type:
        return ColumnChange(name=name, change="type", text=f"Its type was {old.type}, it is {new.type}.")
    told = list(_figures(old, new, rows_before, rows_after))
    if not told:
        return None
    return ColumnChange(name=name, change="figures", text="; ".join(told) + ".", mean_shift=_shift(old, new))


def _figures(old: ColumnProfile, new: ColumnProfile, rows_before: int, rows_after: int) -> Iterator[str]:
    missing = old.missing / max(rows_before, 1), new.missing / max(rows_after, 1)
    if missing[0] != missing[1]:
        yield f"missing {missing[0]:.1%} to {missing[1]:.1%}"
    for figure in ("distinct", "minimum", "maximum", "mean", "std"):
        one, other = getattr(old, figure), getattr(new, figure)
        if one != other:
            yield f"{figure} {_told(one)} to {_told(other)}"
    known = {one.value for one in old.top}
    fresh = [one.value for one in new.top if one.value not in known]
    if old.top and fresh and len(old.top) < 10:
        yield f"new values {', '.join(fresh)}"


def _shift(old: ColumnProfile, new: ColumnProfile) -> float | None:
    if old.mean is None or new.mean is None or not old.std:
        return None
    shift = (new.mean - old.mean) / old.std
    return float(f"{shift:.6g}") if math.isfinite(shift) else None


def _told(value: str | float | None) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
