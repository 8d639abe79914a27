"""What can go wrong in a store."""

from bucle.ground.core import NotFound, StateError, StoreError

__all__ = ["BlobCorrupt", "BlobMissing", "DatabaseFailed", "DatabaseTooNew", "DiskFull"]


class DatabaseFailed(StoreError):
    """The database does not answer or refused a statement."""

    code = "BU0201"


class DatabaseTooNew(StateError):
    """The database was made by a newer Bucle."""

    code = "BU0202"


class BlobMissing(NotFound):
    """No blob has this digest."""

    code = "BU0203"


class BlobCorrupt(StoreError):
    """A blob's bytes do not have the digest they are filed under."""

    code = "BU0204"


class DiskFull(StoreError):
    """The disk has no room; nothing was written."""

    code = "BU0205"
