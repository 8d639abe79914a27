"""Running pipelines: start, go on after a crash, find what died."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from bucle.ground.code import CodeChanged
from bucle.ground.core import ProjectSection, digest_of_value, encode, suggest, to_builtins
from bucle.ground.project import Project
from bucle.ground.store import Lease, LeaseLost, acquire, held, this_process
from bucle.line.pipelines.artifact import Artifact, keep_leaf
from bucle.line.pipelines.conductor import Conductor
from bucle.line.pipelines.errors import (
    BadParams,
    ExecutionBusy,
    ExecutionFailed,
    KeyReused,
    NoSuchExecution,
    NotTyped,
    StepFailed,
    StepTimedOut,
)
from bucle.line.pipelines.execution import Execution
from bucle.line.pipelines.journal import Journal
from bucle.line.pipelines.keeping import Kept, keeping
from bucle.line.pipelines.local import LocalProcesses
from bucle.line.pipelines.pipeline import Pipeline, label_of, load_module, pipeline_named, pipelines_of, source_at
from bucle.line.pipelines.plan import scratch_of
from bucle.line.pipelines.shape import Leaf, is_bulk
from bucle.line.pipelines.step import CONDUCTOR
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.store import find_execution, find_executions
from bucle.line.pipelines.task import Executor
from bucle.line.pipelines.worker import failure_of

__all__ = ["execution", "executions", "recover", "resume", "run"]

LEASE_S = 30.0
"""Seconds without a sign of life after which a process on another machine counts as dead."""


def run(
    project: Project,
    pipeline: Pipeline[..., Any] | str,
    params: Mapping[str, Any],
    *,
    key: str | None = None,
    report: Callable[[StepRun], None] | None = None,
    executor: Executor | None = None,
) -> Execution:
    """Carry out a pipeline and wait for it.

    Args:
        pipeline: itself, or its name in one of the project's modules.
        params: the body's arguments; text is read as the annotated type, as a command line gives it.
        key: asked for again with the same key, the same execution is given, or gone on with when its process died.
        report: told of every change of a step, from the thread it happens in.
        executor: where steps run; the project's own local processes unless given.
    Raises:
        StepFailed: a step failed and the body did not catch it; the execution is kept as failed.
        ExecutionFailed: with a key: it failed before, in the body; `resume` tries again.
        ExecutionBusy: with a key: a living process carries it out now.
        KeyReused: the key belongs to another pipeline or other parameters.
        BadParams: the parameters do not fit the pipeline.
        NoSuchPipeline: there is no pipeline of this name.
        LeaseLost: this process stood still so long that another took over.
        Exception: whatever the body raises itself.
    """
    wanted = pipeline_named(project, pipeline) if isinstance(pipeline, str) else pipeline
    fresh = _new(project, wanted, _plain_params(wanted, params), key)
    known = None if key is None else find_execution(project.database, fresh.id)
    if known is not None and known.status != "running":
        return _ended(known, fresh)
    with keeping(project.database, _take(project, fresh.id)) as kept:
        # Under the lease nobody else writes about it any more: look once again.
        known = None if key is None else find_execution(project.database, fresh.id)
        if known is None:
            Journal(project, kept.lease).execution_started(fresh)
            return _carry_out(project, wanted, fresh, kept, report=report, executor=executor)
        if known.status != "running" or not _same(known, fresh):
            return _ended(known, fresh)
        known = Journal(project, kept.lease).execution_resumed(known)
        return _carry_out(project, wanted, known, kept, report=report, executor=executor)


def resume(
    project: Project,
    execution_id: str,
    *,
    report: Callable[[StepRun], None] | None = None,
    executor: Executor | None = None,
) -> Execution:
    """Go on with an execution that failed or whose process died; one that succeeded is given as it is.

    The body runs from the top; steps that had finished give their recorded results and are not run again.

    Raises:
        NoSuchExecution: there is none of this id.
        ExecutionBusy: a living process carries it out now.
        CodeChanged: the pipeline is not where it was.
        StepFailed: as for `run`.
    """
    known = _known(project, execution_id)
    if known.status == "succeeded":
        return known
    pipeline = _pipeline_at(project, known)
    with keeping(project.database, _take(project, known.id)) as kept:
        known = _known(project, execution_id)
        if known.status == "succeeded":
            return known
        known = Journal(project, kept.lease).execution_resumed(known)
        return _carry_out(project, pipeline, known, kept, report=report, executor=executor)


def recover(project: Project) -> list[Execution]:
    """The executions whose process died, the newest first: `resume` goes on with each."""
    running = find_executions(project.database, status="running")
    return [seen for seen in (_as_seen(project, one) for one in running) if seen.status == "lost"]


def executions(project: Project, limit: int | None = None, *, pipeline: str | None = None) -> list[Execution]:
    """The newest executions."""
    found = find_executions(project.database, pipeline=pipeline, limit=limit)
    return [_as_seen(project, one) for one in found]


def execution(project: Project, execution_id: str) -> Execution:
    """One execution.

    Raises:
        NoSuchExecution: there is none of this id.
    """
    return _as_seen(project, _known(project, execution_id))


def _ended(known: Execution, asked: Execution) -> Execution:
    """What a second call with the same key gives when the first has ended."""
    if not _same(known, asked):
        raise KeyReused(
            f"The key {asked.key!r} belongs to execution {known.id} of {known.pipeline} with {known.params}.",
            why=f"Asked for now is {asked.pipeline} with {asked.params}.",
            fix="Use another key, or the same parameters.",
        )
    if known.status == "failed":
        raise _failed_before(known)
    return known


def _same(known: Execution, asked: Execution) -> bool:
    return (known.pipeline, known.params) == (asked.pipeline, asked.params)


def _carry_out(
    project: Project,
    pipeline: Pipeline[..., Any],
    execution: Execution,
    kept: Kept,
    *,
    report: Callable[[StepRun], None] | None,
    executor: Executor | None,
) -> Execution:
    """Run the body under a lease and write down how it ends."""
    project = project.reading(_purpose(project, pipeline), reader=f"execution/{execution.id}")
    place = executor or project.keep(LocalProcesses, LocalProcesses)
    _clear_scratch(project, execution.id)
    conductor = Conductor(project, execution.id, kept.lease, executor=place, report=report)
    kept.on_loss = conductor.stop
    journal = Journal(project, kept.lease)
    token = CONDUCTOR.set(conductor)
    try:
        with project.training():
            value = pipeline.function(**_arguments(project, pipeline, execution.params))
        result = _plain_result(project, execution.id, value)
    except LeaseLost:
        raise
    except Exception as error:
        journal.execution_ended(replace(execution, status="failed", ended_at=journal.now, error=failure_of(error)), [])
        raise
    except BaseException:
        conductor.stop()
        raise
    finally:
        CONDUCTOR.reset(token)
    done = replace(execution, status="succeeded", ended_at=journal.now, result=result)
    journal.execution_ended(done, conductor.stale())
    return done


def _purpose(project: Project, pipeline: Pipeline[..., Any]) -> str:
    own = project.config.section("project", ProjectSection).purpose
    return own if pipeline.purpose is None else pipeline.purpose


def _new(project: Project, pipeline: Pipeline[..., Any], params: dict[str, Any], key: str | None) -> Execution:
    return Execution(
        id=uuid.uuid4().hex[:16] if key is None else digest_of_value({"execution": key})[:16],
        pipeline=pipeline.name,
        params=params,
        status="running",
        started_at=project.clock.now(),
        ended_at=None,
        result=None,
        error=None,
        key=key,
        actor=project.actor,
        source=label_of(project, pipeline.source),
    )


def _take(project: Project, execution_id: str) -> Lease:
    name = f"execution/{execution_id}"
    holder = held(project.database, name)
    lease = None if holder is not None else acquire(project.database, name, this_process(), LEASE_S)
    if lease is None:
        raise ExecutionBusy(
            f"Execution {execution_id} is being carried out by {holder.holder if holder else 'another process'}.",
            why="Two processes at once would do everything twice.",
            fix=f"Wait for it. If its machine is dead, it is free {LEASE_S:g} s after its last sign of life.",
            at=execution_id,
        )
    return lease


def _as_seen(project: Project, execution: Execution) -> Execution:
    """An execution that says running, but whose process has died, is lost."""
    if execution.status == "running" and held(project.database, f"execution/{execution.id}") is None:
        return replace(execution, status="lost")
    return execution


def _plain_params(pipeline: Pipeline[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON, defaults filled in."""
    interface = pipeline.interface
    try:
        bound = interface.bind((), params)
    except TypeError as error:
        unknown = [name for name in params if name not in interface.params]
        raise BadParams(
            f"The pipeline {pipeline.name} cannot be run so: {error}.",
            why=f"It takes: {', '.join(interface.params) or 'nothing'}.",
            fix=(suggest(unknown[0], interface.params) if unknown else "") or "Give it what it takes.",
            at=unknown[0] if unknown else pipeline.name,
        ) from error
    plain: dict[str, Any] = {}
    for name, value in bound.items():
        if not interface.params[name].is_json:
            raise NotTyped(
                f"The parameter {name!r} of pipeline {pipeline.name} is no plain value.",
                why="A pipeline's parameters are kept as JSON, so that it can be resumed.",
                fix="Pass a path, a commit or a digest, and read it in a step.",
                at=name,
            )
        try:
            typed = msgspec.convert(to_builtins(value), interface.hints[name], strict=False)
            plain[name] = msgspec.json.decode(encode(typed))
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise BadParams(
                f"{name} = {value!r} does not fit the pipeline {pipeline.name}: {error}.",
                why=f"It is annotated {interface.hints[name]}.",
                fix="Give a value of that type.",
                at=name,
            ) from error
    return plain


