"""What can go wrong at the gates."""

from bucle.ground.core import ConfigError, NotFound, Refused, UserError

__all__ = ["BadEvidence", "BadGate", "GateRefused", "NoGates", "NoSuchVerdict"]


class BadEvidence(UserError):
    """The arrays to be judged do not belong together."""

    code = "BU1001"


class BadGate(ConfigError):
    """A gate has a setting that it does not know or cannot use."""

    code = "BU1002"


class NoGates(UserError):
    """A judgement without a gate would let everything pass."""

    code = "BU1003"


class NoSuchVerdict(NotFound):
    """No verdict has this id."""

    code = "BU1004"


class GateRefused(Refused):
    """A gate said no."""

    code = "BU1005"
