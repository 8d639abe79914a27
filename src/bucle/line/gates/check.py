"""Check: one thing a gate looked at, and what a gate has to be."""

from __future__ import annotations

import math
from typing import Protocol

from bucle.ground.core import Record
from bucle.line.gates.evidence import Evidence

__all__ = ["Check", "Gate", "finite"]


class Check(Record, frozen=True):
    """One comparison of a number with a threshold.

    Attributes:
        gate: which kind of gate looked.
        metric: what it measured.
        passed: whether it may go through.
        rows: how many rows it looked at.
        detail: the finding as a sentence.
        slice: which rows, `carrier=AA`; empty means all.
        value: what was found; None when it could not be measured.
        low, high: the interval of that value, where there is one.
        threshold: what it was compared with.
    """

    gate: str
    metric: str
    passed: bool
    rows: int
    detail: str
    slice: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None


class Gate(Protocol):
    """A judgement: a pure function of evidence, with its settings.

    Laws every gate keeps: it is a frozen `Record` tagged `gate` (so that the policy that judged can be read again); the
    same evidence gives the same checks; it gives at least one check; what it cannot measure does not pass.
    """

    def judge(self, evidence: Evidence) -> tuple[Check, ...]:
        """What this gate finds. Raises nothing for valid evidence."""
        ...


def finite(value: float) -> float | None:
    """The number, or None when it is none."""
    return value if math.isfinite(value) else None
