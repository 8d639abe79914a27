"""What can go wrong with the client."""

from bucle.ground.core import StateError, StoreError, UserError

__all__ = [
    "BadEntry",
    "BadMedia",
    "ForeignProcess",
    "NoProject",
    "NotDelivered",
    "QueueDamaged",
    "QueueFull",
    "ServerRefused",
]


class BadMedia(UserError):
    """A picture, figure, table or page cannot be kept as one."""

    code = "BU0850"


class NoProject(UserError):
    """A run was begun where neither a project nor a server is known."""

    code = "BU0851"


class NotDelivered(StoreError):
    """What waits for a server could not be delivered; it is kept."""

    code = "BU0852"


class ServerRefused(StateError):
    """A Bucle server will not take what a run logged; sending it again would not help."""

    code = "BU0853"


class QueueDamaged(StoreError):
    """A queue's file holds something else than was written."""

    code = "BU0854"


class ForeignProcess(StateError):
    """A run was logged to from a process that was forked from the one that began it."""

    code = "BU0855"


class BadEntry(UserError):
    """An entry of points does not hold together."""

    code = "BU0856"


class QueueFull(StoreError):
    """A queue on this machine's disk cannot be written."""

    code = "BU0857"
