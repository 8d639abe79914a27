"""What can go wrong with cleaning."""

from __future__ import annotations

from bucle.ground.core import UserError

__all__ = ["CannotClean", "CleaningInvalid"]


class CleaningInvalid(UserError):
    """A cleaning policy cannot be understood, or asks for what cannot be."""

    code = "BU0518"


class CannotClean(UserError):
    """Rows do not fit a cleaning policy: a column is missing, or of a type it cannot mend."""

    code = "BU0519"
