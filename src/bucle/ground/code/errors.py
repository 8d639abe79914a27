"""What can go wrong with code."""

from bucle.ground.core import StateError

__all__ = ["CodeChanged"]


class CodeChanged(StateError):
    """The code on disk is not the code that was asked for."""

    code = "BU0111"
