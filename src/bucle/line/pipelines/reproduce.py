"""Reproduction: a step computed again from what is recorded of it, compared bit for bit."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from bucle.ground.code import CodeChanged, CodeReader
from bucle.ground.core import Environment, Record, decode
from bucle.ground.project import Project
from bucle.line.pipelines.artifact import read_leaf
from bucle.line.pipelines.conductor import error_of
from bucle.line.pipelines.deviation import Deviation, Tolerance, deviation_of
from bucle.line.pipelines.local import LocalProcesses
from bucle.line.pipelines.look import step_run
from bucle.line.pipelines.pipeline import load_module, source_at
from bucle.line.pipelines.plan import Plan, make_task
from bucle.line.pipelines.shape import Shape
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.task import Executor

__all__ = ["Reproduction", "code_changed", "reproduce"]


class Reproduction(Record, frozen=True):
    """What came of computing a step again.

    Attributes:
        step_run: which.
        step: its step's name.
        key: its key.
        expected: output -> digest, as recorded.
        got: output -> digest, as computed now.
        outcome: `exact` bit for bit; `close` within the tolerance; `different`.
        deviations: the outputs that are not bit for bit the same.
        same_environment: whether Python and all packages are what they were then.
    """

    step_run: str
    step: str
    key: str
    expected: dict[str, str]
    got: dict[str, str]
    outcome: Literal["exact", "close", "different"]
    deviations: tuple[Deviation, ...]
    same_environment: bool

    @property
    def identical(self) -> bool:
        """Whether every output is the same, bit for bit."""
        return self.outcome == "exact"


def reproduce(
    project: Project,
    run: StepRun | str,
    *,
    executor: Executor | None = None,
    tolerance: Tolerance | None = None,
) -> Reproduction:
    """Compute a step again, from its recorded inputs, in a fresh process, whatever the cache holds.

    Args:
        run: itself, or its id.
        executor: where it runs; local processes of this Python unless given.
        tolerance: how far numbers may be off to count as close.
    Raises:
        NoSuchExecution: there is no such step run.
        CodeChanged: the project's code is not the code it was computed with.
        StepFailed: it fails now.
    """
    recorded = step_run(project, run) if isinstance(run, str) else run
    plan = _plan(project, recorded)
    with ExitStack() as stack:
        place = executor or stack.enter_context(closing(LocalProcesses()))
        outcome = place.run(make_task(project, plan), timeout_s=None)
    if outcome.failure is not None:
        raise error_of(replace(recorded, error=outcome.failure))
    deviations = _deviations(project, plan, outcome.outputs, tolerance or Tolerance())
    result = Reproduction(
        step_run=recorded.id,
        step=recorded.step,
        key=recorded.key,
        expected=recorded.outputs,
        got=outcome.outputs,
        outcome=_outcome(deviations),
        deviations=deviations,
        same_environment=_same_environment(project, recorded, place.environment),
    )
    project.ledger.record(
        "pipelines.step_reproduced",
        subject=f"step_run/{recorded.id}",
        actor=project.actor,
        data={
            "step": recorded.step,
            "key": recorded.key,
            "identical": result.identical,
            "outcome": result.outcome,
            "got": result.got,
        },
    )
    return result


def code_changed(project: Project, run: StepRun) -> bool:
    """Whether the project's code is not the code a step was computed with, or is gone."""
    source = source_at(project, run.source)
    try:
        return CodeReader(project.root.resolve()).read(source.file, source.name).digest != run.code
    except CodeChanged:
        return True


def _plan(project: Project, recorded: StepRun) -> Plan:
    source, root = source_at(project, recorded.source), project.root.resolve()
    code = CodeReader(root).read(source.file, source.name)
    if code.digest != recorded.code:
        raise CodeChanged(
            f"The code of {recorded.step} is not what {recorded.id} was computed with.",
            why="Another code may well give another result.",
            fix=f"Check out the commit it ran at; the source it had: bucle run --code {recorded.id}",
            at=recorded.source,
        )
    project.modules()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    step = getattr(load_module(root, Path(source.file)), source.name)
    return Plan(step, recorded, code)


def _same_environment(project: Project, recorded: StepRun, now: Environment) -> bool:
    return decode(project.blobs.get(recorded.environment), Environment).digest == now.digest


def _outcome(deviations: tuple[Deviation, ...]) -> Literal["exact", "close", "different"]:
    if not deviations:
        return "exact"
    return "close" if all(one.is_close for one in deviations) else "different"


def _deviations(project: Project, plan: Plan, got: Mapping[str, str], tolerance: Tolerance) -> tuple[Deviation, ...]:
    """What is not the same, output by output."""
    shape, then = plan.step.interface.result, plan.run.outputs
    missing = [
        Deviation(output=name, why="it is only on one side", largest=math.inf, is_close=False)
        for name in sorted(then.keys() ^ got.keys())
    ]
    changed = [name for name in then if name in got and then[name] != got[name]]
    values = ((name, *(_value(project, shape, name, side[name]) for side in (then, got))) for name in changed)
    return (*missing, *(deviation_of(name, old, new, tolerance) for name, old, new in values))


def _value(project: Project, shape: Shape, name: str, digest: str) -> Any:
    """An output as something to compare: a frame, an array, bytes, or plain JSON."""
    leaf = shape.leaf("" if shape.container == "one" else name)
    if leaf.kind == "json":
        return msgspec.json.decode(project.blobs.get(digest))
    return project.blobs.get(digest) if leaf.kind == "file" else read_leaf(project.blobs, leaf, digest)
