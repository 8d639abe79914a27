"""CRC-32C and CRC-64/NVME, which Python does not have: many short lanes of the data at once, then joined.

A CRC of bytes one after another is that of the first, moved on by as many zeros as the second has bytes, with the
second's added; so lanes can be summed apart. Moving on is linear: a table look-up for each byte of the sum.

Source: Amazon S3 user guide, "Checking object integrity"; Kadatch and Jenkins, "Everything we know about CRC" (2010).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["CRC32C", "CRC64NVME", "Crc"]

_LANE = 16
_BLOCK = 1 << 16
"""Lanes that are summed at once."""

Words = NDArray[np.uint64]


class Crc:
    """A running sum of bytes.

    Args:
        polynomial: reflected.
        width: bits.
    Example:
        >>> crc = Crc(CRC32C, 32)
        >>> crc.update(b"123456789")
        >>> crc.digest().hex()
        'e3069283'
    """

    def __init__(self, polynomial: int, width: int) -> None:
        self._polynomial = polynomial
        self._bytes = width // 8
        self._ones = (1 << width) - 1
        self._sum = self._ones

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        view = memoryview(data)
        whole = len(view) // _LANE
        begin = 0
        while whole:
            # A power of two of lanes, so that they can be joined in pairs.
            lanes = 1 << (min(whole, _BLOCK).bit_length() - 1)
            end = begin + lanes * _LANE
            self._sum = self._joined(np.frombuffer(view[begin:end], np.uint8).reshape(lanes, _LANE))
            begin, whole = end, whole - lanes
            if lanes < 64:
                break
        table = _table(self._polynomial)
        told = self._sum
        for byte in view[begin:]:
            told = int(table[(told ^ byte) & 0xFF]) ^ (told >> 8)
        self._sum = told

    def digest(self) -> bytes:
        """The sum of all so far."""
        return (self._sum ^ self._ones).to_bytes(self._bytes, "big")

    def _joined(self, lanes: NDArray[np.uint8]) -> int:
        sums = self._sums(lanes)
        length = _LANE
        while len(sums) > 1:
            sums = _moved(self._polynomial, length, sums[0::2]) ^ sums[1::2]
            length *= 2
        before = _moved(self._polynomial, length, np.array([self._sum], np.uint64))
        return int(before[0] ^ sums[0])

    def _sums(self, lanes: NDArray[np.uint8]) -> Words:
        table, told = _table(self._polynomial), np.zeros(len(lanes), np.uint64)
        for place in range(_LANE):
            told = table[(told ^ lanes[:, place]) & np.uint64(0xFF)] ^ (told >> np.uint64(8))
        return told


CRC32C = 0x82F63B78
CRC64NVME = 0x9A6C9329AC4BC9B5


@cache
def _table(polynomial: int) -> Words:
    made = np.arange(256, dtype=np.uint64)
    for _ in range(8):
        made = np.where(made & np.uint64(1), (made >> np.uint64(1)) ^ np.uint64(polynomial), made >> np.uint64(1))
    return made


@cache
def _moves(polynomial: int, zeros: int) -> Words:
    """What each value of each byte of a sum becomes when so many zero bytes follow: uint64[8, 256]."""
    if zeros == 1:
        table, values = _table(polynomial), np.arange(256, dtype=np.uint64)
        rows = [values << np.uint64(8 * place) for place in range(8)]
        return np.stack([table[row & np.uint64(0xFF)] ^ (row >> np.uint64(8)) for row in rows])
    half = _moves(polynomial, zeros // 2)
    return np.stack([_looked_up(half, row) for row in half])


def _moved(polynomial: int, zeros: int, sums: Words) -> Words:
    return _looked_up(_moves(polynomial, zeros), sums)


def _looked_up(moves: Words, sums: Words) -> Words:
    told: Words = moves[0][sums & np.uint64(0xFF)]
    for place in range(1, 8):
        told = told ^ moves[place][(sums >> np.uint64(8 * place)) & np.uint64(0xFF)]
    return told
