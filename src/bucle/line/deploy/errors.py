"""What can go wrong while traffic moves."""

from bucle.ground.core import NotFound, Refused, StateError, UserError

__all__ = [
    "BadBase",
    "BadShare",
    "FolderTaken",
    "IncompatibleRequest",
    "NoSuchRollout",
    "NotDeployable",
    "RolloutActive",
    "RolloutOver",
    "SameVersion",
]


class NoSuchRollout(NotFound):
    """No rollout has this id."""

    code = "BU1201"


class NotDeployable(Refused):
    """The version's stage does not let it near traffic."""

    code = "BU1202"


class RolloutActive(StateError):
    """The endpoint has a rollout under way."""

    code = "BU1203"


class RolloutOver(StateError):
    """The rollout ended the other way."""

    code = "BU1204"


class BadShare(UserError):
    """A share or the steps of a rollout make no sense."""

    code = "BU1205"


class SameVersion(UserError):
    """The candidate is the champion already."""

    code = "BU1206"


class IncompatibleRequest(Refused):
    """The candidate wants columns that clients of the endpoint do not send."""

    code = "BU1207"


class BadBase(UserError):
    """A base image is not named by its digest, so that it may be another one tomorrow."""

    code = "BU1208"


class FolderTaken(StateError):
    """The folder for a build context holds something else."""

    code = "BU1209"
