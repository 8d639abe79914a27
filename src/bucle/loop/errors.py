"""What can go wrong in the loop."""

from bucle.ground.core import ConfigError, NotAllowed, NotFound, Refused, StateError

__all__ = ["BadPolicy", "GuardedAlias", "LoopBusy", "NoSuchLoop", "NotYetPromotable"]


class NoSuchLoop(NotFound):
    """The project has no `[loop.NAME]` for this model."""

    code = "BU1501"


class BadPolicy(ConfigError):
    """A policy holds a value that makes no sense."""

    code = "BU1502"


class LoopBusy(StateError):
    """Another process turns this loop right now."""

    code = "BU1503"


class NotYetPromotable(Refused):
    """A version lacks a verdict or approvals that the model's policy wants."""

    code = "BU1505"


class GuardedAlias(NotAllowed):
    """An alias that a policy guards would be left without a version."""

    code = "BU1506"
