"""Clash: no tree has a file below a file, since no checkout could write both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bucle.ground.project import Project
from bucle.line.files.errors import BadPath
from bucle.line.files.page import entries_at, paths_below
from bucle.line.files.tree import FOLDER, FileEntry

__all__ = ["below_file", "folders_above", "is_file", "is_folder", "without_clash"]

Changes = Mapping[str, FileEntry | None]


def without_clash(project: Project, tree: str, changes: Changes) -> Changes:
    """The changes that may be made to a tree; an empty folder that a file comes to lie in is not named by itself.

    Args:
        tree: the digest of a kept tree.
        changes: path -> entry; None removes.
    Raises:
        BadPath: a file would lie below a file.
    Cost: a look at each path that is put, and at the folders above.
    """
    put = {path for path, entry in changes.items() if entry is not None}
    inner = {path.rpartition("/")[0] for path in put} - {""}
    folders = inner | {above for folder in inner for above in folders_above(folder)}
    there, made = entries_at(project, tree, folders - changes.keys()), dict(changes)
    for above in sorted(folders):
        stands = changes[above] if above in changes else there.get(above)
        if stands is not None and stands.mode != FOLDER:
            raise below_file(min(path for path in put if path.startswith(f"{above}/")), above)
        if stands is not None:
            made[above] = None
    for path in _held_below(project, tree, put - folders, changes):
        if _mode(changes[path]) != FOLDER:
            raise is_folder(path)
        del made[path]  # it is there as it is
    return made


def folders_above(path: str) -> Iterator[str]:
    """The folders a path lies in."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def below_file(path: str, above: str) -> BadPath:
    """The error for a path below a file."""
    return BadPath(
        f"{path!r} would lie below {above!r}, which is a file.",
        why="No checkout could write both.",
        fix="Choose another path, or remove that file first.",
        at=path,
    )


def is_file(path: str) -> BadPath:
    """The error for a folder that would stand where a file does."""
    return BadPath(
        f"{path!r} is a file.",
        why="A folder and a file cannot have one name.",
        fix="Choose another path, or remove that file first.",
        at=path,
    )


def is_folder(path: str, *, is_empty: bool = False) -> BadPath:
    """The error for a file that would stand where a folder does."""
    return BadPath(
        f"{path!r} is an empty folder." if is_empty else f"{path!r} is a folder: there are files below it.",
        why="A folder and a file cannot have one name." if is_empty else "No checkout could write both.",
        fix=f"Choose another path, or remove {'that folder' if is_empty else 'those files'} first.",
        at=path,
    )


def _held_below(project: Project, tree: str, paths: Iterable[str], changes: Changes) -> Iterator[str]:
    """Those of the paths below which the tree has something that stays."""
    for path, found in paths_below(project, tree, paths):
        if any(one not in changes for one in found):
            yield path


def _mode(entry: FileEntry | None) -> int:
    return entry.mode if entry is not None else 0
