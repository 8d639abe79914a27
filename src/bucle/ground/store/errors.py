"""What can go wrong in a store."""

from bucle.ground.core import NotFound, StateError, StoreError, UserError

__all__ = [
    "BadUpload",
    "BadValue",
    "BlobCorrupt",
    "BlobMissing",
    "BucketFailed",
    "DatabaseFailed",
    "DatabaseTooNew",
    "DiskFull",
]


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


class BucketFailed(StoreError):
    """The bucket does not answer, does not exist or refused us; nothing was kept half."""

    code = "BU0207"


class BadUpload(UserError):
    """An upload in parts is not what it was said to be."""

    code = "BU0208"


class BadValue(UserError):
    """A value that no column of the database can hold was given, or asked for."""

    code = "BU0209"
