"""Cleaning: what is mended in rows before a model sees them, as people declare it."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record

__all__ = ["Cleaning", "ColumnCleaning", "Deduplication", "Imputation", "Outliers", "Scalar"]

Scalar = bool | int | float | str


class Deduplication(Record, frozen=True, forbid_unknown_fields=True):
    """Which of several rows alike stays; only when training rows are prepared.

    Attributes:
        by: the columns that make rows alike; empty means all.
        keep: which of them stays.
    """

    by: tuple[str, ...] = ()
    keep: Literal["first", "last"] = "first"


class Imputation(Record, frozen=True, forbid_unknown_fields=True):
    """What takes the place of a missing value.

    Attributes:
        method: of the training rows' values; `constant` takes `value`.
        value: for `constant`.
        by: columns: the statistic is that of the training rows alike in these; for values never seen, that of all.
        flag: whether a column `NAME_was_missing` says which values were put in.
    """

    method: Literal["mean", "median", "mode", "constant"]
    value: Scalar | None = None
    by: tuple[str, ...] = ()
    flag: bool = False


class Outliers(Record, frozen=True, forbid_unknown_fields=True):
    """Which numbers are too far out, and what becomes of them.

    Attributes:
        rule: `quantile`: outside the training rows' quantiles `low` and `high`; `iqr`: more than `factor` times the
            distance of the quartiles beyond them; `z`: more than `factor` standard deviations from the mean; `range`:
            outside `low` and `high` themselves.
        low: of `quantile` and `range`; None sets no limit.
        high: the same.
        factor: of `iqr` and `z`.
        action: `clip` to the limit, take as `missing`, `drop` the row, or `flag` it in a column `NAME_is_outlier`.
    Source: Tukey (1977), "Exploratory Data Analysis", for `iqr` and its factor 1.5.
    """

    rule: Literal["quantile", "iqr", "z", "range"]
    low: float | None = None
    high: float | None = None
    factor: float = 1.5
    action: Literal["clip", "missing", "drop", "flag"] = "clip"


class ColumnCleaning(Record, frozen=True, forbid_unknown_fields=True):
    """What is mended in one column, in this order: text, unit, type, outliers, missing values.

    Attributes:
        name: the column.
        strip: whether white space around a text goes.
        case: whether a text becomes lower or upper case.
        missing: texts that mean that there is no value, e.g. `NA`; compared after `strip` and `case`.
        replace: text -> what it is to be called; after `case`.
        units: unit -> factor to the unit wanted: `12.5 lb` with `lb: 0.4536` becomes 5.67; a number alone stays.
        unit_column: where the unit stands in a column of its own; it then names the unit whose factor is 1.
        type: `long`, `double`, `boolean`, `date`, `timestamp`, `timestamptz` or `string`; what cannot be read as such
            becomes missing. '' keeps the type the training rows have.
        outliers: None leaves them.
        impute: None leaves missing values.
    """

    name: str
    strip: bool = False
    case: Literal["", "lower", "upper"] = ""
    missing: tuple[str, ...] = ()
    replace: dict[str, str] = {}
    units: dict[str, float] = {}
    unit_column: str = ""
    type: Literal["", "long", "double", "boolean", "date", "timestamp", "timestamptz", "string"] = ""
    outliers: Outliers | None = None
    impute: Imputation | None = None


class Cleaning(Record, frozen=True, forbid_unknown_fields=True):
    """What is mended in a frame's rows.

    Attributes:
        columns: one entry a column that needs it, in the order they are mended; groups of an imputation look at columns
            as they are by then.
        dedupe: None keeps rows alike.
    """

    columns: tuple[ColumnCleaning, ...] = ()
    dedupe: Deduplication | None = None
