"""Values: rules that equal values keep or break alike; where few values differ, each is asked once and not each row."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import polars as pl

from bucle.line.contracts.contract import ColumnRule

__all__ = ["ValueRule", "few_values", "is_strict", "rules_of_values"]

FEW_WORDS = 12
"""A text is compared with so many words one by one: for five words that took a third of `is_in`, which hashes each."""

_SAMPLED = 100
"""Of so many rows one is looked at to see whether few of the values differ."""

_SMALL = 10_000
"""Of so many rows all are asked: it takes less time than to find out which values differ."""

_SEED = secrets.randbits(64)
"""Who does not know it cannot make values whose hashes agree."""


class ValueRule(NamedTuple):
    """A rule about each value of a column by itself.

    Attributes:
        rule: its name.
        expected: the limit, for people.
        bad: marks the values that break it.
    """

    rule: str
    expected: str
    bad: pl.Expr


def rules_of_values(rule: ColumnRule, value: pl.Expr, dtype: pl.DataType) -> Iterator[ValueRule]:
    """What a column's rule asks of its values and takes a while to ask.

    Args:
        value: the column, or values that stand for it.
        dtype: of the column.
    """
    if rule.allowed:
        yield ValueRule("allowed", f"one of {_listed(rule.allowed)}", ~_is_known(rule, value, dtype))
    if rule.pattern:
        bad = ~value.cast(pl.String).str.contains(f"^(?:{rule.pattern})$")
        yield ValueRule("pattern", f"matches {rule.pattern}", bad)
    if rule.min_length is not None:
        bad = _length(value, dtype) < rule.min_length
        yield ValueRule("min_length", f"a length of at least {rule.min_length}", bad)
    if rule.max_length is not None:
        bad = _length(value, dtype) > rule.max_length
        yield ValueRule("max_length", f"a length of at most {rule.max_length}", bad)


def few_values(rows: pl.DataFrame | pl.LazyFrame, rules: Iterable[ColumnRule]) -> dict[str, pl.Series]:
    """Column -> its different values, of the columns of text that have such rules and of which few values differ.

    Values whose hashes of 64 bits agree pass for one. The chance that two of a million different ones agree is 3 in
    10^8, by the approximation n^2 / 2^65 of the birthday problem.

    Args:
        rows: the batch; nothing is known of a lazy one, nor worth knowing of a small one.
        rules: of its columns.
    Cost: that of hashing the values.
    """
    if isinstance(rows, pl.LazyFrame) or rows.height <= _SMALL:
        return {}
    texts = {name for name, dtype in rows.schema.items() if dtype == pl.String}
    asked = [one.name for one in rules if one.name in texts and _is_worth_it(one)]
    sample = rows.select(asked).gather_every(_SAMPLED)
    few = [one.name for one in sample if one.n_unique() <= sample.height // 2]
    # One after another: side by side it took a fifth to a third more CPU, for memory that the threads fight over.
    places = rows.select_seq(pl.col(few).hash(_SEED).arg_unique().implode())
    return {name: rows[name].gather(places[name].item()) for name in few}


def is_strict(rule: ColumnRule, what: str) -> bool:
    """Whether a rule of a column is about every row, and none may break it."""
    return not rule.where and not rule.tolerances.get(what, rule.tolerance)


def _is_worth_it(rule: ColumnRule) -> bool:
    return any(is_strict(rule, one.rule) for one in rules_of_values(rule, pl.lit(""), pl.String()))


def _is_known(rule: ColumnRule, value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    as_text = dtype.is_temporal() or isinstance(dtype, pl.Categorical | pl.Enum)
    if dtype == pl.String and len(rule.allowed) <= FEW_WORDS and all(isinstance(one, str) for one in rule.allowed):
        return reduce(lambda a, b: a | b, [value == one for one in rule.allowed])
    if dtype.is_float():
        value = value.fill_nan(None)
    return (value.cast(pl.String) if as_text else value).is_in(list(rule.allowed))


def _length(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.List):
        return value.list.len()
    if isinstance(dtype, pl.Binary):
        return value.bin.size("b")
    return value.cast(pl.String).str.len_chars()


def _listed(values: Collection[Any]) -> str:
    told = list(map(str, values))
    return ", ".join(told[:12]) + (", …" if len(told) > 12 else "")
