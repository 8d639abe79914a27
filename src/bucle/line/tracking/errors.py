"""What can go wrong in tracking."""

from bucle.ground.core import BadName, NotFound, StateError, StoreError, UserError

__all__ = [
    "AlreadySet",
    "BadArtifactPath",
    "BadAssessment",
    "BadEntry",
    "BadExperiment",
    "BadLoggedModel",
    "BadMedia",
    "BadMetric",
    "BadQuery",
    "BadRecords",
    "BadScorer",
    "BadText",
    "BadToken",
    "BadTrace",
    "ExperimentDeleted",
    "ExperimentExists",
    "ForeignProcess",
    "GitFailed",
    "NoProject",
    "NoSuchArtifact",
    "NoSuchAssessment",
    "NoSuchEvaluationDataset",
    "NoSuchExperiment",
    "NoSuchLoggedModel",
    "NoSuchRun",
    "NoSuchScorer",
    "NoSuchTag",
    "NoSuchTrace",
    "NotDelivered",
    "QueueDamaged",
    "QueueFull",
    "RunDeleted",
    "RunEnded",
    "RunExists",
    "ServerRefused",
    "TraceIncomplete",
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


class BadMedia(UserError):
    """A picture, figure, table or page cannot be kept as one."""

    code = "BU0850"


class NoProject(UserError):
    """A run was begun where neither a project nor a server is known."""

    code = "BU0851"


class NotDelivered(StoreError):
    """What waits for a server could not be delivered; it is kept."""

    code = "BU0852"


class ServerRefused(StateError):
    """A Bucle server will not take what a run logged; sending it again would not help."""

    code = "BU0853"


class QueueDamaged(StoreError):
    """A queue's file holds something else than was written."""

    code = "BU0854"


class ForeignProcess(StateError):
    """A run was logged to from a process that was forked from the one that began it."""

    code = "BU0855"


class BadEntry(UserError):
    """An entry of points does not hold together."""

    code = "BU0856"


class NoSuchTrace(NotFound):
    """No trace has this id."""

    code = "BU0830"


class NoSuchAssessment(NotFound):
    """A trace has no assessment with this id."""

    code = "BU0831"


class NoSuchEvaluationDataset(NotFound):
    """No evaluation dataset has this id."""

    code = "BU0832"


class NoSuchScorer(NotFound):
    """An experiment has no scorer of this name, or not this version."""

    code = "BU0833"


class BadTrace(UserError):
    """A trace, or a span of it, cannot be kept as it is."""

    code = "BU0834"


class BadAssessment(UserError):
    """An assessment says too little or too much."""

    code = "BU0835"


class BadRecords(UserError):
    """Records of an evaluation dataset cannot be kept as they are."""

    code = "BU0836"


class BadScorer(UserError):
    """A scorer cannot be registered as it is."""

    code = "BU0837"


class TraceIncomplete(NotFound):
    """A trace was asked for whole, and some of its spans have not arrived yet."""

    code = "BU0838"


class QueueFull(StoreError):
    """A queue on this machine's disk cannot be written."""

    code = "BU0857"


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
