"""What can go wrong with features."""

from bucle.ground.core import NotFound, Refused, StateError, UserError

__all__ = ["BadView", "NoSuchView", "PeekingView", "ViewChanged", "WrongRows"]


class BadView(UserError):
    """A feature view is declared in a way that cannot work."""

    code = "BU0601"


class NoSuchView(NotFound):
    """The project defines no feature view of this name."""

    code = "BU0602"


class WrongRows(UserError):
    """A view's function gave other columns or types than the view declares."""

    code = "BU0603"


class ViewChanged(StateError):
    """The project's view is not the one a model was trained with."""

    code = "BU0604"


class PeekingView(Refused):
    """A view's rows depend on what was known only later."""

    code = "BU0605"
