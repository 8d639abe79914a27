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
from bucle.ground.store import DiskFull, open_objects
from bucle.line.files.errors import PackDamaged
from bucle.line.files.far import FarPacks
from bucle.line.files.listed import Listed
from bucle.line.files.pack import ENDING, read_listing

__all__ = ["Packs", "packs_of", "room_for"]

_OPEN = 512
"""So many packs are mapped at once at most."""


class Packs:
    """All packs of a project. Packs lie under `.bucle/files/packs`; a pack is never changed.

    What a pack holds is read from its end when the pack is first seen, so nothing is kept that could be out of date.

    Args:
        folder: of the packs.
        far: the bucket in which all of them lie as well, if there is one.
    Attributes:
        folder: of the packs.
        far: the bucket behind, or None.
        listed: what they hold.
        damaged: packs whose list cannot be read, and why.
    """

    def __init__(self, folder: Path, far: FarPacks | None = None) -> None:
        self.folder = folder
        self.far = far
        self.damaged = dict[str, PackDamaged]()
        self.listed = Listed()
        self._lock = Lock()
        self._mapping = Lock()
        self._maps = dict[str, mmap.mmap]()

    def has(self, digest: str) -> bool:
        """Whether the content is here, whole or all its chunks. Only what the last `refresh` saw is known."""
        return self.listed.has(digest)

    def parts(self, digest: str) -> list[str]:
        """See `Listed.parts`."""
        return self.listed.parts(digest)

    def key_of(self, digest: str) -> str:
        """See `Listed.key_of`."""
        return self.listed.key_of(digest)

    def needed_for(self, digest: str) -> set[str]:
        """See `Listed.needed_for`."""
        return self.listed.needed_for(digest)

    def find(self, digest: str) -> bool:
        """Whether the content is here, also in a pack that another process has just written."""
        if not self.has(digest):
            self.refresh()
        return self.has(digest)

    def read(self, digest: str) -> Iterator[bytes | memoryview]:
        """The bytes of a content that is here, piece by piece, each verified; of an encrypted one as they lie here.

        Raises:
            PackDamaged: a piece is missing or has other bytes than it had.
        """
        for part in self.parts(digest):
            yield self.piece(part)

    def refresh(self) -> None:
        """Learn of packs that came and forget those that went. One whose list is damaged counts as empty.

        Cost: a look at the folder, and the end of each new pack; with a bucket behind it, a look there too.
        """
        with self._lock:
            if self.far is not None:
                self.far.refresh()
            there = set(self.names())
            if self.listed.packs - there:
                self.listed, self._maps, self.damaged = Listed(), {}, {}
            for name in sorted(there - self.listed.packs):
                try:
                    self._learn(name)
                except FileNotFoundError:
                    continue
                except PackDamaged as error:
                    self.damaged[name] = error
                    self.listed.packs.add(name)

    def renew(self, names: Iterable[str]) -> None:
        """Learn of packs just written, also in the place of damaged ones of the same name; see `refresh`."""
        with self._lock:
            for name in names:
                self.listed.packs.discard(name)
                self._maps.pop(name, None)
                self.damaged.pop(name, None)
        self.refresh()

    def names(self) -> Iterator[str]:
        """The packs there are, here or in the bucket behind; of that, what the last `refresh` saw. In no order."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(ENDING):
                    yield entry.name.removesuffix(ENDING)
        if self.far is not None:
            yield from (name for name in self.far.listed.packs if not self.path(name).exists())

    def path(self, name: str) -> Path:
        """Where a pack lies, if it is here."""
        return self.folder / f"{name}{ENDING}"

    def fetch(self, name: str) -> Path:
        """Where a pack lies; one that is only in the bucket behind is fetched first.

        Raises:
            PackDamaged: what came is not what the name says.
            BucketFailed, DiskFull: it could not be fetched.
        """
        path = self.path(name)
        if self.far is not None and not path.exists():
            self.far.fetch(name, self.folder)
        return path

    def keep_far(self, name: str) -> None:
        """Send a pack that was just written to the bucket behind, if there is one. Raises BucketFailed."""
        if self.far is not None:
            self.far.send(self.path(name))

    def freshen(self, names: set[str]) -> None:
        """Note that packs are about to be named, so that a sweep takes them for young."""
        now = time.time()
        for name in names:
            try:
                os.utime(self.path(name), (now, now))
            except FileNotFoundError:
                if self.far is None:
                    raise

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
        if self.far is not None and name in self.far.listed.packs:
            self.listed.learn(name, self.far.listing(name))
        else:
            self.listed.learn(name, read_listing(self.path(name)))

    def piece(self, digest: str) -> bytes | memoryview:
        """A content that is here whole, or a chunk, verified. Raises PackDamaged."""
        found = self.listed.places.get(digest)
        if found is None:
            raise _lost(digest, f"No pack in {self.folder} holds it.")
        name, begin, length = found
        data = memoryview(self._map(name))[begin : begin + length] if length else b""
        if len(data) != length:
            raise _lost(digest, f"{self.path(name)} is cut short.")
        if digest_of(data) != digest:
            raise _lost(digest, f"{self.path(name)} has other bytes than were written.")
        return data

    def _map(self, name: str) -> mmap.mmap:
        mapped = self._maps.get(name)
        if mapped is None:
            try:
                with self.fetch(name).open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise _lost(name, f"{self.path(name)} cannot be read: {error}.") from error
            with self._mapping:
                while len(self._maps) >= _OPEN:
                    self._maps.pop(next(iter(self._maps)))
                self._maps[name] = mapped
        return mapped


def packs_of(project: Project) -> Packs:
    """The project's packs."""
    return project.keep(Packs, lambda: Packs(project.state / "files" / "packs", _far_of(project)))


def _far_of(project: Project) -> FarPacks | None:
    """A project whose blobs lie in a bucket has its packs there too."""
    place = project.blobs.place
    if not place.url:
        return None
    return FarPacks(open_objects(place.url, place.s3), project.state / "files" / "lists")


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
