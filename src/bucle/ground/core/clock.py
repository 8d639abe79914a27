"""Time, handed in. No station asks the machine what time it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from bucle.ground.core.errors import UserError

__all__ = ["Clock", "SimulatedClock", "SystemClock", "as_utc", "from_micros", "to_micros"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the instant. Time never goes backwards within one clock."""

    def now(self) -> datetime:
        """The instant now, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The instant now, in UTC."""
        return datetime.now(UTC)


class SimulatedClock:
    """A clock that stands still until it is moved: for demos, replays and tests.

    Args:
        start: the first instant, with a time zone.
    """

    def __init__(self, start: datetime) -> None:
        self._now = as_utc(start)

    def now(self) -> datetime:
        """The instant the clock was last set to, in UTC."""
        return self._now

    def set(self, instant: datetime) -> None:
        """Move forward to an instant; an earlier one leaves the clock where it is."""
        self._now = max(self._now, as_utc(instant))

    def advance(self, by: timedelta) -> None:
        """Move forward by a duration >= 0."""
        self.set(self._now + by)


def as_utc(instant: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        UserError: the instant has no time zone.
    """
    if instant.tzinfo is None:
        raise UserError(
            f"The instant {instant.isoformat()} has no time zone.",
            why="An instant without a zone means another moment on another machine.",
            fix="Write it with a zone, e.g. 2013-03-01T00:00:00Z.",
        )
    return instant.astimezone(UTC)


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z, exact."""
    return (as_utc(instant) - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant that lies `micros` microseconds after 1970-01-01T00:00Z."""
    return _EPOCH + timedelta(microseconds=micros)
