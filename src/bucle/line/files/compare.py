"""How two trees differ, file by file; and a tree with such a difference carried out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

from bucle.ground.core import Record
from bucle.line.files.tree import FileEntry, Tree

__all__ = ["FileDiff", "diff", "patch"]


class FileDiff(Record, frozen=True):
    """How a file differs between two trees.

    Attributes:
        path: its path, in the second tree unless it is gone.
        change: what happened; a file of other content or mode is changed, one of the same under another path renamed.
        size_before: 0 when it was not there.
        size_after: 0 when it is gone.
        before: the entry it had, None when it was not there.
        after: the entry it has, None when it is gone.
        path_before: where it was, when it was renamed.
    """

    path: str
    change: Literal["added", "removed", "changed", "renamed"]
    size_before: int
    size_after: int
    before: FileEntry | None
    after: FileEntry | None
    path_before: str = ""


def diff(a: Mapping[str, FileEntry], b: Mapping[str, FileEntry]) -> list[FileDiff]:
    """What changed from one tree to another, by path.

    A file that is gone and one that came with the same content and mode are one that was renamed; of several such, in
    the order of their paths. Empty files are not paired: they say nothing.

    Cost: linear in both trees.
    """
    gone = defaultdict[FileEntry, list[str]](list)
    for path in sorted(a.keys() - b.keys(), reverse=True):
        gone[a[path]].append(path)
    found = list[FileDiff]()
    for path in sorted(b.keys() - a.keys()):
        entry = b[path]
        if entry.size_bytes and gone.get(entry):
            found.append(_diff("renamed", path, entry, entry, gone[entry].pop()))
        else:
            found.append(_diff("added", path, None, entry))
    found += [_diff("removed", path, a[path], None) for paths in gone.values() for path in paths]
    found += [_diff("changed", path, a[path], b[path]) for path in a.keys() & b.keys() if a[path] != b[path]]
    return sorted(found, key=lambda one: one.path)


def patch(tree: Mapping[str, FileEntry], changes: Iterable[FileDiff]) -> Tree:
    """The tree with differences carried out: `patch(a, diff(a, b)) == b`."""
    left, put = dict(tree), Tree()
    for one in changes:
        if one.change in ("removed", "renamed"):
            left.pop(one.path_before or one.path, None)
        if one.after is not None:
            put[one.path] = one.after
    return dict(sorted({**left, **put}.items()))


def _diff(
    change: Literal["added", "removed", "changed", "renamed"],
    path: str,
    before: FileEntry | None,
    after: FileEntry | None,
    path_before: str = "",
) -> FileDiff:
    sizes = (before.size_bytes if before else 0, after.size_bytes if after else 0)
    return FileDiff(path, change, *sizes, before, after, path_before)