def _arguments(project: Project, pipeline: Pipeline[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    interface = pipeline.interface
    typed = {
        name: msgspec.convert(value, interface.hints[name]) for name, value in params.items() if name in interface.hints
    }
    return {**typed, **dict.fromkeys(interface.projects, project)}


def _plain_result(project: Project, execution_id: str, value: Any) -> Any:
    """What a body returned as JSON; bulky parts stand as a reference to their blob."""
    if isinstance(value, Artifact):
        return {"blob": value.digest, "kind": value.kind}
    kind = is_bulk(value)
    if kind is not None:
        scratch = scratch_of(project) / f"{execution_id}.result"
        scratch.mkdir(parents=True, exist_ok=True)
        digest = keep_leaf(project.blobs, Leaf(kind, Any), value, where="result", scratch=scratch)
        shutil.rmtree(scratch, ignore_errors=True)
        return {"blob": digest, "kind": kind}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): _plain_result(project, execution_id, part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_result(project, execution_id, part) for part in value]
    return msgspec.json.decode(encode(value))


def _pipeline_at(project: Project, execution: Execution) -> Pipeline[..., Any]:
    """The pipeline an execution was made of, found where it stood."""
    for known in pipelines_of(project).values():
        if label_of(project, known.source) == execution.source:
            return known
    source = source_at(project, execution.source)
    root = project.root.resolve()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    found = getattr(load_module(root, Path(source.file)), source.name, None) if source.file.is_file() else None
    if not isinstance(found, Pipeline):
        raise CodeChanged(
            f"The pipeline {execution.pipeline} is not in {source.file} any more.",
            why=f"Execution {execution.id} began with it.",
            fix="Put it back, e.g. with git checkout.",
            at=execution.source,
        )
    return found


def _clear_scratch(project: Project, execution_id: str) -> None:
    """Remove what a killed process left of this execution."""
    for folder in scratch_of(project).glob(f"{execution_id}.*"):
        shutil.rmtree(folder, ignore_errors=True)


def _failed_before(execution: Execution) -> StepFailed | ExecutionFailed:
    failure = execution.error
    kinds = {StepFailed.code: StepFailed, StepTimedOut.code: StepTimedOut}
    kind: type[StepFailed] | type[ExecutionFailed] = kinds.get(failure.code if failure else "", ExecutionFailed)
    return kind(
        failure.message if failure else "It failed.",
        why=f"Execution {execution.id} with the key {execution.key!r} ended so at {execution.ended_at}.",
        fix=f"To try again from where it failed: bucle run --resume {execution.id}",
        at=execution.id,
    )


def _known(project: Project, execution_id: str) -> Execution:
    known = find_execution(project.database, execution_id)
    if known is None:
        raise NoSuchExecution(
            f"There is no execution {execution_id!r}.",
            why="Nothing of that id stands in the journal.",
            fix="List them: bucle run --list",
            at=execution_id,
        )
    return known
