"""What stands out in a table's figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bucle.line.profiles.alert import Alert
from bucle.line.profiles.profile import ColumnProfile, Correlation

__all__ = ["alerts_of"]

HIGH_MISSING = 0.2
HIGH_ZEROS = 0.5
HIGH_SKEWNESS = 5.0
HIGH_SHARE = 0.95
HIGH_CORRELATION = 0.95
ENOUGH_ROWS = 20
"""Fewer rows say nothing about uniqueness, zeros, skewness or balance."""


def alerts_of(
    columns: Sequence[ColumnProfile],
    rows: int,
    duplicates: int,
    correlations: Sequence[Correlation],
    personal: Mapping[str, str],
) -> Iterator[Alert]:
    """What people should look at, the table first, then column by column."""
    if not rows:
        yield Alert(column="", kind="empty", text="The table has no rows.")
    if duplicates:
        yield Alert(column="", kind="duplicates", text=f"{duplicates} rows are alike to another one in every column.")
    for one in columns:
        if one.name in personal:
            yield Alert(column=one.name, kind="personal", text=f"It may be {personal[one.name]}.")
        if rows:
            yield from _of_column(one, rows)
    for pair in correlations:
        if abs(pair.r) >= HIGH_CORRELATION:
            text = f"It goes together with {pair.b}: r = {pair.r:.3f}."
            yield Alert(column=pair.a, kind="correlated", text=text)


def _of_column(one: ColumnProfile, rows: int) -> Iterator[Alert]:
    share, there = one.missing / rows, rows - one.missing
    if share == 1:
        yield Alert(column=one.name, kind="empty", text="It has no value at all.")
        return
    if share >= HIGH_MISSING:
        yield Alert(column=one.name, kind="missing", text=f"{share:.1%} of the values are missing.")
    if one.distinct == 1 and rows > 1:
        yield Alert(column=one.name, kind="constant", text="It has one value only.")
        return
    if rows < ENOUGH_ROWS:
        return
    if one.kind == "text" and one.is_distinct_exact and one.distinct == there and there > 1:
        yield Alert(column=one.name, kind="unique", text="No value comes twice: it may be a key, and no feature.")
    if one.zeros is not None and one.zeros / rows >= HIGH_ZEROS:
        yield Alert(column=one.name, kind="zeros", text=f"{one.zeros / rows:.1%} of the values are 0.")
    if one.skewness is not None and abs(one.skewness) >= HIGH_SKEWNESS:
        yield Alert(column=one.name, kind="skewed", text=f"It is far from symmetric: skewness {one.skewness:.1f}.")
    if one.top and one.kind in ("text", "boolean") and one.top[0].count / there >= HIGH_SHARE:
        share_of_first = f"{one.top[0].count / there:.1%} of its values are {one.top[0].value!r}."
        yield Alert(column=one.name, kind="imbalanced", text=share_of_first)
