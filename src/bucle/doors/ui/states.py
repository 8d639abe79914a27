"""States: every word a station uses for how things stand, with an icon and a colour. Never colour alone."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["STATES", "State", "state_of"]


class State(NamedTuple):
    """How a state is shown.

    Attributes:
        word: in English; the catalogue has it in other languages.
        icon: a symbol of the sprite.
        tone: `ok`, `run`, `wait`, `bad` or `idle`; a colour of the palette.
    """

    word: str
    icon: str
    tone: str


STATES: dict[str, State] = {
    "ok": State("well", "ok", "ok"),
    "empty": State("empty", "dot", "idle"),
    "running": State("running", "run", "run"),
    "waiting": State("waiting for you", "wait", "wait"),
    "attention": State("look here", "wait", "wait"),
    "broken": State("broken", "bad", "bad"),
    "succeeded": State("succeeded", "ok", "ok"),
    "finished": State("finished", "ok", "ok"),
    "cached": State("from cache", "again", "idle"),
    "scheduled": State("scheduled", "wait", "idle"),
    "killed": State("killed", "bad", "wait"),
    "in_progress": State("in progress", "run", "run"),
    "state_unspecified": State("unknown", "dot", "idle"),
    "failed": State("failed", "bad", "bad"),
    "lost": State("lost", "bad", "bad"),
    "registered": State("registered", "dot", "idle"),
    "validated": State("validated", "ok", "run"),
    "production": State("in production", "ok", "ok"),
    "archived": State("archived", "dot", "idle"),
    "rejected": State("rejected", "no", "wait"),
    "passed": State("passed", "ok", "ok"),
    "refused": State("refused", "no", "wait"),
    "promoted": State("promoted", "ok", "ok"),
    "rolled_back": State("rolled back", "again", "wait"),
    "canary": State("canary", "run", "run"),
    "superseded": State("superseded", "dot", "idle"),
    "healthy": State("healthy", "ok", "ok"),
    "failing": State("failing", "bad", "bad"),
    "undecided": State("undecided", "wait", "run"),
    "open": State("under way", "run", "run"),
    "training": State("training", "run", "run"),
    "judging": State("at the gates", "run", "run"),
    "refusing": State("being refused", "run", "wait"),
    "approving": State("waiting for approval", "wait", "wait"),
    "rolling": State("canary", "run", "run"),
    "going_back": State("going back", "again", "wait"),
    "closed": State("closed", "ok", "idle"),
    "drifted": State("drifted", "wait", "wait"),
    "stable": State("stable", "ok", "ok"),
    "champion": State("champion", "ok", "ok"),
    "challenger": State("challenger", "run", "run"),
    "shadow": State("shadow", "dot", "idle"),
    "error": State("error", "bad", "bad"),
    "missing": State("missing", "no", "wait"),
}
"""What a station says -> how it is shown."""


def state_of(word: str) -> State:
    """How a state is shown; a word nobody knows is shown as it is."""
    return STATES.get(word, State(word.replace("_", " "), "dot", "idle"))
