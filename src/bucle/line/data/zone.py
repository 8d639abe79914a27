"""Zone: tables that are governed alike, e.g. raw and refined ones."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from bucle.ground.core import ConfigError, Section, duration_of

__all__ = ["Zone", "zone_named"]


class Zone(Section, frozen=True):
    """`[data.zones.NAME]`: tables that are governed alike; `bucle access … zone/NAME` says who may read them.

    Attributes:
        tables: a name or several; `*` stands for anything, e.g. `raw.*`.
        owner: who answers for tables that name nobody themselves.
        retention: how long rows are kept of tables that do not say so themselves, e.g. `730d`; '' for ever.
    """

    tables: str | tuple[str, ...] = ()
    owner: str = ""
    retention: str = ""

    def __post_init__(self) -> None:
        """Refuse a retention that is none."""
        if self.retention and duration_of(self.retention) is None:
            raise ConfigError(
                f"[data.zones] retention = {self.retention!r} is no duration.",
                why="Rows would be kept for ever.",
                fix="Number and unit: s, m, h, d or w, e.g. 730d.",
                at="data.zones",
            )


def zone_named(zones: Mapping[str, Zone], table: str) -> str:
    """The first zone that names a table; '' when none does."""
    for name, zone in zones.items():
        patterns = (zone.tables,) if isinstance(zone.tables, str) else zone.tables
        if any(fnmatchcase(table, pattern) for pattern in patterns):
            return name
    return ""
