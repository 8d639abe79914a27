"""Content-addressed bytes: written once, whole or not at all, verified on every read."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from bucle.ground.core import Digest, digest_of, digest_of_file, short
from bucle.ground.store.errors import BlobCorrupt, BlobMissing, DiskFull

__all__ = ["Blobs", "LocalBlobs", "write_atomically"]


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk, the user's share of it, or the largest file allowed is used up."""


class Blobs(Protocol):
    """A store of immutable bytes under their own digest.

    Laws every implementation keeps: `get(put(b)) == b`; `put` of known bytes writes nothing; a blob that a reader
    sees is whole; `get` never returns bytes of another digest.
    """

    def put(self, data: bytes) -> Digest:
        """Keep bytes and return their digest. Raises DiskFull; then nothing was kept."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Keep a file's content. The file itself is left alone."""
        ...

    def adopt(self, path: Path) -> Digest:
        """Keep a file's content by taking the file itself, which nobody may write to any more; `path` is gone then."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes of a digest. Raises BlobMissing, BlobCorrupt."""
        ...

    def path(self, digest: str) -> Path:
        """A local file with the verified bytes, to be read and never changed. Raises BlobMissing, BlobCorrupt."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the digest is here, without reading it."""
        ...

    def set_aside(self, digest: str) -> None:
        """Take a damaged blob out of the way, so that its bytes can be put again; it is not destroyed."""
        ...

    def digests(self) -> Iterator[Digest]:
        """Every digest kept, in no order."""
        ...


class LocalBlobs:
    """Blobs as files under a folder, `ab/cdef…`.

    Args:
        root: the folder; it is made when the first blob is put.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def put(self, data: bytes) -> Digest:
        """Keep bytes; see `Blobs.put`."""
        digest = digest_of(data)
        target = self._file(digest)
        if not target.exists():
            write_atomically(target, data)
        return digest

    def put_file(self, path: Path) -> Digest:
        """Keep a file's content; see `Blobs.put_file`."""
        digest = digest_of_file(path)
        target = self._file(digest)
        if not target.exists():
            with _atomic(target) as out, path.open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)
            if digest_of_file(target) != digest:
                target.unlink()
                raise BlobCorrupt(f"{path} changed while it was being kept.", fix="Keep it again when it is quiet.")
        return digest

    def adopt(self, path: Path) -> Digest:
        """Take a file over; see `Blobs.adopt`. Cost: one read; no copy when it lies on the same file system."""
        digest = digest_of_file(path)
        target = self._file(digest)
        if target.exists():
            path.unlink()
            return digest
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.stat().st_dev != target.parent.stat().st_dev:
            self.put_file(path)
            path.unlink()
            return digest
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)
        _sync_folder(target.parent)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of a digest; see `Blobs.get`."""
        try:
            data = self._file(digest).read_bytes()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if digest_of(data) != digest:
            raise _corrupt(digest, self._file(digest))
        return data

    def path(self, digest: str) -> Path:
        """A local file with the verified bytes; see `Blobs.path`."""
        file = self._file(digest)
        if not file.exists():
            raise _missing(digest)
        if digest_of_file(file) != digest:
            raise _corrupt(digest, file)
        return file

    def has(self, digest: str) -> bool:
        """Whether the digest is here."""
        return _is_digest(digest) and self._file(digest).exists()

    def set_aside(self, digest: str) -> None:
        """Take a damaged blob out of the way, to `….damaged` beside it."""
        file = self._file(digest)
        if file.exists():
            file.replace(file.with_name(f"{file.name}.damaged"))

    def digests(self) -> Iterator[Digest]:
        """Every digest kept."""
        for file in self._root.glob("??/*"):
            if "." not in file.name:
                yield Digest(file.parent.name + file.name)

    def _file(self, digest: str) -> Path:
        if not _is_digest(digest):
            raise _missing(digest)
        return self._root / digest[:2] / digest[2:]


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file so that every reader sees either the old content or the new, also after a crash.

    Raises:
        DiskFull: there is no room; the old content stands.
    """
    with _atomic(target) as out:
        out.write(data)


@contextmanager
def _atomic(target: Path) -> Iterator[BinaryIO]:
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in _NO_ROOM:
            raise DiskFull(
                f"No room left on the disk for {target}.",
                why="Nothing was written; what stood there before still stands.",
                fix="Free some space and repeat the command.",
            ) from error
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def _missing(digest: str) -> BlobMissing:
    return BlobMissing(
        f"No blob {short(digest)} is in the store.",
        why="It was removed by hand, or belongs to another project.",
        fix="Run `bucle audit verify` to see what else is missing.",
    )


def _corrupt(digest: str, file: Path) -> BlobCorrupt:
    return BlobCorrupt(
        f"Blob {short(digest)} is damaged: {file} has other bytes than its name says.",
        why="A disk fault or an edit by hand; its content cannot be trusted.",
        fix="Restore that file from a backup, or remove it and run again what made it.",
        at=str(file),
    )
