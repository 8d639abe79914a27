"""Shown: rows and figures of a table as a principal may see them."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
from msgspec.structs import replace

from bucle.ground.project import Project
from bucle.line import data
from bucle.line.data import ColumnChange, ColumnContent, RowDiff

__all__ = ["shown", "shown_columns", "shown_diff"]


def shown(project: Project, table: str, rows: pl.DataFrame, *, at: str, principal: str = "") -> pl.DataFrame:
    """Rows of a table with what is personal masked.

    Args:
        rows: of that table; other columns stay as they are.
        at: the commit they were read at.
        principal: who looks; whoever opened the project unless given.
    Raises:
        Denied: the principal may not read the table.
    """
    return data.mask_frame(project, rows, data.masks_for(project, table, at=at, principal=principal))


def shown_diff(project: Project, found: RowDiff, *, at: str, principal: str = "") -> RowDiff:
    """A comparison of rows with what is personal masked; arguments and errors as for `shown`."""
    tags = data.masks_for(project, found.table, at=at, principal=principal)
    masked = {
        side: data.mask_frame(project, getattr(found, side), tags) for side in ("added", "removed", "before", "after")
    }
    return RowDiff(table=found.table, key=found.key, **masked)


def shown_columns(
    project: Project, table: str, columns: Iterable[ColumnChange], *, at: str, principal: str = ""
) -> list[ColumnChange]:
    """What columns hold, without the least and greatest value of those that are personal; otherwise as `shown`."""
    tags = data.masks_for(project, table, at=at, principal=principal)
    return [_masked(one) if one.column in tags else one for one in columns]


def _masked(one: ColumnChange) -> ColumnChange:
    return replace(one, before=_without_values(one.before), after=_without_values(one.after))


def _without_values(content: ColumnContent | None) -> ColumnContent | None:
    return None if content is None else replace(content, least=None, greatest=None, mean=None)
