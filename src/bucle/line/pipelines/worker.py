"""Worker: the life of one task in its own process, from its inputs' digests to its outputs'."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.machinery
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import msgspec
import numpy.random  # noqa: F401  loaded late by numpy itself: 17 ms that no child should spend

from bucle.ground.code import CodeChanged
from bucle.ground.core import BucleError, SimulatedClock, seed_everything
from bucle.ground.project import PURPOSE, READER, Project
from bucle.ground.store import Blobs, open_blobs
from bucle.line.pipelines.artifact import keep_leaf, read_leaf
from bucle.line.pipelines.execution import Failure
from bucle.line.pipelines.pipeline import load_module
from bucle.line.pipelines.shape import assemble, disassemble
from bucle.line.pipelines.step import Interface, Step
from bucle.line.pipelines.task import Outcome, Task

__all__ = ["LOG", "RESULT", "WORK", "failure_of", "perform"]

LOG, RESULT, WORK = "log", "result.json", "work"
"""What a task's scratch folder holds: what it printed, its outcome once it has one, the folder it works in."""

_TRACEBACK_LIMIT = 20_000


def perform(task: Task, codes: Mapping[str, CodeType]) -> None:
    """Carry out a task in this process, which is nothing else's, and write its outcome into its scratch folder.

    Args:
        codes: file -> code of the project's modules; what stands on disk by now does not matter.
    """
    scratch = Path(task.scratch)
    _settle(task, scratch)
    sys.meta_path.insert(0, _AsAsked(codes))
    try:
        outcome = Outcome(outputs=_compute(task, scratch))
    except BaseException as error:
        traceback.print_exc()
        outcome = Outcome(failure=failure_of(error))
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    draft = scratch / f"{RESULT}.partial"
    draft.write_bytes(msgspec.json.encode(outcome))
    draft.replace(scratch / RESULT)


def failure_of(error: BaseException) -> Failure:
    """An error as a record."""
    text = "".join(traceback.format_exception(error))[-_TRACEBACK_LIMIT:]
    if isinstance(error, BucleError):
        return Failure(
            kind=type(error).__name__,
            message=error.what,
            code=error.code,
            why=error.why,
            fix=error.fix,
            traceback=text,
        )
    return Failure(kind=type(error).__qualname__, message=str(error), traceback=text)


def _settle(task: Task, scratch: Path) -> None:
    """Give the process its own place, output, variables and chance."""
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(scratch / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
    # Plain streams over the new descriptors: what the zygote had may be buffered, closed or somebody's capture.
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False, buffering=buffer)  # noqa: SIM115
        for number, mode, buffer in ((0, "r", -1), (1, "w", 1), (2, "w", 1))
    )
    faulthandler.enable()
    os.environ.clear()
    os.environ.update(task.environ)
    if task.purpose is not None:
        # Also for a project that the step, or a program it starts, opens itself.
        os.environ.update({PURPOSE: task.purpose, READER: task.reader})
    os.chdir(scratch / WORK)
    seed_everything(task.seed)


def _compute(task: Task, scratch: Path) -> dict[str, str]:
    function = getattr(load_module(Path(task.root), Path(task.file)), task.name, None)
    if not isinstance(function, Step):
        raise CodeChanged(
            f"{task.name} in {task.file} is no step.",
            why="Something else bears its name when the module is loaded.",
            fix="Give the step a name of its own.",
            at=task.file,
        )
    interface, blobs = function.interface, open_blobs(task.blobs)
    arguments = _arguments(interface, task, blobs)
    with contextlib.ExitStack() as stack:
        if interface.projects:
            project = Project.open(task.root, clock=SimulatedClock(task.now), database=task.database, actor=task.actor)
            stack.callback(project.close)
            arguments.update(dict.fromkeys(interface.projects, project))
        value = function.function(**arguments)
        parts = disassemble(interface.result, value)
        return {
            name or "result": keep_leaf(
                blobs,
                interface.result.leaf(name),
                part,
                where=f"{task.step}.{name or 'result'}",
                scratch=scratch,
            )
            for name, part in parts.items()
        }


def _arguments(interface: Interface, task: Task, blobs: Blobs) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, shape in interface.params.items():
        if shape.is_json:
            arguments[name] = msgspec.convert(task.params[name], interface.hints[name])
            continue
        digests = parts_of(name, task.inputs)
        arguments[name] = assemble(
            shape, {part: read_leaf(blobs, shape.leaf(part), digest) for part, digest in digests.items()}
        )
    return arguments


def parts_of(name: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """The digests of one parameter by part: `frames.0` is part `0` of `frames`; a single one is part ""."""
    found = {key[len(name) + 1 :]: digest for key, digest in inputs.items() if key.startswith(f"{name}.")}
    return {"": inputs[name]} if name in inputs else found


class _AsAsked(MetaPathFinder):
    """Imports the project's own modules from the code that the task's key was made of, not from caches or new files."""

    def __init__(self, codes: Mapping[str, CodeType]) -> None:
        self._codes = codes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The usual place of a module, with its code exchanged when it is the project's."""
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not spec.has_location or spec.origin is None:
            return None
        code = self._codes.get(str(Path(spec.origin).resolve()))
        if code is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, code)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: CodeType) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code
