"""Annotate: which commit brought this row, this file?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import polars as pl

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.commit import Commit, TableState
from bucle.line.data.manifest import Run, load_head, load_manifest, load_run
from bucle.line.data.purpose import ask
from bucle.line.data.scanned import read_frame
from bucle.line.data.snapshot import state_of
from bucle.line.files import FileEntry, load_below, unshared

__all__ = ["Annotation", "annotate", "annotate_files", "annotate_rows"]

COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "_commit": pl.String,
    "_at": pl.Datetime("us", "UTC"),
    "_author": pl.String,
    "_message": pl.String,
}
"""What `annotate_rows` puts beside a row."""

_PATH = "\0path"


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
    Cost: of each commit that changed the table, the pieces of its list of files that its parent has not.
    """
    head = resolve(project, at)
    manifest = load_manifest(project, state_of(head, table).manifest)

    def brought(commit: Commit, parent: Commit) -> set[str]:
        return _files_brought(project, commit.tables.get(table), parent.tables.get(table))

    origin = _origins(project, head, {file.path for file in manifest.data}, brought)
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
    commit = resolve(project, at)
    manifest = load_manifest(project, state_of(commit, table).manifest)
    ask(project, table, commit.id)
    told = annotate(project, table, at=at)
    origin = pl.LazyFrame(
        [(str(project.state / one.name), one.commit, one.at, one.author, one.message) for one in told],
        schema={_PATH: pl.String, **COLUMNS},
        orient="row",
    )
    if not told:
        empty = read_frame(project, manifest)
        return empty.with_columns(pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items()).collect()
    rows = read_frame(project, manifest, include_file_paths=_PATH)
    rows = rows if where is None else rows.filter(where)
    return rows.join(origin, on=_PATH, how="left", maintain_order="left").drop(_PATH).collect()


def annotate_files(project: Project, folder: str = "", *, at: str = MAIN) -> list[Annotation]:
    """The commit that gave each file of the tree the content it has, by path.

    Args:
        folder: only what lies in it; '' is the whole tree.
    Raises:
        NoSuchCommit: nothing answers to `at`.
    Cost: of each commit that changed a file, the blobs of its tree that its parent has not.
    """
    head = resolve(project, at)
    inside = f"{folder.strip('/')}/" if folder.strip("/") else ""
    wanted = set(load_below(project, head.files, inside))

    def brought(commit: Commit, parent: Commit) -> set[str]:
        return _paths_brought(project, commit.files, parent.files)

    origin = _origins(project, head, set(wanted), brought)
    return [_annotation(path, origin[path], 0) for path in sorted(wanted)]


def _files_brought(project: Project, state: TableState | None, before: TableState | None) -> set[str]:
    """The paths of the data files that a state of a table has and an earlier one has not."""
    if state is None or (before is not None and state.manifest == before.manifest):
        return set()
    mine = load_head(project, state.manifest).data
    theirs = load_head(project, before.manifest).data if before is not None else Run()
    shared = {piece.blob for piece in mine.pieces} & {piece.blob for piece in theirs.pieces}
    paths = [{file.path for file in load_run(project, _without(run, shared))} for run in (mine, theirs)]
    return paths[0] - paths[1]


def _without(run: Run, shared: set[str]) -> Run:
    return Run(tuple(piece for piece in run.pieces if piece.blob not in shared), run.tail)


def _paths_brought(project: Project, tree: str, before: str) -> set[str]:
    """The paths of which a tree has another content than an earlier one."""
    new, old = unshared(project, tree, before)
    return {path for path, entry in new.items() if path not in old or _content(entry) != _content(old[path])}


def _content(entry: FileEntry) -> tuple[str, int]:
    return entry.digest, entry.mode


def _origins(
    project: Project, head: Commit, wanted: set[str], brought: Callable[[Commit, Commit], set[str]]
) -> dict[str, Commit]:
    """Name -> the commit no parent of which holds it with that content, going back from the head.

    Args:
        wanted: the names; the set is used up.
        brought: what a commit holds that one of its parents does not.
    """
    origin, looking = dict[str, Commit](), {head.id: wanted}
    with project.database.reading() as connection:
        for commit_id in reversed(store.graph(connection, head.id)):
            names = looking.pop(commit_id, None)
            if not names:
                continue
            commit = store.commit_of(connection, commit_id)
            assert commit is not None, "a graph names commits that are there"
            for parent_id in commit.parents:
                parent = store.commit_of(connection, parent_id)
                if parent is None:
                    continue
                # The set itself is handed on, without what stays here: a long history does not copy it at each commit.
                stays = names & brought(commit, parent)
                names -= stays
                looking[parent_id] = looking[parent_id] | names if parent_id in looking else names
                names = stays
            origin.update(dict.fromkeys(names, commit))
            if not looking:
                break
    return origin


def _annotation(name: str, commit: Commit, rows: int) -> Annotation:
    return Annotation(
        name=name, commit=commit.id, at=commit.at, author=commit.author, message=commit.message, rows=rows
    )
