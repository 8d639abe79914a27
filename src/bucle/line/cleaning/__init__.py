"""Mending rows before a model sees them: policies fitted on training rows only, and carried with the model."""

from bucle.line.cleaning.apply import apply, apply_row, prepare
from bucle.line.cleaning.document import dump, load, parse
from bucle.line.cleaning.errors import CannotClean, CleaningInvalid
from bucle.line.cleaning.fit import fit
from bucle.line.cleaning.fitted import FittedCleaning, FittedColumn, GroupFill, read_fitted
from bucle.line.cleaning.policy import Cleaning, ColumnCleaning, Deduplication, Imputation, Outliers
from bucle.line.cleaning.report import Cleaned, CleaningChange, CleaningReport

__all__ = [
    "CannotClean",
    "Cleaned",
    "Cleaning",
    "CleaningChange",
    "CleaningInvalid",
    "CleaningReport",
    "ColumnCleaning",
    "Deduplication",
    "FittedCleaning",
    "FittedColumn",
    "GroupFill",
    "Imputation",
    "Outliers",
    "apply",
    "apply_row",
    "dump",
    "fit",
    "load",
    "parse",
    "prepare",
    "read_fitted",
]
