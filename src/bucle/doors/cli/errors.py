"""What can go wrong at the command line itself."""

from bucle.ground.core import BucleError, StateError, UserError

__all__ = [
    "AlreadyThere",
    "BadRows",
    "BadUsage",
    "CommandFailed",
    "NoSuchColumn",
    "NothingToResume",
    "unforeseen",
]


class BadUsage(UserError):
    """A command has an argument it does not know, or lacks one it needs."""

    code = "BU1601"


class BadRows(UserError):
    """A file of rows cannot be read."""

    code = "BU1620"


class AlreadyThere(StateError):
    """What is to be made would be written over something that is there."""

    code = "BU1621"


class NothingToResume(StateError):
    """No execution was cut short."""

    code = "BU1622"


class CommandFailed(BucleError):
    """Code that the command ran raised something that is none of Bucle's errors."""

    code = "BU1623"


class NoSuchColumn(UserError):
    """A table of runs has no such column."""

    code = "BU1624"


def unforeseen(error: Exception) -> BucleError:
    """The error itself when it is Bucle's, otherwise one that says what was raised."""
    if isinstance(error, BucleError):
        return error
    return CommandFailed(
        f"{type(error).__name__}: {error}".rstrip(": "),
        why="The code it ran raised this, or Bucle itself is at fault; what was finished before is kept.",
        fix="Set BUCLE_DEBUG=1 and repeat the command to see where it happened.",
    )
