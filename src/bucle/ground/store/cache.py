"""What is kept of a bucket on the local disk: verified on every use, bounded, and never missed when it is gone."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from blake3 import blake3

from bucle.ground.core import digest_of, digest_of_file
from bucle.ground.store.blobs import atomically, corrupt, is_digest

__all__ = ["BlobCache"]

GRACE_S = 600
"""A file handed out less than this ago stays, whatever the bound says: somebody may be about to open it."""

_LOOK = 16
"""After how small a share of the bound has been written the folder is looked through again."""


class BlobCache:
    """Copies of blobs as files `ab/cdef…`, the longest unused removed first.

    Args:
        folder: the copies; it is made with the first one.
        limit: bytes it may hold, > 0; what is in use counts but is not removed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = Lock()
        self._unseen = limit

    @property
    def folder(self) -> Path:
        """The copies."""
        return self._folder

    def find(self, digest: str) -> Path | None:
        """The copy, read and compared; None when there is none. A damaged one is removed.

        Cost: one read of the file.
        """
        file = self._file(digest)
        try:
            os.utime(file)
            if digest_of_file(file) == digest:
                return file
        except OSError:
            return None
        file.unlink(missing_ok=True)
        return None

    def read(self, digest: str) -> bytes | None:
        """The copy's bytes, compared; None when there is none. A damaged one is removed."""
        if not is_digest(digest):
            return None
        file = self._file(digest)
        try:
            data = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        if digest_of(data) != digest:
            file.unlink(missing_ok=True)
            return None
        return data

    def keep(self, digest: str, chunks: Iterable[bytes | memoryview]) -> Path:
        """Write a copy as it arrives.

        Raises:
            BlobCorrupt: the bytes are not those of the digest; nothing is kept.
            DiskFull: there is no room; nothing is kept.
        """
        file, hashed, size = self._file(digest), blake3(), 0
        with atomically(file) as out:
            for chunk in chunks:
                hashed.update(chunk)
                size += out.write(chunk)
            if hashed.hexdigest() != digest:
                raise corrupt(digest, "what came from the bucket")
        self._written(size)
        return file

    def adopt(self, digest: str, path: Path) -> None:
        """Take a file with the blob's bytes as its copy; `path` is gone then."""
        file, size = self._file(digest), path.stat().st_size
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.replace(file)
        except OSError:  # another file system: a copy would be worth less than the room it takes
            path.unlink()
            return
        self._written(size)

    def drop(self, digest: str) -> None:
        """Remove a copy."""
        self._file(digest).unlink(missing_ok=True)

    def _file(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]

    def _written(self, size: int) -> None:
        with self._lock:
            self._unseen += size
            if self._unseen * _LOOK < self._limit:
                return
            self._unseen = 0
        self._trim()

    def _trim(self) -> None:
        """Remove the longest unused until the rest fits."""
        found = []
        for file in self._folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                state = file.stat()
                found.append((state.st_mtime, state.st_size, file))
        excess = sum(size for _, size, _ in found) - self._limit
        oldest_in_use = time.time() - GRACE_S
        for used, size, file in sorted(found):
            if excess <= 0 or used > oldest_in_use:
                return
            file.unlink(missing_ok=True)
            excess -= size
