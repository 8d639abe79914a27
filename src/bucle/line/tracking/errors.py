"""What can go wrong in tracking."""

from bucle.ground.core import NotFound, StateError, UserError

__all__ = ["BadMetric", "GitFailed", "NoSuchRun", "RunEnded"]


class BadMetric(UserError):
    """A metric is not a number."""

    code = "BU0801"


class NoSuchRun(NotFound):
    """No run has this id."""

    code = "BU0802"


class RunEnded(StateError):
    """Something was logged to a run that is over."""

    code = "BU0803"


class GitFailed(StateError):
    """The project lies in a git repository whose changes cannot be read."""

    code = "BU0804"
