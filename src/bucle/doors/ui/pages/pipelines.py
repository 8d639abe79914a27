"""`/pipelines`: what failed, why, and can it be resumed?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bucle.doors.ui.parameters import Id, Limit, Text
from bucle.doors.ui.problems import attempt
from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import pipelines
from bucle.line.pipelines import Execution, StepRun, Why

__all__ = ["Bar", "ExecutionPage", "ExecutionRow", "Executions", "PipelineFacts", "execution", "executions"]

LOG = 20_000
"""So many characters of a log are shown, its end."""


class PipelineFacts(Record, frozen=True):
    """A pipeline as the project defines it.

    Attributes:
        name: the pipeline.
        what: the first line of its docstring.
    """

    name: str
    what: str


class ExecutionRow(Record, frozen=True):
    """An execution with its steps counted.

    Attributes:
        execution: the execution.
        steps: how many it has begun.
        cached: of these, how many came from the cache.
        failed: of these, how many failed.
        computed_s: seconds its steps really took.
    """

    execution: Execution
    steps: int
    cached: int
    failed: int
    computed_s: float


class Executions(Record, frozen=True):
    """The newest executions.

    Attributes:
        executions: newest first.
        pipelines: that the project defines.
        pipeline: only this one's, when given.
        problems: what could not be read.
    """

    executions: tuple[ExecutionRow, ...]
    pipelines: tuple[PipelineFacts, ...]
    pipeline: str
    problems: tuple[dict[str, str], ...]


class Bar(Record, frozen=True):
    """A step on a common scale of seconds.

    Attributes:
        run: the step run.
        start_s: where its bar begins: steps are laid end to end where the project's clock stood still.
        end_s: where it ends.
    """

    run: StepRun
    start_s: float
    end_s: float


class ExecutionPage(Record, frozen=True):
    """One execution.

    Attributes:
        execution: the execution.
        bars: its steps in order.
        step: the step looked at; None while none was begun.
        log: the end of what that step printed.
        why: which part of its key differs from the run before.
        versions: refs of the model versions that came of it.
        problems: what could not be read.
    """

    execution: Execution
    bars: tuple[Bar, ...]
    step: StepRun | None
    log: str
    why: Why | None
    versions: tuple[str, ...]
    problems: tuple[dict[str, str], ...]


def executions(project: Project, *, pipeline: Text = "", limit: Limit = 60) -> Executions:
    """The newest executions.

    Args:
        pipeline: only this one's.
        limit: so many.
    """
    problems = list[dict[str, str]]()
    known = attempt(problems, lambda: pipelines.pipelines_of(project)) or {}
    found = pipelines.executions(project, limit=limit, pipeline=pipeline or None)
    return Executions(
        executions=tuple(_row(project, one) for one in found),
        pipelines=tuple(PipelineFacts(name=name, what=_first_line(one)) for name, one in sorted(known.items())),
        pipeline=pipeline,
        problems=tuple(problems),
    )


def execution(project: Project, *, execution: Id, step: Id | None = None) -> ExecutionPage:
    """One execution with its steps.

    Args:
        execution: its id.
        step: the step run whose log is shown; the first that failed, else the last, unless given.
    Raises:
        NoSuchExecution: there is none.
    """
    problems = list[dict[str, str]]()
    found = pipelines.execution(project, execution)
    runs = pipelines.step_runs(project, found.id)
    chosen = next((one for one in runs if step is not None and step in (one.id, str(one.position))), None)
    shown = chosen or next((one for one in runs if one.status == "failed"), runs[-1] if runs else None)
    text = attempt(problems, lambda: pipelines.log_of(project, shown)) if shown else ""
    edges = project.ledger.edges_of([f"execution/{found.id}"], upstream=False)
    return ExecutionPage(
        execution=found,
        bars=tuple(_bars(runs)),
        step=shown,
        log=(text or "")[-LOG:],
        why=attempt(problems, lambda: pipelines.why(project, shown)) if shown else None,
        versions=tuple(edge.target for edge in edges if edge.target.startswith("model/")),
        problems=tuple(problems),
    )


def _row(project: Project, found: Execution) -> ExecutionRow:
    runs = pipelines.step_runs(project, found.id)
    return ExecutionRow(
        execution=found,
        steps=len(runs),
        cached=sum(one.status == "cached" for one in runs),
        failed=sum(one.status == "failed" for one in runs),
        computed_s=sum(one.duration_s for one in runs),
    )


def _bars(runs: list[StepRun]) -> list[Bar]:
    """Steps on one scale. A simulated clock stands still while a step runs: then durations are laid end to end."""
    if not runs:
        return []
    first = min(one.started_at for one in runs)
    by_clock = any(one.started_at > first for one in runs)
    bars, cursor = [], 0.0
    for one in runs:
        start = _seconds(first, one.started_at) if by_clock else cursor
        cursor = start + one.duration_s
        bars.append(Bar(run=one, start_s=start, end_s=cursor))
    return bars


def _seconds(first: datetime, at: datetime) -> float:
    return (at - first).total_seconds()


def _first_line(pipeline: pipelines.Pipeline[..., Any]) -> str:
    return (getattr(pipeline.function, "__doc__", "") or "").strip().partition("\n")[0]
