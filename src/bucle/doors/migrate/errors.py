"""What can go wrong when somebody moves in or out."""

from bucle.ground.core import StateError, UserError

__all__ = ["BadSource", "NotEmpty", "UnknownSchema"]


class BadSource(UserError):
    """There is nothing at this address that could be taken over."""

    code = "BU1640"


class UnknownSchema(UserError):
    """The database or file there has a form that Bucle does not know."""

    code = "BU1641"


class NotEmpty(StateError):
    """The place to write to holds something else already."""

    code = "BU1642"
