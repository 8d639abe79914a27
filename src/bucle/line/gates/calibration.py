"""Calibration: of what is called 30 % likely, 30 % comes true."""

from __future__ import annotations

from bucle.ground.core import Record
from bucle.line.gates.check import Check, finite
from bucle.line.gates.errors import BadGate
from bucle.line.gates.evidence import Evidence
from bucle.line.gates.metric import debiased_ece, ece

__all__ = ["Calibration"]


class Calibration(Record, frozen=True, tag_field="gate", tag="calibration", forbid_unknown_fields=True):
    """The expected calibration error, less what chance alone adds, must not exceed a bound.

    Attributes:
        max_ece: 0 to 1.
        bins: of equal mass, at most.
    """

    max_ece: float = 0.05
    bins: int = 15

    def __post_init__(self) -> None:
        """Check the settings."""
        if not (0 <= self.max_ece <= 1 and self.bins >= 1):
            raise BadGate(
                f"The calibration gate has max_ece {self.max_ece:g} and {self.bins} bins.",
                fix="Give a max_ece between 0 and 1 and at least one bin.",
                at="calibration",
            )

    def judge(self, evidence: Evidence) -> tuple[Check, ...]:
        """One check."""
        found = debiased_ece(evidence.labels, evidence.challenger, self.bins)
        plain = ece(evidence.labels, evidence.challenger, self.bins)
        detail = f"calibration error {found:.4f} ({plain:.4f} with chance); at most {self.max_ece:g} is asked."
        return (
            Check(
                gate="calibration",
                metric="ece",
                value=finite(found),
                threshold=self.max_ece,
                passed=found <= self.max_ece,
                rows=evidence.rows,
                detail=detail,
            ),
        )
