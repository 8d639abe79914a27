"""What can go wrong with traces."""

from bucle.ground.core import NotFound, UserError

__all__ = [
    "BadAssessment",
    "BadTrace",
    "NoSuchAssessment",
    "NoSuchTrace",
    "TraceIncomplete",
]


class NoSuchTrace(NotFound):
    """No trace has this id."""

    code = "BU0830"


class NoSuchAssessment(NotFound):
    """A trace has no assessment with this id."""

    code = "BU0831"


class BadTrace(UserError):
    """A trace, or a span of it, cannot be kept as it is."""

    code = "BU0834"


class BadAssessment(UserError):
    """An assessment says too little or too much."""

    code = "BU0835"


class TraceIncomplete(NotFound):
    """A trace was asked for whole, and some of its spans have not arrived yet."""

    code = "BU0838"
