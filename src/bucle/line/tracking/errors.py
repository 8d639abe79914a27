"""What can go wrong in tracking."""

from bucle.ground.core import BadName, NotFound, StateError, UserError

__all__ = [
    "AlreadySet",
    "BadArtifactPath",
    "BadExperiment",
    "BadLoggedModel",
    "BadMetric",
    "BadQuery",
    "BadText",
    "BadToken",
    "ExperimentDeleted",
    "ExperimentExists",
    "FolderTaken",
    "GitFailed",
    "NoSuchArtifact",
    "NoSuchExperiment",
    "NoSuchLoggedModel",
    "NoSuchRun",
    "NoSuchTag",
    "RunDeleted",
    "RunEnded",
    "RunExists",
]


class BadMetric(UserError):
    """A metric is not a number."""

    code = "BU0801"


class NoSuchRun(NotFound):
    """No run has this id."""

    code = "BU0802"


class RunEnded(StateError):
    """Something was logged to a run that is over."""

    code = "BU0803"


class GitFailed(StateError):
    """The project lies in a git repository whose changes cannot be read."""

    code = "BU0804"


class FolderTaken(UserError):
    """A folder that should get a run's code holds something else."""

    code = "BU0817"


class BadToken(UserError):
    """A page token was not given out by this search."""

    code = "BU0805"


class NoSuchExperiment(NotFound):
    """No experiment has this id or name."""

    code = "BU0806"


class ExperimentExists(StateError):
    """An experiment has this name already."""

    code = "BU0807"


class ExperimentDeleted(StateError):
    """An experiment is deleted, or is not."""

    code = "BU0808"


class RunExists(StateError):
    """A run has this id already."""

    code = "BU0809"


class RunDeleted(StateError):
    """A run is deleted, or is not."""

    code = "BU0810"


class AlreadySet(UserError):
    """A parameter has another value already."""

    code = "BU0811"


class BadArtifactPath(BadName):
    """An artifact's path leads elsewhere, or stands in the way of another."""

    code = "BU0812"


class NoSuchArtifact(NotFound):
    """Nothing lies under this path."""

    code = "BU0813"


class BadText(UserError):
    """A key or a value is empty, too long, or has characters a database cannot hold."""

    code = "BU0814"


class NoSuchTag(NotFound):
    """There is no tag with this key."""

    code = "BU0815"


class BadExperiment(UserError):
    """An experiment cannot be called so."""

    code = "BU0816"


class NoSuchLoggedModel(NotFound):
    """No logged model has this id."""

    code = "BU0840"


class BadLoggedModel(UserError):
    """A logged model cannot be kept as it is."""

    code = "BU0841"


class BadQuery(UserError):
    """Figures over traces were asked for that cannot be made."""

    code = "BU0839"
