"""Objects by name, in a folder or a bucket: what several projects share. Each is seen whole or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bucle.ground.core import Digest, S3Section, UserError, digest_of, digest_of_file
from bucle.ground.store.blobs import BlobPlace, atomically, write_atomically

__all__ = ["FolderObjects", "Objects", "open_objects"]

_READ = 1 << 20


class Objects(Protocol):
    """A store of bytes under names with `/`, which its callers make of digests and checked names only."""

    @property
    def url(self) -> str:
        """Where it is, for people."""
        ...

    def sizes(self, prefix: str) -> dict[str, int]:
        """Name -> bytes of every object below a prefix that ends with `/`."""
        ...

    def get(self, name: str) -> bytes:
        """An object's bytes. Raises FileNotFoundError."""
        ...

    def read(self, name: str, begin: int, length: int) -> bytes:
        """Some of an object's bytes. Raises FileNotFoundError."""
        ...

    def stat(self, name: str) -> tuple[int, str]:
        """How long an object is, and its version. Raises FileNotFoundError."""
        ...

    def stream(self, name: str, version: str = "") -> Iterator[bytes | memoryview]:
        """An object's bytes as they come. Raises FileNotFoundError; FileExistsError when it has another version."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a short object."""
        ...

    def send(self, name: str, path: Path) -> None:
        """Write an object from a file; it is never whole in memory."""
        ...

    def look(self, name: str) -> tuple[bytes, str]:
        """An object's bytes and its version; (b'', '') when it is not there."""
        ...

    def swap(self, name: str, data: bytes, version: str) -> bool:
        """Write an object if it still has a version, '' if it is still not there; False when it has not."""
        ...


class FolderObjects:
    """Objects as files of a folder.

    Args:
        root: the folder; it is made with the first object.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self) -> str:
        """The folder."""
        return str(self._root)

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `Objects.sizes`."""
        found = dict[str, int]()
        for folder, _, names in os.walk(self._root / prefix):
            for name in names:
                path = Path(folder, name)
                if not name.endswith((".partial", ".lock")):
                    found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found

    def get(self, name: str) -> bytes:
        """See `Objects.get`."""
        return (self._root / name).read_bytes()

    def read(self, name: str, begin: int, length: int) -> bytes:
        """See `Objects.read`."""
        with (self._root / name).open("rb") as file:
            file.seek(begin)
            return file.read(length)

    def stat(self, name: str) -> tuple[int, str]:
        """See `Objects.stat`. Cost: one read of the file."""
        path = self._root / name
        return path.stat().st_size, digest_of_file(path)

    def stream(self, name: str, version: str = "") -> Iterator[bytes | memoryview]:
        """See `Objects.stream`."""
        if version and self.stat(name)[1] != version:
            raise FileExistsError(name)
        with (self._root / name).open("rb", buffering=0) as file:
            while data := file.read(_READ):
                yield data

    def put(self, name: str, data: bytes) -> None:
        """See `Objects.put`. Raises DiskFull."""
        write_atomically(self._root / name, data)

    def send(self, name: str, path: Path) -> None:
        """See `Objects.send`. Raises DiskFull."""
        with atomically(self._root / name) as out, path.open("rb", buffering=0) as source:
            left = os.fstat(source.fileno()).st_size
            while left:
                sent = os.sendfile(out.fileno(), source.fileno(), None, left)
                if not sent:
                    raise OSError(f"{path} became shorter while it was sent")
                left -= sent

    def look(self, name: str) -> tuple[bytes, str]:
        """See `Objects.look`."""
        try:
            data = self.get(name)
        except FileNotFoundError:
            return b"", ""
        return data, digest_of(data)

    def swap(self, name: str, data: bytes, version: str) -> bool:
        """See `Objects.swap`."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f"{target.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self.look(name)[1]
            if found != Digest(version):
                return False
            write_atomically(target, data)
            return True


def open_objects(url: str, s3: S3Section) -> Objects:
    """The store at a place; nothing is asked or made yet.

    Args:
        url: `s3://bucket/prefix`, or a folder's path.
        s3: how to reach buckets.
    Raises:
        UserError: it is a bucket and the extra `s3` is not installed, or neither bucket nor path.
    """
    if not url.startswith("s3://"):
        if "://" in url:
            raise UserError(
                f"{url.partition('://')[0]!r} is no kind of place that is known.",
                why="Objects lie in a folder or in a bucket that speaks S3.",
                fix="Write s3://bucket/prefix, or a folder's path.",
                at=url,
            )
        return FolderObjects(Path(url).expanduser())
    try:
        from bucle.ground.store.objects_s3 import S3Objects  # noqa: PLC0415  an extra
    except ImportError as error:
        raise UserError(
            f"{url} needs the package obstore, which is not installed.",
            why="It speaks S3.",
            fix="pip install 'bucle[s3]'",
        ) from error
    return S3Objects(BlobPlace(folder="", url=url.rstrip("/"), s3=s3))
