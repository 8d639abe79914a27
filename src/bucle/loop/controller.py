"""The controller: reads the ledger, asks the engine, carries out what it says, and writes down that it was done.

Every decision is an event before it is acted upon, and every action is idempotent under the decision's id. So a
controller killed between any two lines loses nothing: the next one folds the same ledger, finds the same open decision,
and carries it out again without doing anything twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from bucle.ground.core import make_ref, to_builtins
from bucle.ground.ledger import AlreadyDone, Ledger
from bucle.ground.project import Project
from bucle.ground.store import Lease, LeaseLost, acquire, release, renew, this_process
from bucle.loop.engine import KINDS, decide, fold_all
from bucle.loop.errors import LoopBusy
from bucle.loop.policy import Policy
from bucle.loop.state import Cycle, Decision, Request, State

__all__ = ["Action", "Controller", "Outcome", "read_state", "request"]

Outcome = dict[str, Any]
"""What carrying out a decision gave: plain values for the `loop.done` event."""

Action = Callable[[State, Decision], Outcome]
"""Carries out a decision. Called again with the same decision after a crash, it must give the same outcome."""

LEASE_S = 20.0


class Controller:
    """Turns one model's loop. One controller at a time does so; use it as a context manager.

    Args:
        project: where the loop runs.
        policy: of the model.
        act: carries out decisions; see `actions.actions_for`.
        report: is told every decision with its outcome; None while it is being carried out.
    Raises:
        LoopBusy: on entering, when another process turns this loop.
    """

    def __init__(
        self,
        project: Project,
        policy: Policy,
        act: Action,
        *,
        report: Callable[[Decision, Outcome | None], None] | None = None,
    ) -> None:
        self.project = project
        self.policy = policy
        self._act = act
        self._report = report or _silent
        self._state = State(model=policy.model)
        self._seen = -1
        self._lease: Lease | None = None
        self._lost = False
        self._stopped = threading.Event()

    def __enter__(self) -> Controller:
        """Take the loop's lease and keep it alive."""
        name = f"loop/{self.policy.model}"
        self._lease = acquire(self.project.database, name, this_process(), LEASE_S)
        if self._lease is None:
            raise LoopBusy(
                f"Another process turns the loop of {self.policy.model!r}.",
                why="Two controllers would get in each other's way.",
                fix="Stop the other one (`bucle up`, `bucle loop run`), or wait until it is done.",
            )
        threading.Thread(target=self._keep_alive, args=(self._lease,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self._stopped.set()
        if self._lease is not None:
            release(self.project.database, self._lease)

    def state(self) -> State:
        """What the ledger says of the loop now."""
        events = self.project.ledger.events(kinds=KINDS, after=self._seen)
        self._state = fold_all(self._state, events, self.policy.tables)
        self._seen = events[-1].seq if events else self._seen
        return self._state

    def tick(self, limit: int = 100) -> list[tuple[Decision, Outcome]]:
        """Do all there is to do at this instant, and return it.

        Args:
            limit: decisions at most; a policy that never comes to rest is stopped there.
        Raises:
            LoopBusy: the lease was lost to another process.
            BucleError: an action could not be carried out; it will be tried again with the next tick.
        """
        done: list[tuple[Decision, Outcome]] = []
        while len(done) < limit:
            state = self.state()
            decision = decide(self.policy, state, self.project.clock.now())
            if decision is None:
                break
            done.append((decision, self._carry_out(state, decision)))
        return done

    def _carry_out(self, state: State, decision: Decision) -> Outcome:
        if self._lost:
            raise LoopBusy(f"The loop of {self.policy.model!r} was taken over.", fix="Nothing: the other goes on.")
        if state.awaiting is None:
            self._note("loop.decided", decision.id, decision.reason, to_builtins(decision))
            state = self.state()
        self._report(decision, None)
        outcome = self._act(state, decision)
        data = {**outcome, "decision": decision.id, "kind": decision.kind}
        self._note("loop.done", f"{decision.id}/done", decision.reason, data)
        self._report(decision, outcome)
        return outcome

    def _note(self, kind: str, key: str, reason: str, data: Outcome) -> None:
        name = make_ref("loop", self.policy.model)
        _once(self.project.ledger, kind, subject=name, actor=name, key=key, reason=reason, data=data)

    def _keep_alive(self, lease: Lease) -> None:
        while not self._stopped.wait(LEASE_S / 4):
            try:
                renew(self.project.database, lease)
            except LeaseLost:
                self._lost = True
                return


def request(project: Project, model: str, request: Request) -> None:
    """Ask for a cycle by hand; asking twice under one id is asking once."""
    _once(
        project.ledger,
        "loop.requested",
        subject=make_ref("loop", model),
        actor=request.actor,
        key=f"request/{model}/{request.id}",
        reason=request.reason,
        data=to_builtins(request),
    )


def read_state(project: Project, policy: Policy) -> State:
    """What the ledger says of a loop, for those who only look."""
    return fold_all(State(model=policy.model), project.ledger.events(kinds=KINDS), policy.tables)


def cycles(state: State) -> tuple[Cycle, ...]:
    """Every turn of the loop so far, the open one last."""
    return (*state.cycles, state.cycle) if state.cycle else state.cycles


def _once(ledger: Ledger, kind: str, **event: Any) -> None:
    try:
        ledger.record(kind, **event)
    except AlreadyDone:
        return


def _silent(decision: Decision, outcome: Outcome | None) -> None:
    return None
