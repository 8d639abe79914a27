"""Packs: many contents in one file that is written once, with its own list of what it holds.

    contents, one after another │ list (MessagePack) │ length of the list, 8 bytes │ BUCLEPK1

A pack's name is the digest of its list, and the list names every content by digest: the name vouches for all of it.
A large file is kept as chunks; the list then also says of which chunks the file consists.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import msgspec
from blake3 import blake3

from bucle.ground.core import Digest, digest_of
from bucle.line.files.direct import DirectFile
from bucle.line.files.errors import PackDamaged

__all__ = [
    "ENDING",
    "Listing",
    "PackWriter",
    "check_pack",
    "decode_listing",
    "hexes",
    "listing_bytes",
    "read_listing",
]

ENDING = ".pack"
_MAGIC = b"BUCLEPK1"
_TAIL = 8 + len(_MAGIC)
_DIGEST = 32
_GUESS = 64 << 10
"""So much of a pack's end is read at first: the lists of most packs fit."""


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """What a pack holds.

    Attributes:
        digests: of the contents in the order they lie there, 32 bytes each.
        lengths: of the contents in bytes.
        files: of files kept as chunks: the file's digest, and those of its chunks one after another.
        sealed: of encrypted files: the name that the key gives to the content, the digests of its sealed pieces one
            after another, and the name of the key. A list without any is written without this column.
    """

    digests: bytes
    lengths: list[int]
    files: list[tuple[bytes, bytes]]
    sealed: list[tuple[bytes, bytes, bytes]] = []

    def places(self) -> dict[str, tuple[int, int]]:
        """Digest -> where the content begins and how long it is."""
        begins = accumulate(self.lengths, initial=0)
        return dict(zip(hexes(self.digests), zip(begins, self.lengths, strict=False), strict=False))

    def is_whole(self) -> bool:
        """Whether its own pack has all the chunks of the files it tells of; of encrypted ones nothing is said."""
        held = set(hexes(self.digests))
        return all(held.issuperset(hexes(chunks)) for _, chunks in self.files)

    def pieces(self) -> dict[str, bytes]:
        """File -> the digests of its chunks or sealed pieces, one after another."""
        return {file.hex(): held for file, held in (*self.files, *((one[0], one[1]) for one in self.sealed))}

    def encode(self) -> bytes:
        """As it stands in a pack."""
        columns = [self.digests, self.lengths, self.files, self.sealed]
        return msgspec.msgpack.encode(columns if self.sealed else columns[:3])


class PackWriter:
    """A pack being written, under a name that nobody reads.

    Args:
        folder: of the packs.
    Raises:
        OSError: there is no room, or the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = folder / f"{uuid.uuid4().hex}.partial"
        self._file = DirectFile(self._path)
        self._digests = list[str]()
        self._lengths = list[int]()
        self._files = list[tuple[bytes, bytes]]()
        self._sealed = list[tuple[bytes, bytes, bytes]]()
        self.size_bytes = 0

    def put(self, digest: str, content: bytes | memoryview) -> None:
        """Add a content."""
        self._file.write(content)
        self._digests.append(digest)
        self._lengths.append(len(content))
        self.size_bytes += len(content)

    def put_file(self, digest: str, chunks: list[str], key: str = "") -> None:
        """Note of which chunks a file consists; `key`: which opens them."""
        held = bytes.fromhex("".join(chunks))
        if key:
            self._sealed.append((bytes.fromhex(digest), held, bytes.fromhex(key)))
        else:
            self._files.append((bytes.fromhex(digest), held))

    def finish(self) -> Digest:
        """Force it to the disk and give it its name: from here on it is there, also after a power cut.

        Raises:
            OSError: there is no room; what was written is removed.
        """
        try:
            return self._finish()
        except BaseException:
            with contextlib.suppress(OSError):
                self.discard()
            raise

    def discard(self) -> None:
        """Remove what was written."""
        try:
            self._file.close()
        finally:
            self._path.unlink(missing_ok=True)

    def _finish(self) -> Digest:
        told = Listing(bytes.fromhex("".join(self._digests)), self._lengths, self._files, self._sealed).encode()
        self._file.write(told + len(told).to_bytes(8, "big") + _MAGIC)
        self._file.finish()
        name = digest_of(told)
        self._path.replace(self._folder / f"{name}{ENDING}")
        return name


def read_listing(path: Path) -> Listing:
    """What a pack holds, compared with the pack's name.

    Raises:
        PackDamaged: the list was changed or is cut short.
        FileNotFoundError: there is no such pack.
    Cost: one read of the pack's end.
    """
    return decode_listing(path.name.removesuffix(ENDING), listing_bytes(path), str(path))


def listing_bytes(path: Path, name: str = "") -> bytes:
    """A pack's list as it stands there; errors and cost as for `read_listing`, but nothing is compared."""
    told = _end_of(path)
    if told is None:
        raise _damaged(name or path.name, str(path))
    return told


