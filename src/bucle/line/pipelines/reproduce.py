"""Reproduction: a step computed again from what is recorded of it, compared bit for bit."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from bucle.ground.code import CodeChanged, CodeReader
from bucle.ground.core import Environment, Record, decode, environment
from bucle.ground.project import Project
from bucle.line.pipelines.conductor import error_of
from bucle.line.pipelines.local import LocalProcesses
from bucle.line.pipelines.look import step_run
from bucle.line.pipelines.pipeline import load_module, source_at
from bucle.line.pipelines.plan import Plan, make_task
from bucle.line.pipelines.step_run import StepRun

__all__ = ["Reproduction", "reproduce"]


class Reproduction(Record, frozen=True):
    """What came of computing a step again.

    Attributes:
        step_run: which.
        step: its step's name.
        key: its key.
        expected: output -> digest, as recorded.
        got: output -> digest, as computed now.
        identical: whether they are the same, bit for bit.
        same_environment: whether Python and all packages are what they were then.
    """

    step_run: str
    step: str
    key: str
    expected: dict[str, str]
    got: dict[str, str]
    identical: bool
    same_environment: bool


def reproduce(project: Project, run: StepRun | str) -> Reproduction:
    """Compute a step again, from its recorded inputs, in a fresh process, whatever the cache holds.

    Raises:
        NoSuchExecution: there is no such step run.
        CodeChanged: the project's code is not the code it was computed with.
        StepFailed: it fails now.
    """
    recorded = step_run(project, run) if isinstance(run, str) else run
    plan = _plan(project, recorded)
    with closing(LocalProcesses()) as executor:
        outcome = executor.run(make_task(project, plan), timeout_s=None)
    if outcome.failure is not None:
        raise error_of(replace(recorded, error=outcome.failure))
    result = Reproduction(
        step_run=recorded.id,
        step=recorded.step,
        key=recorded.key,
        expected=recorded.outputs,
        got=outcome.outputs,
        identical=recorded.outputs == outcome.outputs,
        same_environment=decode(project.blobs.get(recorded.environment), Environment).digest == environment().digest,
    )
    project.ledger.record(
        "pipelines.step_reproduced",
        subject=f"step_run/{recorded.id}",
        actor=project.actor,
        data={"step": recorded.step, "key": recorded.key, "identical": result.identical, "got": result.got},
    )
    return result


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
