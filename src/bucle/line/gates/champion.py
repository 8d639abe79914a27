"""ChampionChallenger: not worse than what is in place, on the same rows, beyond chance."""

from __future__ import annotations

from bucle.ground.core import Record
from bucle.line.gates.check import Check, finite
from bucle.line.gates.comparison import compare
from bucle.line.gates.errors import BadGate
from bucle.line.gates.evidence import Evidence
from bucle.line.gates.metric import Metric

__all__ = ["ChampionChallenger"]


class ChampionChallenger(Record, frozen=True, tag_field="gate", tag="champion", forbid_unknown_fields=True):
    """The challenger's gain over the champion must lie above `-margin` with its whole confidence interval.

    So a challenger that is worse by the margin or more passes with a probability of (1 - confidence) / 2 at most, and
    one whose measured loss reaches the margin never passes. Few rows make the interval wide: then it does not pass.

    Attributes:
        metric: `auc` (paired DeLong), or `log_loss`, `brier`, `accuracy` (paired bootstrap).
        margin: the loss that would still be borne, >= 0.
        confidence: of the two-sided interval.
        require_better: the whole interval must lie above 0.
    """

    metric: Metric = "auc"
    margin: float = 0.01
    confidence: float = 0.95
    require_better: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        if not (self.margin >= 0 and 0 < self.confidence < 1):
            raise BadGate(
                f"The champion gate has margin {self.margin:g} and confidence {self.confidence:g}.",
                fix="Give a margin >= 0 and a confidence between 0 and 1.",
                at="champion",
            )

    def judge(self, evidence: Evidence) -> tuple[Check, ...]:
        """One check."""
        floor = 0.0 if self.require_better else 0.0 - self.margin
        if evidence.champion is None:
            detail = "There is no champion to compare with."
            return (Check(gate="champion", metric=self.metric, passed=True, rows=evidence.rows, detail=detail),)
        found = compare(self.metric, evidence.labels, evidence.challenger, evidence.champion, self.confidence)
        return (
            Check(
                gate="champion",
                metric=self.metric,
                value=finite(found.gain),
                low=finite(found.low),
                high=finite(found.high),
                threshold=floor,
                passed=found.low > floor,
                rows=evidence.rows,
                detail=(
                    f"{self.metric} {found.challenger:.4f} against {found.champion:.4f}: {found.gain:+.4f}, "
                    f"at {self.confidence:.0%} between {found.low:+.4f} and {found.high:+.4f}; "
                    f"the low end must be above {floor:g}."
                ),
            ),
        )
