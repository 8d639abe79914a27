"""Tree: the one place where a commit's files change, and what may not stand among them."""

from __future__ import annotations

from collections.abc import Mapping

from bucle.ground.project import Project
from bucle.line.data.dataset import FOLDER, dataset_of, described_by
from bucle.line.files import FileEntry, change_kept, load_below, without_clash

__all__ = ["change_tree", "check_records"]


def change_tree(project: Project, tree: str, changes: Mapping[str, FileEntry | None]) -> str:
    """The digest of a tree with files added, replaced and removed (None).

    Raises:
        BadPath: a file would lie below a file.
        BadDataset: a table's record cannot be understood.
    Cost: as `change_kept`, and a look at each path that is put.
    """
    made = without_clash(project, tree, changes) if changes else changes
    _check(project, made)
    return change_kept(project, tree, made)


def check_records(project: Project, before: str, after: str) -> None:
    """Whether tables' records that differ between two trees can be understood. Raises BadDataset."""
    if before == after:
        return
    old = load_below(project, before, FOLDER)
    _check(project, {path: one for path, one in load_below(project, after, FOLDER).items() if old.get(path) != one})


def _check(project: Project, changes: Mapping[str, FileEntry | None]) -> None:
    for path, entry in changes.items():
        table = described_by(path)
        if table is not None and entry is not None:
            dataset_of(project, entry, table)
