"""Attest: somebody says that a test of the rubric is done by hand, where the record cannot show it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bucle.ground.core import NotFound, Record, UserError, make_ref, suggest
from bucle.ground.project import Project
from bucle.line import registry

__all__ = ["Attestation", "NoReason", "NoSuchTest", "attest", "attestations"]

_KIND = "readiness.attested"


class NoSuchTest(NotFound):
    """The rubric has no test of this id."""

    code = "BU1507"


class NoReason(UserError):
    """An attestation does not say what is done, and where it is written down."""

    code = "BU1508"


class Attestation(Record, frozen=True):
    """Somebody's word that a test is done by hand.

    Attributes:
        model: for which model.
        test: `data-1` to `monitor-7`.
        actor: who says so.
        at: when.
        reason: what is done, and where it is written down.
        event: its ref in the ledger.
    """

    model: str
    test: str
    actor: str
    at: datetime
    reason: str
    event: str


def attest(project: Project, model: str, test: str, reason: str, *, known: Sequence[str]) -> Attestation:
    """Put on record that a test is done by hand; it gives half a point where the record shows nothing.

    Args:
        test: its id.
        reason: what is done, and where it is written down.
        known: the ids there are.
    Raises:
        NoSuchTest: there is no such test.
        NoReason: the reason is empty.
        NoSuchModel: there is no such model.
    """
    if test not in known:
        raise NoSuchTest(
            f"There is no test {test!r}.",
            why="The rubric has data-1 to data-7, model-1 to model-7, infra-1 to infra-7 and monitor-1 to monitor-7.",
            fix=suggest(test, known) or "See them: bucle check",
            at=test,
        )
    if not reason.strip():
        raise NoReason(
            f"The attestation of {test} has no reason.",
            why="It counts as done by hand and documented: somebody must be able to look it up.",
            fix=f'bucle check --attest {test} "what is done, and where it is written down"',
        )
    found = registry.model(project, model)
    project.ledger.record(
        _KIND, subject=make_ref("model", found.name), actor=project.actor, reason=reason, data={"test": test}
    )
    return attestations(project, model)[test]


def attestations(project: Project, model: str) -> dict[str, Attestation]:
    """Test -> the newest attestation of it."""
    return {
        str(event.data["test"]): Attestation(
            model=model,
            test=str(event.data["test"]),
            actor=event.actor,
            at=event.at,
            reason=event.reason,
            event=make_ref("event", str(event.seq)),
        )
        for event in project.ledger.events(kinds=[_KIND], subject=make_ref("model", model))
    }
