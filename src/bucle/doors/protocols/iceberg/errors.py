"""What goes wrong, as Iceberg's clients expect to be told: a type, a message, and a status they branch by."""

from __future__ import annotations

from typing import Any

from bucle.ground.core import BucleError, NotAllowed, NotFound, Refused, StateError, StoreError, UserError
from bucle.ground.governance import BadToken
from bucle.line import data
from bucle.line.contracts import ContractViolated

__all__ = ["CatalogError", "bad_request", "of_bucle", "used_key"]

_KNOWN: tuple[tuple[type[BucleError], str, int], ...] = (
    (data.NoSuchTable, "NoSuchTableException", 404),
    (data.NoSuchView, "NoSuchViewException", 404),
    (data.NoSuchNamespace, "NoSuchNamespaceException", 404),
    (data.NoSuchBranch, "NoSuchWarehouseException", 404),
    (data.NoSuchCommit, "NoSuchWarehouseException", 404),
    (data.NotBuiltOnHead, "CommitFailedException", 409),
    (data.TableExists, "AlreadyExistsException", 409),
    (data.ViewExists, "AlreadyExistsException", 409),
    (data.NamespaceExists, "AlreadyExistsException", 409),
    (data.NamespaceNotEmpty, "NamespaceNotEmptyException", 409),
    (data.TableNotOurs, "ValidationException", 400),
    (ContractViolated, "ValidationException", 400),
    (data.TableEncrypted, "ForbiddenException", 403),
    (BadToken, "NotAuthorizedException", 401),
    (NotFound, "NotFoundException", 404),
    (UserError, "BadRequestException", 400),
    (NotAllowed, "ForbiddenException", 403),
    (Refused, "ForbiddenException", 403),
    (StateError, "ConflictException", 409),
    (StoreError, "ServiceUnavailableException", 503),
)
"""Our errors, the narrower before the wider; 409 on a commit tells a client to load the table and try again."""


class CatalogError(Exception):
    """An answer that is an error on Iceberg's wire.

    Args:
        status: the HTTP status.
        kind: the type, called as Iceberg's own exceptions.
        message: what the client shows.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        # What a client sent stands in messages; half a character of it must not keep the answer from being written.
        self.message = message.encode("utf-8", "replace").decode()

    def as_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": {"message": self.message, "type": self.kind, "code": self.status}}


def bad_request(message: str) -> CatalogError:
    """A request the client must mend: 400."""
    return CatalogError(400, "BadRequestException", message)


def used_key(what: str) -> CatalogError:
    """A key that comes again for something else: 422."""
    return CatalogError(
        422, "UnprocessableEntityException", f"The Idempotency-Key was used before, for: {what[:300]}. Make a new one."
    )


def of_bucle(error: BucleError) -> CatalogError:
    """An error of ours as Iceberg's clients know it; the message keeps all three sentences."""
    for branch, kind, status in _KNOWN:
        if isinstance(error, branch):
            return CatalogError(status, kind, str(error))
    return CatalogError(500, "InternalServerError", str(error))
