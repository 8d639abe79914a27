"""Task: one attempt at one step as plain data, and the executors that can carry it out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from bucle.ground.core import Environment, Record
from bucle.ground.store import BlobPlace
from bucle.line.pipelines.execution import Failure

__all__ = ["Executor", "Outcome", "Task"]


class Task(Record, frozen=True):
    """One attempt at one step: everything another process needs, by value or by digest.

    Attributes:
        id: never used twice.
        step: the step's name.
        root: the project's folder.
        file: the file the function stands in.
        name: the function's name there.
        sources: file -> digest of the project's code it loads; other bytes on disk are refused.
        imports: installed modules that code imports.
        inputs: parameter (or `parameter.part`) -> digest.
        params: parameter -> plain value.
        seed: what every generator of random numbers is seeded with.
        blobs: where the blobs lie.
        scratch: a folder of its own on the same file system; the function works in `scratch/work`.
        database: the project's database, for a parameter that gets the project.
        actor: who asked.
        now: the project's instant, at which that project's clock stands.
        sys_path: where modules are found.
        environ: the environment variables.
        purpose: what it reads tables for; '' when that is not told, None when nobody trains.
        reader: the ref under which the ledger knows what it read.
    """

    id: str
    step: str
    root: str
    file: str
    name: str
    sources: dict[str, str]
    imports: tuple[str, ...]
    inputs: dict[str, str]
    params: dict[str, Any]
    seed: int
    blobs: BlobPlace
    scratch: str
    database: str
    actor: str
    now: datetime
    sys_path: tuple[str, ...]
    environ: dict[str, str]
    purpose: str | None = None
    reader: str = ""


class Outcome(Record, frozen=True):
    """What became of a task.

    Attributes:
        outputs: name -> digest; they are in the blob store.
        failure: why it failed; None when it did not.
        log: the digest of what it printed; empty when it was silent.
        cpu_s: processor seconds of its processes.
        memory_mb: the most memory its process held.
    """

    outputs: dict[str, str] = {}
    failure: Failure | None = None
    log: str = ""
    cpu_s: float = 0.0
    memory_mb: float = 0.0


class Executor(Protocol):
    """Carries out tasks somewhere.

    Laws every implementation keeps: `run` raises nothing for what a task does, it tells it in the outcome; outputs that
    an outcome names are durable before it is given; no process of a task outlives `run`, nor the process that called.
    """

    @property
    def environment(self) -> Environment:
        """What its tasks run in; it is part of every key."""
        ...

    def run(self, task: Task, *, timeout_s: float | None) -> Outcome:
        """Carry out a task and wait for it. Many threads may call at the same time.

        Args:
            timeout_s: seconds after which its processes are killed, counted from the start of its own process.
        """
        ...

    def cancel(self, prefix: str) -> None:
        """Kill the tasks whose ids begin so; their `run` gives a failure `Died`."""
        ...

    def close(self) -> None:
        """Kill what runs and give everything back."""
        ...
