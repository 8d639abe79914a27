"""Page: a kept tree looked into and read in the order of its paths, from anywhere on, by who comes again and again.

Blobs of a tree never change, so those looked at last are kept in memory: a path is then found without a disk.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Generic, TypeVar

from bucle.ground.project import Project
from bucle.line.files.parts import Parts
from bucle.line.files.tree import FileEntry, Part, Tree, parts_of, read_part

__all__ = ["blobs_between", "entries_at", "paths_below", "walk"]

_LISTS = 16
"""So many trees' lists of blobs are kept; that of a million paths takes 50 KB."""

_BLOBS = 64
"""So many blobs are kept, of about 400 KB each in memory."""

V = TypeVar("V")


def walk(project: Project, tree: str, start: str = "") -> Iterator[tuple[str, FileEntry]]:
    """The paths of a tree from one on, in order, with their entries; errors as for `load_tree`.

    Cost: a few blobs to find the first, then each blob as it is come to.
    """
    parts = _Recent(project, tree)
    place = parts.place_of(start)
    for number in range(place, len(parts.digests)):
        part = parts.part(number)
        for index in range(bisect_left(part.paths, start) if number == place else 0, len(part.paths)):
            yield part.paths[index], _entry(part, index)


def entries_at(project: Project, tree: str, paths: Iterable[str]) -> Tree:
    """The entries of those of these paths that a tree has; as `find_entries`, but quick when asked again."""
    parts, found = _Recent(project, tree), Tree()
    if not parts.digests:
        return found
    for place, wanted in parts.parted(paths).items():
        part = parts.part(place)
        for path in wanted:
            index = bisect_left(part.paths, path)
            if index < len(part.paths) and part.paths[index] == path:
                found[path] = _entry(part, index)
    return found


def paths_below(project: Project, tree: str, folders: Iterable[str]) -> Iterator[tuple[str, Iterator[str]]]:
    """Each of the names that is, or may be, a folder of a tree, with the paths that lie in it.

    Cost: a few blobs to find each, which are shared; then each path as it is come to.
    """
    parts = _Recent(project, tree)
    if not parts.digests:
        return
    for place, starts in parts.parted([f"{folder}/" for folder in folders]).items():
        paths = parts.part(place).paths
        for start in starts:
            index = bisect_left(paths, start)
            # The first path in a folder may begin the next blob.
            if index == len(paths) or paths[index].startswith(start):
                yield start[:-1], _from(parts, place, start)


def _from(parts: Parts, place: int, start: str) -> Iterator[str]:
    """The paths that begin so, of which the first would lie in the blob of this place."""
    for number in range(place, len(parts.digests)):
        paths = parts.part(number).paths
        for index in range(bisect_left(paths, start) if number == place else 0, len(paths)):
            if not paths[index].startswith(start):
                return
            yield paths[index]


def blobs_between(project: Project, tree: str, first: str, last: str) -> list[str]:
    """The blobs of a tree in which the paths from one to another lie; two trees with the same ones agree on all these.

    Errors as for `load_tree`.
    """
    parts = _Recent(project, tree)
    return parts.digests[parts.place_of(first) : parts.place_of(last) + 1]


def _entry(part: Part, index: int) -> FileEntry:
    digest = part.digests[32 * index : 32 * index + 32].hex()
    return FileEntry(digest=digest, size_bytes=part.sizes[index], mode=part.modes[index])


class _Recent(Parts):
    """The blobs of a tree, out of memory where they were looked at before."""

    def __init__(self, project: Project, tree: str) -> None:
        self._memory = project.keep(_Memory, _Memory)
        self._project = project
        self.digests = self._memory.lists.get(tree, lambda: parts_of(project, tree))

    def part(self, place: int) -> Part:
        digest = self.digests[place]
        return self._memory.blobs.get(digest, lambda: read_part(self._project, digest))


class _Memory:
    """What was looked at last."""

    def __init__(self) -> None:
        self.lists = _Few[list[str]](_LISTS)
        self.blobs = _Few[Part](_BLOBS)

    def close(self) -> None:
        """Forget it."""
        self.lists = _Few[list[str]](_LISTS)
        self.blobs = _Few[Part](_BLOBS)


class _Few(Generic[V]):
    """The values used last, by digest.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known = OrderedDict[str, V]()
        self._lock = Lock()

    def get(self, digest: str, read: Callable[[], V]) -> V:
        """The value of a digest, read when it is not known."""
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
                return self._known[digest]
        value = read()
        with self._lock:
            self._known[digest] = value
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return value
