"""Applying a fitted cleaning: the same to a frame and to a single row, in training and when serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from bucle.ground.core import suggest
from bucle.line.cleaning.errors import CannotClean
from bucle.line.cleaning.fitted import FittedCleaning, FittedColumn
from bucle.line.cleaning.policy import ColumnCleaning, Deduplication
from bucle.line.cleaning.report import Cleaned, CleaningChange, CleaningReport
from bucle.line.cleaning.step import TYPES, bounded, filled, is_outlier, texted, typed, united

__all__ = [
    "after_outliers",
    "apply",
    "apply_row",
    "before_outliers",
    "deduplicated",
    "imputed",
    "known_column",
    "prepare",
]

Changes = list[CleaningChange]


def prepare(fitted: FittedCleaning, frame: pl.DataFrame) -> Cleaned:
    """Training rows, cleaned: rows alike become one, then as `apply`."""
    kept = deduplicated(frame, fitted.policy.dedupe)
    made = apply(fitted, kept)
    gone = frame.height - kept.height
    alike = _change("", "dedupe", gone, "rows alike become one", dropped=True)
    return Cleaned(
        frame=made.frame,
        report=CleaningReport(
            rows_before=frame.height,
            rows_after=made.frame.height,
            changes=(*([alike] if gone else []), *made.report.changes),
            cleaning=fitted.digest,
        ),
    )


def apply(fitted: FittedCleaning, frame: pl.DataFrame) -> Cleaned:
    """Rows, cleaned one by one: what becomes of a row depends on no other. Applying it again changes nothing.

    Raises:
        CannotClean: a column is missing.
    Cost: a pass a step over the columns of the policy.
    """
    rows, changes = frame, Changes()
    for column in fitted.columns:
        known_column(rows, column.rule)
        for step in (before_outliers, after_outliers, imputed):
            rows, found = step(rows, column)
            changes += found
    report = CleaningReport(
        rows_before=frame.height, rows_after=rows.height, changes=tuple(changes), cleaning=fitted.digest
    )
    return Cleaned(frame=rows, report=report)


def apply_row(fitted: FittedCleaning, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """One row, cleaned as `apply` cleans it; None when its outlier has it dropped.

    Raises:
        CannotClean: a column is missing.
    """
    frame = pl.DataFrame({name: [value] for name, value in row.items()})
    made = apply(fitted, frame).frame
    return made.row(0, named=True) if made.height else None


def deduplicated(frame: pl.DataFrame, dedupe: Deduplication | None) -> pl.DataFrame:
    """The rows with one of those alike.

    Raises:
        CannotClean: a column is missing.
    """
    if dedupe is None:
        return frame
    for name in dedupe.by:
        _check_there(frame, name)
    return frame.unique(list(dedupe.by) or None, keep=dedupe.keep, maintain_order=True)


def before_outliers(rows: pl.DataFrame, fitted: FittedColumn) -> tuple[pl.DataFrame, Changes]:
    """A column with its text, unit and type mended: what needs no other row."""
    rule, changes = fitted.rule, Changes()
    rows = _plain(rows, rule)
    if rows.schema[rule.name] == pl.String and (rule.strip or rule.case or rule.missing or rule.replace):
        rows = _step(rows, (rule.name, "text"), texted(rule), "white space, case or name mended", changes)
    if rule.units:
        unreadable = "brought to one unit, or of none that is known"
        rows = _step(rows, (rule.name, "unit"), united(rule, rows.schema[rule.name]), unreadable, changes)
        if rule.unit_column:
            base = next(unit for unit, factor in rule.units.items() if factor == 1)
            rows = rows.with_columns(pl.lit(base).alias(rule.unit_column))
    wanted = TYPES[fitted.type]
    mended = rows.with_columns(typed(rule.name, rows.schema[rule.name], wanted).alias(rule.name))
    lost = mended[rule.name].null_count() - rows[rule.name].null_count()
    if lost:
        changes.append(_change(rule.name, "type", lost, f"no {fitted.type}, so missing"))
    return mended, changes


def after_outliers(rows: pl.DataFrame, fitted: FittedColumn) -> tuple[pl.DataFrame, Changes]:
    """A column with its outliers treated."""
    outliers, name, changes = fitted.rule.outliers, fitted.rule.name, Changes()
    if outliers is None:
        return rows, changes
    limits = f"outside {_told(fitted.low)} to {_told(fitted.high)} ({outliers.rule})"
    if outliers.action == "flag":
        return _flagged(rows, f"{name}_is_outlier", is_outlier(fitted)), changes
    if outliers.action == "drop":
        kept = rows.filter(~is_outlier(fitted))
        gone = rows.height - kept.height
        return kept, [_change(name, "outliers", gone, limits, dropped=True)] if gone else changes
    value = bounded(fitted).cast(rows.schema[name])
    return _step(rows, (name, "outliers"), value, f"{limits}: {outliers.action}", changes), changes


def known_column(rows: pl.DataFrame, rule: ColumnCleaning) -> None:
    """Refuse a frame without what a rule needs.

    Raises:
        CannotClean: a column is missing.
    """
    for name in (rule.name, *([rule.unit_column] if rule.unit_column else [])):
        _check_there(rows, name)


def imputed(rows: pl.DataFrame, fitted: FittedColumn) -> tuple[pl.DataFrame, Changes]:
    """A column with its missing values filled."""
    impute, name, changes = fitted.rule.impute, fitted.rule.name, Changes()
    if impute is None:
        return rows, changes
    for column in impute.by:
        _check_there(rows, column)
    if impute.flag:
        rows = _flagged(rows, f"{name}_was_missing", pl.col(name).is_null())
    why = f"missing: {impute.method}" + (f" by {', '.join(impute.by)}" if impute.by else "")
    return _step(rows, (name, "impute"), filled(fitted), why, changes), changes


def _flagged(rows: pl.DataFrame, flag: str, value: pl.Expr) -> pl.DataFrame:
    """What was flagged once stays so, also when the rows are cleaned again."""
    was = pl.col(flag).cast(pl.Boolean).fill_null(False) if flag in rows.columns else pl.lit(False)
    return rows.with_columns((value | was).alias(flag))


def _step(rows: pl.DataFrame, what: tuple[str, str], value: pl.Expr, why: str, changes: Changes) -> pl.DataFrame:
    name, step = what
    made = rows.with_columns(value.alias(name))
    before, after = rows[name], made[name]
    same_kind = before.dtype == after.dtype
    changed = int(before.ne_missing(after).sum()) if same_kind else after.null_count() - before.null_count()
    if not same_kind and step == "unit":
        changed = int(before.cast(pl.Float64, strict=False).ne_missing(after).sum())
    if changed > 0:
        changes.append(_change(name, step, changed, why))
    return made


def _plain(rows: pl.DataFrame, rule: ColumnCleaning) -> pl.DataFrame:
    """Categories as text; not-a-number as missing."""
    dtype = rows.schema[rule.name]
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return rows.with_columns(pl.col(rule.name).cast(pl.String))
    return rows.with_columns(pl.col(rule.name).fill_nan(None)) if dtype.is_float() else rows


def _check_there(rows: pl.DataFrame, name: str) -> None:
    if name not in rows.columns:
        raise CannotClean(
            f"There is no column {name!r} to clean.",
            why="A row that is cleaned otherwise than in training gets another answer than it should.",
            fix=suggest(name, rows.columns) or f"There are: {', '.join(rows.columns[:20])}.",
            at=name,
        )


def _change(column: str, step: str, rows: int, why: str, *, dropped: bool = False) -> CleaningChange:
    return CleaningChange(column=column, step=step, rows=rows, dropped=dropped, why=why)


def _told(limit: float | None) -> str:
    return "any" if limit is None else f"{limit:.6g}"
