"""What can go wrong with evaluation."""

from bucle.ground.core import NotFound, UserError

__all__ = [
    "BadRecords",
    "BadScorer",
    "NoSuchEvaluationDataset",
    "NoSuchScorer",
]


class NoSuchEvaluationDataset(NotFound):
    """No evaluation dataset has this id."""

    code = "BU0832"


class NoSuchScorer(NotFound):
    """An experiment has no scorer of this name, or not this version."""

    code = "BU0833"


class BadRecords(UserError):
    """Records of an evaluation dataset cannot be kept as they are."""

    code = "BU0836"


class BadScorer(UserError):
    """A scorer cannot be registered as it is."""

    code = "BU0837"
