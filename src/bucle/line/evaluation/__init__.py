"""Evaluation: examples to judge by, and the scorers that judge."""

from bucle.line.evaluation.dataset import (
    EvaluationDataset,
    create_evaluation_dataset,
    delete_evaluation_dataset,
    evaluation_dataset,
    link_evaluation_dataset,
    search_evaluation_datasets,
    tag_evaluation_dataset,
    unlink_evaluation_dataset,
    untag_evaluation_dataset,
)
from bucle.line.evaluation.errors import BadRecords, BadScorer, NoSuchEvaluationDataset, NoSuchScorer
from bucle.line.evaluation.record import (
    EvaluationExample,
    EvaluationRecord,
    delete_evaluation_records,
    evaluation_records,
    merge_evaluation_records,
    verify_evaluation_datasets,
)
from bucle.line.evaluation.scorer import Scorer, delete_scorer, register_scorer, scorer, scorer_versions, scorers

__all__ = [
    "BadRecords",
    "BadScorer",
    "EvaluationDataset",
    "EvaluationExample",
    "EvaluationRecord",
    "NoSuchEvaluationDataset",
    "NoSuchScorer",
    "Scorer",
    "create_evaluation_dataset",
    "delete_evaluation_dataset",
    "delete_evaluation_records",
    "delete_scorer",
    "evaluation_dataset",
    "evaluation_records",
    "link_evaluation_dataset",
    "merge_evaluation_records",
    "register_scorer",
    "scorer",
    "scorer_versions",
    "scorers",
    "search_evaluation_datasets",
    "tag_evaluation_dataset",
    "unlink_evaluation_dataset",
    "untag_evaluation_dataset",
    "verify_evaluation_datasets",
]
