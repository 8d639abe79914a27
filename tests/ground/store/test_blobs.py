from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import digest_of
from bucle.ground.store import BlobCorrupt, BlobMissing, DiskFull, LocalBlobs, write_atomically


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def no_room() -> Iterator[None]:
    """No file may grow beyond 4 KiB: the kernel refuses the rest, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


@pytest.fixture(scope="session")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real file system of 64 KiB."""
    folder = tmp_path_factory.mktemp("disk")
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("may not mount a tmpfs here")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@given(st.binary(max_size=3000))
def test_what_was_put_is_got(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    blobs = LocalBlobs(tmp_path_factory.getbasetemp() / "laws")
    digest = blobs.put(data)
    assert digest == digest_of(data)
    assert blobs.get(digest) == data == blobs.path(digest).read_bytes()
    assert blobs.has(digest)
    assert digest in set(blobs.digests())


def test_a_file_put_is_the_blob_of_its_bytes(blobs: LocalBlobs, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"m" * 3_000_000)
    digest = blobs.put_file(source)
    assert blobs.get(digest) == source.read_bytes()
    assert digest == blobs.put(source.read_bytes())


def test_known_bytes_are_not_written_again(blobs: LocalBlobs) -> None:
    digest = blobs.put(b"once")
    before = blobs.path(digest).stat()
    blobs.put(b"once")
    after = blobs.path(digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_every_flipped_byte_is_found(blobs: LocalBlobs) -> None:
    data = bytes(range(200))
    digest = blobs.put(data)
    file = blobs.path(digest)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        file.write_bytes(damaged)
        with pytest.raises(BlobCorrupt) as failed:
            blobs.get(digest)
        assert failed.value.at == str(file)
        with pytest.raises(BlobCorrupt):
            blobs.path(digest)


@pytest.mark.parametrize("length", [0, 1, 199])
def test_a_blob_cut_short_is_found(blobs: LocalBlobs, length: int) -> None:
    digest = blobs.put(bytes(range(200)))
    with blobs.path(digest).open("r+b") as file:
        file.truncate(length)
    with pytest.raises(BlobCorrupt):
        blobs.get(digest)


@pytest.mark.parametrize("digest", ["0" * 64, "", "..", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 63])
def test_what_is_not_there_is_missing(blobs: LocalBlobs, digest: str) -> None:
    assert not blobs.has("0" * 64)
    with pytest.raises(BlobMissing):
        blobs.get(digest)
    with pytest.raises(BlobMissing):
        blobs.path(digest)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64])
def test_asking_for_what_is_no_digest_is_answered_with_no(blobs: LocalBlobs, digest: str) -> None:
    assert not blobs.has(digest)


@pytest.mark.usefixtures("no_room")
def test_without_room_nothing_is_kept(blobs: LocalBlobs, tmp_path: Path) -> None:
    with pytest.raises(DiskFull):
        blobs.put(b"x" * 10_000)
    assert list(blobs.digests()) == []
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("no_room")
def test_without_room_the_old_content_stands(tmp_path: Path) -> None:
    target = tmp_path / "routes.json"
    write_atomically(target, b"old")
    with pytest.raises(DiskFull):
        write_atomically(target, b"x" * 10_000)
    assert target.read_bytes() == b"old"
    assert files_in(tmp_path) == [target]


def test_a_full_disk_keeps_nothing_half_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    blobs = LocalBlobs(small_disk / "blobs")
    kept = []
    with contextlib.suppress(DiskFull):
        for number in range(1000):
            kept.append(blobs.put(bytes([number % 256]) * (2000 + number)))
    assert 0 < len(kept) < 40
    assert sorted(blobs.digests()) == sorted(kept)
    assert [path for path in files_in(small_disk) if "partial" in path.name] == []
    for digest in kept:
        blobs.get(digest)
    for digest in kept:
        blobs.path(digest).unlink()
    assert blobs.get(blobs.put(b"again")) == b"again"


def test_a_file_too_large_for_the_disk_is_not_kept(small_disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(200_000))
    blobs = LocalBlobs(small_disk / "others")
    with pytest.raises(DiskFull):
        blobs.put_file(source)
    assert list(blobs.digests()) == []


def test_many_writers_of_the_same_blob_leave_one_whole_blob(blobs: LocalBlobs, tmp_path: Path) -> None:
    data = os.urandom(500_000)
    with ThreadPoolExecutor(16) as pool:
        digests = set(pool.map(blobs.put, [data] * 64))
    assert digests == {digest_of(data)}
    assert len(files_in(tmp_path)) == 1
    assert blobs.get(digests.pop()) == data


_WRITER = """
import sys
from pathlib import Path
from bucle.ground.store import LocalBlobs
blobs = LocalBlobs(Path(sys.argv[1]))
number = 0
while True:
    print(blobs.put(number.to_bytes(4, "big") * 50_000), flush=True)
    number += 1
"""


@pytest.mark.parametrize("acknowledged", [1, 4, 9])
def test_a_writer_killed_at_any_moment_leaves_only_whole_blobs(tmp_path: Path, acknowledged: int) -> None:
    folder = tmp_path / "blobs"
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        promised = [writer.stdout.readline().strip() for _ in range(acknowledged)]
        writer.kill()
    blobs = LocalBlobs(folder)
    present = list(blobs.digests())
    assert set(promised) <= set(present)
    for digest in present:
        blobs.get(digest)
