"""Duration: a number and a unit, as settings and records say how long."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["duration_of"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FORM = re.compile(r"([0-9]{1,9})([smhdw])")


def duration_of(text: str) -> timedelta | None:
    """`90s`, `15m`, `6h`, `30d` or `2w` as a duration; None when it is none of these.

    Example:
        >>> duration_of("2w")
        datetime.timedelta(days=14)
    """
    match = _FORM.fullmatch(text)
    return None if match is None else timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2)])
