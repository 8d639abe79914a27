"""The two sums that Python lacks, against their published checks and a plain reading of their definition."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.doors.protocols.s3.crc import CRC32C, CRC64NVME, Crc

BOTH = pytest.mark.parametrize(("polynomial", "width"), [(CRC32C, 32), (CRC64NVME, 64)], ids=["crc32c", "crc64nvme"])


def plain(polynomial: int, width: int, data: bytes) -> bytes:
    told = (1 << width) - 1
    for byte in data:
        told ^= byte
        for _ in range(8):
            told = (told >> 1) ^ (polynomial if told & 1 else 0)
    return (told ^ ((1 << width) - 1)).to_bytes(width // 8, "big")


@pytest.mark.parametrize(
    ("polynomial", "width", "check"), [(CRC32C, 32, "e3069283"), (CRC64NVME, 64, "ae8b14860a799888")]
)
def test_the_published_check(polynomial: int, width: int, check: str) -> None:
    crc = Crc(polynomial, width)
    crc.update(b"123456789")
    assert crc.digest().hex() == check


@BOTH
@settings(max_examples=30)
@given(pieces=st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 120)), max_size=4))
def test_however_it_comes_in_pieces(polynomial: int, width: int, pieces: list[tuple[bytes, int]]) -> None:
    crc = Crc(polynomial, width)
    whole = b""
    for piece, times in pieces:
        crc.update(piece * times)
        whole += piece * times
    assert crc.digest() == plain(polynomial, width, whole)
