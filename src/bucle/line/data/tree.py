"""The file tree as it is kept: path -> entry, in blobs of about two thousand paths each.

Where one blob ends and the next begins follows from the paths alone, so a tree that differs in a few paths shares all
blobs but a few, and equal trees have equal digests however they came about. A tree of one blob is that blob; a longer
one is a JSON list of their digests. Older versions wrote one JSON object; it is read as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

import msgspec

from bucle.ground.core import CorruptRecord, Digest, Record, decode, encode
from bucle.ground.project import Project
from bucle.line.data.pack import hexes

__all__ = ["FileEntry", "Tree", "change_tree", "find_entry", "keep_tree", "load_part", "load_tree", "parts_of"]

_MAGIC = b"BUCLETR1"
_MASK = 2047
"""A path whose checksum ends in these bits as zeros begins a new blob."""

_PUTS = 8
"""So many blobs are forced to the disk at once."""


class FileEntry(Record, frozen=True):
    """A file of the tree.

    Attributes:
        digest: of its bytes.
        size_bytes: how long it is.
        mode: 0o755 when its owner may run it, else 0o644.
    """

    digest: str
    size_bytes: int
    mode: int = 0o644


Tree = dict[str, FileEntry]


class _Part(msgspec.Struct, frozen=True, array_like=True):
    """Some paths of a tree, by columns; digests of 32 bytes one after another."""

    paths: list[str]
    digests: bytes
    sizes: list[int]
    modes: list[int]


def change_tree(tree: Mapping[str, FileEntry], changes: Mapping[str, FileEntry | None]) -> Tree:
    """The tree with files added, replaced and removed."""
    merged = {**tree, **changes}
    return {path: entry for path, entry in sorted(merged.items()) if entry is not None}


def keep_tree(project: Project, tree: Mapping[str, FileEntry]) -> str:
    """Keep a tree as blobs; '' for an empty one.

    Cost: linear to lay out; only blobs that are not there yet are written.
    """
    laid = [_MAGIC + msgspec.msgpack.encode(part) for part in _cut(tree)]
    if len(laid) <= 1:
        return project.blobs.put(laid[0]) if laid else ""
    with ThreadPoolExecutor(_PUTS) as pool:
        digests: list[Digest] = list(pool.map(project.blobs.put, laid))
    return project.blobs.put(encode(digests))


def load_tree(project: Project, digest: str) -> Tree:
    """The tree of a commit.

    Raises:
        BlobMissing, BlobCorrupt, CorruptRecord: a blob of it is damaged.
    """
    tree = Tree()
    for part in parts_of(project, digest):
        tree.update(load_part(project, part))
    return tree


def find_entry(project: Project, digest: str, path: str) -> FileEntry | None:
    """The entry of one path in a tree, or None; errors as for `load_tree`.

    Cost: the blobs of the paths before it, so little for one that begins with a dot.
    """
    for part in parts_of(project, digest):
        entries = load_part(project, part)
        if path in entries:
            return entries[path]
        if entries and next(reversed(entries)) > path:
            return None
    return None


def parts_of(project: Project, digest: str) -> list[str]:
    """The blobs a tree consists of, in the order of their paths; errors as for `load_tree`."""
    if not digest:
        return []
    data = project.blobs.get(digest)
    return decode(data, list[str], what="file tree") if data.startswith(b"[") else [digest]


def load_part(project: Project, digest: str) -> Tree:
    """The entries in one blob of a tree; errors as for `load_tree`."""
    data = project.blobs.get(digest)
    if not data.startswith(_MAGIC):
        return decode(data, Tree, what="file tree")
    try:
        part = msgspec.msgpack.decode(memoryview(data)[len(_MAGIC) :], type=_Part)
    except msgspec.DecodeError as error:
        raise CorruptRecord(
            f"A file tree cannot be read: {error}.",
            why="It was written by a newer version.",
            fix="Open the project with the newest version of Bucle.",
        ) from error
    columns = zip(part.paths, hexes(part.digests), part.sizes, part.modes, strict=True)
    return {path: FileEntry(digest=named, size_bytes=size, mode=mode) for path, named, size, mode in columns}


def _cut(tree: Mapping[str, FileEntry]) -> Iterator[_Part]:
    paths = list[str]()
    for path in sorted(tree):
        if paths and not crc32(path.encode()) & _MASK:
            yield _part(paths, tree)
            paths = []
        paths.append(path)
    if paths:
        yield _part(paths, tree)


def _part(paths: list[str], tree: Mapping[str, FileEntry]) -> _Part:
    entries: Iterable[FileEntry] = [tree[path] for path in paths]
    return _Part(
        paths=paths,
        digests=bytes.fromhex("".join([entry.digest for entry in entries])),
        sizes=[entry.size_bytes for entry in entries],
        modes=[entry.mode for entry in entries],
    )
