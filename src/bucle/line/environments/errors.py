"""What can go wrong with environments."""

from __future__ import annotations

from bucle.ground.core import NotFound, StateError, UserError

__all__ = ["EnvironmentDiffers", "NoSuchEnvironment", "NotBuilt", "NotLocked", "UvMissing"]


class UvMissing(StateError):
    """uv is not installed; it resolves locks and makes virtual environments."""

    code = "BU2101"


class NotLocked(UserError):
    """Requirements cannot be resolved to one version each."""

    code = "BU2102"


class NotBuilt(StateError):
    """A virtual environment cannot be made: no such Python here, a package that cannot be had, a hash that is wrong."""

    code = "BU2103"


class EnvironmentDiffers(StateError):
    """A virtual environment was made as recorded, and is not what was recorded."""

    code = "BU2104"


class NoSuchEnvironment(NotFound):
    """No environment is kept under this name, or none was recorded of a thing."""

    code = "BU2105"
