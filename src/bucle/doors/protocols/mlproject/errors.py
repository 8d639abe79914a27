"""What can go wrong with MLflow Projects."""

from __future__ import annotations

from bucle.ground.core import BucleError, UserError

__all__ = ["BadMlproject", "EntryPointFailed", "UnsupportedEnvironment"]


class BadMlproject(UserError):
    """An MLproject file, its environment or a parameter is not in order."""

    code = "BU1660"


class UnsupportedEnvironment(UserError):
    """A project wants an environment that is not made here: a Docker image, conda packages, another machine."""

    code = "BU1661"


class EntryPointFailed(BucleError):
    """The command of an MLflow Project ended with another exit status than 0."""

    code = "BU1662"
