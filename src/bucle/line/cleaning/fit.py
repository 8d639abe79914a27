"""Fitting: what a policy learns from training rows, and from nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from bucle.line.cleaning.apply import after_outliers, before_outliers, deduplicated, imputed, known_column
from bucle.line.cleaning.document import check_policy
from bucle.line.cleaning.errors import CannotClean
from bucle.line.cleaning.fitted import FittedCleaning, FittedColumn, GroupFill
from bucle.line.cleaning.policy import Cleaning, ColumnCleaning, Outliers
from bucle.line.cleaning.step import GROUP_SEPARATOR, TYPES, group_key

__all__ = ["fit"]


def fit(train: pl.DataFrame, policy: Cleaning) -> FittedCleaning:
    """A policy with what it learns from training rows.

    Args:
        train: the training rows and no others: what is learned from rows a model is judged on flatters it.
        policy: what is to be mended.
    Raises:
        CannotClean: a column is missing, or not of a kind its rule can mend; a column to impute has no value at all.
        CleaningInvalid: the policy contradicts itself.
    Cost: a few passes over the columns of the policy.
    """
    check_policy(policy)
    rows = deduplicated(train, policy.dedupe)
    learned = list[FittedColumn]()
    for rule in policy.columns:
        known_column(rows, rule)
        shape = FittedColumn(rule=rule, type=_type(rows, rule))
        rows, _ = before_outliers(rows, shape)
        fitted = _limits(rows, shape)
        rows, _ = after_outliers(rows, fitted)
        fitted = _fills(rows, fitted)
        rows, _ = imputed(rows, fitted)
        learned.append(fitted)
    return FittedCleaning(policy=policy, rows=train.height, columns=tuple(learned))


def _type(rows: pl.DataFrame, rule: ColumnCleaning) -> str:
    """What the column becomes: what the rule says, a number where there are units or a mean, else what it is."""
    if rule.type:
        return rule.type
    dtype = rows.schema[rule.name]
    means = rule.impute is not None and rule.impute.method in ("mean", "median")
    if rule.units or means or dtype.is_float() or (rule.outliers is not None and not dtype.is_integer()):
        return "double"
    if isinstance(dtype, pl.Datetime):
        return "timestamp" if dtype.time_zone is None else "timestamptz"
    names = {pl.Boolean: "boolean", pl.Date: "date"}
    return "long" if dtype.is_integer() else names.get(type(dtype), "string")


def _limits(rows: pl.DataFrame, fitted: FittedColumn) -> FittedColumn:
    outliers = fitted.rule.outliers
    if outliers is None:
        return fitted
    column = rows[fitted.rule.name]
    if not column.dtype.is_numeric():
        raise _not_numeric(fitted)
    low, high = _bounds(column.drop_nulls().cast(pl.Float64), outliers)
    return msgspec.structs.replace(fitted, low=low, high=high)


def _bounds(values: pl.Series, outliers: Outliers) -> tuple[float | None, float | None]:
    if outliers.rule == "range" or not values.len():
        return (outliers.low, outliers.high) if outliers.rule == "range" else (None, None)
    if outliers.rule == "quantile":
        return _quantile(values, outliers.low), _quantile(values, outliers.high)
    if outliers.rule == "iqr":
        first, third = _number(values.quantile(0.25, "linear")), _number(values.quantile(0.75, "linear"))
        reach = outliers.factor * (third - first)
        return first - reach, third + reach
    middle, spread = _number(values.mean()), _number(values.std(ddof=0))
    return middle - outliers.factor * spread, middle + outliers.factor * spread


def _quantile(values: pl.Series, share: float | None) -> float | None:
    return None if share is None else _number(values.quantile(share, "linear"))


def _fills(rows: pl.DataFrame, fitted: FittedColumn) -> FittedColumn:
    impute, name = fitted.rule.impute, fitted.rule.name
    if impute is None:
        return fitted
    if impute.method == "constant":
        return msgspec.structs.replace(fitted, fill=_constant(fitted))
    if impute.method in ("mean", "median") and not rows.schema[name].is_numeric():
        raise _not_numeric(fitted)
    for column in impute.by:
        if column not in rows.columns:
            raise CannotClean(
                f"The groups of {name!r} need the column {column!r}, which is missing.",
                why="Missing values of a group are filled with what the group has.",
                fix="Name a column of the frame.",
                at=column,
            )
    there = rows.filter(pl.col(name).is_not_null())
    fill = _value(there.select(_statistic(name, impute.method)).item()) if there.height else None
    if fill is None:
        raise CannotClean(
            f"The training rows have no value of {name!r} to impute from.",
            why=f"There is no {impute.method} of nothing.",
            fix="Give a constant, or leave the column out.",
            at=name,
        )
    fills = tuple(_group_fills(there, fitted)) if impute.by else ()
    return msgspec.structs.replace(fitted, fill=fill, fills=fills)


def _group_fills(there: pl.DataFrame, fitted: FittedColumn) -> list[GroupFill]:
    impute, name = fitted.rule.impute, fitted.rule.name
    if impute is None:
        return []
    keyed = there.select(group_key(impute.by).alias("group"), pl.col(name).alias("value")).drop_nulls("group")
    found = keyed.group_by("group").agg(_statistic("value", impute.method)).sort("group")
    return [GroupFill(group=tuple(group.split(GROUP_SEPARATOR)), fill=_value(value)) for group, value in found.rows()]


def _statistic(name: str, method: str) -> pl.Expr:
    value = pl.col(name)
    if method == "mode":
        # Of several most frequent values the least, so that equal rows fit equal.
        return value.mode().min().alias("fill")
    return (value.mean() if method == "mean" else value.median()).alias("fill")


def _constant(fitted: FittedColumn) -> Any:
    value = fitted.rule.impute.value if fitted.rule.impute is not None else None
    kinds: dict[str, tuple[type, ...]] = {"long": (int,), "double": (int, float), "boolean": (bool,)}
    kind = kinds.get(fitted.type, (str,))
    is_right = isinstance(value, kind) and (isinstance(value, bool) == (fitted.type == "boolean"))
    readable = is_right and fitted.type in TYPES
    if readable and isinstance(value, str) and fitted.type != "string":
        dtype = TYPES[fitted.type]
        zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
        text = pl.Series([value]).str
        parsed = text.to_date(strict=False) if fitted.type == "date" else text.to_datetime(time_zone=zone, strict=False)
        readable = parsed.null_count() == 0
    if not readable:
        raise CannotClean(
            f"{value!r} cannot take the place of a missing {fitted.type} in {fitted.rule.name!r}.",
            why="What is put in must be of the column's type.",
            fix=f"Give a value that is a {fitted.type}.",
            at=fitted.rule.name,
        )
    return value


def _value(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _number(value: Any) -> float:
    return float(value)


def _not_numeric(fitted: FittedColumn) -> CannotClean:
    return CannotClean(
        f"Column {fitted.rule.name!r} is {fitted.type}, and its rule needs numbers.",
        why="Means, medians and outliers are of numbers.",
        fix="Give it `type: double`, or impute its mode or a constant.",
        at=fitted.rule.name,
    )
