"""Contract: what a batch of rows must be like, as frozen records."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record

__all__ = ["ColumnRule", "Contract", "Relation", "Scalar"]

Scalar = bool | int | float | str


class ColumnRule(Record, frozen=True, forbid_unknown_fields=True):
    """What one column must be like.

    Attributes:
        name: the column.
        type: its Iceberg type, e.g. `double`; a narrower number is accepted; '' accepts any.
        required: whether the batch must have it.
        nullable: whether a value may be missing; not-a-number counts as missing.
        max_null_share: the greatest share of missing values, 0 to 1; None sets no limit.
        minimum: the least value allowed; instants and dates as ISO 8601 text.
        maximum: the greatest value allowed.
        mean_minimum: the least mean a batch may have; catches a unit or a currency that changed.
        mean_maximum: the greatest mean a batch may have.
        allowed: the only values allowed; empty allows all.
        pattern: a regular expression that the whole text must match; '' matches all.
        unique: whether no value may come twice, in the batch or in the table it lands on.
        tolerance: the share of rows that may break minimum, maximum, allowed or pattern, 0 to 1.
    """

    name: str
    type: str = ""
    required: bool = True
    nullable: bool = True
    max_null_share: float | None = None
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    mean_minimum: float | None = None
    mean_maximum: float | None = None
    allowed: tuple[Scalar, ...] = ()
    pattern: str = ""
    unique: bool = False
    tolerance: float = 0.0


class Relation(Record, frozen=True, forbid_unknown_fields=True):
    """What must hold between two columns of a row; rows with a missing value keep it.

    Attributes:
        left: a column.
        op: how they compare.
        right: another column.
        tolerance: the share of rows that may break it, 0 to 1.
    """

    left: str
    op: Literal["<", "<=", "==", "!=", ">=", ">"]
    right: str
    tolerance: float = 0.0


class Contract(Record, frozen=True, forbid_unknown_fields=True):
    """What a batch of a table's rows must be like.

    Attributes:
        table: the table.
        columns: one rule a column.
        unique: groups of columns whose values together come once, in the batch and in the table it lands on.
        relations: what must hold between two columns of a row.
        min_rows: the fewest rows a batch may have.
        max_rows: the most; None sets no limit.
        extra_columns: what to do with a column that has no rule.
    """

    table: str
    columns: tuple[ColumnRule, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    relations: tuple[Relation, ...] = ()
    min_rows: int = 0
    max_rows: int | None = None
    extra_columns: Literal["refuse", "allow"] = "refuse"
