"""What can go wrong between a request and its answer.

400 BadBody          422 BadInput          413 BodyTooLarge      415 WrongMedia
404 UnknownModel     404 UnknownPath       405 WrongMethod
503 NotReady         503 LogUnwritable     500 ModelFailed
"""

from bucle.ground.core import BucleError, NotFound, StateError, StoreError, UserError

__all__ = [
    "BadBody",
    "BadInput",
    "BodyTooLarge",
    "EndpointFailed",
    "EndpointRunning",
    "EnrichMissing",
    "LogUnwritable",
    "ModelFailed",
    "NoRoutes",
    "NotReady",
    "NotRunning",
    "PortInUse",
    "RequestFailed",
    "SegmentDamaged",
    "UnknownModel",
    "UnknownPath",
    "WrongMedia",
    "WrongMethod",
]


class BadBody(UserError):
    """The request's body is no JSON of the protocol's form."""

    code = "BU1101"
    http_status = 400


class BadInput(UserError):
    """An input is missing, unknown, mistyped, null or of the wrong length."""

    code = "BU1102"


class BodyTooLarge(UserError):
    """The request's body or its number of rows is over the limit."""

    code = "BU1103"
    http_status = 413


class UnknownModel(NotFound):
    """This endpoint does not serve the model or version in the path."""

    code = "BU1104"


class UnknownPath(NotFound):
    """This endpoint has no such path."""

    code = "BU1105"


class WrongMethod(UserError):
    """The path exists, for another HTTP method."""

    code = "BU1106"
    http_status = 405


class WrongMedia(UserError):
    """The body is in a form this endpoint does not read."""

    code = "BU1107"
    http_status = 415


class ModelFailed(BucleError):
    """The model raised, or took too long, on an input that was in order."""

    code = "BU1108"


class NotReady(StateError):
    """The endpoint has no model loaded yet."""

    code = "BU1109"
    http_status = 503


class LogUnwritable(StoreError):
    """The prediction could not be logged, so it was not given."""

    code = "BU1110"


class NoRoutes(NotFound):
    """Nothing was ever deployed to this endpoint."""

    code = "BU1111"


class EnrichMissing(StateError):
    """A package needs feature views, and this process was started without them."""

    code = "BU1112"


class SegmentDamaged(StoreError):
    """A segment of the prediction log was changed after it was written."""

    code = "BU1113"


class PortInUse(StateError):
    """Another program listens on the port."""

    code = "BU1114"


class EndpointRunning(StateError):
    """Another process serves this endpoint."""

    code = "BU1115"


class NotRunning(StateError):
    """No process serves this endpoint."""

    code = "BU1116"


class EndpointFailed(StateError):
    """The endpoint's process ended, or did not answer in time."""

    code = "BU1117"


class RequestFailed(StoreError):
    """The endpoint could not be reached, or refused the request."""

    code = "BU1118"
