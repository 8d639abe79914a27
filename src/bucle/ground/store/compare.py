"""Comparisons of a filter as SQL expressions, alike in both databases."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from bucle.ground.core import Clause

__all__ = ["OPERATORS", "comparison", "like", "pattern_start"]


def comparison(left: sa.ColumnElement[Any], clause: Clause, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """A clause's comparison of a text or a number; every value is bound.

    Args:
        left: what is compared; its type must take the clause's value. A whole number is an instant in microseconds.
        clause: with any operator but IS [NOT] NULL.
        is_sqlite: whether it is for SQLite, whose LIKE takes no notice of upper and lower case.
    """
    value: Any = clause.value
    if clause.op in ("LIKE", "ILIKE"):
        return like(left, str(value), is_sqlite=is_sqlite, any_case=clause.op == "ILIKE")
    if clause.op == "IN":
        return left.in_(value)
    if clause.op == "NOT IN":
        return left.not_in(value)
    if isinstance(left.type, sa.BigInteger):
        return _instant(left, clause.op, value)
    fits: sa.ColumnElement[bool] = OPERATORS[clause.op](left, float(value) if isinstance(value, int) else value)
    return fits


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

FURTHEST_MS = (1 << 63) // 1000 - 2
"""Milliseconds; what lies beyond is compared as if it lay there, where nothing is."""


def _instant(left: sa.ColumnElement[Any], op: str, value: float) -> sa.ColumnElement[bool]:
    """Microseconds compared with milliseconds as a client sees them: the whole millisecond is one instant."""
    start = max(-FURTHEST_MS, min(FURTHEST_MS, math.floor(value))) * 1000
    end = start + 1000
    if op == "=":
        return sa.and_(left >= start, left < end)
    if op == "!=":
        return sa.or_(left < start, left >= end)
    return {">": left >= end, ">=": left >= start, "<": left < start, "<=": left < end}[op]


def like(
    left: sa.ColumnElement[Any], pattern: str, *, is_sqlite: bool, any_case: bool = False
) -> sa.ColumnElement[bool]:
    """Whether a text fits a pattern of `%` (anything) and `_` (one character)."""
    if is_sqlite and not any_case:
        return left.op("GLOB", is_comparison=True)(_glob(pattern))
    # PostgreSQL takes a backslash for an escape, SQLite for itself.
    pattern = pattern if is_sqlite else pattern.replace("\\", "\\\\")
    return sa.func.lower(left).like(pattern.lower()) if any_case else left.like(pattern)


def _glob(pattern: str) -> str:
    return "".join(_GLOB.get(character, character) for character in pattern)


_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}


def pattern_start(pattern: str) -> str:
    """The characters every text that fits a pattern begins with."""
    return pattern.split("%", 1)[0].split("_", 1)[0]
