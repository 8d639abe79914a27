"""Conductor: carries out the steps a body calls: known results are given again, unknown ones computed once."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from msgspec.structs import replace

from bucle.ground.project import Project
from bucle.ground.store import BlobCorrupt, BlobMissing, Blobs, Lease, held
from bucle.line.pipelines.artifact import Artifact, read_leaf
from bucle.line.pipelines.errors import StepFailed, StepTimedOut
from bucle.line.pipelines.execution import Failure
from bucle.line.pipelines.journal import Claim, ComputedElsewhere, Journal
from bucle.line.pipelines.plan import Plan, Planner, make_task
from bucle.line.pipelines.shape import Shape, assemble
from bucle.line.pipelines.step import Step
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.store import find_computed, find_step_runs
from bucle.line.pipelines.task import Executor, Outcome

__all__ = ["Conductor", "error_of"]

_POLL_S = 0.02
"""Seconds between looks at a key that somebody else computes: short beside any step worth waiting for."""


class Conductor:
    """Carries out the steps of one execution.

    Args:
        project: whose.
        execution: the execution's id.
        lease: on it.
        executor: where tasks run.
        report: told of every change of a step, from the thread it happens in.
    """

    def __init__(
        self,
        project: Project,
        execution: str,
        lease: Lease,
        *,
        executor: Executor,
        report: Callable[[StepRun], None] | None,
    ) -> None:
        self._project = project
        self._execution = execution
        self._journal = Journal(project, lease)
        self._planner = Planner(project, execution, executor.environment)
        self._executor = executor
        self._report = report or (lambda run: None)
        self._positions = itertools.count()
        self._reached = 0
        self._recorded = {run.position: run for run in find_step_runs(project.database, execution)}
        self._lost = threading.Event()

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out one call; see `Conducting.call`."""
        return self._carry_out(step, self._next(), step.interface.bind(args, kwargs))

    def call_all(self, step: Step[Any, Any], calls: list[dict[str, Any]], at_once: int) -> list[Any]:
        """Carry out several calls; see `Conducting.call_all`."""
        wanted = [(self._next(), step.interface.bind((), kwargs)) for kwargs in calls]
        with ThreadPoolExecutor(max_workers=max(1, at_once), thread_name_prefix="bucle-map") as pool:
            futures = [pool.submit(self._carry_out, step, position, arguments) for position, arguments in wanted]
            try:
                return [future.result() for future in futures]
            except BaseException as error:
                if not isinstance(error, Exception):
                    self.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def stale(self) -> list[str]:
        """The step runs of an earlier try that the body did not come to this time."""
        return [run.id for position, run in self._recorded.items() if position >= self._reached]

    def stop(self) -> None:
        """Kill what runs and begin nothing more."""
        self._lost.set()
        self._executor.cancel(f"{self._execution}.")

    def _next(self) -> int:
        position = next(self._positions)
        self._reached = position + 1
        return position

    def _carry_out(self, step: Step[Any, Any], position: int, arguments: Mapping[str, Any]) -> Any:
        plan = self._planner.plan(step, position, arguments)
        before = self._recorded.get(position)
        if before is None or before.key != plan.run.key:
            return self._cached_or_computed(plan)
        if before.status in ("succeeded", "cached"):
            known = known_value(self._project.blobs, step.interface.result, before)
            if known is not None:
                self._report(before)
                return known[0]
        return self._cached_or_computed(plan._replace(run=replace(plan.run, attempt=before.attempt)))

    def _cached_or_computed(self, plan: Plan) -> Any:
        """The value of a key, computed by exactly one of those who ask for it at the same time."""
        claim = Claim() if plan.step.cache else None
        while True:
            known = None if claim is None else self._from_cache(plan, claim)
            if known is not None:
                return known[0]
            try:
                return self._compute(plan, claim)
            except ComputedElsewhere as busy:
                if claim is not None and busy.execution is not None:
                    self._wait_for(busy.execution, claim)

    def _wait_for(self, execution: str, claim: Claim) -> None:
        """A moment for a living execution that computes our key; a dead one is not waited for again."""
        if execution == self._execution or held(self._project.database, f"execution/{execution}") is not None:
            time.sleep(_POLL_S)
        else:
            claim.dead.add(execution)

    def _from_cache(self, plan: Plan, claim: Claim) -> tuple[Any] | None:
        computed, claim.mark = find_computed(self._project.database, plan.run.key)
        for origin in computed:
            known = known_value(self._project.blobs, plan.step.interface.result, origin)
            if known is None:
                continue
            now = self._journal.now
            run = replace(
                plan.run,
                status="cached",
                attempt=max(plan.run.attempt, 1),
                started_at=now,
                ended_at=now,
                outputs=origin.outputs,
                log=origin.log,
                origin=origin.id,
            )
            self._journal.step_cached(run)
            self._report(run)
            return known
        return None

    def _compute(self, plan: Plan, claim: Claim | None) -> Any:
        run = plan.run
        for left in range(plan.step.retries, -1, -1):
            now = self._journal.now
            run = replace(
                run, status="running", attempt=run.attempt + 1, started_at=now, ended_at=None, log="", error=None
            )
            self._journal.step_started(run, claim)
            self._report(run)
            run, outcome = self._attempt(plan._replace(run=run))
            if outcome.failure is None:
                self._journal.step_succeeded(run, {"cpu_s": outcome.cpu_s, "memory_mb": outcome.memory_mb})
                self._report(run)
                return _value(self._project.blobs, plan.step.interface.result, run)
            self._journal.step_failed(run, will_retry=left > 0)
            self._report(run)
            if left > 0:
                self._lost.wait(plan.step.retry_delay_s)
        raise error_of(run)

    def _attempt(self, plan: Plan) -> tuple[StepRun, Outcome]:
        began = time.perf_counter()
        if self._lost.is_set():
            outcome = Outcome(failure=Failure(kind="Stopped", message="The execution is being stopped."))
        else:
            outcome = self._executor.run(make_task(self._project, plan), timeout_s=plan.step.timeout_s)
        status: Literal["failed", "succeeded"] = "failed" if outcome.failure else "succeeded"
        run = replace(
            plan.run,
            status=status,
            ended_at=self._journal.now,
            duration_s=time.perf_counter() - began,
            outputs=outcome.outputs,
            log=outcome.log,
            error=outcome.failure,
        )
        return run, outcome


