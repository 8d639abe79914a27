"""Duration: a number and a unit, as settings and records say how long."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

__all__ = ["duration_of", "instant_before"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM = re.compile(r"([0-9]{1,9})([smhdw])")


def duration_of(text: str) -> timedelta | None:
    """`90s`, `15m`, `6h`, `30d` or `2w` as a duration; None when it is none of these.

    One that is longer than a duration can be is the longest there is.

    Example:
        >>> duration_of("2w")
        datetime.timedelta(days=14)
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    try:
        return timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2)])
    except OverflowError:
        return timedelta.max


def instant_before(instant: datetime, duration: timedelta) -> datetime:
    """The instant that was so long before another; the first there is when time is not that old.

    Example:
        >>> instant_before(datetime(2013, 1, 1), timedelta(days=4_000_000))
        datetime.datetime(1, 1, 1, 0, 0)
    """
    try:
        return instant - duration
    except OverflowError:
        return datetime.min.replace(tzinfo=instant.tzinfo)
