"""Stage: how far a version has come, and where it may go from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bucle.line.registry.errors import IllegalTransition

__all__ = ["DEPLOYABLE", "STAGES", "TRANSITIONS", "Stage", "check_transition"]

Stage = Literal["registered", "validated", "production", "archived", "rejected"]

STAGES: tuple[Stage, ...] = ("registered", "validated", "production", "archived", "rejected")

TRANSITIONS: Mapping[Stage, tuple[Stage, ...]] = {
    "registered": ("validated", "rejected", "archived"),
    "validated": ("production", "rejected", "archived"),
    "production": ("validated", "archived"),
    "archived": ("validated",),
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
        fix=_way(now, to),
        at=to,
    )


def _way(now: str, to: str) -> str:
    """The shortest legal way, as advice."""
    ways: list[tuple[str, ...]] = [(now,)]
    for way in ways:
        for following in next((after for stage, after in TRANSITIONS.items() if stage == way[-1]), ()):
            if following == to:
                return f"Go {' -> '.join((*way, to))}."
            if following not in way:
                ways.append((*way, following))
    return f"Choose one of: {', '.join(STAGES)}."
