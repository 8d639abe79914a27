"""`/audit`: who did what, and is the chain whole?"""

from __future__ import annotations

import threading
from datetime import datetime

from bucle.doors.ui.parameters import Limit, Offset, Text
from bucle.doors.ui.store import events_page, tallies
from bucle.ground.core import Record
from bucle.ground.ledger import Event, LogReport, verify_log
from bucle.ground.project import Project

__all__ = ["Audit", "Checked", "audit"]

SHORT = 2000
"""A log of so many events is verified whenever somebody looks."""


class Checked(Record, frozen=True):
    """When the log was last read through, and what came of it.

    Attributes:
        report: what was found.
        at: when, by the project's clock.
    """

    report: LogReport
    at: datetime


class Audit(Record, frozen=True):
    """The ledger, newest first.

    Attributes:
        events: this page's.
        total: how many fit the filter.
        size: how many there are.
        kinds: every kind there is with its count.
        checked: the last verification; None until it was asked for.
        before: the number the next page starts below; None on the last.
        limit: events a page.
    """

    events: tuple[Event, ...]
    total: int
    size: int
    kinds: dict[str, int]
    checked: Checked | None
    before: int | None
    limit: int


class _LastCheck:
    """The last verification of an open project: to read the whole log again for every reader would be waste."""

    def __init__(self) -> None:
        self._kept: Checked | None = None
        self._lock = threading.Lock()

    def known(self) -> Checked | None:
        """The last one, or None."""
        return self._kept

    def renew(self, project: Project, size: int) -> Checked:
        """Verify the log unless that was done for exactly this size."""
        with self._lock:
            if self._kept is None or self._kept.report.size != size or self._kept.report.faults:
                report = verify_log(project.database, project.anchor)
                self._kept = Checked(report=report, at=project.clock.now())
            return self._kept

    def close(self) -> None:
        """Forget it, with the project."""
        self._kept = None


def audit(
    project: Project,
    *,
    kind: Text = "",
    subject: Text = "",
    actor: Text = "",
    before: Offset | None = None,
    limit: Limit = 100,
    verify: bool = False,
) -> Audit:
    """Events newest first, with what the last verification found.

    Args:
        kind: only this kind; `data.*` means all of a room.
        subject: only with this in their subject.
        actor: only with this in their actor.
        before: only events with a smaller number.
        limit: so many.
        verify: read the whole log through now. A short log is verified without being asked.
    Cost: an index look-up; with `verify`, one read of the whole log and all state.
    """
    found, total = events_page(project, kind=kind, subject=subject, actor=actor, before=before, limit=limit)
    size, last = project.ledger.size(), project.keep(_LastCheck, _LastCheck)
    return Audit(
        events=tuple(found),
        total=total,
        size=size,
        kinds={tally.kind: tally.count for tally in sorted(tallies(project).values(), key=lambda tally: tally.kind)},
        checked=last.renew(project, size) if verify or size <= SHORT else last.known(),
        before=found[-1].seq if len(found) == limit and found[-1].seq > 0 else None,
        limit=limit,
    )
