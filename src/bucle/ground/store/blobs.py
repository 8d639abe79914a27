"""Content-addressed bytes: written once, whole or not at all, verified on every read."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from bucle.ground.core import Digest, Record, S3Section, digest_of, digest_of_file, short
from bucle.ground.store.errors import BadUpload, BlobCorrupt, BlobMissing, DiskFull

__all__ = [
    "BlobPlace",
    "Blobs",
    "LocalBlobs",
    "Upload",
    "atomically",
    "corrupt",
    "is_digest",
    "missing",
    "no_upload",
    "write_atomically",
]


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk, the user's share of it, or the largest file allowed is used up."""


class BlobPlace(Record, frozen=True):
    """Where blobs lie, as plain values: `open_blobs` opens the same store from it in any process.

    Attributes:
        folder: the blobs themselves, or what is kept here of a bucket.
        url: the bucket, `s3://bucket/prefix`; empty when the folder is all there is.
        s3: how to reach it; names of environment variables, never a secret.
    """

    folder: str
    url: str = ""
    s3: S3Section = S3Section()


class Upload(Record, frozen=True):
    """An upload that a client makes by itself, part by part, past this process.

    Attributes:
        id: what `complete_upload` and `abort_upload` are told.
        urls: one signed address a part; each takes one HTTP PUT and answers with an ETag.
    """

    id: str
    urls: tuple[str, ...]


class Blobs(Protocol):
    """A store of immutable bytes under their own digest.

    Laws every implementation keeps: `get(put(b)) == b`; `put` of known bytes writes nothing; a blob that a reader
    sees is whole; `get` never returns bytes of another digest.
    """

    @property
    def place(self) -> BlobPlace:
        """Where it lies, for another process to open."""
        ...

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

    def check(self, digest: str) -> None:
        """Read what is kept, not a copy of it, and compare. Raises BlobMissing, BlobCorrupt."""
        ...

    def sign(self, digest: str, *, expires: timedelta) -> str | None:
        """An address from which anyone may download the blob for a while; None where the store has no addresses.

        What comes from there is not verified by us.
        """
        ...

    def create_upload(self, parts: int, *, expires: timedelta) -> Upload | None:
        """Addresses for an upload in parts; None where the store has none.

        Args:
            parts: how many, 1 to 10,000.
            expires: how long the addresses hold, at most 7 days.
        Raises:
            BadUpload: too many parts or too long.
        """
        ...

    def complete_upload(self, upload: str, etags: Sequence[str]) -> Digest:
        """Keep the parts, one after another, as one blob. After a failure it may be asked for again.

        Args:
            etags: what the store answered for each part, in order.
        Raises:
            BadUpload: no such upload, a part is missing or not the one that was acknowledged.
        """
        ...

    def abort_upload(self, upload: str) -> None:
        """Forget an upload and its parts; also one that is not there."""
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

    @property
    def place(self) -> BlobPlace:
        """Where it lies."""
        return BlobPlace(folder=str(self._root))

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
            with atomically(target) as out, path.open("rb") as source:
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
            raise missing(digest) from error
        if digest_of(data) != digest:
            raise corrupt(digest, str(self._file(digest)))
        return data

    def path(self, digest: str) -> Path:
        """A local file with the verified bytes; see `Blobs.path`."""
        file = self._file(digest)
        if not file.exists():
            raise missing(digest)
        if digest_of_file(file) != digest:
            raise corrupt(digest, str(file))
        return file

    def has(self, digest: str) -> bool:
        """Whether the digest is here."""
        return is_digest(digest) and self._file(digest).exists()

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

    def check(self, digest: str) -> None:
        """Read and compare; see `Blobs.check`."""
        self.path(digest)

    def sign(self, digest: str, *, expires: timedelta) -> None:
        """None: a folder has no addresses."""

    def create_upload(self, parts: int, *, expires: timedelta) -> None:
        """None: a folder has no addresses."""

    def complete_upload(self, upload: str, etags: Sequence[str]) -> Digest:
        """Raises BadUpload: none was created."""
        raise no_upload(upload)

    def abort_upload(self, upload: str) -> None:
        """Nothing: none was created."""

    def _file(self, digest: str) -> Path:
        if not is_digest(digest):
            raise missing(digest)
        return self._root / digest[:2] / digest[2:]


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file so that every reader sees either the old content or the new, also after a crash.

    Raises:
        DiskFull: there is no room; the old content stands.
    """
    with atomically(target) as out:
        out.write(data)


@contextmanager
def atomically(target: Path) -> Iterator[BinaryIO]:
    """A file to write into that takes its name when the block ends well, and leaves nothing otherwise.

    Raises:
        DiskFull: there is no room; the old content stands.
    """
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
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


def is_digest(text: str) -> bool:
    """Whether a text has the form of a digest."""
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def no_upload(upload: str) -> BadUpload:
    """The error for an upload nobody created."""
    return BadUpload(
        f"There is no upload {upload[:40]!r}.",
        why="It was completed, aborted, or is older than a week.",
        fix="Create a new one and send its parts again.",
    )


def missing(digest: str) -> BlobMissing:
    """The error for a digest that is not kept."""
    return BlobMissing(
        f"No blob {short(digest)} is in the store.",
        why="It was removed by hand, or belongs to another project.",
        fix="Run `bucle audit verify` to see what else is missing.",
    )


def corrupt(digest: str, where: str) -> BlobCorrupt:
    """The error for bytes that are not what their name says."""
    return BlobCorrupt(
        f"Blob {short(digest)} is damaged: {where} has other bytes than its name says.",
        why="A disk fault or an edit by hand; its content cannot be trusted.",
        fix="Restore it from a backup, or remove it and run again what made it.",
        at=where,
    )
