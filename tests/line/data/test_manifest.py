"""A table's list of files, cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given, settings

from bucle.ground.core import Digest, digest_of
from bucle.line.data.manifest import DataFile, Run, longer


def _kept(blobs: Sequence[bytes]) -> list[Digest]:
    return [digest_of(blob) for blob in blobs]


def _file(number: int) -> DataFile:
    """Every tenth content has its last bits zero, and so ends a piece; few contents, so many files are equal."""
    return DataFile(path=f"f{number}", digest=f"{number % 10:064x}", rows=1, size_bytes=1)


@given(st.lists(st.integers(0, 40), max_size=700), st.integers(1, 50))
@settings(deadline=None, max_examples=30)
def test_a_list_grown_in_steps_is_the_list_laid_at_once(numbers: list[int], step: int) -> None:
    files = [_file(number) for number in numbers]
    grown = Run()
    for at in range(0, len(files), step):
        grown = longer(grown, files[at : at + step], _kept)
    assert grown == longer(Run(), files, _kept)
    assert grown.files == len(files)


def test_equal_files_do_not_make_an_endless_piece() -> None:
    run = longer(Run(), [_file(7)] * 1000, _kept)
    assert max(piece.files for piece in run.pieces) <= 256
    assert len(run.tail) < 256
