"""Inferring a contract: a first guess from rows that are known to be good, for people to review."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import polars as pl

from bucle.line.contracts.contract import ColumnRule, Comparator, Contract, Relation
from bucle.line.contracts.type import type_of

__all__ = ["infer"]

FEW_VALUES = 40
"""Text with at most so many values, each seen often, is taken for a closed set."""

ENOUGH_ROWS = 50
"""Fewer rows say nothing about uniqueness, closed sets or relations."""

KEY_COLUMNS = 6
"""So many columns without gaps are tried as one half of a key of two."""

_SMALLEST = 1e-290


def infer(frame: pl.DataFrame, table: str, *, slack: float = 0.1, drift: float | None = None) -> Contract:
    """A contract that these rows keep, with some room.

    Numbers get a range widened on both sides, missing values a share, text with few values a closed set, what never
    repeats is unique, and of two columns that overlap where one never exceeds the other that relation is kept. Instants
    get no range, since time goes on.

    Args:
        frame: the rows.
        table: the table they are of.
        slack: room as a share: of the range for numbers, of the rows for missing values.
        drift: how far the values of a batch may be from those before it; keys and instants, which differ from batch
            to batch, are left out. None does not look.
    Cost: a few passes over the rows.
    """
    seen = _measure(frame)
    rules = tuple(_compared(_rule(frame, name, seen, slack), drift) for name in frame.columns)
    singles = {rule.name for rule in rules if rule.unique}
    return Contract(
        table=table,
        columns=rules,
        unique=() if singles else tuple(_keys(frame, rules)),
        relations=tuple(_relations(frame, rules)) if frame.height >= ENOUGH_ROWS else (),
        min_rows=1,
    )


def _measure(frame: pl.DataFrame) -> dict[str, Any]:
    """Everything about each column in one pass: `COLUMN|nulls`, `|low`, `|high`, `|values`."""
    wanted = list[pl.Expr]()
    for name, dtype in frame.schema.items():
        column = pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)
        wanted.append(column.null_count().alias(f"{name}|nulls"))
        if dtype.is_numeric():
            wanted += [column.min().alias(f"{name}|low"), column.max().alias(f"{name}|high")]
        if _may_be_key(dtype):
            wanted.append(column.drop_nulls().n_unique().alias(f"{name}|values"))
    return frame.select(wanted).row(0, named=True) if wanted else {}


def _may_be_key(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _rule(frame: pl.DataFrame, name: str, seen: Mapping[str, Any], slack: float) -> ColumnRule:
    dtype, nulls = frame.schema[name], int(seen[f"{name}|nulls"])
    share = nulls / frame.height if frame.height else 0.0
    low, high = _range(seen.get(f"{name}|low"), seen.get(f"{name}|high"), slack)
    is_text = isinstance(dtype, pl.String | pl.Categorical | pl.Enum)
    values = int(seen.get(f"{name}|values", 0))
    return ColumnRule(
        name=name,
        type=type_of(dtype),
        nullable=nulls > 0 or not frame.height,
        max_null_share=min(1.0, math.ceil((share * (1 + slack) + slack) * 1e4) / 1e4) if nulls else None,
        minimum=low,
        maximum=high,
        allowed=_closed_set(frame, name, values) if is_text else (),
        unique=_may_be_key(dtype) and frame.height >= ENOUGH_ROWS and nulls == 0 and values == frame.height,
    )


def _compared(rule: ColumnRule, drift: float | None) -> ColumnRule:
    of_values = rule.type in ("int", "long", "float", "double", "boolean") or rule.allowed
    if drift is None or rule.unique or not of_values:
        return rule
    return msgspec.structs.replace(rule, drift=Comparator(threshold=drift))


def _range(low: Any, high: Any, slack: float) -> tuple[int | float | None, int | float | None]:
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high):
        return None, None
    room = (float(high) - float(low)) * slack or abs(float(high)) * slack
    least, most = float(low) - room, float(high) + room
    if low >= 0:
        least = max(0.0, least)
    if isinstance(low, int):
        return math.floor(least), math.ceil(most)
    return min(_round(least, math.floor), float(low)), max(_round(most, math.ceil), float(high))


def _round(value: float, away: Callable[[float], int]) -> float:
    """Four significant digits, rounded away from the range; what a float adds in its last digits does not count."""
    if abs(value) < _SMALLEST:
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    return float(f"{away(round(value / unit, 6)) * unit:.4g}")


def _closed_set(frame: pl.DataFrame, name: str, values: int) -> tuple[str, ...]:
    if frame.height < ENOUGH_ROWS or not 0 < values <= FEW_VALUES or values * 10 > frame.height:
        return ()
    return tuple(frame[name].drop_nulls().cast(pl.String).unique().sort())


def _keys(frame: pl.DataFrame, rules: Iterable[ColumnRule]) -> Iterable[tuple[str, str]]:
    """The first pair of columns that together never repeat, one of them an instant or a date."""
    if frame.height < ENOUGH_ROWS:
        return
    whole = [rule.name for rule in rules if not rule.nullable and not frame.schema[rule.name].is_float()]
    for first, second in itertools.combinations(whole[:KEY_COLUMNS], 2):
        if not (frame.schema[first].is_temporal() or frame.schema[second].is_temporal()):
            continue
        if frame.select(pl.struct(first, second).n_unique()).item() == frame.height:
            yield first, second
            return


def _relations(frame: pl.DataFrame, rules: Iterable[ColumnRule]) -> Iterable[Relation]:
    """`a <= b` for columns that never break it although their middle halves overlap."""
    numeric = [rule.name for rule in rules if frame.schema[rule.name].is_numeric()]
    instants = [rule.name for rule in rules if isinstance(frame.schema[rule.name], pl.Date | pl.Datetime)]
    for group in (numeric, instants):
        pairs = _overlapping(frame, group)
        wanted = [((pl.col(a) <= pl.col(b)).all() & (pl.col(a) < pl.col(b)).any()).alias(f"{a}|{b}") for a, b in pairs]
        held = frame.select(wanted).row(0) if wanted else ()
        yield from (Relation(left=a, op="<=", right=b) for (a, b), holds in zip(pairs, held, strict=True) if holds)


def _overlapping(frame: pl.DataFrame, group: list[str]) -> list[tuple[str, str]]:
    """Pairs of one type whose middle halves overlap, told from figures of each column."""
    if len(group) < 2:
        return []
    shares = {"low": 0.25, "middle": 0.5, "high": 0.75}
    wanted = [pl.col(name).quantile(share).alias(f"{name}|{what}") for name in group for what, share in shares.items()]
    of = frame.select(*wanted, *(pl.col(name).max().alias(f"{name}|most") for name in group)).row(0, named=True)

    def overlap(a: str, b: str) -> bool:
        known = all(of[key] is not None for key in (f"{a}|high", f"{b}|low", f"{a}|most", f"{b}|middle"))
        return bool(known and of[f"{a}|high"] > of[f"{b}|low"] and of[f"{a}|most"] > of[f"{b}|middle"])

    return [(a, b) for a, b in itertools.permutations(group, 2) if frame.schema[a] == frame.schema[b] and overlap(a, b)]
