"""The store of packed contents: found by digest, verified on every read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from bucle.ground.core import Digest, digest_of, short
from bucle.ground.project import Project
from bucle.ground.store import DiskFull
from bucle.line.files.errors import PackDamaged
from bucle.line.files.pack import ENDING, hexes, read_listing

__all__ = ["Packs", "packs_of", "room_for"]

_OPEN = 512
"""So many packs are mapped at once at most."""


class Packs:
    """All packs of a project. Packs lie under `.bucle/files/packs`; a pack is never changed.

    What a pack holds is read from its end when the pack is first seen, so nothing is kept that could be out of date.

    Args:
        folder: of the packs.
    Attributes:
        folder: of the packs.
        damaged: packs whose list cannot be read, and why.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged = dict[str, PackDamaged]()
        self._lock = Lock()
        self._listed = set[str]()
        self._places = dict[str, tuple[str, int, int]]()
        self._files = dict[str, tuple[str, bytes]]()
        self._maps = dict[str, mmap.mmap]()

    def has(self, digest: str) -> bool:
        """Whether the content is here, whole or all its chunks. Only what the last `refresh` saw is known."""
        return all(part in self._places for part in self.parts(digest))

    def parts(self, digest: str) -> list[str]:
        """The digests of the contents a file consists of: its chunks, or itself."""
        return hexes(self._files[digest][1]) if digest in self._files else [digest]

    def needed_for(self, digest: str) -> set[str]:
        """The names of the packs without which a content that is here could not be read."""
        told = {self._files[digest][0]} if digest in self._files else set[str]()
        return told | {self._places[part][0] for part in self.parts(digest) if part in self._places}

    def find(self, digest: str) -> bool:
        """Whether the content is here, also in a pack that another process has just written."""
        if not self.has(digest):
            self.refresh()
        return self.has(digest)

    def read(self, digest: str) -> Iterator[bytes]:
        """The bytes of a content that is here, piece by piece, each verified.

        Raises:
            PackDamaged: a piece is missing or has other bytes than it had.
        """
        for part in self.parts(digest):
            yield self._piece(part)

    def refresh(self) -> None:
        """Learn of packs that came and forget those that went. One whose list is damaged counts as empty.

        Cost: a look at the folder, and the end of each new pack.
        """
        with self._lock:
            there = set(self.names())
            if self._listed - there:
                self._listed, self._places, self._files, self._maps, self.damaged = set(), {}, {}, {}, {}
            for name in sorted(there - self._listed):
                try:
                    self._learn(name)
                except FileNotFoundError:
                    continue
                except PackDamaged as error:
                    self.damaged[name] = error
                self._listed.add(name)

    def renew(self, names: Iterable[str]) -> None:
        """Learn of packs just written, also in the place of damaged ones of the same name; see `refresh`."""
        with self._lock:
            for name in names:
                self._listed.discard(name)
                self._maps.pop(name, None)
                self.damaged.pop(name, None)
        self.refresh()

    def names(self) -> Iterator[str]:
        """The packs there are, in no order."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(ENDING):
                    yield entry.name.removesuffix(ENDING)

    def path(self, name: str) -> Path:
        """Where a pack lies."""
        return self.folder / f"{name}{ENDING}"

    def freshen(self, names: set[str]) -> None:
        """Note that packs are about to be named, so that a sweep takes them for young."""
        now = time.time()
        for name in names:
            os.utime(self.path(name), (now, now))

    @contextmanager
    def held(self, *, alone: bool = False) -> Iterator[None]:
        """Keep sweeps off while contents are added and named; `alone`: keep those off who add."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    def close(self) -> None:
        """Forget the packs."""
        self._maps.clear()

    def _learn(self, name: str) -> None:
        listing = read_listing(self.path(name))
        found = listing.places().items()
        self._places.update({digest: (name, begin, length) for digest, (begin, length) in found})
        self._files.update({digest.hex(): (name, chunks) for digest, chunks in listing.files})

    def _piece(self, digest: str) -> bytes:
        found = self._places.get(digest)
        if found is None:
            raise _lost(digest, f"No pack in {self.folder} holds it.")
        name, begin, length = found
        data = self._map(name)[begin : begin + length] if length else b""
        if digest_of(data) != digest:
            raise _lost(digest, f"{self.path(name)} has other bytes than were written.")
        return data

    def _map(self, name: str) -> mmap.mmap:
        mapped = self._maps.get(name)
        if mapped is None:
            try:
                with self.path(name).open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise _lost(name, f"{self.path(name)} cannot be read: {error}.") from error
            while len(self._maps) >= _OPEN:
                self._maps.pop(next(iter(self._maps)))
            self._maps[name] = mapped
        return mapped


def packs_of(project: Project) -> Packs:
    """The project's packs."""
    return project.keep(Packs, lambda: Packs(project.state / "files" / "packs"))


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Say in our words that a disk is full.

    Raises:
        DiskFull: there is no room; what was being written was removed.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise DiskFull(
            f"No room left on the disk for {what}.",
            why="No half of a file is visible; what stood there before still stands.",
            fix="Free some space (bucle data sweep) and repeat the command.",
        ) from error


def _lost(digest: str | Digest, why: str) -> PackDamaged:
    return PackDamaged(
        f"The content {short(digest)} of a file is lost.",
        why=why,
        fix="Restore the pack from a backup, or remove it and add the files again; `bucle data verify` names them.",
        at=digest,
    )
