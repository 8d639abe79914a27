"""Checking a batch against its contract: every rule in one pass over the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from bucle.ground.core import suggest
from bucle.line.contracts.contract import ColumnRule, Contract, Relation
from bucle.line.contracts.errors import ContractInvalid
from bucle.line.contracts.report import Breach, ContractReport
from bucle.line.contracts.type import accepts, type_of

__all__ = ["check", "check_repeats", "check_schema"]

SHOWN = 5
"""How many bad rows a breach shows."""


@dataclass(frozen=True)
class _Test:
    """A rule as two expressions: how many rows break it, and which.

    Attributes:
        columns: what the rule is about.
        rule: its name.
        expected: the limit, for people.
        count: an expression that gives one number: rows that break it, or a measure of the batch.
        bad: an expression that marks the rows, None for a rule about the whole batch.
        allowance: the greatest count that is no breach, as a share of the rows.
        limits: for a measure: the least and greatest value allowed.
    """

    columns: tuple[str, ...]
    rule: str
    expected: str
    count: pl.Expr
    bad: pl.Expr | None
    allowance: float = 0.0
    limits: tuple[float | None, float | None] | None = None


def check(frame: pl.DataFrame, contract: Contract) -> ContractReport:
    """What a batch does against its contract.

    Args:
        frame: the batch.
        contract: the rules; one about a column of another type than it names is not looked at, since the type is
            already a breach.
    Returns:
        The report; a broken rule is a finding, not an error.
    Raises:
        ContractInvalid: a limit cannot be compared with its column, e.g. `minimum: red` for a number.
    Cost: one pass over the columns that have rules; a second one over the broken ones, for the rows to show.
    """
    breaches = list(check_schema(frame, contract))
    sound = {b.column for b in breaches if b.rule in ("type", "required")}
    tests = [test for test in _tests(frame, contract) if not sound.intersection(test.columns)]
    try:
        counts = frame.select(test.count.alias(str(i)) for i, test in enumerate(tests)).row(0) if tests else ()
    except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError, pl.exceptions.SchemaError) as error:
        raise ContractInvalid(
            f"The contract of {contract.table!r} compares a column with something else: {str(error).splitlines()[0]}.",
            why="A rule that cannot be computed cannot be kept.",
            fix=f"Mend contracts/{contract.table}.yaml.",
            at=contract.table,
        ) from error
    breaches += [
        _breach(frame, contract.table, test, count)
        for test, count in zip(tests, counts, strict=True)
        if _broken(test, count, frame.height)
    ]
    breaches += _row_counts(frame.height, contract)
    return ContractReport(table=contract.table, rows=frame.height, breaches=tuple(breaches))


def check_schema(frame: pl.DataFrame, contract: Contract) -> Iterator[Breach]:
    """What is wrong with a batch's columns before any row is looked at."""
    table, rules = contract.table, {rule.name: rule for rule in contract.columns}
    for rule in contract.columns:
        if rule.name not in frame.columns:
            if rule.required:
                near = suggest(rule.name, [c for c in frame.columns if c not in rules])
                yield _about(table, rule.name, "required", "the column is there", f"it is missing. {near}".strip())
            continue
        found = type_of(frame.schema[rule.name])
        if not accepts(rule.type, found):
            yield _about(table, rule.name, "type", rule.type, f"it is {found}")
    if contract.extra_columns == "refuse":
        for name in frame.columns:
            if name not in rules:
                yield _about(table, name, "extra_columns", "only columns with a rule", "the column has none")


def check_repeats(batch: pl.DataFrame, existing: pl.LazyFrame, contract: Contract) -> Iterator[Breach]:
    """Which rows of a batch bear a key that the table they land on has already.

    Cost: one read of the key columns of the table.
    """
    known = existing.collect_schema().names()
    for keys in _key_groups(contract):
        if not set(keys) <= {*known} & {*batch.columns}:
            continue
        types = {key: batch.schema[key] for key in keys}
        seen = existing.select(pl.col(key).cast(types[key]) for key in keys)
        marked = batch.lazy().with_row_index("row").select("row", *keys)
        bad = marked.join(seen, on=list(keys), how="semi", maintain_order="left").collect()
        if bad.height:
            yield Breach(
                table=contract.table,
                column=", ".join(keys),
                rule="unique",
                count=bad.height,
                share=bad.height / batch.height,
                expected="no row of the table has the same values",
                found=f"{bad.height} rows are in the table already",
                rows=tuple(bad.sort("row").head(SHOWN).to_dicts()),
            )


def _tests(frame: pl.DataFrame, contract: Contract) -> Iterator[_Test]:
    for rule in contract.columns:
        if rule.name in frame.columns:
            yield from _column_tests(rule, frame.schema[rule.name])
    for keys in _key_groups(contract):
        if set(keys) <= set(frame.columns):
            yield _unique(keys)
    for relation in contract.relations:
        if {relation.left, relation.right} <= set(frame.columns):
            yield _relation(relation, frame.schema)


