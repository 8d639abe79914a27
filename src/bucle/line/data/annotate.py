"""Annotate: which commit brought this row, this file?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import polars as pl
from msgspec.structs import replace

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit
from bucle.line.data.lake import Manifest, load_manifest
from bucle.line.data.snapshot import frame_of_files, state_of
from bucle.line.files import load_tree

__all__ = ["Annotation", "annotate", "annotate_files", "annotate_rows"]

COLUMNS = ("_commit", "_at", "_author", "_message")
"""What `annotate_rows` puts beside a row."""

Holdings = Mapping[str, str]
"""What a commit holds: name -> content."""


class Annotation(Record, frozen=True):
    """Where a thing came from.

    Attributes:
        name: a data file's path, or a file's in the tree.
        commit: the one that brought it as it is.
        at: when.
        author: who.
        message: why.
        rows: how many rows it has; 0 for a file of the tree.
    """

    name: str
    commit: str
    at: datetime
    author: str
    message: str
    rows: int = 0


def annotate(project: Project, table: str, *, at: str = MAIN) -> list[Annotation]:
    """The commit that brought each data file of a table, in the order of the rows.

    A file that came in on another branch bears the commit made there. A compaction writes rows into new files, and so
    they bear its commit.

    Raises:
        NoSuchTable: the commit does not hold it.
        NoSuchCommit: nothing answers to `at`.
    Cost: one list of files read a commit that changed the table.
    """
    head = resolve(project, at)
    manifest = load_manifest(project, state_of(head, table).manifest)
    kept = dict[str, Holdings]()

    def holdings(commit: Commit) -> Holdings:
        state = commit.tables.get(table)
        if state is None:
            return {}
        if state.manifest not in kept:
            kept[state.manifest] = {file.path: "" for file in load_manifest(project, state.manifest).data}
        return kept[state.manifest]

    origin = _origins(project, head, {file.path: "" for file in manifest.data}, holdings)
    return [_annotation(file.path, origin[file.path], file.rows) for file in manifest.data]


def annotate_rows(project: Project, table: str, *, at: str = MAIN, where: pl.Expr | None = None) -> pl.DataFrame:
    """A table's rows, each with the commit that brought it: `_commit`, `_at`, `_author`, `_message`.

    Args:
        where: only rows for which this holds.
    Raises:
        NoSuchTable: the commit does not hold it.
        NoSuchCommit: nothing answers to `at`.
    Cost: as `annotate`, and one read of the rows.
    """
    manifest = load_manifest(project, state_of(resolve(project, at), table).manifest)
    found = list[pl.LazyFrame]()
    for file, one in zip(manifest.data, annotate(project, table, at=at), strict=True):
        rows = frame_of_files(project, _only(manifest, file.path))
        told = dict(zip(COLUMNS, (one.commit, one.at, one.author, one.message), strict=True))
        rows = rows if where is None else rows.filter(where)
        found.append(rows.with_columns(pl.lit(value).alias(name) for name, value in told.items()))
    if not found:
        empty = frame_of_files(project, manifest).with_columns(pl.lit("").alias(name) for name in COLUMNS)
        return empty.collect()
    return pl.concat(found).collect()


def annotate_files(project: Project, folder: str = "", *, at: str = MAIN) -> list[Annotation]:
    """The commit that gave each file of the tree the content it has, by path.

    Args:
        folder: only what lies in it; '' is the whole tree.
    Raises:
        NoSuchCommit: nothing answers to `at`.
    Cost: one tree read a commit that changed a file.
    """
    head = resolve(project, at)
    kept = dict[str, Holdings]()

    def holdings(commit: Commit) -> Holdings:
        if commit.files not in kept:
            tree = load_tree(project, commit.files)
            kept[commit.files] = {path: f"{entry.digest} {entry.mode:o}" for path, entry in tree.items()}
        return kept[commit.files]

    inside = f"{folder.strip('/')}/" if folder.strip("/") else ""
    wanted = {path: content for path, content in holdings(head).items() if path.startswith(inside)}
    origin = _origins(project, head, wanted, holdings)
    return [_annotation(path, origin[path], 0) for path in sorted(wanted)]


def _origins(
    project: Project, head: Commit, wanted: Holdings, holdings: Callable[[Commit], Holdings]
) -> dict[str, Commit]:
    """Name -> the commit no parent of which holds it with that content, going back from the head."""
    origin, looking = dict[str, Commit](), {head.id: dict(wanted)}
    with project.database.reading() as connection:
        order = reversed(store.graph(connection, head.id))
        for commit_id in order:
            names = looking.pop(commit_id, None)
            if not names:
                continue
            commit = store.commit_of(connection, commit_id)
            assert commit is not None, "a graph names commits that are there"
            for parent_id in commit.parents:
                parent = store.commit_of(connection, parent_id)
                held = holdings(parent) if parent is not None else {}
                handed = {name: content for name, content in names.items() if held.get(name) == content}
                names = {name: content for name, content in names.items() if name not in handed}
                looking.setdefault(parent_id, {}).update(handed)
            origin.update(dict.fromkeys(names, commit))
            if not looking:
                break
    return origin


def _annotation(name: str, commit: Commit, rows: int) -> Annotation:
    return Annotation(
        name=name, commit=commit.id, at=commit.at, author=commit.author, message=commit.message, rows=rows
    )


def _only(manifest: Manifest, path: str) -> Manifest:
    """The manifest of one data file, and of what says which of its rows are gone."""
    data = tuple(file for file in manifest.data if file.path == path)
    return replace(manifest, data=data, gone=None)
