"""What goes wrong, as S3's clients expect to be told: a code they branch by, a message, a status.

Source: Amazon S3 API reference, "Error responses".
"""

from __future__ import annotations

from bucle.ground.core import BucleError, NotAllowed, NotFound, Refused, StateError, StoreError, UserError
from bucle.ground.governance import BadToken, NoSuchAccessKey
from bucle.line import data

__all__ = ["S3Error", "as_s3", "denied", "invalid", "no_such_key", "not_implemented"]

_KNOWN: tuple[tuple[type[BucleError], str, int], ...] = (
    (NoSuchAccessKey, "InvalidAccessKeyId", 403),
    (BadToken, "InvalidToken", 403),
    (data.NoSuchFile, "NoSuchKey", 404),
    (data.NoSuchBranch, "NoSuchKey", 404),
    (data.NoSuchCommit, "NoSuchKey", 404),
    (data.AmbiguousCommit, "NoSuchKey", 404),
    (data.CommitExpired, "NoSuchKey", 404),
    (data.BadPath, "InvalidArgument", 400),
    (data.BranchProtected, "AccessDenied", 403),
    (data.BranchBusy, "SlowDown", 503),
    (NotFound, "NoSuchKey", 404),
    (UserError, "InvalidArgument", 400),
    (NotAllowed, "AccessDenied", 403),
    (Refused, "AccessDenied", 403),
    (StateError, "OperationAborted", 409),
    (StoreError, "ServiceUnavailable", 503),
)
"""Our errors, the narrower before the wider; clients try again after 503."""


class S3Error(Exception):
    """An answer that is an error on S3's wire.

    Args:
        status: the HTTP status.
        code: S3's own.
        message: what the client shows.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def as_s3(error: BucleError | S3Error) -> S3Error:
    """An error of ours as S3's clients know it; the message keeps all three sentences."""
    if isinstance(error, S3Error):
        return error
    for branch, code, status in _KNOWN:
        if isinstance(error, branch):
            return S3Error(status, code, str(error))
    return S3Error(500, "InternalError", str(error))


def invalid(message: str, code: str = "InvalidArgument") -> S3Error:
    """A request the client must mend: 400."""
    return S3Error(400, code, message)


def denied(message: str, code: str = "AccessDenied") -> S3Error:
    """A request that is not allowed: 403."""
    return S3Error(403, code, message)


def no_such_key(key: str) -> S3Error:
    """There is no object of that name: 404."""
    return S3Error(404, "NoSuchKey", f"There is no object {key[:1024]!r}.")


def not_implemented(what: str) -> S3Error:
    """Something of S3 that is not here: 501."""
    return S3Error(501, "NotImplemented", f"{what[:200]} is not here; docs/s3.md says what is.")
