"""The log of a W&B run: blocks of 32 KiB with records in them, whole or in pieces, each with a checksum.

It is LevelDB's format with another checksum and seven bytes before the first record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bucle.doors.migrate.errors import BadSource, UnknownSchema

__all__ = ["WandbLog"]

BLOCK = 32 << 10
_HEADER = struct.Struct("<IHB")
_IDENT = struct.Struct("<4sHB")
_NAME, _MAGIC, _VERSION = b":W&B", 0xBEE1, 0
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class WandbLog:
    """The records of a file, up to its end or to where it is damaged.

    Args:
        path: `run-….wandb`.

    Attributes:
        damage: what is wrong and where; empty while all is well. Known when every record was read.
    Raises:
        BadSource: the file cannot be read.
        UnknownSchema: it is no such log, or of a newer form.
    Source: https://github.com/google/leveldb/blob/main/doc/log_format.md
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = ""
        try:
            with path.open("rb") as file:
                start = file.read(_IDENT.size)
        except OSError as error:
            raise BadSource(f"{path} cannot be read: {error.strerror}.", fix="Check that you may read it.") from error
        if len(start) < _IDENT.size or _IDENT.unpack(start)[:2] != (_NAME, _MAGIC):
            raise UnknownSchema(
                f"{path.name} is no log of a W&B run.",
                why="It does not begin as one.",
                fix="Name the folder `wandb`, or a run's folder in it.",
                at=str(path),
            )
        if _IDENT.unpack(start)[2] != _VERSION:
            raise UnknownSchema(
                f"{path.name} has version {_IDENT.unpack(start)[2]} of W&B's log; this Bucle knows {_VERSION}.",
                why="A newer W&B wrote it.",
                fix="Install a newer version: pip install -U bucle.",
                at=str(path),
            )

    def records(self) -> Iterator[bytes]:
        """The records in order. Memory: one block and one record."""
        pieces = list[bytes]()
        with self._path.open("rb") as file:
            for place, kind, data in self._pieces(file):
                is_next = (kind in (MIDDLE, LAST)) == bool(pieces)
                if not is_next or kind not in (FULL, FIRST, MIDDLE, LAST):
                    self.damage = f"a piece of a record at byte {place} does not fit the one before it"
                    return
                pieces.append(data)
                if kind in (FULL, LAST):
                    yield b"".join(pieces)
                    pieces = []
        if pieces and not self.damage:
            self.damage = "it ends within a record"

    def _pieces(self, file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        start, skip = 0, _IDENT.size
        while block := file.read(BLOCK):
            place = skip
            while len(block) - place >= _HEADER.size:
                checksum, size, kind = _HEADER.unpack_from(block, place)
                data = block[place + _HEADER.size : place + _HEADER.size + size]
                if len(data) < size:
                    self.damage = f"it ends within a record at byte {start + place}"
                    return
                if zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
                    self.damage = f"the checksum of the record at byte {start + place} is wrong"
                    return
                yield start + place, kind, data
                place += _HEADER.size + size
            if len(block) < BLOCK and place < len(block):
                self.damage = f"it ends within a record at byte {start + place}"
                return
            start, skip = start + BLOCK, 0
