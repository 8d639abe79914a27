"""What goes wrong, as MLflow's clients expect to be told: a code, a message, and the status of the code."""

from __future__ import annotations

from bucle.ground.core import BucleError, NotAllowed, NotFound, Refused, StateError, StoreError, UserError

__all__ = ["STATUS", "MlflowError", "half_a_character", "invalid", "missing", "of_bucle"]

STATUS = {
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "BAD_REQUEST": 400,
    "CUSTOMER_UNAUTHORIZED": 401,
    "ENDPOINT_NOT_FOUND": 404,
    "INTERNAL_ERROR": 500,
    "INVALID_PARAMETER_VALUE": 400,
    "INVALID_STATE": 500,
    "NOT_FOUND": 404,
    "NOT_IMPLEMENTED": 501,
    "PERMISSION_DENIED": 403,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_ALREADY_EXISTS": 400,
    "RESOURCE_CONFLICT": 409,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "RESOURCE_EXHAUSTED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
"""MLflow's error codes and the HTTP status each is sent with."""

_BRANCHES: tuple[tuple[type[BucleError], str], ...] = (
    (NotFound, "RESOURCE_DOES_NOT_EXIST"),
    (UserError, "INVALID_PARAMETER_VALUE"),
    (NotAllowed, "PERMISSION_DENIED"),
    (Refused, "PERMISSION_DENIED"),
    (StateError, "RESOURCE_CONFLICT"),
    (StoreError, "TEMPORARILY_UNAVAILABLE"),
)

_BY_CODE: dict[str, str] = {
    "BU0807": "RESOURCE_ALREADY_EXISTS",  # an experiment of this name
    "BU0808": "INVALID_PARAMETER_VALUE",  # an experiment that is deleted
    "BU0809": "RESOURCE_ALREADY_EXISTS",  # a run with this id
    "BU0810": "INVALID_PARAMETER_VALUE",  # a run that is deleted
    "BU0912": "RESOURCE_ALREADY_EXISTS",  # a model of this name
    "BU0913": "RESOURCE_ALREADY_EXISTS",  # a name that was once given to other versions
}
"""Errors of ours, by their own code, that MLflow knows under another name than their branch has."""


class MlflowError(Exception):
    """An answer that is an error on MLflow's wire.

    Args:
        error_code: one of `STATUS`.
        message: what the client shows.
        status: the HTTP status, when it is not the one that belongs to the code.
    """

    def __init__(self, error_code: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code
        # What a client sent stands in messages; half a character of it must not keep the answer from being written.
        self.message = message.encode("utf-8", "replace").decode()
        self.status = STATUS.get(error_code, 500) if status is None else status

    def as_dict(self) -> dict[str, str]:
        """The body of the answer."""
        return {"error_code": self.error_code, "message": self.message}


def invalid(message: str) -> MlflowError:
    """A value the client must mend: INVALID_PARAMETER_VALUE, 400."""
    return MlflowError("INVALID_PARAMETER_VALUE", message)


def half_a_character() -> MlflowError:
    """A text that UTF-8 cannot write: INVALID_PARAMETER_VALUE, 400."""
    return invalid("A text holds half of a character (a lone surrogate), which no UTF-8 has. Send whole characters.")


def missing(parameter: str) -> MlflowError:
    """A field that must be given and was not, in MLflow's words."""
    return invalid(
        f"Missing value for required parameter '{parameter}'. "
        "See the API docs for more information about request parameters."
    )


def of_bucle(error: BucleError) -> MlflowError:
    """An error of ours as MLflow's clients know it; the message keeps all three sentences."""
    code = _BY_CODE.get(error.code) or next(
        (name for branch, name in _BRANCHES if isinstance(error, branch)), "INTERNAL_ERROR"
    )
    return MlflowError(code, str(error))
