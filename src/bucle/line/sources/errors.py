"""What can go wrong with sources."""

from bucle.ground.core import NotFound, StateError, StoreError, UserError

__all__ = [
    "NoSuchConnection",
    "NoSuchSource",
    "SecretMissing",
    "SourceBusy",
    "SourceChanged",
    "SourceFailed",
    "SourceInvalid",
    "SourceTooLarge",
]


class SourceInvalid(UserError):
    """The file of a source or connection cannot be understood."""

    code = "BU1801"


class NoSuchSource(NotFound):
    """There is no `sources/NAME.yaml`."""

    code = "BU1802"


class NoSuchConnection(NotFound):
    """There is no `connections/NAME.yaml`."""

    code = "BU1803"


class SecretMissing(UserError):
    """A file names an environment variable that is not set."""

    code = "BU1804"


class SourceFailed(StoreError):
    """What a source reads from does not answer, or gives what cannot be read."""

    code = "BU1805"


class SourceChanged(StateError):
    """Rows that have landed were changed at their source."""

    code = "BU1806"


class SourceBusy(StateError):
    """Another process runs this source now."""

    code = "BU1807"


class SourceTooLarge(UserError):
    """What a source gives is larger than it may be."""

    code = "BU1808"
