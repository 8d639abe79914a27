"""Slices: nobody's carrier, airport or country is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bucle.ground.core import Record
from bucle.line.gates.check import Check, finite
from bucle.line.gates.comparison import Comparison, compare, holm, quantile
from bucle.line.gates.errors import BadGate
from bucle.line.gates.evidence import Evidence
from bucle.line.gates.metric import Bools, Floats, Metric

__all__ = ["Slices", "masks_of"]


class _Part(NamedTuple):
    name: str
    rows: int
    found: Comparison


class Slices(Record, frozen=True, tag_field="gate", tag="slices", forbid_unknown_fields=True):
    """In no slice may the challenger be worse than the champion by more than `max_drop`, beyond chance.

    A slice refuses when a one-sided test says that its drop is greater than `max_drop`. The tests of all slices
    together err with probability 1 - confidence at most (Holm), so noise in one of many slices does not refuse.

    Attributes:
        columns: the columns of the evidence that part the rows.
        metric: what is compared.
        max_drop: the loss borne in a slice, >= 0.
        min_support: a slice with fewer rows is not judged, and that is said.
        min_class: a slice with fewer rows of either class is not judged.
        confidence: of all slices together.
    """

    columns: tuple[str, ...]
    metric: Metric = "auc"
    max_drop: float = 0.02
    min_support: int = 200
    min_class: int = 10
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Check the settings."""
        if not (self.columns and self.max_drop >= 0 and 0 < self.confidence < 1 and self.min_class >= 2):
            raise BadGate(
                f"The slices gate cannot use {self!r}.",
                fix="Name at least one column, a max_drop >= 0, a min_class >= 2 and a confidence between 0 and 1.",
                at="slices",
            )

    def judge(self, evidence: Evidence) -> tuple[Check, ...]:
        """One check a slice that is large enough, one for all others, one a column that is not there."""
        missing = [column for column in self.columns if column not in evidence.slices]
        absent = [self._check(f"The evidence has no column {column!r}.", slice=column) for column in missing]
        if evidence.champion is None:
            return (*absent, self._check("There is no champion to compare with.", passed=True, rows=evidence.rows))
        masks = [
            item
            for column in self.columns
            if column not in missing
            for item in masks_of(column, evidence.slices[column])
        ]
        large = [(name, mask) for name, mask in masks if self._is_large(evidence.labels[mask])]
        parts = [self._part(evidence, evidence.champion, name, mask) for name, mask in large]
        return (*absent, *self._judged(parts), self._rest(evidence, len(masks), len(parts)))

    def _part(self, evidence: Evidence, champion: Floats, name: str, mask: Bools) -> _Part:
        found = compare(self.metric, evidence.labels[mask], evidence.challenger[mask], champion[mask], self.confidence)
        return _Part(name, int(mask.sum()), found)

    def _is_large(self, labels: Bools) -> bool:
        positives = int(labels.sum())
        return labels.size >= self.min_support and min(positives, labels.size - positives) >= self.min_class

    def _judged(self, parts: list[_Part]) -> Iterator[Check]:
        p_values = [_p_value(part.found, self.max_drop) for part in parts]
        for part, p, level in zip(parts, p_values, holm(p_values, 1 - self.confidence), strict=True):
            found, reach = part.found, quantile(1 - level) * part.found.error
            yield Check(
                gate="slices",
                metric=self.metric,
                slice=part.name,
                value=finite(found.gain),
                low=finite(found.gain - reach),
                high=finite(found.gain + reach),
                threshold=0.0 - self.max_drop,
                passed=p > level,
                rows=part.rows,
                detail=(
                    f"{part.name}: {self.metric} {found.challenger:.4f} against {found.champion:.4f}, "
                    f"{found.gain:+.4f} on {part.rows} rows; {_finding(p > level, self.max_drop)}"
                ),
            )

    def _rest(self, evidence: Evidence, known: int, judged: int) -> Check:
        few = f"fewer than {self.min_support} rows or {self.min_class} of a class"
        detail = f"{judged} of {known} slices were judged; {known - judged} have {few}."
        return self._check(detail, passed=True, rows=evidence.rows)

    def _check(self, detail: str, *, passed: bool = False, rows: int = 0, slice: str = "") -> Check:  # noqa: A002
        return Check(gate="slices", metric=self.metric, slice=slice, passed=passed, rows=rows, detail=detail)


def masks_of(column: str, values: NDArray[Any]) -> Iterator[tuple[str, Bools]]:
    """Each value of a column as a slice, `carrier=AA`, with the rows that have it; in the order of the values."""
    # A dictionary is ten times faster than np.unique, which sorts the texts of all rows.
    numbers = {value: number for number, value in enumerate(sorted(set(values.tolist())))}
    place = np.array([numbers[value] for value in values.tolist()])
    for value, number in numbers.items():
        yield f"{column}={value}", place == number


def _p_value(found: Comparison, max_drop: float) -> float:
    """Probability of so great a drop if the true one were `max_drop`; small speaks against the challenger."""
    distance = found.gain + max_drop
    if found.error > 0:
        return NormalDist().cdf(distance / found.error)
    return 1.0 if distance >= 0 else 0.0


def _finding(passed: bool, max_drop: float) -> str:
    return f"no drop beyond {max_drop:g} is proven." if passed else f"a drop beyond {max_drop:g} is more than chance."
