"""Commit: one state of every table and file, named by its content."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from bucle.ground.core import Record, digest_of_value

__all__ = ["Commit", "Mode", "TableState", "make_commit"]

Mode = Literal["append", "overwrite"]
"""Whether a batch is added to a table's rows or takes their place."""


class TableState(Record, frozen=True):
    """Where a table stands in a commit.

    Attributes:
        name: the table.
        metadata_location: its Iceberg metadata file, relative to the project's state folder, with `/`.
        digest: of its content: columns, and the digests of its data files in order.
        manifest: the blob that lists every file this state needs, with digests.
        rows: how many rows it has.
        files: how many data files it has.
    """

    name: str
    metadata_location: str
    digest: str
    manifest: str
    rows: int
    files: int


class Commit(Record, frozen=True):
    """A state of every table and of the file tree.

    Attributes:
        id: the digest of all that follows but the places of files: equal history and content, equal id.
        parents: the commit it came from; two for a merge; none for the first.
        at: when it was made.
        author: who made it.
        message: why.
        tables: name -> where it stands.
        files: the digest of the file tree's blob; '' when there are no files.
    """

    id: str
    parents: tuple[str, ...]
    at: datetime
    author: str
    message: str
    tables: dict[str, TableState]
    files: str


def make_commit(
    parents: tuple[str, ...], tables: dict[str, TableState], files: str, *, at: datetime, author: str, message: str
) -> Commit:
    """A commit with the id its content gives it."""
    content = {
        "parents": parents,
        "at": at,
        "author": author,
        "message": message,
        "tables": {name: state.digest for name, state in tables.items()},
        "files": files,
    }
    return Commit(
        id=digest_of_value(content),
        parents=parents,
        at=at,
        author=author,
        message=message,
        tables=dict(sorted(tables.items())),
        files=files,
    )
