"""Arguments that several nouns take, and how their text is read."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Container, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "add_limit",
    "add_params",
    "add_reason",
    "count",
    "days",
    "hours",
    "instant",
    "pair",
    "port",
    "share",
    "shares",
    "values",
]


def instant(text: str) -> datetime:
    """`2013-03-01` or `2013-03-01T12:00:00Z` as an instant; without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no instant; write 2013-03-01 or 2013-03-01T12:00:00Z") from None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def pair(text: str) -> tuple[str, str]:
    """`name=value` as name and text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"{text!r} is no name=value")
    return name, value


def values(pairs: Iterable[tuple[str, str]], *, texts: Container[str] = ()) -> dict[str, Any]:
    """Each value as JSON, or as the text itself when it is none.

    Args:
        texts: names whose value is a text whatever it looks like.
    """
    return {name: value if name in texts else _json_or_text(value) for name, value in pairs}


def _json_or_text(value: str) -> Any:
    import json

    try:
        return json.loads(value)
    except ValueError:
        return value


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def hours(text: str) -> timedelta:
    """A whole number of hours, 1 or more; of more than a duration can be, the longest there is."""
    return _lasting(count(text), timedelta(hours=1))


def days(text: str) -> timedelta:
    """A whole number of days, as `hours`."""
    return _lasting(count(text), timedelta(days=1))


def _lasting(number: int, unit: timedelta) -> timedelta:
    try:
        return number * unit
    except OverflowError:
        return timedelta.max


def port(text: str) -> int:
    """A TCP port; 0 lets the system choose."""
    if not text.isdecimal() or int(text) > 65_535:
        raise ArgumentTypeError(f"{text!r} is no port between 0 and 65535")
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        read = float(text)
    except ValueError:
        read = -1.0
    if not 0 <= read <= 1:
        raise ArgumentTypeError(f"{text!r} is no share between 0 and 1")
    return read


def shares(text: str) -> tuple[float, ...]:
    """`0.1,0.5` as shares."""
    return tuple(share(part) for part in text.split(","))


def add_limit(parser: ArgumentParser, default: int) -> None:
    """`--limit N`: the newest N."""
    parser.add_argument(
        "--limit", type=count, default=default, metavar="N", help=f"at most so many (default: {default})"
    )


def add_reason(parser: ArgumentParser) -> None:
    """`--reason TEXT`: for the ledger."""
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the ledger")


def add_params(parser: ArgumentParser) -> None:
    """`-p name=value`, as often as needed."""
    parser.add_argument(
        "-p", "-P", dest="params", action="append", type=pair, default=[], metavar="NAME=VALUE",
        help="a parameter of the pipeline; the value is JSON, or plain text",
    )  # fmt: skip
