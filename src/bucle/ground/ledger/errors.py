"""What can go wrong in the ledger."""

from bucle.ground.core import NotFound, StateError, StoreError

__all__ = ["AlreadyDone", "LogDamaged", "NoSuchEvent", "RowMissing"]


class AlreadyDone(StateError):
    """An event with this idempotency key stands in the ledger: the change was made before."""

    code = "BU0301"


class LogDamaged(StoreError):
    """The log does not verify: something was edited, deleted or reordered behind the ledger's back."""

    code = "BU0302"


class RowMissing(StateError):
    """A row to be changed is not there."""

    code = "BU0303"


class NoSuchEvent(NotFound):
    """No event has this number."""

    code = "BU0304"
