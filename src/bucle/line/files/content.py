"""Contents of files: kept, found by digest, and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bucle.ground.core import short
from bucle.ground.keys import SEAL_BYTES, KeysOff, cipher_again
from bucle.ground.project import Project
from bucle.ground.store import BlobCorrupt, BlobMissing, LocalBlobs, atomically
from bucle.line.files.chunks import filling
from bucle.line.files.packs import packs_of
from bucle.line.files.path import check_path
from bucle.line.files.seal import Seals, is_encrypted, unsealed
from bucle.line.files.tree import FileEntry

__all__ = ["content_path", "is_kept", "keep_files", "pieces_of", "read_range", "unpacked"]

_READ = 1 << 20

_MOST_VERIFIED = 1000
"""So many files are remembered to be what their digest says."""


def pieces_of(project: Project, digest: str) -> Iterator[bytes | memoryview]:
    """A content, piece by piece, each verified; errors as for `read_file`."""
    packs = packs_of(project)
    if packs.find(digest):
        key = packs.key_of(digest)
        yield from unsealed(project, digest, key) if key else packs.read(digest)
    elif unpacked(project).has(digest):
        yield from _bytes_of(unpacked(project).path(digest))
    else:
        yield project.blobs.get(digest)


def read_range(project: Project, entry: FileEntry, begin: int, end: int) -> Iterator[bytes | memoryview]:
    """Some bytes of a file's content, piece by piece; of packs only the pieces concerned are read, each verified.

    Args:
        entry: no pin.
        begin: the first byte.
        end: one behind the last, at most the file's length.
    Raises:
        BlobMissing, BlobCorrupt, PackDamaged, KeyMissing, KeyDestroyed, SealBroken: as for `pieces_of`.
    Cost: a file that is a blob is read whole once; later, as long as it was not touched, only what is asked for.
    """
    packs, digest = packs_of(project), entry.digest
    if not packs.has(digest) and not unpacked(project).has(digest) and not project.blobs.has(digest):
        packs.refresh()
    if packs.has(digest):
        yield from _range_of_pieces(project, digest, begin, end)
    elif entry.size_bytes <= _READ and not unpacked(project).has(digest):
        yield memoryview(project.blobs.get(digest))[begin:end]
    else:
        yield from _range_of_file(project.keep(_Verified, _Verified).path(project, digest), begin, end)


def _range_of_pieces(project: Project, digest: str, begin: int, end: int) -> Iterator[bytes | memoryview]:
    packs = packs_of(project)
    key = packs.key_of(digest)
    at = 0
    for part in packs.parts(digest):
        length = packs.listed.places[part][2] - (SEAL_BYTES if key else 0)
        if at < end and at + length > begin:
            piece = packs.piece(part)
            content = cipher_again(project, key).open_content(piece) if key else piece
            yield memoryview(content)[max(0, begin - at) : end - at]
        at += length


def _range_of_file(path: Path, begin: int, end: int) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        file.seek(begin)
        while begin < end and (data := file.read(min(_READ, end - begin))):
            begin += len(data)
            yield data


class _Verified:
    """Files that were compared with their digest, and have not been touched since."""

    def __init__(self) -> None:
        self._known = dict[str, tuple[Path, tuple[int, int, int]]]()

    def path(self, project: Project, digest: str) -> Path:
        """The file of a content that is no content of a pack. Raises BlobMissing, BlobCorrupt."""
        known = self._known.get(digest)
        if known is not None and _stamp(known[0]) == known[1]:
            return known[0]
        path = unpacked(project).path(digest) if unpacked(project).has(digest) else project.blobs.path(digest)
        if len(self._known) >= _MOST_VERIFIED:
            self._known.clear()
        stamp = _stamp(path)
        if stamp is not None:
            self._known[digest] = (path, stamp)
        return path

    def close(self) -> None:
        """Forget them."""
        self._known.clear()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        got = path.stat()
    except FileNotFoundError:
        return None
    return got.st_ino, got.st_size, got.st_ctime_ns


def _bytes_of(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while data := file.read(_READ):
            yield data


def content_path(project: Project, digest: str) -> Path:
    """A local file with the verified bytes, to be read and never changed; errors as for `pieces_of`.

    Raises:
        KeysOff: it is encrypted, and a file would be a plain copy.
    Cost: of a content in packs the first call writes a copy, which a sweep may remove a day after its last use.
    """
    if is_encrypted(project, digest):
        raise KeysOff(
            f"The content {short(digest)} is encrypted, so there is no file of it to name.",
            why="It would be a plain copy within the project.",
            fix="Read it (read_file), or check it out to a folder of your own.",
            at=digest,
        )
    copies = unpacked(project)
    if not packs_of(project).find(digest) and not copies.has(digest):
        return project.blobs.path(digest)
    try:
        file = copies.path(digest)
    except BlobCorrupt:
        copies.set_aside(digest)  # somebody edited a file that a checkout linked to it
        file = _copy(project, digest)
    except BlobMissing:
        file = _copy(project, digest)
    file.touch()
    return file


def _copy(project: Project, digest: str) -> Path:
    target = unpacked(project).root / digest[:2] / digest[2:]
    with atomically(target) as out:
        for piece in pieces_of(project, digest):
            out.write(piece)
    return target


def is_kept(project: Project, digest: str) -> bool:
    """Whether a content is here, in packs or as a blob."""
    return packs_of(project).find(digest) or project.blobs.has(digest)


def unpacked(project: Project) -> LocalBlobs:
    """Copies of files that lie in packs, for those who want a path."""
    return LocalBlobs(project.state / "files" / "copies")


def keep_files(project: Project, given: Mapping[str, bytes | Path | None]) -> dict[str, FileEntry | None]:
    """Keep the bytes of files as blobs, or encrypted in packs; None marks a file to be removed.

    Raises:
        BadPath: a path cannot stand in a tree.
        KeyMissing, BadKeyring: one is to be encrypted, and there is no key to wrap its key by.
    """
    for path in given:
        check_path(path)
    seals = Seals(project)
    sealed = {path: content for path, content in given.items() if content is not None and seals.of(path) is not None}
    kept = dict[str, FileEntry | None](_keep_sealed(project, sealed, seals)) if sealed else {}
    for path, content in given.items():
        if path in sealed:
            continue
        if content is None:
            kept[path] = None
        elif isinstance(content, Path):
            size_bytes = content.stat().st_size
            digest = project.blobs.put_file(content) if size_bytes else project.blobs.put(b"")
            kept[path] = FileEntry(digest=digest, size_bytes=size_bytes)
        else:
            kept[path] = FileEntry(digest=project.blobs.put(content), size_bytes=len(content))
    return kept


def _keep_sealed(project: Project, given: Mapping[str, bytes | Path], seals: Seals) -> Iterator[tuple[str, FileEntry]]:
    with filling(packs_of(project)) as filler:
        for path, content in given.items():
            cipher = seals.of(path)
            if isinstance(content, Path):
                digest, size = filler.put_path(str(content), content.stat().st_size, cipher)
            else:
                digest, size = filler.put_bytes(content, cipher), len(content)
            yield path, FileEntry(digest=digest, size_bytes=size)
        filler.settle()
