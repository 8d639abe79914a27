"""Packs in a folder or a bucket that others share: `packs/DIGEST.pack`, and beside it its list, `packs/DIGEST.list`.

A pack counts as there when its list is: the list is written last. So whoever is killed while sending leaves nothing
that another takes for whole, and whoever sends the same at the same time writes the same.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from threading import Lock

from bucle.ground.core import digest_of, short
from bucle.ground.store import Objects, is_digest, write_atomically
from bucle.line.files.errors import PackDamaged
from bucle.line.files.listed import Listed
from bucle.line.files.pack import ENDING, Listing, check_pack, decode_listing, listing_bytes

__all__ = ["FarPacks"]

_PACKS = "packs/"
_LIST = ".list"


class FarPacks:
    """Packs somewhere else.

    Args:
        objects: where.
        lists: a folder in which their lists are kept; they never change.
    Attributes:
        objects: where.
        listed: what they hold, as of the last `refresh`.
    """

    def __init__(self, objects: Objects, lists: Path) -> None:
        self.objects = objects
        self.listed = Listed()
        self._lists = lists
        self._sizes = dict[str, int]()
        self._lock = Lock()

    def refresh(self) -> None:
        """Learn of packs that came. Cost: a look at the names, and each new list. Raises BucketFailed, PackDamaged."""
        with self._lock:
            self._sizes = self.objects.sizes(_PACKS)
            names = {path.removeprefix(_PACKS).removesuffix(_LIST) for path in self._sizes if path.endswith(_LIST)}
            if self.listed.packs - names:
                self.listed = Listed()
            for name in sorted(filter(is_digest, names - self.listed.packs)):
                self.listed.learn(name, self.listing(name))

    def size(self, name: str) -> int:
        """How long a pack is; 0 when it is not there."""
        return self._sizes.get(f"{_PACKS}{name}{ENDING}", 0)

    def listing(self, name: str) -> Listing:
        """A pack's list, compared with the pack's name.

        Raises:
            PackDamaged: it has other bytes than it had.
        """
        kept = self._lists / f"{name}{_LIST}"
        try:
            return decode_listing(name, kept.read_bytes(), str(kept))
        except (FileNotFoundError, PackDamaged):
            pass
        told = self.objects.get(f"{_PACKS}{name}{_LIST}")
        found = decode_listing(name, told, f"{self.objects.url}/{_PACKS}{name}{_LIST}")
        write_atomically(kept, told)
        return found

    def send(self, path: Path) -> int:
        """Send a pack, unless it is there.

        Returns:
            How many bytes were sent.
        Raises:
            PackDamaged: the pack's list is damaged; nothing was sent.
            BucketFailed, DiskFull: it could not be sent; nobody sees it.
        """
        name, size, sent = path.name.removesuffix(ENDING), path.stat().st_size, 0
        if name in self.listed.packs and self.size(name) == size:
            return 0
        told = listing_bytes(path)
        if self.size(name) != size:
            self.objects.send(f"{_PACKS}{name}{ENDING}", path)
            sent += size
        self.objects.put(f"{_PACKS}{name}{_LIST}", told)
        return sent + len(told)

    def fetch(self, name: str, folder: Path) -> int:
        """Fetch a pack into a folder of packs, every content compared; it is there whole or not at all.

        Returns:
            How many bytes came.
        Raises:
            PackDamaged: what came is not what the name says.
            BucketFailed, OSError: it could not be fetched or kept.
        """
        folder.mkdir(parents=True, exist_ok=True)
        partial, size = folder / f"{uuid.uuid4().hex}.partial", 0
        try:
            with partial.open("xb", buffering=0) as out:
                for data in self.objects.stream(f"{_PACKS}{name}{ENDING}"):
                    size += out.write(data)
                    if size > self.size(name):
                        raise self._damaged(name)
                os.fsync(out.fileno())
            if digest_of(listing_bytes(partial, name)) != name or check_pack(partial, name)[1]:
                raise self._damaged(name)
            partial.replace(folder / f"{name}{ENDING}")
        except FileNotFoundError as error:
            raise self._damaged(name) from error
        finally:
            partial.unlink(missing_ok=True)
        return size

    def read(self, digests: list[str]) -> dict[str, bytes]:
        """Some contents that lie one after another in one pack, in one request, each compared.

        Raises:
            PackDamaged: what came is not what was asked for.
            BucketFailed: it could not be fetched.
        """
        places = [self.listed.places[digest] for digest in digests]
        name, begin, _ = places[0]
        length = places[-1][1] + places[-1][2] - begin
        if begin + length > self.size(name):
            raise self._damaged(name)
        try:
            data = memoryview(self.objects.read(f"{_PACKS}{name}{ENDING}", begin, length)) if length else b""
        except FileNotFoundError as error:
            raise self._damaged(name) from error
        found = {
            digest: bytes(data[at - begin : at - begin + size])
            for digest, (_, at, size) in zip(digests, places, strict=True)
        }
        if any(digest_of(content) != digest for digest, content in found.items()):
            raise self._damaged(name)
        return found

    def _damaged(self, name: str) -> PackDamaged:
        return PackDamaged(
            f"The pack {short(name)} in {self.objects.url} is damaged.",
            why="What came from there is not what its name says, or it is gone; nothing of it was taken.",
            fix="Remove it and its list there, and push again from a project that has the files.",
            at=f"{self.objects.url}/{_PACKS}{name}{ENDING}",
        )
