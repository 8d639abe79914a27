"""A Merkle tree over a growing list, so that any change to the past changes the root.

Source: RFC 6962, "Certificate Transparency", section 2.1: leaves hash as SHA-256(0x00 || entry), inner nodes as
SHA-256(0x01 || left || right); a list of n entries splits at the largest power of two below n.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

__all__ = ["EMPTY_ROOT", "Frontier", "leaf_hash"]

EMPTY_ROOT = sha256(b"").digest()
"""The root of the empty list."""


def leaf_hash(entry: bytes) -> bytes:
    """The 32-byte hash of one entry."""
    return sha256(b"\x00" + entry).digest()


class Frontier:
    """The roots of the perfect subtrees of a list: all that is needed to append and to tell the root.

    Args:
        size: entries so far.
        peaks: one 32-byte root for every 1-bit of `size`, largest subtree first.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        """Add an entry's leaf hash. Cost: amortised one hash."""
        node, size = leaf, self.size
        while size & 1:
            node = _node_hash(self.peaks.pop(), node)
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root of the list so far. Cost: one hash per peak."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = _node_hash(peak, root)
        return root


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
