"""Parts: a kept tree looked into and changed at some paths, of which only the blobs with these are read and written.

A path that begins a blob does so in every tree, so a change is felt in the blob it falls into and, when that
one's first path goes, in the one before. What comes out is byte for byte what laying out the whole tree anew would
give.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping

from bucle.ground.core import Digest
from bucle.ground.project import Project
from bucle.line.files.tree import (
    FileEntry,
    Part,
    Tree,
    begins_part,
    keep_parts,
    lay_out,
    load_part,
    load_tree,
    parts_of,
    read_part,
)

__all__ = ["Parts", "change_kept", "find_entries", "find_entry", "load_below", "unshared"]


def find_entry(project: Project, tree: str, path: str) -> FileEntry | None:
    """The entry of one path in a tree, or None; errors as for `load_tree`.

    Cost: as many blobs of the tree as halving their number takes.
    """
    return find_entries(project, tree, [path]).get(path)


def find_entries(project: Project, tree: str, paths: Iterable[str]) -> Tree:
    """The entries of those of these paths that a tree has; errors as for `load_tree`.

    Cost: the blobs they lie in, and a few to find each.
    """
    parts, found = Parts(project, tree), Tree()
    for place, wanted in parts.parted(paths).items():
        entries = parts.entries(place)
        found |= {path: entries[path] for path in wanted if path in entries}
    return found


def load_below(project: Project, tree: str, prefix: str) -> Tree:
    """The part of a tree whose paths begin so, with their full paths; errors as for `load_tree`.

    Cost: the blobs they lie in, and a few to find the first.
    """
    if not prefix:
        return load_tree(project, tree)
    parts, found = Parts(project, tree), Tree()
    for place in range(parts.place_of(prefix), len(parts.digests)):
        paths = parts.part(place).paths
        if paths and paths[0] > prefix and not paths[0].startswith(prefix):
            break
        found |= {path: entry for path, entry in parts.entries(place).items() if path.startswith(prefix)}
    return found


def unshared(project: Project, a: str, b: str) -> tuple[Tree, Tree]:
    """What two trees hold in blobs that they do not share; all else is the same in both. Errors as for `load_tree`."""
    ours, theirs = parts_of(project, a), parts_of(project, b)
    shared = set(ours) & set(theirs)
    return _joined(project, ours, shared), _joined(project, theirs, shared)


def change_kept(project: Project, tree: str, changes: Mapping[str, FileEntry | None]) -> str:
    """The digest of a tree with files added, replaced and removed (None); its blobs are kept.

    It is the digest that `keep_tree` gives to the whole of it. Errors as for `load_tree`, and DiskFull.

    Cost: the blobs that change, and a few to find each path.
    """
    if not changes:
        return tree
    parts = Parts(project, tree)
    touched, made = parts.parted(changes), list[Digest | Tree]()
    for place, digest in enumerate(parts.digests or [""]):
        if place not in touched:
            made.append(Digest(digest))
            continue
        before = parts.entries(place)
        entries = {**before, **{path: changes[path] for path in touched[place]}}
        left = {path: entry for path, entry in sorted(entries.items()) if entry is not None}
        if left == before:
            made.append(Digest(digest))
            continue
        if left and made and not begins_part(next(iter(left))):
            last = made.pop()
            left = {**(last if isinstance(last, dict) else load_part(project, last)), **left}
        if left:
            made.append(left)
    laid = [blob for one in made for blob in (lay_out(one) if isinstance(one, dict) else [one])]
    return keep_parts(project, laid)


class Parts:
    """The blobs of a tree, read when they are needed.

    Args:
        project: that keeps it.
        tree: its digest.
    """

    def __init__(self, project: Project, tree: str) -> None:
        self.digests = parts_of(project, tree)
        self._project = project
        self._read = dict[int, Part]()

    def part(self, place: int) -> Part:
        """One blob, by its place."""
        if place not in self._read:
            self._read[place] = read_part(self._project, self.digests[place])
        return self._read[place]

    def entries(self, place: int) -> Tree:
        """What one blob holds."""
        return self.part(place).entries() if self.digests else Tree()

    def place_of(self, path: str) -> int:
        """Which blob has the path, or would."""
        low, high = 0, len(self.digests) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.part(middle).paths[0] <= path:
                low = middle
            else:
                high = middle - 1
        return low

    def parted(self, paths: Iterable[str]) -> dict[int, list[str]]:
        """Place of a blob -> which of the paths it has, or would have."""
        wanted = sorted(paths)
        parted = defaultdict[int, list[str]](list)
        begin, count = 0, len(self.digests)
        while begin < len(wanted):
            place = self.place_of(wanted[begin])
            end = len(wanted) if place + 1 >= count else bisect_left(wanted, self.part(place + 1).paths[0], begin)
            parted[place] += wanted[begin:end]
            begin = end
        return parted


def _joined(project: Project, parts: Iterable[str], shared: set[str]) -> Tree:
    found = Tree()
    for part in parts:
        if part not in shared:
            found |= load_part(project, part)
    return found
