"""Distribution: how a column's values spread, small enough to keep; what drift and skew are measured from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import polars as pl

from bucle.ground.core import Record
from bucle.line.contracts.contract import ColumnRule, Comparator, Contract
from bucle.line.contracts.distance import jensen_shannon, l_infinity

__all__ = ["Distribution", "count_values", "distance", "distribution_of", "distributions", "is_ordered"]

BINS = 16
"""Numbers are counted over so many bins, of equal count in the reference."""

MOST_VALUES = 10_000
"""So many values of a text are kept by themselves, the most frequent ones; the others together."""


class Distribution(Record, frozen=True):
    """How a column's values spread; missing ones are left out.

    Attributes:
        kind: `number` (also instants, in microseconds) or `category`.
        edges: of numbers: the bins' upper edges, ascending; one more bin is above the last.
        values: of categories: each value as text.
        counts: rows per bin, or per value.
        rest: rows of categories beyond those kept.
    """

    kind: Literal["number", "category"]
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    rest: int = 0

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts) + self.rest


def distributions(frame: pl.DataFrame | pl.LazyFrame, contract: Contract) -> dict[str, Distribution]:
    """The distributions of the columns for which a contract looks at drift or skew.

    Args:
        frame: the rows to compare with later: a batch, a table, a training set. Columns it lacks are left out.
    Cost: one sort of each number, one count of each text; two passes.
    """
    rows = frame.lazy()
    schema = rows.collect_schema()
    wanted = [one.name for one in contract.columns if _is_compared(one) and one.name in schema]
    numbers = [name for name in wanted if is_ordered(schema[name])]
    edges = _edges(rows, numbers, schema)
    counted = {name: count_values(name, schema[name], edges.get(name, ())) for name in wanted}
    if not counted:
        return {}
    found = rows.select(one.alias(name) for name, one in counted.items()).collect().row(0, named=True)
    return {name: distribution_of(found[name], schema[name], edges.get(name, ())) for name in wanted}


def distance(one: Distribution, other: Distribution, comparator: Comparator) -> float | None:
    """How far apart two distributions of one column are, 0 to 1; None when either is empty or they are of two kinds.

    Numbers must have been counted over the same edges.
    """
    if not one.total or not other.total or one.kind != other.kind or one.edges != other.edges:
        return None
    is_number = one.kind == "number"
    shares = (one.counts, other.counts) if is_number else _aligned(one, other)
    measure = comparator.measure
    if measure == "auto":
        measure = "jensen_shannon" if is_number else "l_infinity"
    return jensen_shannon(*shares) if measure == "jensen_shannon" else l_infinity(*shares)


def count_values(name: str, dtype: pl.DataType, edges: Sequence[float]) -> pl.Expr:
    """An expression that gives, in one row, what `distribution_of` makes a distribution from."""
    if is_ordered(dtype):
        value = _ordered(name, dtype)
        return pl.concat_list([*((value <= edge).sum() for edge in edges), value.is_not_nan().sum()]).first()
    return pl.col(name).drop_nulls().cast(pl.String).value_counts(sort=False).implode()


def distribution_of(found: Any, dtype: pl.DataType, edges: Sequence[float]) -> Distribution:
    """The distribution out of what `count_values` found."""
    if is_ordered(dtype):
        below = list(found)
        counts = [after - before for before, after in zip([0, *below], below, strict=False)]
        return Distribution(kind="number", edges=tuple(edges), counts=tuple(counts))
    pairs = sorted((-count, value) for value, count in (tuple(one.values()) for one in found))
    kept, rest = pairs[:MOST_VALUES], pairs[MOST_VALUES:]
    return Distribution(
        kind="category",
        values=tuple(value for _, value in kept),
        counts=tuple(-count for count, _ in kept),
        rest=-sum(count for count, _ in rest),
    )


def is_ordered(dtype: pl.DataType) -> bool:
    """Whether values are counted over bins: numbers and instants are, text and booleans by value."""
    return dtype.is_numeric() or dtype.is_temporal()


def _is_compared(rule: ColumnRule) -> bool:
    return rule.drift is not None or rule.skew is not None


def _ordered(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        column = column.dt.epoch("us")
    elif dtype.is_temporal():
        column = column.to_physical()
    return column.cast(pl.Float64)


def _edges(rows: pl.LazyFrame, numbers: Iterable[str], schema: pl.Schema) -> dict[str, tuple[float, ...]]:
    shares = [number / BINS for number in range(1, BINS)]
    wanted = [
        _ordered(name, schema[name]).fill_nan(None).quantile(shares, "lower").implode().alias(name) for name in numbers
    ]
    if not wanted:
        return {}
    found = rows.select(wanted).collect().row(0, named=True)
    return {name: tuple(sorted({edge for edge in _flat(found[name]) if edge is not None})) for name in found}


def _flat(value: Any) -> list[float | None]:
    return [inner for one in value for inner in (one if isinstance(one, list) else [one])]


def _aligned(one: Distribution, other: Distribution) -> tuple[list[int], list[int]]:
    """Counts over the values of both; what one kept no count of stands in its rest."""
    mine, theirs = _by_value(one), _by_value(other)
    names = sorted({*mine, *theirs})
    return [*(mine.get(name, 0) for name in names), one.rest], [*(theirs.get(name, 0) for name in names), other.rest]


def _by_value(one: Distribution) -> Mapping[str, int]:
    return dict(zip(one.values, one.counts, strict=True))
