"""What can go wrong in the loop."""

from bucle.ground.core import ConfigError, NotFound, StateError

__all__ = ["BadPolicy", "LoopBusy", "NoSuchLoop"]


class NoSuchLoop(NotFound):
    """The project has no `[loop.NAME]` for this model."""

    code = "BU1501"


class BadPolicy(ConfigError):
    """A policy holds a value that makes no sense."""

    code = "BU1502"


class LoopBusy(StateError):
    """Another process turns this loop right now."""

    code = "BU1503"
