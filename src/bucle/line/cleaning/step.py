"""The steps that mend one column: each gives an expression for the new value; nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import reduce

import polars as pl

from bucle.line.cleaning.fitted import FittedColumn
from bucle.line.cleaning.policy import ColumnCleaning, Scalar

__all__ = ["GROUP_SEPARATOR", "TYPES", "bounded", "filled", "group_key", "is_outlier", "texted", "typed", "united"]

TYPES: dict[str, pl.DataType] = {
    "long": pl.Int64(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
    "string": pl.String(),
}
"""What a column can become."""

GROUP_SEPARATOR = "\x1f"

_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")


def texted(rule: ColumnCleaning) -> pl.Expr:
    """A text with white space, case and names mended; what means nothing is missing."""
    value = pl.col(rule.name)
    value = value.str.strip_chars() if rule.strip else value
    if rule.case:
        value = value.str.to_lowercase() if rule.case == "lower" else value.str.to_uppercase()
    if rule.missing:
        value = pl.when(value.is_in(list(rule.missing))).then(None).otherwise(value)
    return value.replace(rule.replace) if rule.replace else value


def united(rule: ColumnCleaning, dtype: pl.DataType) -> pl.Expr:
    """A number in the unit wanted; what bears an unknown unit is missing."""
    if rule.unit_column:
        factor = (
            pl.col(rule.unit_column).cast(pl.String).replace_strict(rule.units, default=None, return_dtype=pl.Float64)
        )
        return pl.col(rule.name).cast(pl.Float64, strict=False) * factor
    if dtype != pl.String:
        return pl.col(rule.name)
    parts = pl.col(rule.name).str.extract_groups(r"^\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*$")
    number, unit = parts.struct[0].cast(pl.Float64, strict=False), parts.struct[1]
    factor = unit.replace_strict({"": 1.0, **rule.units}, default=None, return_dtype=pl.Float64)
    return number * factor


def typed(name: str, found: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    """A column as another type; what cannot be read as such is missing."""
    value = pl.col(name)
    if found == wanted:
        return value.fill_nan(None) if wanted.is_float() else value
    if wanted == pl.Boolean and found == pl.String:
        lower = value.str.strip_chars().str.to_lowercase()
        return pl.when(lower.is_in(_TRUE)).then(True).when(lower.is_in(_FALSE)).then(False).otherwise(None)
    if found == pl.String and isinstance(wanted, pl.Datetime):
        return value.str.to_datetime(time_unit="us", time_zone=wanted.time_zone, strict=False)
    if found == pl.String and wanted == pl.Date:
        return value.str.to_date(strict=False)
    if found == pl.String and wanted == pl.Int64:
        # A whole number may be written as 3.0; one with a fraction cannot be read as whole.
        number = value.str.strip_chars().cast(pl.Float64, strict=False)
        whole = pl.when(number == number.round(0)).then(number).cast(pl.Int64, strict=False)
        return pl.coalesce(value.str.strip_chars().cast(pl.Int64, strict=False), whole)
    if found == pl.String and wanted.is_numeric():
        return value.str.strip_chars().cast(wanted, strict=False).fill_nan(None)
    if found.is_float() and wanted == pl.Int64:
        return pl.when(value == value.round(0)).then(value).cast(pl.Int64, strict=False)
    made = value.cast(wanted, strict=False)
    return made.fill_nan(None) if wanted.is_float() else made


def is_outlier(fitted: FittedColumn) -> pl.Expr:
    """Whether a number is too far out; a missing one is not."""
    value = pl.col(fitted.rule.name)
    parts = [value < fitted.low] if fitted.low is not None else []
    parts += [value > fitted.high] if fitted.high is not None else []
    return reduce(lambda a, b: a | b, parts, pl.lit(False)).fill_null(False)


def bounded(fitted: FittedColumn) -> pl.Expr:
    """A number brought back to its limits, or missing beyond them."""
    value = pl.col(fitted.rule.name)
    if fitted.rule.outliers is not None and fitted.rule.outliers.action == "missing":
        return pl.when(is_outlier(fitted)).then(None).otherwise(value)
    low = value if fitted.low is None else pl.when(value < fitted.low).then(fitted.low).otherwise(value)
    return low if fitted.high is None else pl.when(value > fitted.high).then(fitted.high).otherwise(low)


def group_key(by: Sequence[str]) -> pl.Expr:
    """The group of a row as one text; missing when any of its columns is."""
    return pl.concat_str([pl.col(name).cast(pl.String) for name in by], separator=GROUP_SEPARATOR)


def filled(fitted: FittedColumn) -> pl.Expr:
    """A value, or what takes its place when it is missing."""
    value, impute = pl.col(fitted.rule.name), fitted.rule.impute
    dtype = TYPES[fitted.type]
    whole = pl.lit(_read(fitted.fill, dtype)).cast(dtype)
    if impute is None or not impute.by or not fitted.fills:
        return pl.coalesce(value, whole)
    table = {GROUP_SEPARATOR.join(one.group): _read(one.fill, dtype) for one in fitted.fills}
    by_group = group_key(impute.by).replace_strict(table, default=None, return_dtype=dtype)
    return pl.coalesce(value, by_group, whole)


def _read(value: Scalar | None, dtype: pl.DataType) -> object:
    """An instant or a date out of its ISO text."""
    if isinstance(dtype, pl.Datetime) and isinstance(value, str):
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else instant
    return date.fromisoformat(value) if dtype == pl.Date and isinstance(value, str) else value
