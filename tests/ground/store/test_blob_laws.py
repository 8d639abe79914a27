"""The laws of `Blobs`, for every store there is."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buckets import client_of, place_in
from bucle.ground.core import digest_of
from bucle.ground.store import BadUpload, BlobCorrupt, BlobMissing, BlobPlace, Blobs, open_blobs

Spoil = Callable[[str, bytes], None]


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> BlobPlace:
    if request.param == "local":
        return BlobPlace(folder=str(tmp_path / "blobs"))
    return place_in(request.getfixturevalue("bucket"), request.getfixturevalue("s3_server"), tmp_path / "cache")


@pytest.fixture
def blobs(place: BlobPlace) -> Blobs:
    return open_blobs(place)


@pytest.fixture
def spoil(place: BlobPlace) -> Spoil:
    """Write other bytes under a digest, behind the store's back."""

    def spoil(digest: str, data: bytes) -> None:
        path = f"{digest[:2]}/{digest[2:]}"
        if place.url:
            bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
            client_of(place.s3.endpoint).put_object(Bucket=bucket, Key=f"{prefix}/{path}", Body=data)
        else:
            (Path(place.folder) / path).write_bytes(data)

    return spoil


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=3000))
def test_what_was_put_is_got(blobs: Blobs, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == digest_of(data)
    assert blobs.get(digest) == data == blobs.path(digest).read_bytes()
    assert blobs.has(digest)
    assert digest in set(blobs.digests())
    blobs.check(digest)


@pytest.mark.parametrize("size", [0, 1, 20_000_001])
def test_a_file_put_is_the_blob_of_its_bytes(blobs: Blobs, place: BlobPlace, tmp_path: Path, size: int) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(os.urandom(size))
    digest = blobs.put_file(source)
    elsewhere = open_blobs(place)
    assert digest == digest_of(source.read_bytes())
    assert elsewhere.get(digest) == source.read_bytes() == elsewhere.path(digest).read_bytes()


def test_a_file_adopted_is_gone_and_kept(blobs: Blobs, tmp_path: Path) -> None:
    for _ in range(2):
        source = tmp_path / "frame.arrow"
        source.write_bytes(b"frame" * 1000)
        digest = blobs.adopt(source)
        assert not source.exists()
        assert blobs.get(digest) == b"frame" * 1000


def test_another_process_opens_the_same_blobs_from_their_place(blobs: Blobs, place: BlobPlace) -> None:
    digest = blobs.put(b"shared")
    assert blobs.place == place
    assert open_blobs(blobs.place).get(digest) == b"shared"


@pytest.mark.parametrize("digest", ["0" * 64, "", "..", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 63])
def test_what_is_not_there_is_missing(blobs: Blobs, digest: str) -> None:
    assert not blobs.has(digest)
    for ask in (blobs.get, blobs.path, blobs.check):
        with pytest.raises(BlobMissing):
            ask(digest)


@pytest.mark.parametrize("damage", [b"", b"bytes", b"bytes of a model!", bytes(200)])
def test_other_bytes_under_a_digest_are_never_given(
    blobs: Blobs, place: BlobPlace, spoil: Spoil, damage: bytes
) -> None:
    digest = blobs.put(b"bytes of a model.")
    spoil(digest, damage)
    for ask in (blobs.get, blobs.path, blobs.check):
        with pytest.raises(BlobCorrupt):
            ask(digest)
    assert [path for path in Path(place.folder).rglob("*") if "partial" in path.name] == []


def test_a_damaged_blob_set_aside_can_be_put_again(blobs: Blobs, spoil: Spoil) -> None:
    digest = blobs.put(b"good")
    spoil(digest, b"evil")
    blobs.set_aside(digest)
    assert not blobs.has(digest)
    assert list(blobs.digests()) == []
    assert blobs.put(b"good") == digest
    assert blobs.get(digest) == b"good"


def test_setting_aside_what_is_not_there_changes_nothing(blobs: Blobs) -> None:
    blobs.set_aside("0" * 64)
    assert list(blobs.digests()) == []


def test_many_writers_of_the_same_blob_leave_one_whole_blob(blobs: Blobs) -> None:
    data = os.urandom(50_000)
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(blobs.put, [data] * 16))
    assert list(blobs.digests()) == [digest_of(data)]
    assert blobs.get(digests.pop()) == data


@pytest.mark.parametrize("upload", ["", "../../secret", "0" * 32, "g" * 32])
def test_an_upload_nobody_created_cannot_be_completed(blobs: Blobs, upload: str) -> None:
    with pytest.raises(BadUpload):
        blobs.complete_upload(upload, ["x"])


def test_a_store_without_addresses_says_so(tmp_path: Path) -> None:
    blobs = open_blobs(BlobPlace(folder=str(tmp_path)))
    assert blobs.sign(blobs.put(b"x"), expires=timedelta(minutes=1)) is None
    assert blobs.create_upload(3, expires=timedelta(minutes=1)) is None
