"""MinimumMetric: good enough by itself, whoever is in place."""

from __future__ import annotations

from bucle.ground.core import Record
from bucle.line.gates.check import Check, finite
from bucle.line.gates.comparison import estimate
from bucle.line.gates.errors import BadGate
from bucle.line.gates.evidence import Evidence
from bucle.line.gates.metric import Metric

__all__ = ["MinimumMetric"]


class MinimumMetric(Record, frozen=True, tag_field="gate", tag="minimum", forbid_unknown_fields=True):
    """A metric must reach a bound.

    Attributes:
        metric: `auc`, `log_loss`, `brier` or `accuracy`.
        minimum: at least this, for a metric of which more is better.
        maximum: at most this, for a metric of which less is better.
    """

    metric: Metric = "auc"
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        """Refuse a gate without a bound: everything would pass it."""
        if self.minimum is None and self.maximum is None:
            raise BadGate(
                f"The gate on {self.metric} has neither a minimum nor a maximum.",
                why="Everything would pass it.",
                fix="Write e.g. minimum = {metric = 'auc', minimum = 0.6}.",
                at="minimum",
            )

    def judge(self, evidence: Evidence) -> tuple[Check, ...]:
        """One check a bound."""
        found = estimate(self.metric, evidence.labels, evidence.challenger)
        bounds = ((self.minimum, 1, "at least"), (self.maximum, -1, "at most"))
        return tuple(
            Check(
                gate="minimum",
                metric=self.metric,
                value=finite(found.value),
                low=finite(found.low),
                high=finite(found.high),
                threshold=bound,
                passed=sign * found.value >= sign * bound,
                rows=evidence.rows,
                detail=f"{self.metric} is {found.value:.4f}, {word} {bound:g} is asked.",
            )
            for bound, sign, word in bounds
            if bound is not None
        )
