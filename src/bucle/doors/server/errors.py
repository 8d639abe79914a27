"""What can go wrong at the server's door."""

from bucle.ground.core import BucleError, NotFound, StateError, UserError

__all__ = ["InternalFault", "MethodNotAllowed", "NoSuchPage", "PortBusy", "WrongHost"]


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