def _column_tests(rule: ColumnRule, dtype: pl.DataType) -> Iterator[_Test]:
    name, column, value = (rule.name,), pl.col(rule.name), _value(rule.name, dtype)
    if not rule.nullable or rule.max_null_share is not None:
        share = rule.max_null_share if rule.nullable and rule.max_null_share is not None else 0.0
        what = "max_null_share" if rule.nullable else "nullable"
        expected = f"at most {share:.4g} of the values missing" if rule.nullable else "no value missing"
        yield _rows(name, what, expected, value.is_null(), share)
    if rule.minimum is not None:
        limit = _limit(rule.minimum, dtype)
        yield _rows(name, "minimum", f"at least {rule.minimum}", value < limit, rule.tolerance)
    if rule.maximum is not None:
        limit = _limit(rule.maximum, dtype)
        yield _rows(name, "maximum", f"at most {rule.maximum}", value > limit, rule.tolerance)
    if rule.allowed:
        text = ", ".join(map(str, rule.allowed[:12])) + (", …" if len(rule.allowed) > 12 else "")
        as_text = dtype.is_temporal() or isinstance(dtype, pl.Categorical | pl.Enum)
        known = (column.cast(pl.String) if as_text else column).is_in(list(rule.allowed))
        yield _rows(name, "allowed", f"one of {text}", ~known, rule.tolerance)
    if rule.pattern:
        matches = column.cast(pl.String).str.contains(f"^(?:{rule.pattern})$")
        yield _rows(name, "pattern", f"matches {rule.pattern}", ~matches, rule.tolerance)
    if rule.mean_minimum is not None or rule.mean_maximum is not None:
        limits = (rule.mean_minimum, rule.mean_maximum)
        low, high = ("any" if one is None else f"{one:g}" for one in limits)
        yield _Test(name, "mean", f"a mean from {low} to {high}", value.mean(), None, limits=limits)


def _rows(columns: tuple[str, ...], rule: str, expected: str, bad: pl.Expr, allowance: float) -> _Test:
    return _Test(columns, rule, expected, bad.sum(), bad.fill_null(False), allowance)


def _unique(keys: tuple[str, ...]) -> _Test:
    key = pl.struct(keys) if len(keys) > 1 else pl.col(keys[0])
    whole = pl.all_horizontal(pl.col(k).is_not_null() for k in keys)
    distinct = key.filter(whole).n_unique()
    return _Test(keys, "unique", "no two rows alike", whole.sum() - distinct, whole & ~key.is_first_distinct())


def _value(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column with not-a-number as missing."""
    return pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)


def _relation(relation: Relation, schema: pl.Schema) -> _Test:
    left, right = (_value(name, schema[name]) for name in (relation.left, relation.right))
    holds = {
        "<": left < right,
        "<=": left <= right,
        "==": left == right,
        "!=": left != right,
        ">=": left >= right,
        ">": left > right,
    }[relation.op]
    text = f"{relation.left} {relation.op} {relation.right}"
    return _rows((relation.left, relation.right), "relation", text, ~holds, relation.tolerance)


def _key_groups(contract: Contract) -> list[tuple[str, ...]]:
    return [*((rule.name,) for rule in contract.columns if rule.unique), *contract.unique]


def _limit(value: int | float | str, dtype: pl.DataType) -> pl.Expr:
    if not isinstance(value, str) or not dtype.is_temporal():
        return pl.lit(value)
    if isinstance(dtype, pl.Datetime):
        zone = dtype.time_zone
        return (
            pl.lit(value).str.to_datetime(time_unit="us", time_zone=zone) if zone else pl.lit(value).str.to_datetime()
        )
    return pl.lit(value).str.to_time() if isinstance(dtype, pl.Time) else pl.lit(value).str.to_date()


def _broken(test: _Test, count: Any, rows: int) -> bool:
    if test.limits is None:
        return int(count or 0) > test.allowance * rows
    low, high = test.limits
    return count is not None and ((low is not None and count < low) or (high is not None and count > high))


def _breach(frame: pl.DataFrame, table: str, test: _Test, count: Any) -> Breach:
    if test.bad is None:
        found = f"the mean is {count:.6g}"
        return _about(table, ", ".join(test.columns), test.rule, test.expected, found, count=frame.height, share=1.0)
    bad = frame.lazy().with_row_index("row").filter(test.bad).select("row", *test.columns).head(SHOWN).collect()
    first = bad.row(0, named=True) if bad.height else {}
    values = ", ".join(f"{name}={first[name]!r}" for name in test.columns if name in first)
    return Breach(
        table=table,
        column=", ".join(test.columns),
        rule=test.rule,
        count=int(count),
        share=int(count) / frame.height,
        expected=test.expected,
        found=f"{int(count)} of {frame.height} rows do not, the first is row {first.get('row')} with {values}",
        rows=tuple(bad.to_dicts()),
    )


def _row_counts(rows: int, contract: Contract) -> Iterable[Breach]:
    if rows < contract.min_rows:
        yield _about(contract.table, "", "min_rows", f"at least {contract.min_rows} rows", f"the batch has {rows}")
    if contract.max_rows is not None and rows > contract.max_rows:
        yield _about(contract.table, "", "max_rows", f"at most {contract.max_rows} rows", f"the batch has {rows}")


def _about(
    table: str, column: str, rule: str, expected: str, found: str, *, count: int = 1, share: float = 1.0
) -> Breach:
    return Breach(table=table, column=column, rule=rule, count=count, share=share, expected=expected, found=found)