def known_value(blobs: Blobs, shape: Shape, run: StepRun) -> tuple[Any] | None:
    """What a step run gave, in a tuple; None when its outputs are not whole any more and must be computed again.

    Cost: a read of every output; a damaged one is set aside.
    """
    try:
        for digest in run.outputs.values():
            blobs.path(digest)
        return (_value(blobs, shape, run),)
    except BlobMissing:
        return None
    except BlobCorrupt:
        blobs.set_aside(digest)
        return None


def error_of(run: StepRun) -> StepFailed:
    """The error of a step run that failed, with the step's own words."""
    failure = run.error or Failure(kind="Unknown", message="")
    code = f"[{failure.code}] " if failure.code else ""
    kind = StepTimedOut if failure.kind == "TimedOut" else StepFailed
    return kind(
        f"Step {run.step} failed: {failure.kind}: {code}{failure.message}",
        why=failure.why or f"It was attempt {run.attempt}; the steps before it are kept.",
        fix=failure.fix or f"Read its log: bucle run --log {run.id}. Then go on: bucle run --resume {run.execution}",
        at=run.id,
    )


def _value(blobs: Blobs, shape: Shape, run: StepRun) -> Any:
    """The outputs as the body gets them: plain values read, bulky ones as artifacts."""
    parts: dict[str, Any] = {}
    for name, digest in run.outputs.items():
        part = "" if shape.container == "one" else name
        leaf = shape.leaf(part)
        parts[part] = read_leaf(blobs, leaf, digest) if leaf.kind == "json" else Artifact(blobs, leaf.kind, digest)
    return assemble(shape, parts)
