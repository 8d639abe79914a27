"""Journal: what an execution writes on the ledger, each line fenced by its lease.

A holder that stood still and was taken over cannot write any more: every transaction looks at the lease's token first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.ground.store import Lease, fence
from bucle.line.pipelines.execution import Execution, Failure
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.store import (
    computed_mark,
    execution_row,
    find_running_elsewhere,
    find_step_runs,
    step_run_row,
)
from bucle.line.pipelines.tables import EXECUTIONS, STEP_RUNS

__all__ = ["Claim", "ComputedElsewhere", "Journal"]


class ComputedElsewhere(Exception):
    """Somebody else is computing this key, or just has; nothing was written.

    Args:
        execution: which is at it; None when it is done.
    """

    def __init__(self, execution: str | None) -> None:
        super().__init__(execution)
        self.execution = execution


@dataclass
class Claim:
    """What is known of others who compute the same key.

    Attributes:
        mark: of the last look at what was computed.
        dead: executions that say they compute it but whose process has died.
    """

    mark: int = 0
    dead: set[str] = field(default_factory=set)


class Journal:
    """The written side of one execution.

    Args:
        project: whose ledger.
        lease: on `execution/<id>`.
    """

    def __init__(self, project: Project, lease: Lease) -> None:
        self._project = project
        self._lease = lease

    @property
    def now(self) -> datetime:
        """The project's instant."""
        return self._project.clock.now()

    def execution_started(self, execution: Execution) -> None:
        """The first line. Raises AlreadyDone when the execution exists."""
        subject = f"execution/{execution.id}"
        with self._project.ledger.transaction(
            "pipelines.execution_started",
            subject=subject,
            actor=self._project.actor,
            key=f"{subject}/started",
            data={"pipeline": execution.pipeline, "params": execution.params},
        ) as tx:
            fence(tx.connection, self._lease)
            tx.insert(EXECUTIONS, execution_row(execution))

    def execution_resumed(self, execution: Execution) -> Execution:
        """The execution goes on; steps that were running when its process died are told to be lost."""
        lost = [run for run in find_step_runs(self._project.database, execution.id) if run.status == "running"]
        again = msgspec.structs.replace(execution, status="running", ended_at=None, error=None)
        data = {"pipeline": execution.pipeline, "lost": [run.id for run in lost]}
        with self._project.ledger.transaction(
            "pipelines.execution_resumed", subject=f"execution/{execution.id}", actor=self._project.actor, data=data
        ) as tx:
            fence(tx.connection, self._lease)
            tx.put(EXECUTIONS, execution_row(again))
            for run in lost:
                failure = Failure(kind="Lost", message="Its engine died.")
                gone = msgspec.structs.replace(run, status="failed", ended_at=self.now, error=failure)
                tx.put(STEP_RUNS, step_run_row(gone))
        return again

    def execution_ended(self, execution: Execution, stale: Sequence[str]) -> None:
        """The last line. `stale`: step runs of an earlier try that the body did not come to any more."""
        kind = "pipelines.execution_succeeded" if execution.status == "succeeded" else "pipelines.execution_failed"
        data = {"pipeline": execution.pipeline, **_told(execution.error)}
        with self._project.ledger.transaction(
            kind, subject=f"execution/{execution.id}", actor=self._project.actor, data=data
        ) as tx:
            fence(tx.connection, self._lease)
            tx.put(EXECUTIONS, execution_row(execution))
            for id_ in stale:
                tx.delete(STEP_RUNS, {"id": id_})

    def step_started(self, run: StepRun, claim: Claim | None) -> None:
        """A step begins.

        Args:
            claim: what is known of others who compute its key; None when that does not matter.
        Raises:
            ComputedElsewhere: a living one does, or has done so since the claim's look.
        """
        with self._step("pipelines.step_started", run, {}) as tx:
            if claim is not None:
                elsewhere = find_running_elsewhere(tx.connection, run.key, run.id, tuple(claim.dead))
                if elsewhere is not None or computed_mark(tx.connection, run.key) != claim.mark:
                    raise ComputedElsewhere(elsewhere)
            tx.put(STEP_RUNS, step_run_row(run))

    def step_cached(self, run: StepRun) -> None:
        """A step's outputs are known."""
        with self._step("pipelines.step_cached", run, {"origin": run.origin}) as tx:
            tx.put(STEP_RUNS, step_run_row(run))
            _link(tx, run)

    def step_succeeded(self, run: StepRun, cost: Mapping[str, float]) -> None:
        """A step's outputs were computed. `cost`: what it took."""
        with self._step("pipelines.step_succeeded", run, cost) as tx:
            tx.put(STEP_RUNS, step_run_row(run))
            _link(tx, run)

    def step_failed(self, run: StepRun, *, will_retry: bool) -> None:
        """A step's attempt failed."""
        with self._step("pipelines.step_failed", run, {**_told(run.error), "will_retry": will_retry}) as tx:
            tx.put(STEP_RUNS, step_run_row(run))

    @contextmanager
    def _step(self, kind: str, run: StepRun, data: Mapping[str, Any]) -> Iterator[Transaction]:
        """A fenced transaction about a step."""
        about = {"execution": run.execution, "step": run.step, "position": run.position, "key": run.key}
        with self._project.ledger.transaction(
            kind,
            subject=f"step_run/{run.id}",
            actor=self._project.actor,
            data={**about, "attempt": run.attempt, **data},
        ) as tx:
            fence(tx.connection, self._lease)
            yield tx


def _link(tx: Transaction, run: StepRun) -> None:
    """The lineage of a step: its inputs, code and environment lead to its key, the key to its outputs."""
    step = f"step/{run.key}"
    tx.edge(f"execution/{run.execution}", step, "ran")
    tx.edge(f"blob/{run.code}", step, "code")
    tx.edge(f"blob/{run.environment}", step, "environment")
    for digest in run.inputs.values():
        tx.edge(f"blob/{digest}", step, "input")
    for digest in run.outputs.values():
        tx.edge(step, f"blob/{digest}", "output")


def _told(failure: Failure | None) -> dict[str, str]:
    return {} if failure is None else {"error": failure.kind, "message": failure.message[:500], "code": failure.code}
