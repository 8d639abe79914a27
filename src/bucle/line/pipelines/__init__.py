"""The belt: steps in processes of their own, computed once, journalled, and gone on with after any crash."""

from bucle.line.pipelines.artifact import Artifact
from bucle.line.pipelines.deviation import Deviation, Tolerance
from bucle.line.pipelines.errors import (
    BadParams,
    ExecutionBusy,
    ExecutionFailed,
    KeyReused,
    NoSuchExecution,
    NoSuchPipeline,
    NotImportable,
    NotTyped,
    StepFailed,
    StepTimedOut,
    ValueNotKept,
)
from bucle.line.pipelines.execution import Execution, Failure
from bucle.line.pipelines.local import LocalProcesses
from bucle.line.pipelines.look import (
    Change,
    Why,
    changes,
    computed,
    last_codes,
    log_of,
    step_run,
    step_runs,
    value_of,
    why,
)
from bucle.line.pipelines.pipeline import Pipeline, pipeline, pipelines_of
from bucle.line.pipelines.reproduce import Reproduction, code_changed, reproduce
from bucle.line.pipelines.run import execution, executions, recover, resume, run
from bucle.line.pipelines.step import Step, step
from bucle.line.pipelines.step_run import StepRun
from bucle.line.pipelines.task import Executor, Outcome, Task

__all__ = [
    "Artifact",
    "BadParams",
    "Change",
    "Deviation",
    "Execution",
    "ExecutionBusy",
    "ExecutionFailed",
    "Executor",
    "Failure",
    "KeyReused",
    "LocalProcesses",
    "NoSuchExecution",
    "NoSuchPipeline",
    "NotImportable",
    "NotTyped",
    "Outcome",
    "Pipeline",
    "Reproduction",
    "Step",
    "StepFailed",
    "StepRun",
    "StepTimedOut",
    "Task",
    "Tolerance",
    "ValueNotKept",
    "Why",
    "changes",
    "code_changed",
    "computed",
    "execution",
    "executions",
    "last_codes",
    "log_of",
    "pipeline",
    "pipelines_of",
    "recover",
    "reproduce",
    "resume",
    "run",
    "step",
    "step_run",
    "step_runs",
    "value_of",
    "why",
]
