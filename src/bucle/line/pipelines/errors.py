"""What can go wrong on the belt."""

from bucle.ground.core import NotFound, StateError, UserError

__all__ = [
    "BadParams",
    "ExecutionBusy",
    "ExecutionFailed",
    "KeyReused",
    "NoSuchExecution",
    "NoSuchPipeline",
    "NotImportable",
    "NotTyped",
    "StepFailed",
    "StepTimedOut",
    "ValueNotKept",
]


class StepFailed(StateError):
    """A step ended with an error of its own, or its process died; nothing of it was kept but its log."""

    code = "BU0701"


class StepTimedOut(StepFailed):
    """A step took longer than its `timeout_s`; its processes were killed."""

    code = "BU0702"


class NotTyped(UserError):
    """A step or pipeline has a parameter or result whose annotation is missing or cannot be kept."""

    code = "BU0703"


class NotImportable(UserError):
    """A step or pipeline is not at the top level of a module that lies in a file."""

    code = "BU0704"


class ValueNotKept(UserError):
    """A value does not fit the annotation it was declared with, or cannot be written down exactly."""

    code = "BU0705"


class NoSuchPipeline(NotFound):
    """No module of the project has a pipeline of this name."""

    code = "BU0706"


class NoSuchExecution(NotFound):
    """No execution or step run has this id."""

    code = "BU0707"


class ExecutionBusy(StateError):
    """A living process is carrying out this execution."""

    code = "BU0708"


class KeyReused(UserError):
    """An idempotency key was used before for another pipeline or other parameters."""

    code = "BU0709"


class ExecutionFailed(StateError):
    """An execution ended with an error outside its steps."""

    code = "BU0711"


class BadParams(UserError):
    """A pipeline was asked for with parameters it does not have, without one it needs, or of another type."""

    code = "BU0712"
