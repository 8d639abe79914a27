"""Score: the ML Test Score of a model, every point with what proves it.

Source: E. Breck, S. Cai, E. Nielsen, M. Salib, D. Sculley: "The ML Test Score: A Rubric for ML Production Readiness
and Technical Debt Reduction", IEEE Big Data 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from bucle.ground.core import Record
from bucle.loop.readiness.attest import Attestation
from bucle.loop.readiness.evidence import Evidence

__all__ = ["BANDS", "SECTIONS", "Marks", "RubricItem", "RubricTest", "Score", "band_of", "score"]

Section = Literal["data", "model", "infra", "monitor"]

SECTIONS: tuple[Section, ...] = ("data", "model", "infra", "monitor")

BANDS: tuple[tuple[float, str], ...] = (
    (0.0, "more of a research project than a productionized system"),
    (1.0, "not totally untested, but serious holes in reliability are possible"),
    (2.0, "a first pass at basic productionization; more investment may be needed"),
    (3.0, "reasonably tested; more of the tests and procedures may be automated"),
    (5.0, "strong levels of automated testing and monitoring, fit for mission-critical systems"),
    (7.0, "exceptional levels of automated testing and monitoring"),
)
"""The paper's interpretation: the greatest score of a band, and what it means."""

MANUAL = 0.5
"""What is done by hand, or only declared, gives half a point."""


class Marks(NamedTuple):
    """What the record says of one test.

    Attributes:
        points: 1 when it is done automatically and happened, 0.5 when by hand or only declared, else 0.
        detail: what was found.
        proof: the ref that proves it: an event, a verdict, a file; empty without points.
    """

    points: float
    detail: str
    proof: str = ""


class RubricTest(NamedTuple):
    """One of the 28 tests.

    Attributes:
        id: `data-1` to `monitor-7`, in the paper's order.
        title: what must hold.
        look: what the record says of it.
        fix: what earns more.
    """

    id: str
    title: str
    look: Callable[[Evidence], Marks]
    fix: str


class RubricItem(Record, frozen=True):
    """One of the 28 tests, judged for a model.

    Attributes:
        id: `data-1` to `monitor-7`.
        title: what must hold.
        points: 1 when done automatically, 0.5 when by hand or only declared, 0 when nothing is on record.
        detail: what was found.
        proof: the ref that proves it.
        fix: what earns more; empty at 1.
    """

    id: str
    title: str
    points: float
    detail: str
    proof: str = ""
    fix: str = ""


class Score(Record, frozen=True):
    """The ML Test Score of one model.

    Attributes:
        model: whose.
        version: the one that was looked at: the champion, or the latest.
        sections: section -> the sum of its seven tests.
        score: the least of them.
        means: the paper's interpretation.
        items: the 28 tests.
    """

    model: str
    version: int
    sections: dict[str, float]
    score: float
    means: str
    items: tuple[RubricItem, ...]


def score(tests: Sequence[RubricTest], evidence: Evidence, attested: Mapping[str, Attestation]) -> Score:
    """Judge every test from what is on record; what somebody attests counts as done by hand.

    Args:
        attested: test -> the newest attestation of it for this model.
    """
    items = tuple(_item(test, evidence, attested.get(test.id)) for test in tests)
    sections = {
        name: sum(item.points for item in items if item.id.partition("-")[0] == name) for name in map(str, SECTIONS)
    }
    least = min(sections.values())
    return Score(
        model=evidence.model,
        version=evidence.version.version,
        sections=sections,
        score=least,
        means=band_of(least),
        items=items,
    )


def band_of(points: float) -> str:
    """The paper's interpretation of a final score.

    Example:
        >>> band_of(0.5)
        'not totally untested, but serious holes in reliability are possible'
    """
    return next(text for most, text in BANDS if points <= most)


def _item(test: RubricTest, evidence: Evidence, attested: Attestation | None) -> RubricItem:
    marks = test.look(evidence)
    if attested is not None and marks.points < MANUAL:
        told = f"attested by {attested.actor} on {attested.at:%Y-%m-%d}: {attested.reason}"
        marks = Marks(MANUAL, told, attested.event)
    fix = "" if marks.points == 1 else test.fix
    return RubricItem(
        id=test.id, title=test.title, points=marks.points, detail=marks.detail, proof=marks.proof, fix=fix
    )
