"""CleaningReport: what cleaning changed and dropped, and why."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from bucle.ground.core import Record

__all__ = ["Cleaned", "CleaningChange", "CleaningReport"]


class CleaningChange(Record, frozen=True):
    """Rows that one step changed or dropped.

    Attributes:
        column: the column; '' for whole rows.
        step: `text`, `unit`, `type`, `outliers`, `impute` or `dedupe`.
        rows: how many rows.
        dropped: whether they are gone, else one value of each changed.
        why: for people.
    """

    column: str
    step: str
    rows: int
    dropped: bool
    why: str


class CleaningReport(Record, frozen=True):
    """What cleaning did to a frame.

    Attributes:
        rows_before: how many rows came.
        rows_after: how many are left.
        changes: what changed, by step; steps that changed nothing are left out.
        cleaning: the digest of the fitted cleaning.
    """

    rows_before: int
    rows_after: int
    changes: tuple[CleaningChange, ...]
    cleaning: str


@dataclass(frozen=True)
class Cleaned:
    """Rows after cleaning.

    Attributes:
        frame: the rows.
        report: what was done to them.
    """

    frame: pl.DataFrame
    report: CleaningReport
