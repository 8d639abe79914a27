"""Page: a part of a long answer, and the token that asks for the next."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from bucle.ground.core import Record, digest_of_value
from bucle.line.tracking.errors import BadToken

__all__ = ["Key", "Page", "beyond", "check_limit", "make_token", "ordering", "read_token"]

T = TypeVar("T")

Plain = str | int | float | None

_PLACE = msgspec.msgpack.Decoder(tuple[bytes, tuple[Plain, ...]])


class Page(Record, Generic[T], frozen=True):
    """Some of many, in order.

    Attributes:
        items: these.
        token: what to ask the next ones with; empty at the end.
        total: how many there are in all, where that was counted.
    """

    items: tuple[T, ...]
    token: str = ""
    total: int | None = None


class Key(NamedTuple):
    """One thing to order by; what has no value comes last, in either direction."""

    expression: sa.ColumnElement[Any]
    ascending: bool = True
    nullable: bool = False


def ordering(keys: Sequence[Key]) -> list[sa.ColumnElement[Any]]:
    """The keys as ORDER BY takes them."""
    terms = list[sa.ColumnElement[Any]]()
    for key in keys:
        if key.nullable:
            terms.append(key.expression.is_(None))
        terms.append(key.expression.asc() if key.ascending else key.expression.desc())
    return terms


def beyond(keys: Sequence[Key], place: Sequence[Plain]) -> sa.ColumnElement[bool]:
    """What comes after a place in that order.

    Args:
        place: the value of each key at the last row that was given out.
    """
    ways = list[sa.ColumnElement[bool]]()
    for depth, (key, value) in enumerate(zip(keys, place, strict=True)):
        if value is None:
            continue  # nothing comes after what has no value, but by a later key
        same = [_equals(one.expression, known) for one, known in zip(keys[:depth], place[:depth], strict=True)]
        after = key.expression > value if key.ascending else key.expression < value
        ways.append(sa.and_(*same, sa.or_(after, key.expression.is_(None)) if key.nullable else after))
    # Said once more by itself, so that an index on the first key can begin there.
    first, value = keys[0], place[0]
    if value is not None and not first.nullable:
        bound = first.expression >= value if first.ascending else first.expression <= value
        return sa.and_(bound, sa.or_(*ways))
    return sa.or_(*ways)


def _equals(expression: sa.ColumnElement[Any], value: Plain) -> sa.ColumnElement[bool]:
    return expression.is_(None) if value is None else expression == value


def make_token(question: object, place: Sequence[Plain]) -> str:
    """A token that goes on behind a place.

    Args:
        question: all that was asked for; the token fits no other.
        place: plain values.
    """
    packed = msgspec.msgpack.encode((_mark(question, place), tuple(place)))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_token(token: str, question: object, length: int) -> tuple[Plain, ...]:
    """The place a token stands for.

    Raises:
        BadToken: it was cut, made up, or given out by another search.
    """
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        mark, place = _PLACE.decode(packed)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise _bad_token(token, "It was cut short or made up.") from error
    if len(place) != length or not all(map(_is_storable, place)) or mark != _mark(question, place):
        raise _bad_token(token, "It belongs to another search: a token fits the filter and order it came with.")
    return place


def _is_storable(value: Plain) -> bool:
    """Whether a database can compare with it: a number of 64 bits, a text without NUL."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return not isinstance(value, str) or "\0" not in value


def check_limit(limit: int, most: int) -> int:
    """The number of items to give at once.

    Raises:
        BadToken: it is not within 1 and `most`.
    """
    if not 1 <= limit <= most:
        raise BadToken(
            f"A page of {limit} is not possible.",
            why=f"A page has 1 to {most} items.",
            fix="Ask for so many.",
            at="limit",
        )
    return limit


def _mark(question: object, place: Sequence[Plain]) -> bytes:
    """What ties a place to its question, so that neither is changed by chance."""
    return bytes.fromhex(digest_of_value([question, msgspec.msgpack.encode(tuple(place)).hex()])[:16])


def _bad_token(token: str, why: str) -> BadToken:
    return BadToken(f"The page token {token[:40]!r} is not one of ours.", why=why, fix="Begin again without a token.")
