"""Preview: some rows of a table, as people look at them."""

from __future__ import annotations

from typing import Any

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import data

__all__ = ["Preview", "preview"]


class Preview(Record, frozen=True):
    """Some rows of a table at a commit.

    Attributes:
        snapshot: the table: how many rows it has, its columns and their types.
        masked: columns whose values are not shown as they are.
        offset: how many rows stand before the first one.
        rows: in the order they were committed.
    """

    snapshot: data.Snapshot
    masked: tuple[str, ...]
    offset: int
    rows: tuple[dict[str, Any], ...]


def preview(
    project: Project, table: str, *, at: str = data.MAIN, limit: int = 20, offset: int = 0, principal: str = ""
) -> Preview:
    """Some rows of a table.

    Args:
        at: a branch, a commit, or a branch at an instant.
        limit: at most so many.
        offset: so many are left out in front; a negative one counts from the end, so that `-20` gives the newest 20.
        principal: who asks, and is shown what it may see; whoever opened the project unless given.
    Raises:
        Denied: the principal may not read the table.
        NoSuchTable, NoSuchCommit: a table or commit is not there.
        LakeDamaged: a data file cannot be read.
    Cost: the row groups that hold these rows, and the footers of the files before them.
    """
    found = data.snapshot(project, table, at=at)
    tags = data.masks_for(project, table, at=found.commit, principal=principal)
    start = max(found.rows + offset, 0) if offset < 0 else offset
    rows = data.lazy(project, table, at=found.commit).slice(start, limit).collect()
    masked = tuple(name for name in rows.columns if name in tags)
    shown = data.mask_frame(project, rows, tags)
    return Preview(snapshot=found, masked=masked, offset=start, rows=tuple(shown.to_dicts()))
