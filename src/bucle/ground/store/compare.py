"""Comparisons of a filter as SQL expressions, alike in both databases."""

from __future__ import annotations

import functools
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
    """Whether a text fits a pattern of `%` (anything) and `_` (one character).

    Args:
        any_case: whether upper and lower case are one: a character fits another when both have the same lower case, if
            that is one character.
    """
    if any_case and not pattern.isascii():
        return _in_any_case(left, pattern, is_sqlite=is_sqlite)
    if is_sqlite and not any_case:
        return left.op("GLOB", is_comparison=True)(_glob(pattern))
    # PostgreSQL takes a backslash for an escape, SQLite for itself.
    pattern = pattern if is_sqlite else pattern.replace("\\", "\\\\")
    return sa.func.lower(left).like(pattern.lower()) if any_case else left.like(pattern)


def _in_any_case(left: sa.ColumnElement[Any], pattern: str, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """Each letter as the class of its cases: SQLite, and PostgreSQL with our collation, know only those of ASCII."""
    if is_sqlite:
        return left.op("GLOB", is_comparison=True)("".join(_cases(one) or _GLOB.get(one, one) for one in pattern))
    expression = "".join(_cases(one) or _REGULAR.get(one) or _literal(one) for one in pattern)
    return left.op("~", is_comparison=True)(f"^{expression}$")


def _cases(character: str) -> str:
    """The characters that are this one in another case, as a class; nothing when there are none."""
    lower = character.lower()
    found = {character, lower, lower.upper()} if character.isascii() else {character, *_by_lower().get(lower, lower)}
    return f"[{''.join(sorted(found))}]" if len(found) > 1 else ""


@functools.cache
def _by_lower() -> dict[str, str]:
    """Lower case -> all characters that have it. Cost: 15 ms, once."""
    found: dict[str, str] = {}
    for character in map(chr, range(128, LAST_CASED)):
        lower = character.lower()
        if lower != character and len(lower) == 1:
            found[lower] = found.get(lower, lower) + character
    return found


LAST_CASED = 0x1F000
"""No character from here on has cases."""


def _literal(character: str) -> str:
    """A character that stands for itself in a regular expression of PostgreSQL."""
    return character if character.isalnum() or not character.isascii() else f"\\{character}"


_REGULAR = {"%": ".*", "_": "."}


def _glob(pattern: str) -> str:
    return "".join(_GLOB.get(character, character) for character in pattern)


_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}


def pattern_start(pattern: str) -> str:
    """The characters every text that fits a pattern begins with."""
    return pattern.split("%", 1)[0].split("_", 1)[0]
