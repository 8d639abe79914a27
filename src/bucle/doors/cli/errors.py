"""What can go wrong at the command line itself."""

from bucle.ground.core import BucleError, StateError, UserError

__all__ = ["BadRows", "BadUsage", "CommandFailed", "FolderTaken", "NothingToResume"]


class BadUsage(UserError):
    """A command has an argument it does not know, or lacks one it needs."""

    code = "BU1601"


class BadRows(UserError):
    """A file of rows cannot be read."""

    code = "BU1620"


class FolderTaken(StateError):
    """The folder has a project, or a file that would be written over."""

    code = "BU1621"


class NothingToResume(StateError):
    """No execution was cut short."""

    code = "BU1622"


class CommandFailed(BucleError):
    """Code that the command ran raised something that is none of Bucle's errors."""

    code = "BU1623"
