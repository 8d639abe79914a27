"""Execution: one run of a pipeline from its parameters to its result."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from bucle.ground.core import Record

__all__ = ["Execution", "ExecutionStatus", "Failure"]

ExecutionStatus = Literal["running", "succeeded", "failed", "lost"]
"""`lost` is a running execution whose process has died: `resume` goes on with it."""


class Failure(Record, frozen=True):
    """An error as it crossed from the process it happened in.

    Attributes:
        kind: the error's class, e.g. `ValueError`; `Died` when a process ended without a word, `TimedOut`.
        message: what it said.
        code: its `BUrrnn` when it was one of Bucle's.
        why: why it matters, when it was one of Bucle's.
        fix: what mends it, when it was one of Bucle's.
        traceback: where it came from, as Python prints it.
    """

    kind: str
    message: str
    code: str = ""
    why: str = ""
    fix: str = ""
    traceback: str = ""


class Execution(Record, frozen=True):
    """One run of a pipeline.

    Attributes:
        id: its name; made from `key` when there is one.
        pipeline: the pipeline's name.
        params: the body's arguments, defaults filled in.
        status: running, succeeded, failed, or lost when its process died.
        started_at: when it was first asked for.
        ended_at: when it ended.
        result: what the body returned, as JSON; a frame, array, bytes or file stands as `{"blob": digest, "kind": …}`.
        error: why it failed.
        key: the idempotency key it was asked for with.
        actor: who asked.
        source: `file:name` of the body, relative to the project where it lies in it.
    """

    id: str
    pipeline: str
    params: dict[str, Any]
    status: ExecutionStatus
    started_at: datetime
    ended_at: datetime | None
    result: Any
    error: Failure | None
    key: str | None
    actor: str
    source: str
