"""Plan: what a call of a step depends on, as a key; and the task that computes it."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bucle.ground.code import Code, CodeReader
from bucle.ground.core import Digest, Environment, digest_of_value, encode
from bucle.ground.project import Project
from bucle.line.pipelines.artifact import exact_json, keep_leaf
from bucle.line.pipelines.errors import ValueNotKept
from bucle.line.pipelines.pipeline import label_of
from bucle.line.pipelines.shape import Shape, disassemble
from bucle.line.pipelines.step import Step
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.task import Task

__all__ = ["Plan", "Planner", "key_of", "make_task", "scratch_of"]


class Plan(NamedTuple):
    """A call of a step before it is carried out.

    Attributes:
        step: the step.
        run: the record, with its key; status running, attempt 0.
        code: the code the key was made of.
    """

    step: Step[Any, Any]
    run: StepRun
    code: Code


class Planner:
    """Makes plans for one execution, all from one reading of the project's code.

    Args:
        project: whose.
        execution: the execution's id.
        environment: what its tasks run in.
    """

    def __init__(self, project: Project, execution: str, environment: Environment) -> None:
        self._project = project
        self._execution = execution
        self._reader = CodeReader(project.root)
        self._lock = threading.Lock()
        self._codes: dict[str, Digest] = {}
        self._environment = environment
        self._environment_blob = project.blobs.put(encode(environment))

    def plan(self, step: Step[Any, Any], position: int, arguments: Mapping[str, Any]) -> Plan:
        """The plan for one call.

        Args:
            position: its place among the body's calls.
            arguments: by name, defaults filled in.
        Raises:
            ValueNotKept: an argument does not fit its annotation.
            CodeChanged: the step's source cannot be read.
        Cost: bulky arguments that are no artifacts are written to the blob store.
        """
        code, digest = self._code_of(step)
        inputs, params = self._keep_arguments(step, position, arguments)
        seed = params.get("seed") if step.interface.hints.get("seed") is int else None
        if seed is not None and not 0 <= seed < 2**63:
            raise ValueNotKept(
                f"The seed {seed} of {step.name} is out of range.", why="It must fit 63 bits.", fix="Use a smaller one."
            )
        now = self._project.clock.now()
        id_ = f"{self._execution}.{position}"
        run = StepRun(
            id=id_,
            execution=self._execution,
            step=step.name,
            position=position,
            key=key_of(digest, inputs, params, self._environment.digest, self._project.purpose or ""),
            status="running",
            attempt=0,
            started_at=now,
            ended_at=None,
            duration_s=0.0,
            inputs=inputs,
            params=params,
            outputs={},
            code=digest,
            environment=self._environment_blob,
            seed=seed,
            log="",
            error=None,
            source=label_of(self._project, step.source),
            origin=id_,
        )
        return Plan(step, run, code)

    def _code_of(self, step: Step[Any, Any]) -> tuple[Code, Digest]:
        with self._lock:
            code = self._reader.read(*step.source)
            label = f"{step.source.file}:{step.source.name}"
            if label not in self._codes:
                self._codes[label] = self._project.blobs.put(code.blob)
            return code, self._codes[label]

    def _keep_arguments(
        self, step: Step[Any, Any], position: int, arguments: Mapping[str, Any]
    ) -> tuple[dict[str, str], dict[str, Any]]:
        inputs: dict[str, str] = {}
        params: dict[str, Any] = {}
        for name, shape in step.interface.params.items():
            where = f"{step.name}.{name}"
            if shape.is_json:
                params[name] = msgspec.json.decode(exact_json(arguments[name], shape.leaf("").type, where))
            else:
                inputs.update(self._keep_parts(shape, name, arguments[name], where, position))
        return inputs, params

    def _keep_parts(self, shape: Shape, name: str, value: Any, where: str, position: int) -> dict[str, str]:
        scratch = scratch_of(self._project) / f"{self._execution}.{position}.{name}"
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            return {
                f"{name}.{part}" if part else name: keep_leaf(
                    self._project.blobs, shape.leaf(part), content, where=where, scratch=scratch
                )
                for part, content in disassemble(shape, value).items()
            }
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def key_of(
    code: str, inputs: Mapping[str, str], params: Mapping[str, Any], environment_digest: str, purpose: str = ""
) -> Digest:
    """The key of a step: equal keys mean equal outputs. The seed is among the parameters.

    Args:
        purpose: what tables are read for: what was read for one is not given to another, and any step may open the
            project. '' is no part of the key.
    """
    parts = {"code": code, "inputs": dict(inputs), "params": dict(params), "environment": environment_digest}
    return digest_of_value({**parts, "purpose": purpose} if purpose else parts)


def make_task(project: Project, plan: Plan) -> Task:
    """The task that computes a plan.

    A function without a `seed` of its own has its chance seeded from the key: equal keys, equal draws.
    """
    run, source = plan.run, plan.step.source
    id_ = f"{run.execution}.{run.position}.{run.attempt}.{uuid.uuid4().hex[:8]}"
    return Task(
        id=id_,
        step=run.step,
        root=str(project.root.resolve()),
        file=str(source.file),
        name=source.name,
        sources=plan.code.sources,
        imports=plan.code.imports,
        inputs=run.inputs,
        params=run.params,
        seed=run.seed if run.seed is not None else int(run.key[:8], 16),
        blobs=project.blobs.place,
        scratch=str(scratch_of(project) / id_),
        database=project.database.url,
        actor=project.actor,
        now=project.clock.now(),
        sys_path=tuple(dict.fromkeys([str(project.root.resolve()), *(path or str(Path.cwd()) for path in sys.path)])),
        environ=dict(os.environ),
        purpose=project.purpose,
        reader=f"step/{run.key}",
    )


def scratch_of(project: Project) -> Path:
    """The folder where steps work, on the blob store's file system."""
    return project.state / "steps"
