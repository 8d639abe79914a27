"""What can go wrong in the registry."""

from bucle.ground.core import NotFound, StateError, StoreError, UserError

__all__ = [
    "BadFeature",
    "BadOnnx",
    "BadPackageFile",
    "BadRequest",
    "IllegalTransition",
    "NoSuchModel",
    "NoSuchPackage",
    "NoSuchVersion",
    "PackageDamaged",
    "ReservedAlias",
]


class BadOnnx(UserError):
    """The bytes are no ONNX model that every runtime can load and answer row by row."""

    code = "BU0901"


class BadRequest(UserError):
    """What a client is to send does not fit what the model needs."""

    code = "BU0902"


class BadPackageFile(UserError):
    """A file cannot travel in a package."""

    code = "BU0903"


class BadFeature(UserError):
    """A feature view is not pinned to a digest."""

    code = "BU0904"


class NoSuchPackage(NotFound):
    """No package has this digest."""

    code = "BU0905"


class PackageDamaged(StoreError):
    """A package on disk has other bytes than its name says."""

    code = "BU0906"


class NoSuchModel(NotFound):
    """No model has this name."""

    code = "BU0907"


class NoSuchVersion(NotFound):
    """The model has no such version or alias."""

    code = "BU0908"


class IllegalTransition(StateError):
    """A version cannot go from its stage to that one."""

    code = "BU0909"


class ReservedAlias(UserError):
    """An alias reads like something else."""

    code = "BU0910"
