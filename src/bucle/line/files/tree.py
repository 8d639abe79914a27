"""The file tree as it is kept: path -> entry, in blobs of about two thousand paths each.

Where one blob ends and the next begins follows from the paths alone, so a tree that differs in a few paths shares all
blobs but a few, and equal trees have equal digests however they came about. A tree of one blob is that blob; a longer
one is a JSON list of their digests. Older versions wrote one JSON object; it is read as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

import msgspec

from bucle.ground.core import CorruptRecord, Digest, Record, decode, encode
from bucle.ground.project import Project
from bucle.line.files.pack import hexes
from bucle.line.files.path import check_path

__all__ = [
    "FOLDER",
    "LINK",
    "PIN",
    "FileEntry",
    "Part",
    "Tree",
    "begins_part",
    "check_tree",
    "keep_parts",
    "keep_tree",
    "lay_out",
    "load_part",
    "load_tree",
    "parts_of",
    "read_part",
]

PIN = 0o160000
"""The mode of a file whose bytes lie elsewhere: its digest is that of the pin."""

LINK = 0o120000
"""The mode of a symbolic link: its content is the path it points to."""

FOLDER = 0o040000
"""The mode of a folder that is kept although it is empty."""

_MODES = frozenset({0o644, 0o755, PIN, LINK, FOLDER})
_MOST_BYTES = 1 << 63

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
        mode: 0o755 when its owner may run it, else 0o644; `PIN` when its bytes lie elsewhere,
            `LINK` of a symbolic link, `FOLDER` of an empty folder.
    """

    digest: str
    size_bytes: int
    mode: int = 0o644


Tree = dict[str, FileEntry]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Some paths of a tree, by columns.

    Attributes:
        paths: in order.
        digests: of 32 bytes, one after another.
        sizes: of the files.
        modes: of the files.
    """

    paths: list[str]
    digests: bytes
    sizes: list[int]
    modes: list[int]

    def entries(self) -> Tree:
        """Path -> entry."""
        columns = zip(self.paths, hexes(self.digests), self.sizes, self.modes, strict=True)
        return {path: FileEntry(digest=named, size_bytes=size, mode=mode) for path, named, size, mode in columns}


def keep_tree(project: Project, tree: Mapping[str, FileEntry]) -> str:
    """Keep a tree as blobs; '' for an empty one.

    Cost: linear to lay out; only blobs that are not there yet are written.
    """
    return keep_parts(project, lay_out(tree))


def keep_parts(project: Project, parts: Sequence[Digest | bytes]) -> str:
    """The digest of a tree of these blobs in the order of their paths, some of them kept already; '' of none."""
    new = [one for one in parts if isinstance(one, bytes)]
    with ThreadPoolExecutor(_PUTS) as pool:
        put = iter([project.blobs.put(new[0])] if len(new) == 1 else list(pool.map(project.blobs.put, new)))
    digests = [next(put) if isinstance(one, bytes) else one for one in parts]
    if len(digests) <= 1:
        return digests[0] if digests else ""
    return project.blobs.put(encode(digests))


def lay_out(tree: Mapping[str, FileEntry]) -> list[bytes]:
    """The blobs of a tree, or of some of its paths that lie side by side and begin where a blob does."""
    return [_MAGIC + msgspec.msgpack.encode(part) for part in _cut(tree)]


def begins_part(path: str) -> bool:
    """Whether a blob begins with this path in every tree that has it; the very first one may begin with any."""
    return not crc32(path.encode()) & _MASK


def load_tree(project: Project, digest: str) -> Tree:
    """The tree of a commit.

    Raises:
        BlobMissing, BlobCorrupt, CorruptRecord: a blob of it is damaged.
    """
    tree = Tree()
    for part in parts_of(project, digest):
        tree.update(load_part(project, part))
    return tree


def parts_of(project: Project, digest: str) -> list[str]:
    """The blobs a tree consists of, in the order of their paths; errors as for `load_tree`."""
    if not digest:
        return []
    data = project.blobs.get(digest)
    return decode(data, list[str], what="file tree") if data.startswith(b"[") else [digest]


def load_part(project: Project, digest: str) -> Tree:
    """The entries in one blob of a tree; errors as for `load_tree`."""
    return read_part(project, digest).entries()


def read_part(project: Project, digest: str) -> Part:
    """One blob of a tree, by columns: a tenth of the cost of its entries; errors as for `load_tree`."""
    data = project.blobs.get(digest)
    try:
        if not data.startswith(_MAGIC):
            tree = decode(data, Tree, what="file tree")
            return _part(sorted(tree), tree)
        part = msgspec.msgpack.decode(memoryview(data)[len(_MAGIC) :], type=Part)
        if 32 * len(part.paths) == len(part.digests) and len(part.paths) == len(part.sizes) == len(part.modes) > 0:
            return part
        raise msgspec.ValidationError("its columns differ in length")
    except (msgspec.DecodeError, ValueError) as error:  # a digest that is none is a ValueError
        raise CorruptRecord(
            f"A file tree cannot be read: {error}.",
            why="It was written by a newer version.",
            fix="Open the project with the newest version of Bucle.",
        ) from error


def check_tree(tree: Mapping[str, FileEntry]) -> None:
    """Refuse a tree from elsewhere that could not have been made here.

    Raises:
        BadPath: a path cannot stand in a tree.
        CorruptRecord: an entry has a mode or a size that no file has.
    """
    for path, entry in tree.items():
        check_path(path)
        if entry.mode not in _MODES or not 0 <= entry.size_bytes < _MOST_BYTES:
            raise CorruptRecord(
                f"The entry of {path!r} has the mode {entry.mode:o} and {entry.size_bytes} bytes.",
                why="No file is like that; the tree was made by hand.",
                fix="Take the files from somebody you trust.",
                at=path,
            )


def _cut(tree: Mapping[str, FileEntry]) -> Iterator[Part]:
    paths = list[str]()
    for path in sorted(tree):
        if paths and begins_part(path):
            yield _part(paths, tree)
            paths = []
        paths.append(path)
    if paths:
        yield _part(paths, tree)


def _part(paths: list[str], tree: Mapping[str, FileEntry]) -> Part:
    entries: Iterable[FileEntry] = [tree[path] for path in paths]
    return Part(
        paths=paths,
        digests=bytes.fromhex("".join([entry.digest for entry in entries])),
        sizes=[entry.size_bytes for entry in entries],
        modes=[entry.mode for entry in entries],
    )
