"""Contents of files: kept, found by digest, and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bucle.ground.core import short
from bucle.ground.keys import KeysOff
from bucle.ground.project import Project
from bucle.ground.store import BlobCorrupt, BlobMissing, LocalBlobs, atomically
from bucle.line.files.chunks import filling
from bucle.line.files.packs import packs_of
from bucle.line.files.path import check_path
from bucle.line.files.seal import Seals, is_encrypted, unsealed
from bucle.line.files.tree import FileEntry

__all__ = ["content_path", "is_kept", "keep_files", "pieces_of", "unpacked"]

_READ = 1 << 20


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
