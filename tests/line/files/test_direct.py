"""Files written past the page cache: the same bytes, whatever the pieces, whatever the file system can do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.line.files import direct
from bucle.line.files.direct import DirectFile

lengths = st.lists(
    st.sampled_from([0, 1, 511, 4096, 70_000, 1 << 20, (2 << 20) - 1, 2 << 20, (5 << 20) + 3]), max_size=6
)


@pytest.fixture(params=["direct", "usual", "refused"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A system that can, one that cannot, and one that says so only when it is asked to write."""
    if request.param == "usual":
        monkeypatch.setattr(direct, "_DIRECT", 0)
    if request.param == "refused":
        pwrite, refused = os.pwrite, list[int]()

        def refuse(file: int, content: memoryview, at: int) -> int:
            if file not in refused:
                refused.append(file)
                raise OSError(errno.EINVAL, "Invalid argument")
            return pwrite(file, content, at)

        turn = direct._turn

        def turned(file: int, *, direct: bool) -> bool:
            if direct and file in refused:
                refused.remove(file)  # the system gives a number anew
            return turn(file, direct=direct)

        monkeypatch.setattr(direct, "_turn", turned)
        monkeypatch.setattr(os, "pwrite", refuse)
    return str(request.param)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=lengths)
def test_what_is_written_is_there(system: str, tmp_path: Path, lengths: list[int]) -> None:
    pieces = [bytes([number + 1]) * length for number, length in enumerate(lengths)]
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    file = DirectFile(path)
    for piece in pieces:
        file.write(piece)
    file.finish()
    assert path.read_bytes() == b"".join(pieces)


def test_a_buffer_is_its_callers_again_once_written(tmp_path: Path) -> None:
    file, buffer = DirectFile(tmp_path / "file"), bytearray(3 << 20)
    for number in range(12):
        buffer[:] = bytes([number]) * len(buffer)
        file.write(memoryview(buffer))
    file.finish()
    assert (tmp_path / "file").read_bytes() == b"".join(bytes([number]) * (3 << 20) for number in range(12))


def test_a_write_that_failed_is_told_and_nothing_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = DirectFile(tmp_path / "file")
    monkeypatch.setattr(os, "pwrite", full)
    file.write(bytes(2 << 20))
    with pytest.raises(OSError, match="No space left"):
        file.finish()
    file.close()
    file.close()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(FileExistsError):
        DirectFile(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"kept"
