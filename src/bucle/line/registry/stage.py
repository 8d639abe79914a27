"""Stage: how far a version has come, and where it may go from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bucle.line.registry.errors import IllegalTransition

__all__ = ["DEPLOYABLE", "STAGES", "TRANSITIONS", "Stage", "check_transition", "way"]

Stage = Literal["registered", "validated", "production", "archived", "rejected"]

STAGES: tuple[Stage, ...] = ("registered", "validated", "production", "archived", "rejected")

TRANSITIONS: Mapping[Stage, tuple[Stage, ...]] = {
    "registered": ("validated", "rejected", "archived"),
    "validated": ("production", "registered", "rejected", "archived"),
    "production": ("validated", "archived"),
    "archived": ("validated", "registered"),
    "rejected": ("registered",),
}
"""From each stage, where a version may go. Nothing reaches production but from validated: a version that comes back
from the archive, or is judged anew after a rejection, goes that way too."""

DEPLOYABLE: tuple[Stage, ...] = ("validated", "production")
"""Only versions in these stages may get traffic."""


def check_transition(subject: str, now: str, to: str) -> Stage:
    """The stage to go to, when a version may go there.

    Args:
        subject: the version, for the message.
        now: its stage.
        to: where it is to go.
    Raises:
        IllegalTransition: there is no such stage, or no way there from `now`.
    """
    allowed = next((ways for stage, ways in TRANSITIONS.items() if stage == now), ())
    for stage in allowed:
        if stage == to:
            return stage
    raise IllegalTransition(
        f"{subject} is {now} and cannot become {to}.",
        why=f"From {now} it may go to: {', '.join(allowed)}." if to in STAGES else f"Stages: {', '.join(STAGES)}.",
        fix=_advice(now, to),
        at=to,
    )


def way(now: str, to: str) -> tuple[Stage, ...]:
    """The stages on the shortest legal way, without the first; empty when there is none, or nowhere to go.

    Example:
        >>> way("registered", "production")
        ('validated', 'production')
    """
    ways: list[tuple[str, tuple[Stage, ...]]] = [(now, ())]
    for at, gone in ways:
        for following in next((after for stage, after in TRANSITIONS.items() if stage == at), ()):
            if following == to:
                return (*gone, following)
            if following != now and following not in gone:
                ways.append((following, (*gone, following)))
    return ()


def _advice(now: str, to: str) -> str:
    stages = way(now, to)
    return f"Go {' -> '.join((now, *stages))}." if stages else f"Choose one of: {', '.join(STAGES)}."
