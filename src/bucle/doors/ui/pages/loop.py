"""`/loop`: what did the loop decide, and why?"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from bucle.doors.ui.parameters import Limit, Name
from bucle.doors.ui.problems import attempt
from bucle.doors.ui.store import loop_events
from bucle.ground.core import NotFound, Record, suggest
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.loop import Cycle, Decision, Policy, State, cycles, policy_of, read_state

__all__ = ["CyclePage", "Loop", "LoopPage", "Loops", "NoSuchCycle", "Step", "cycle", "loop", "loops"]


class NoSuchCycle(NotFound):
    """The loop has not turned so often."""

    code = "BU1605"


class Step(Record, frozen=True):
    """A decision with what came of it.

    Attributes:
        seq: of the event that decided it.
        at: when it was decided.
        decision: what was to be done.
        done_at: when it had been carried out; None while it has not.
        outcome: what came of it.
    """

    seq: int
    at: datetime
    decision: Decision
    done_at: datetime | None
    outcome: dict[str, Any]


class Loop(Record, frozen=True):
    """One model's loop, summed up.

    Attributes:
        model: whose.
        champion: the version that serves, 0 when none.
        cycles: every turn, the open one last.
        watched_until: the end of the last window.
    """

    model: str
    champion: int
    cycles: tuple[Cycle, ...]
    watched_until: datetime | None


class Loops(Record, frozen=True):
    """Every loop of the project.

    Attributes:
        loops: one a `[loop.MODEL]`.
        problems: policies that cannot be read.
    """

    loops: tuple[Loop, ...]
    problems: tuple[dict[str, str], ...]


class LoopPage(Record, frozen=True):
    """One loop: its policy, where it stands, and its decisions, newest first.

    Attributes:
        policy: in force.
        digest: the policy's name.
        state: what the engine knows.
        cycles: every turn, newest first.
        steps: decisions with their outcomes, newest first.
        total: how many decisions there are.
    """

    policy: Policy
    digest: str
    state: State
    cycles: tuple[Cycle, ...]
    steps: tuple[Step, ...]
    total: int


class CyclePage(Record, frozen=True):
    """One turn of the loop.

    Attributes:
        model: whose.
        cycle: the turn.
        steps: its decisions with their outcomes, in order.
        previous, following: the turns beside it; 0 when there is none.
    """

    model: str
    cycle: Cycle
    steps: tuple[Step, ...]
    previous: int
    following: int


def loops(project: Project) -> Loops:
    """Every loop with its turns. Cost: a fold of each loop."""
    found, problems = list[Loop](), list[dict[str, str]]()
    for model in project.config.names("loop"):
        policy = attempt(problems, partial(policy_of, project, model))
        if policy is None:
            continue
        state = read_state(project, policy)
        found.append(
            Loop(model=model, champion=state.champion, cycles=cycles(state), watched_until=state.watched_until)
        )
    return Loops(loops=tuple(found), problems=tuple(problems))


def loop(project: Project, *, model: Name, limit: Limit = 100) -> LoopPage:
    """One loop.

    Args:
        model: whose.
        limit: so many decisions.
    Raises:
        NoSuchLoop: the project has no such loop.
    """
    policy = policy_of(project, model)
    state = read_state(project, policy)
    decided, done = loop_events(project, model)
    return LoopPage(
        policy=policy,
        digest=policy.digest,
        state=state,
        cycles=cycles(state)[::-1],
        steps=tuple(_step(event, done) for event in decided[::-1][:limit]),
        total=len(decided),
    )


def cycle(project: Project, *, model: Name, number: int) -> CyclePage:
    """One turn of a loop.

    Raises:
        NoSuchLoop: the project has no such loop.
        NoSuchCycle: it has not turned so often.
    """
    every = {one.number: one for one in cycles(read_state(project, policy_of(project, model)))}
    if number not in every:
        raise NoSuchCycle(
            f"The loop of {model!r} has no cycle {number}.",
            why=f"It has turned {len(every)} times.",
            fix=suggest(str(number), [str(one) for one in every]) or f"See them all: /loop/{model}",
            at="number",
        )
    decided, done = loop_events(project, model)
    return CyclePage(
        model=model,
        cycle=every[number],
        steps=tuple(_step(event, done) for event in decided if event.data["cycle"] == number),
        previous=number - 1 if number - 1 in every else 0,
        following=number + 1 if number + 1 in every else 0,
    )


def _step(event: Event, done: dict[str, Event]) -> Step:
    end = done.get(event.data["id"])
    return Step(
        seq=event.seq,
        at=event.at,
        decision=msgspec.convert(event.data, Decision),
        done_at=end.at if end else None,
        outcome={name: value for name, value in end.data.items() if name not in ("decision", "kind")} if end else {},
    )
