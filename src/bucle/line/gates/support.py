"""Support: enough rows to judge by at all."""

from __future__ import annotations

from bucle.ground.core import Record
from bucle.line.gates.check import Check
from bucle.line.gates.errors import BadGate
from bucle.line.gates.evidence import Evidence

__all__ = ["Support"]


class Support(Record, frozen=True, tag_field="gate", tag="support", forbid_unknown_fields=True):
    """The evidence must have so many rows, and so many of each class.

    Attributes:
        min_rows: in all.
        min_class: positives, and negatives.
    """

    min_rows: int = 200
    min_class: int = 20

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.min_rows < 1 or self.min_class < 0:
            raise BadGate(f"The support gate cannot use {self!r}.", fix="Give numbers of rows.", at="support")

    def judge(self, evidence: Evidence) -> tuple[Check, ...]:
        """A check of the rows and one of the rarer class."""
        positives = int(evidence.labels.sum())
        found = (
            ("rows", evidence.rows, self.min_rows),
            ("rows of the rarer class", min(positives, evidence.rows - positives), self.min_class),
        )
        return tuple(
            Check(
                gate="support",
                metric=what,
                value=float(count),
                threshold=float(least),
                passed=count >= least,
                rows=evidence.rows,
                detail=f"{count} {what}, at least {least} are asked.",
            )
            for what, count, least in found
        )
