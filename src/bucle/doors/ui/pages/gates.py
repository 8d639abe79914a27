"""`/gates`: why was it let through, why refused?"""

from __future__ import annotations

from typing import Any

from bucle.doors.ui.parameters import Id, Limit, Text
from bucle.ground.core import Record, decode
from bucle.ground.project import Project
from bucle.line import gates
from bucle.line.gates import Check, Verdict

__all__ = ["VerdictPage", "Verdicts", "verdict", "verdicts"]


class Verdicts(Record, frozen=True):
    """Verdicts, newest first.

    Attributes:
        verdicts: the newest that fit.
        subject: only about this ref, when given.
        limit: so many at most.
    """

    verdicts: tuple[Verdict, ...]
    subject: str
    limit: int


class VerdictPage(Record, frozen=True):
    """One verdict.

    Attributes:
        verdict: the verdict.
        whole: checks over all rows.
        slices: checks over slices, the worst first.
        policy: the gates with their settings, as they judged; None when their blob is gone.
    """

    verdict: Verdict
    whole: tuple[Check, ...]
    slices: tuple[Check, ...]
    policy: Any


def verdicts(project: Project, *, subject: Text = "", limit: Limit = 200) -> Verdicts:
    """Verdicts on a subject or on all."""
    found = gates.verdicts(project, subject or None, limit=limit)
    return Verdicts(verdicts=tuple(found[::-1]), subject=subject, limit=limit)


def verdict(project: Project, *, verdict: Id) -> VerdictPage:
    """One verdict with its checks.

    Raises:
        NoSuchVerdict: there is none.
    """
    found = gates.verdict(project, verdict)
    policy = decode(project.blobs.get(found.policy), object) if project.blobs.has(found.policy) else None
    return VerdictPage(
        verdict=found,
        whole=tuple(check for check in found.checks if not check.slice),
        slices=tuple(sorted((check for check in found.checks if check.slice), key=_margin)),
        policy=policy,
    )


def _margin(check: Check) -> tuple[bool, float]:
    """Refused first, then by how near they came to it."""
    least = check.low if check.low is not None else check.value
    if least is None or check.threshold is None:
        return check.passed, float("inf")
    return check.passed, least - check.threshold
