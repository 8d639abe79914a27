"""What can go wrong in the registry."""

from bucle.ground.core import BadName, NotFound, Refused, StateError, StoreError, UserError

__all__ = [
    "BadFeature",
    "BadModelName",
    "BadOnnx",
    "BadPackageFile",
    "BadRequest",
    "BadSearch",
    "BadTag",
    "BadText",
    "BadWebhook",
    "IllegalTransition",
    "ModelExists",
    "ModelInUse",
    "NameTaken",
    "NoSuchModel",
    "NoSuchPackage",
    "NoSuchVersion",
    "NoSuchWebhook",
    "NotPackaged",
    "PackageDamaged",
    "ReservedAlias",
    "SecretLocked",
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


class BadModelName(BadName):
    """No model can be called so."""

    code = "BU0911"


class ModelExists(StateError):
    """A model of this name is registered already."""

    code = "BU0912"


class NameTaken(StateError):
    """Versions were once registered under this name, so no other versions may take it over."""

    code = "BU0913"


class BadText(UserError):
    """A text is too long, or has a character that no database keeps."""

    code = "BU0914"


class BadTag(UserError):
    """A tag cannot be set or taken away."""

    code = "BU0915"


class NotPackaged(Refused):
    """A version is not an ONNX package, so nothing here can serve it."""

    code = "BU0916"


class ModelInUse(StateError):
    """A version answers live traffic, or a policy keeps it where it is."""

    code = "BU0917"


class BadSearch(UserError):
    """A page token or a limit of a search makes no sense."""

    code = "BU0918"


class BadWebhook(UserError):
    """A webhook cannot be kept like this."""

    code = "BU0919"


class NoSuchWebhook(NotFound):
    """No webhook has this id."""

    code = "BU0920"


class SecretLocked(StoreError):
    """A webhook's secret was sealed with another key."""

    code = "BU0921"
