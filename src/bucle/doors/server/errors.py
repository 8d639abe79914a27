"""What can go wrong at the server's door."""

from bucle.ground.core import BucleError, NotAllowed, NotFound, StateError, UserError

__all__ = [
    "BadBody",
    "ForeignPage",
    "InternalFault",
    "MethodNotAllowed",
    "NoSuchPage",
    "PortBusy",
    "TooLarge",
    "WrongHost",
    "WrongKind",
]


class PortBusy(StateError):
    """Another program listens on the port."""

    code = "BU1602"


class NoSuchPage(NotFound):
    """Nothing stands at this address."""

    code = "BU1609"


class MethodNotAllowed(UserError):
    """The address exists, but not for this method."""

    code = "BU1610"
    http_status = 405


class WrongHost(UserError):
    """The request names a host this server does not answer for."""

    code = "BU1611"
    http_status = 421


class InternalFault(BucleError):
    """Bucle itself is at fault; the log has the rest under the reference."""

    code = "BU1612"


class ForeignPage(NotAllowed):
    """A page of another site sent a browser here to change something."""

    code = "BU1630"


class BadBody(UserError):
    """What was sent does not hold what it should."""

    code = "BU1650"


class TooLarge(UserError):
    """What was sent is larger than anything that is taken there."""

    code = "BU1651"
    http_status = 413


class WrongKind(UserError):
    """What was sent is written in a form that is not read there."""

    code = "BU1652"
    http_status = 415
