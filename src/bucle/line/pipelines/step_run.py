"""StepRun: one step of one execution, with everything its result depended on."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from bucle.ground.core import Record
from bucle.line.pipelines.execution import Failure

__all__ = ["StepRun", "StepStatus"]

StepStatus = Literal["running", "succeeded", "failed", "cached"]


class StepRun(Record, frozen=True):
    """One step of one execution.

    Attributes:
        id: `execution.position`.
        execution: the execution's id.
        step: the step function's name.
        position: its place among the body's calls, from 0.
        key: digest of code, inputs, params, environment and seed; equal keys have equal outputs.
        status: running, succeeded, failed, or cached when the outputs came from an earlier run of the same key.
        attempt: 1 for the first; each retry, and each resume after a crash in mid-step, adds one.
        started_at: when its last attempt began, by the project's clock.
        ended_at: when that ended, by the project's clock.
        duration_s: seconds its last attempt really took; 0 when cached.
        inputs: parameter -> digest of what came in as bytes, a frame, an array or a file; `name.part` for parts.
        params: parameter -> plain value.
        outputs: name -> digest; a single output is called `result`.
        code: digest of the blob that holds the source of the function and of everything of the project it reaches.
        environment: digest of the blob that holds the environment.
        seed: the value of its parameter `seed`, None without one.
        log: digest of what it printed; empty when it was silent.
        error: why it failed.
        source: `file:name` of the function, relative to the project where it lies in it.
        origin: the step run that computed the outputs; itself unless cached.
    """

    id: str
    execution: str
    step: str
    position: int
    key: str
    status: StepStatus
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    duration_s: float
    inputs: dict[str, str]
    params: dict[str, Any]
    outputs: dict[str, str]
    code: str
    environment: str
    seed: int | None
    log: str
    error: Failure | None
    source: str
    origin: str
