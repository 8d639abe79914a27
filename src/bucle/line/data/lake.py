"""The lake on disk: files written once, durable before anything names them."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bucle.ground.core import Digest, digest_of, digest_of_file
from bucle.ground.project import Project
from bucle.ground.store import DiskFull
from bucle.line.data.manifest import DataFile, Manifest, content_digest, keep_manifest, load_manifest

__all__ = [
    "DataFile",
    "Manifest",
    "Shelf",
    "content_digest",
    "keep_manifest",
    "load_manifest",
    "made_as",
    "new_folder",
    "staging",
]


_AT_ONCE = 64
"""So many files are on their way to the disk at once, so that a journalling file system can take them together."""


class Shelf:
    """Files being written for one commit. They lie under new names, so nobody sees them until a commit names them.

    Args:
        project: whose lake it is.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.state = project.state
        self._written = list[Path]()
        self._unsettled = list[Path]()
        self._folders = set[Path]()

    def put(self, path: str, data: bytes) -> Digest:
        """Write a file."""
        self._place(path).write_bytes(data)
        return digest_of(data)

    def fill(self, path: str, write: Callable[[Path], object]) -> tuple[Digest, int]:
        """Let `write` make a file, and return its digest and size in bytes."""
        target = self._place(path)
        write(target)
        size_bytes = target.stat().st_size
        return digest_of_file(target) if size_bytes else digest_of(b""), size_bytes

    def _place(self, path: str) -> Path:
        target = self.state / path
        self._make(target.parent)
        self._written.append(target)
        self._unsettled.append(target)
        return target

    def adopt(self, path: str) -> tuple[Digest, int]:
        """Take in a file that another engine wrote, and return its digest and size in bytes; it is never discarded."""
        target = self.state / path
        size_bytes = target.stat().st_size
        self._unsettled.append(target)
        self._folders.update(self.state / above for above in PurePosixPath(path).parents)
        return digest_of_file(target) if size_bytes else digest_of(b""), size_bytes

    def settle(self, *others: Shelf) -> None:
        """Force all of it to the disk, side by side: from here on every file survives a power cut.

        Args:
            others: shelves to be settled in the same breath.
        """
        shelves = (self, *others)
        _sync([path for shelf in shelves for path in shelf._unsettled])
        _sync(list({folder for shelf in shelves for folder in shelf._folders}))
        for shelf in shelves:
            shelf._unsettled.clear()
            shelf._folders.clear()

    def _make(self, folder: Path) -> None:
        """Make a folder; the one that holds a new folder is to be synced too."""
        if folder in self._folders:
            return
        self._folders.add(folder)
        if folder.is_dir():
            return
        above = folder
        while not above.exists():
            above = above.parent
            self._folders.add(above)
        folder.mkdir(parents=True, exist_ok=True)

    def discard(self) -> None:
        """Remove what was written; for a commit that never came to be."""
        for path in self._written:
            with contextlib.suppress(OSError):
                path.unlink()


@contextmanager
def staging(project: Project) -> Iterator[Shelf]:
    """A shelf that is cleared when the block fails.

    Raises:
        DiskFull: there is no room; nothing was kept.
    """
    shelf = Shelf(project)
    try:
        yield shelf
    except OSError as error:
        shelf.discard()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "No room left on the disk for a commit.",
                why="Nothing of it is visible; what stood there before still stands.",
                fix="Free some space and repeat the command.",
            ) from error
        raise
    except BaseException:
        shelf.discard()
        raise


def new_folder(table: str) -> str:
    """A folder that no other table has or will have: the same name made on two branches never meets."""
    return f"lake/{table}-{uuid.uuid4().hex}"


def made_as(folder: str) -> str:
    """The name of the table for which `new_folder` made one."""
    return folder.removeprefix("lake/").rpartition("-")[0]


def _sync(paths: Sequence[Path]) -> None:
    """Force files to the disk. All are on their way before any is waited for: one commit of the file system's journal
    takes many, at half the work that threads have with it.
    """
    for at in range(0, len(paths), _AT_ONCE):
        with contextlib.ExitStack() as opened:
            handles = [_opened(path, opened) for path in paths[at : at + _AT_ONCE]]
            for handle in handles:
                _begin(handle)
            for handle in handles:
                os.fsync(handle)


def _opened(path: Path, until: contextlib.ExitStack) -> int:
    handle = os.open(path, os.O_RDONLY)
    until.callback(os.close, handle)
    return handle


def _begin(handle: int) -> None:
    """Let the system start writing a file: a hint that not every one takes. What is dirty stays in memory."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
