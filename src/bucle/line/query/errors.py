"""What can go wrong with a query."""

from bucle.ground.core import NotAllowed, StateError, UserError

__all__ = ["BadQuery", "QueryBusy", "QueryNotAllowed", "QueryTimeout", "QueryTooLarge"]


class BadQuery(UserError):
    """The text is no SQL, or it asks for something that is not there."""

    code = "BU1701"


class QueryNotAllowed(NotAllowed):
    """The text asks for more than reading tables."""

    code = "BU1702"


class QueryTooLarge(UserError):
    """The query needs more memory than it may have."""

    code = "BU1703"


class QueryTimeout(StateError):
    """The query took longer than it may."""

    code = "BU1704"
    http_status = 504


class QueryBusy(StateError):
    """As many queries are being answered as may be at once."""

    code = "BU1705"
    http_status = 503