def decode_listing(name: str, told: bytes, where: str) -> Listing:
    """A pack's list, compared with the pack's name; errors as for `read_listing`."""
    try:
        if blake3(told).hexdigest() == name and _is_sound(made := msgspec.msgpack.decode(told, type=Listing)):
            return made
    except msgspec.DecodeError:
        pass
    raise _damaged(name, where)


def _is_sound(listing: Listing) -> bool:
    """Whether a list can be one of ours; the name of one from elsewhere vouches only for what its maker wrote."""
    told = (*listing.files, *((file, held) for file, held, _ in listing.sealed))
    return (
        len(listing.digests) == _DIGEST * len(listing.lengths)
        and min(listing.lengths, default=0) >= 0
        and all(len(file) == _DIGEST and not len(held) % _DIGEST for file, held in told)
    )


def check_pack(path: Path, name: str = "") -> tuple[Listing, set[str]]:
    """What a pack holds, and the digests of those contents that have other bytes than they had.

    Of a file all of whose chunks are in the pack, the whole is compared too.

    Args:
        path: the pack.
        name: its name, when it does not bear it yet.
    Raises:
        PackDamaged: the list is damaged.
        OSError: the pack cannot be read.
    Cost: one read of the pack.
    """
    named = name or path.name.removesuffix(ENDING)
    listing, wrong = decode_listing(named, listing_bytes(path, named), str(path)), set[str]()
    size = path.stat().st_size
    with path.open("rb") as file:
        for digest, length in zip(hexes(listing.digests), listing.lengths, strict=True):
            if length > size or digest_of(file.read(length)) != digest:
                wrong.add(digest)
        wrong |= _wrong_files(file, listing) if not wrong else set()
    return listing, wrong


def _wrong_files(file: BinaryIO, listing: Listing) -> set[str]:
    """Files that do not consist of the chunks they are said to consist of, as far as the pack has all of those."""
    places, wrong = listing.places(), set[str]()
    for digest, held in listing.files:
        chunks, whole = hexes(held), blake3()
        if all(chunk in places for chunk in chunks):
            for begin, length in map(places.__getitem__, chunks):
                file.seek(begin)
                whole.update(file.read(length))
            if whole.digest() != digest:
                wrong.add(digest.hex())
    return wrong


def _damaged(name: str, where: str) -> PackDamaged:
    return PackDamaged(
        f"The list of pack {name[:12]} is damaged.",
        why="A disk fault or an edit by hand; what the pack holds cannot be told any more.",
        fix=f"Restore {where} from a backup, or remove it and add the files again.",
        at=where,
    )


def hexes(digests: bytes) -> list[str]:
    """Digests of 32 bytes, one after another, as texts."""
    text = digests.hex()
    return [text[begin : begin + 64] for begin in range(0, len(text), 64)]


def _end_of(path: Path) -> bytes | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _GUESS))
        end = file.read()
        if len(end) < _TAIL or not end.endswith(_MAGIC):
            return None
        length = int.from_bytes(end[-_TAIL:-8], "big")
        if length + _TAIL > size:
            return None
        if length + _TAIL > len(end):
            file.seek(size - length - _TAIL)
            end = file.read()
        return end[-_TAIL - length : -_TAIL]
