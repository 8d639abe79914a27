"""TableProfile: what the rows of a table look like, column by column."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record
from bucle.line.profiles.alert import Alert

__all__ = ["ColumnProfile", "Correlation", "Kind", "TableProfile", "ValueCount"]

Kind = Literal["number", "text", "boolean", "instant", "other"]


class ValueCount(Record, frozen=True):
    """How often a value comes.

    Attributes:
        value: the value as text.
        count: in so many rows.
    """

    value: str
    count: int


class ColumnProfile(Record, frozen=True):
    """What one column looks like. Figures that make no sense for its kind are None or empty.

    Attributes:
        name: the column.
        type: in Iceberg's words.
        kind: what is measured of it.
        missing: rows without a value; not-a-number counts.
        distinct: different values.
        is_distinct_exact: whether they were counted, or estimated to some percent.
        minimum: the least value; of text, that of its length in characters.
        maximum: the greatest, likewise.
        mean: of numbers, of the lengths of text, the share of true of booleans.
        std: the sample's standard deviation of the same.
        skewness: of numbers: 0 when symmetric.
        zeros: numbers that are 0.
        negatives: numbers below 0.
        quantiles: of numbers: at 5, 25, 50, 75 and 95 percent.
        edges: of the histogram's bins, all equally wide: one more than there are bins; instants in microseconds.
        counts: rows in each bin; the last holds the maximum as well.
        top: the most frequent values, most frequent first; none of a column that may be personal.
        is_hidden: whether values are left out since they may be personal.
    """

    name: str
    type: str
    kind: Kind
    missing: int
    distinct: int | None = None
    is_distinct_exact: bool = True
    minimum: str | float | None = None
    maximum: str | float | None = None
    mean: float | None = None
    std: float | None = None
    skewness: float | None = None
    zeros: int | None = None
    negatives: int | None = None
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    top: tuple[ValueCount, ...] = ()
    is_hidden: bool = False


class Correlation(Record, frozen=True):
    """How two numbers go together.

    Attributes:
        a: a column.
        b: another.
        r: Pearson's coefficient over rows that have both, -1 to 1.
    """

    a: str
    b: str
    r: float


class TableProfile(Record, frozen=True):
    """What the rows of a table look like.

    Attributes:
        table: the table.
        digest: of its content: the profile is of these rows and no others. '' when it is of a frame of no snapshot.
        rows: how many.
        duplicates: rows that another row is alike to in every column.
        columns: one entry each, in order.
        correlations: between numbers, the strongest first.
        alerts: what people should look at.
    """

    table: str
    digest: str
    rows: int
    duplicates: int
    columns: tuple[ColumnProfile, ...]
    correlations: tuple[Correlation, ...] = ()
    alerts: tuple[Alert, ...] = ()
