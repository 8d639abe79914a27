"""Probe: a rule as Polars expressions. All probes of a contract are computed in one pass over the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from bucle.line.contracts.contract import Check, ColumnRule, Comparator, Contract, Measure, Relation, Severity
from bucle.line.contracts.distribution import Distribution, count_values, distance, distribution_of, is_ordered
from bucle.line.contracts.expression import compile_expression
from bucle.line.contracts.values import is_strict, rules_of_values

__all__ = ["Finding", "Probe", "key_groups", "probes"]


@dataclass(frozen=True)
class Finding:
    """That a rule is broken.

    Attributes:
        count: how many rows break it; None when the measure says only that some do.
        share: the same as a share of the rows the rule is about.
        text: what was found, for people; '' for a rule about rows, whose first rows say it.
    """

    count: int | None
    share: float
    text: str


@dataclass(frozen=True)
class Probe:
    """A rule as expressions.

    Attributes:
        columns: what the rule is about.
        rule: its name.
        expected: the limit, for people.
        measure: gives one value of the batch.
        judge: what to say of that value and the number of rows; None when the rule holds.
        bad: marks the rows that break it; None for a rule about the whole batch.
        severity: whether it keeps the batch out.
        is_key: whether it is about repeated keys, which is looked at last when rows are set aside.
        by_row: whether a row that `bad` marks is bad by itself.
    """

    columns: tuple[str, ...]
    rule: str
    expected: str
    measure: pl.Expr
    judge: Callable[[Any, int], Finding | None]
    bad: pl.Expr | None = None
    severity: Severity = "error"
    is_key: bool = False
    by_row: bool = True


def probes(
    contract: Contract,
    schema: Mapping[str, pl.DataType],
    *,
    rules: Sequence[ColumnRule],
    at: datetime | None = None,
    previous: Mapping[str, Distribution] | None = None,
    training: Mapping[str, Distribution] | None = None,
    few: Mapping[str, pl.Series] | None = None,
) -> Iterator[Probe]:
    """Every rule of a contract that can be looked at in a frame of these columns.

    Args:
        few: column -> its different values, where they are few.
    Raises:
        BadExpression: a condition is not understood.
    """
    for rule in rules:
        if rule.name in schema:
            yield from _of_column(rule, schema, at, few=(few or {}).get(rule.name))
            yield from _of_distribution(rule, schema[rule.name], "drift", rule.drift, previous)
            yield from _of_distribution(rule, schema[rule.name], "skew", rule.skew, training)
    conditions = {rule.name: rule for rule in rules}
    for keys in key_groups(contract):
        if set(keys) <= set(schema) & (set(conditions) | set(keys)):
            yield _unique(keys, conditions.get(keys[0]) if len(keys) == 1 else None, schema)
    for relation in contract.relations:
        if {relation.left, relation.right} <= set(schema):
            yield _relation(relation, schema)
    for check in contract.checks:
        yield _check(check, schema)
    for measure in contract.measures:
        yield _measure(measure, schema)


def key_groups(contract: Contract) -> list[tuple[str, ...]]:
    """The groups of columns that together come once."""
    return [*((rule.name,) for rule in contract.columns if rule.unique), *contract.unique]


def _of_column(
    rule: ColumnRule, schema: Mapping[str, pl.DataType], at: datetime | None, *, few: pl.Series | None
) -> Iterator[Probe]:
    dtype = schema[rule.name]
    value = _value(rule.name, dtype)
    where = compile_expression(rule.where, schema) if rule.where else None

    def rows(what: str, expected: str, bad: pl.Expr, allowance: float | None = None) -> Probe:
        share = rule.tolerances.get(what, rule.tolerance) if allowance is None else allowance
        return _rows((rule.name,), what, expected, bad, share, severity=_severity(rule, what), where=where)

    yield from _missing(rule, value, rows, is_float=dtype.is_float())
    yield from _limits(rule, dtype, rows)
    yield from _values(rule, dtype, rows, few=few)
    met = value if where is None else value.filter(where)
    yield from _of_batch(rule, met, dtype, at)


def _limits(rule: ColumnRule, dtype: pl.DataType, rows: Callable[..., Probe]) -> Iterator[Probe]:
    """Minimum and maximum; where no row may break them, the extremes say whether any does."""
    column = pl.col(rule.name)
    extremes = {"minimum": column.min(), "maximum": column.max()}
    is_simple = dtype.is_numeric() or dtype.is_temporal()
    for what, given in (("minimum", rule.minimum), ("maximum", rule.maximum)):
        if given is None:
            continue
        limit = _limit(given, dtype)
        bad = column < limit if what == "minimum" else column > limit
        if what == "maximum" and dtype.is_float():
            # Polars takes not-a-number for greater than any number.
            bad = bad & column.is_not_nan()
        probe = rows(what, f"at {'least' if what == 'minimum' else 'most'} {given}", bad)
        if is_simple and is_strict(rule, what):
            extreme = extremes[what]
            any_bad = extreme < limit if what == "minimum" else extreme > limit
            probe = replace(probe, measure=any_bad, judge=_if_any)
        yield probe


def _values(
    rule: ColumnRule, dtype: pl.DataType, rows: Callable[..., Probe], *, few: pl.Series | None
) -> Iterator[Probe]:
    """Rules about values; where no row may break them, the different values say whether any does."""
    asked = () if few is None else rules_of_values(rule, pl.lit(few), dtype)
    once = {what: bad.any() for what, _, bad in asked if is_strict(rule, what)}
    for what, expected, bad in rules_of_values(rule, pl.col(rule.name), dtype):
        probe = rows(what, expected, bad)
        yield replace(probe, measure=once[what], judge=_if_any) if what in once else probe


def _missing(rule: ColumnRule, value: pl.Expr, rows: Callable[..., Probe], *, is_float: bool) -> Iterator[Probe]:
    if not rule.nullable:
        probe = rows("nullable", "no value missing", value.is_null(), rule.tolerances.get("nullable", 0.0))
        yield probe if rule.where else replace(probe, measure=_missing_count(rule.name, is_float=is_float))
    elif rule.max_null_share is not None:
        share = rule.max_null_share
        probe = rows("max_null_share", f"at most {share:.4g} of the values missing", value.is_null(), share)
        measure = probe.measure if rule.where else _missing_count(rule.name, is_float=is_float)
        yield replace(probe, by_row=False, measure=measure)


def _of_batch(rule: ColumnRule, met: pl.Expr, dtype: pl.DataType, at: datetime | None) -> Iterator[Probe]:
    name = (rule.name,)
    if rule.mean_minimum is not None or rule.mean_maximum is not None:
        limits = (rule.mean_minimum, rule.mean_maximum)
        expected = f"a mean from {_told(limits[0])} to {_told(limits[1])}"
        yield Probe(name, "mean", expected, met.mean(), _within(limits, "the mean is"), None, _severity(rule, "mean"))
    for what, limits in (
        ("min_distinct", (rule.min_distinct, None)),
        ("max_distinct", (None, rule.max_distinct)),
    ):
        if limits != (None, None):
            told = f"at {'least' if limits[0] is not None else 'most'} {_told(limits[0] or limits[1])} different values"
            judge = _within(limits, "the different values are")
            yield Probe(name, what, told, met.drop_nulls().n_unique(), judge, None, _severity(rule, what))
    if rule.max_age_hours is not None and at is not None:
        hours = rule.max_age_hours
        expected = f"the newest value at most {hours:g} hours old"
        yield Probe(
            name, "max_age_hours", expected, met.max(), _fresh(at, hours), None, _severity(rule, "max_age_hours")
        )


def _of_distribution(
    rule: ColumnRule,
    dtype: pl.DataType,
    what: str,
    comparator: Comparator | None,
    references: Mapping[str, Distribution] | None,
) -> Iterator[Probe]:
    reference = (references or {}).get(rule.name)
    if comparator is None or reference is None or (reference.kind == "number") != is_ordered(dtype):
        return
    limit = comparator

    def judge(found: Any, rows: int) -> Finding | None:
        apart = distance(reference, distribution_of(found, dtype, reference.edges), limit)
        text = f"the distance is {apart:.4g}" if apart is not None else ""
        return Finding(rows, 1.0, text) if apart is not None and apart > limit.threshold else None

    whom = "the rows before" if what == "drift" else "the training rows"
    expected = f"a distance of at most {limit.threshold:g} from {whom}"
    counted = count_values(rule.name, dtype, reference.edges)
    yield Probe((rule.name,), what, expected, counted, judge, None, _severity(rule, what))


def _unique(keys: tuple[str, ...], rule: ColumnRule | None, schema: Mapping[str, pl.DataType]) -> Probe:
    key = pl.struct(keys) if len(keys) > 1 else pl.col(keys[0])
    whole = pl.all_horizontal(pl.col(name).is_not_null() for name in keys)
    if rule is not None and rule.where:
        whole = whole & compile_expression(rule.where, schema).fill_null(False)
    is_plain = len(keys) == 1 and not (rule is not None and rule.where)
    there = key.drop_nulls() if is_plain else key.filter(whole)
    measure = there.len() - there.n_unique()
    # A row is a repeat when the same key stood in an earlier row that the rule is about as well.
    bad = whole & ~pl.struct(key, whole.alias("\0whole")).is_first_distinct()
    severity = _severity(rule, "unique") if rule is not None else "error"
    allowance = rule.tolerances.get("unique", 0.0) if rule is not None else 0.0
    return Probe(keys, "unique", "no two rows alike", measure, _at_most(allowance), bad, severity, is_key=True)


def _relation(relation: Relation, schema: Mapping[str, pl.DataType]) -> Probe:
    columns = (relation.left, relation.right)
    left, right = pl.col(relation.left), pl.col(relation.right)
    broken = {
        "<": left >= right,
        "<=": left > right,
        "==": left != right,
        "!=": left == right,
        ">=": left < right,
        ">": left <= right,
    }[relation.op]
    for name in columns:
        broken = broken & pl.col(name).is_not_nan() if schema[name].is_float() else broken
    text = f"{relation.left} {relation.op} {relation.right}"
    return _rows(columns, "relation", text, broken, relation.tolerance, severity=relation.severity)


def _check(check: Check, schema: Mapping[str, pl.DataType]) -> Probe:
    holds = compile_expression(check.holds, schema)
    where = compile_expression(check.where, schema) if check.where else None
    columns = tuple(dict.fromkeys(holds.meta.root_names()))
    return _rows(columns, check.name, check.holds, ~holds, check.tolerance, severity=check.severity, where=where)


def _measure(measure: Measure, schema: Mapping[str, pl.DataType]) -> Probe:
    limits = (measure.minimum, measure.maximum)
    expected = f"{measure.value} from {_told(limits[0])} to {_told(limits[1])}"
    value = compile_expression(measure.value, schema)
    columns = tuple(dict.fromkeys(value.meta.root_names()))
    return Probe(columns, measure.name, expected, value, _within(limits, "it is"), None, measure.severity)


def _rows(
    columns: tuple[str, ...],
    rule: str,
    expected: str,
    bad: pl.Expr,
    allowance: float,
    *,
    severity: Severity,
    where: pl.Expr | None = None,
) -> Probe:
    if where is None:
        return Probe(columns, rule, expected, bad.sum(), _at_most(allowance), bad.fill_null(False), severity)
    looked = where.fill_null(False)
    wrong = bad.fill_null(False) & looked
    measure = pl.struct(wrong.sum().alias("bad"), looked.sum().alias("of"))
    return Probe(columns, rule, expected, measure, _at_most(allowance), wrong, severity)


def _at_most(allowance: float) -> Callable[[Any, int], Finding | None]:
    def judge(found: Any, rows: int) -> Finding | None:
        count, of = (found["bad"], found["of"]) if isinstance(found, dict) else (found, rows)
        count = int(count or 0)
        return Finding(count, count / of, "") if count > allowance * of else None

    return judge


def _if_any(found: Any, rows: int) -> Finding | None:
    return Finding(None, 0.0, "") if found else None


def _missing_count(name: str, *, is_float: bool) -> pl.Expr:
    nulls = pl.col(name).null_count()
    return nulls + pl.col(name).is_nan().sum() if is_float else nulls


def _within(limits: tuple[float | None, float | None], lead: str) -> Callable[[Any, int], Finding | None]:
    low, high = limits

    def judge(found: Any, rows: int) -> Finding | None:
        if found is None or not ((low is not None and not found >= low) or (high is not None and not found <= high)):
            return None
        return Finding(rows, 1.0, f"{lead} {found:.6g}")

    return judge


def _fresh(at: datetime, hours: float) -> Callable[[Any, int], Finding | None]:
    def judge(found: Any, rows: int) -> Finding | None:
        if found is None:
            return None if not rows else Finding(rows, 1.0, "no row says when it is from")
        instant = found if isinstance(found, datetime) else datetime.combine(found, datetime.min.time())
        age = (at - (instant if instant.tzinfo else instant.replace(tzinfo=UTC))).total_seconds() / 3600
        return Finding(rows, 1.0, f"the newest is {found}, {age:.1f} hours old") if age > hours else None

    return judge


def _severity(rule: ColumnRule, what: str) -> Severity:
    return rule.severities.get(what, rule.severity)


def _value(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column with not-a-number as missing."""
    return pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)


def _limit(value: int | float | str | date, dtype: pl.DataType) -> pl.Expr:
    if not isinstance(value, str) or not dtype.is_temporal():
        return pl.lit(value)
    text = pl.lit(value)
    if isinstance(dtype, pl.Datetime):
        zone = dtype.time_zone
        return text.str.to_datetime(time_unit="us", time_zone=zone) if zone else text.str.to_datetime()
    return text.str.to_time() if isinstance(dtype, pl.Time) else text.str.to_date()


def _told(limit: float | None) -> str:
    return "any" if limit is None else f"{limit:g}"
