"""The anchor: the log's roots, kept a second time outside the database.

Who can rewrite the database can also recompute every hash in it. The anchor is a plain file of 32-byte roots, one an
entry, so that such a rewrite contradicts it and the first rewritten entry can be named. It is written after the
database has committed; a crash in between leaves a gap, which verification passes over.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Anchor"]

_WIDTH = 32
_UNKNOWN = bytes(_WIDTH)


class Anchor:
    """A file of roots.

    Args:
        path: the file; it is made with the first note. On a shared database each machine keeps its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, seq: int, root: bytes) -> None:
        """Keep the 32-byte root after entry `seq`. A root kept before is never overwritten by another."""
        if self.root(seq) is None:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(handle, root, seq * _WIDTH)
            finally:
                os.close(handle)

    def root(self, seq: int) -> bytes | None:
        """The root kept for entry `seq`, or None when this machine did not see it written."""
        try:
            with self._path.open("rb") as file:
                file.seek(seq * _WIDTH)
                root = file.read(_WIDTH)
        except FileNotFoundError:
            return None
        return None if len(root) < _WIDTH or root == _UNKNOWN else root

    def roots(self) -> list[bytes | None]:
        """Every root kept, None where this machine saw nothing."""
        data = self._path.read_bytes() if self._path.exists() else b""
        cut = [data[at : at + _WIDTH] for at in range(0, len(data) - _WIDTH + 1, _WIDTH)]
        return [None if root == _UNKNOWN else root for root in cut]
