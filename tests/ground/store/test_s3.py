"""What only a bucket can do, and what only a network can do to it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from buckets import KEY, SECRET, Line, client_of, place_in
from bucle.ground.core import ConfigError, StoreError, StoreSection, UserError, digest_of, parse_config
from bucle.ground.project import Project
from bucle.ground.store import BadUpload, BlobCorrupt, BlobMissing, BucketFailed, open_blobs, place_of
from bucle.ground.store.cache import BlobCache
from bucle.ground.store.s3 import S3Blobs

MINUTE = timedelta(minutes=1)


@pytest.fixture
def blobs(bucket: str, s3_server: str, tmp_path: Path) -> S3Blobs:
    return S3Blobs(place_in(bucket, s3_server, tmp_path / "cache"))


def objects(bucket: str, address: str) -> list[str]:
    return [found["Key"] for found in client_of(address).list_objects_v2(Bucket=bucket).get("Contents", [])]


def unfinished(bucket: str, address: str) -> list[object]:
    return client_of(address).list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_a_bucket_is_laid_out_as_a_folder_is(blobs: S3Blobs, bucket: str, s3_server: str) -> None:
    digest = blobs.put(b"x")
    assert objects(bucket, s3_server) == [f"team/blobs/{digest[:2]}/{digest[2:]}"]


def test_known_bytes_are_not_sent_again(blobs: S3Blobs, bucket: str, s3_server: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(os.urandom(17 << 20))
    for data in (b"once", large):
        keep = blobs.put_file if isinstance(data, Path) else blobs.put
        digest = keep(data)
        key = f"team/blobs/{digest[:2]}/{digest[2:]}"
        before = client_of(s3_server).head_object(Bucket=bucket, Key=key)
        keep(data)
        after = client_of(s3_server).head_object(Bucket=bucket, Key=key)
        assert before["LastModified"] == after["LastModified"]
        assert before["ResponseMetadata"]["HTTPHeaders"]["etag"] == after["ResponseMetadata"]["HTTPHeaders"]["etag"]


def test_a_file_that_changes_while_it_is_sent_is_not_kept(
    blobs: S3Blobs, bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "large"
    source.write_bytes(b"a" * (20 << 20))
    before = digest_of(source.read_bytes())
    has = blobs.has

    def changed_meanwhile(digest: str) -> bool:
        source.write_bytes(b"b" * (20 << 20))
        return has(digest)

    monkeypatch.setattr(blobs, "has", changed_meanwhile)
    with pytest.raises(BlobCorrupt, match="changed"):
        blobs.put_file(source)
    assert not has(before)
    assert objects(bucket, s3_server) == []
    assert unfinished(bucket, s3_server) == []


def test_a_large_file_goes_through_little_memory(bucket: str, s3_server: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as out:
        out.truncate(150 << 20)
    program = """
import resource, sys
from pathlib import Path
import msgspec
from bucle.ground.store import BlobPlace, open_blobs
blobs = open_blobs(msgspec.json.decode(sys.argv[1], type=BlobPlace))
blobs.put(b"warm")
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
digest = blobs.put_file(Path(sys.argv[2]))
blobs.path(digest)
print(peak() - before)
"""
    import msgspec

    place = msgspec.json.encode(place_in(bucket, s3_server, tmp_path / "cache")).decode()
    done = subprocess.run(
        [sys.executable, "-c", program, place, str(large)], capture_output=True, text=True, check=True
    )
    mapped = 150 << 10  # the digest reads the file by memory map, which the kernel counts while it has room
    assert int(done.stdout) < mapped + (80 << 10)


def test_a_bucket_that_does_not_answer_is_told_after_some_tries(bucket: str, tmp_path: Path) -> None:
    blobs = S3Blobs(place_in(bucket, "http://127.0.0.1:9", tmp_path / "cache", retry_s=0.3))
    for ask in (lambda: blobs.put(b"x"), lambda: blobs.get("0" * 64), lambda: list(blobs.digests())):
        with pytest.raises(BucketFailed) as failed:
            ask()
        assert isinstance(failed.value, StoreError)
        assert "endpoint" in failed.value.fix


@pytest.mark.parametrize("carried", [300, 9_000_000, 15_000_000])
def test_a_line_cut_in_the_middle_leaves_nothing_half(
    bucket: str, s3_server: str, tmp_path: Path, carried: int
) -> None:
    line = Line(s3_server, upstream=carried)
    blobs = S3Blobs(place_in(bucket, line.address, tmp_path / "cache", retry_s=0.5))
    source = tmp_path / "large"
    source.write_bytes(os.urandom(20_000_000))
    with pytest.raises(BucketFailed):
        blobs.put_file(source)
    assert objects(bucket, s3_server) == []
    line.mend()
    digest = blobs.put_file(source)
    assert blobs.get(digest) == source.read_bytes()
    line.close()


def test_a_bucket_that_is_not_there_is_told_with_the_fix(s3_server: str, credentials: None, tmp_path: Path) -> None:
    blobs = S3Blobs(place_in("never-made-bucket", s3_server, tmp_path / "cache"))
    for ask in (lambda: blobs.put(b"x"), lambda: blobs.get("0" * 64), lambda: list(blobs.digests())):
        with pytest.raises(BucketFailed, match="NoSuchBucket") as failed:
            ask()
        assert "never-made-bucket" in str(failed.value)


def test_secrets_come_from_the_variables_that_are_named_and_are_told_nowhere(
    bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("TEAM_KEY", KEY)
    monkeypatch.setenv("TEAM_SECRET", SECRET)
    place = place_in(bucket, s3_server, tmp_path / "cache", key_env="TEAM_KEY", secret_env="TEAM_SECRET")
    blobs = S3Blobs(place)
    digest = blobs.put(b"x")
    blobs.sign(digest, expires=MINUTE)
    elsewhere = place_in("never-made", s3_server, tmp_path / "cache", key_env="TEAM_KEY", secret_env="TEAM_SECRET")
    with pytest.raises(BucketFailed) as failed:
        S3Blobs(elsewhere).put(b"x")
    assert SECRET not in f"{blobs!r} {blobs.place} {failed.value} {failed.value.as_dict()}"


@pytest.mark.usefixtures("credentials")
def test_half_a_key_is_refused_by_the_name_of_the_missing_variable(s3_server: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TEAM_SECRET"):
        S3Blobs(place_in("any-bucket", s3_server, tmp_path / "cache", secret_env="TEAM_SECRET"))


def test_damage_in_the_bucket_is_found_although_the_copy_is_whole(blobs: S3Blobs, bucket: str, s3_server: str) -> None:
    digest = blobs.put(b"good")
    blobs.path(digest)
    client_of(s3_server).put_object(Bucket=bucket, Key=f"team/blobs/{digest[:2]}/{digest[2:]}", Body=b"evil")
    assert blobs.get(digest) == b"good"
    with pytest.raises(BlobCorrupt):
        blobs.check(digest)


def test_a_damaged_copy_is_fetched_anew(blobs: S3Blobs) -> None:
    digest = blobs.put(b"good")
    copy = blobs.path(digest)
    for ask in (blobs.get, lambda name: blobs.path(name).read_bytes()):
        copy.write_bytes(b"evil")
        assert ask(digest) == b"good"


def test_copies_stay_within_their_bound_the_longest_unused_going_first(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit=10_000)
    contents = [bytes([number]) * 3000 for number in range(5)]
    for number, data in enumerate(contents):
        file = cache.keep(digest_of(data), [data])
        os.utime(file, (1000 + number, 1000 + number))
    kept = [number for number, data in enumerate(contents) if cache.find(digest_of(data))]
    assert kept == [2, 3, 4]


def test_a_copy_handed_out_just_now_stays(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit=1000)
    files = [cache.keep(digest_of(data), [data]) for data in (b"a" * 900, b"b" * 900)]
    assert [file.exists() for file in files] == [True, True]


def test_what_is_signed_can_be_downloaded_by_anyone_for_a_while(blobs: S3Blobs) -> None:
    digest = blobs.put(b"public for a minute")
    address = blobs.sign(digest, expires=MINUTE)
    assert httpx.get(address).content == b"public for a minute"
    with pytest.raises(BlobMissing):
        blobs.sign("../secret", expires=MINUTE)


def send(urls: tuple[str, ...], parts: list[bytes]) -> list[str]:
    return [httpx.put(url, content=part).headers["etag"] for url, part in zip(urls, parts, strict=True)]


def test_parts_uploaded_past_us_become_one_verified_blob(blobs: S3Blobs, bucket: str, s3_server: str) -> None:
    parts = [os.urandom(6 << 20), os.urandom(6 << 20), b"the rest"]
    upload = blobs.create_upload(3, expires=MINUTE)
    etags = send(upload.urls, parts)
    assert list(blobs.digests()) == []
    digest = blobs.complete_upload(upload.id, etags)
    assert digest == digest_of(b"".join(parts))
    blobs.check(digest)
    assert len(objects(bucket, s3_server)) == 1
    with pytest.raises(BadUpload, match="no upload"):
        blobs.complete_upload(upload.id, etags)


def test_parts_of_bytes_that_are_known_are_not_kept_twice(blobs: S3Blobs, bucket: str, s3_server: str) -> None:
    digest = blobs.put(b"known bytes")
    upload = blobs.create_upload(2, expires=MINUTE)
    assert blobs.complete_upload(upload.id, send(upload.urls, [b"known ", b"bytes"])) == digest
    assert len(objects(bucket, s3_server)) == 1


def test_an_upload_with_a_missing_or_another_part_is_refused_and_can_be_mended(blobs: S3Blobs) -> None:
    upload = blobs.create_upload(2, expires=MINUTE)
    first = send(upload.urls[:1], [b"one"])
    with pytest.raises(BadUpload, match="1 parts, 2"):
        blobs.complete_upload(upload.id, [*first, '"e"'])
    second = send(upload.urls[1:], [b"two"])
    with pytest.raises(BadUpload, match="Part 2"):
        blobs.complete_upload(upload.id, [*first, *first])
    assert blobs.complete_upload(upload.id, [*first, *second]) == digest_of(b"onetwo")


def test_an_upload_aborted_leaves_nothing(blobs: S3Blobs, bucket: str, s3_server: str) -> None:
    upload = blobs.create_upload(2, expires=MINUTE)
    send(upload.urls, [b"one", b"two"])
    blobs.abort_upload(upload.id)
    blobs.abort_upload(upload.id)
    assert objects(bucket, s3_server) == []


@pytest.mark.parametrize(("parts", "expires"), [(0, MINUTE), (10_001, MINUTE), (1, timedelta(days=8)), (1, -MINUTE)])
def test_an_upload_no_bucket_would_take_is_refused(blobs: S3Blobs, parts: int, expires: timedelta) -> None:
    with pytest.raises(BadUpload):
        blobs.create_upload(parts, expires=expires)


@pytest.mark.parametrize("address", ["s3:/bucket", "gs://bucket/x", "s3://", "s3://BUCKET", "bucket", "s3://b/x?y=1"])
def test_an_address_that_is_no_bucket_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"blobs"):
        place_of(tmp_path, StoreSection(blobs=address))


def test_a_secret_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        place_of(tmp_path, StoreSection(blobs=f"s3://{KEY}:{SECRET}@bucket/x"))
    assert SECRET not in str(refused.value)


def test_a_wrong_setting_of_the_bucket_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\[store\.s3\].*'regoin'") as refused:
        parse_config('[project]\nname = "x"\n[store.s3]\nregoin = "eu"\n')
    assert "region" in refused.value.fix


def test_without_the_extra_the_fix_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bucle.ground.store.s3", None)
    with pytest.raises(UserError, match="obstore") as failed:
        open_blobs(place_of(tmp_path, StoreSection(blobs="s3://bucket")))
    assert failed.value.fix == "pip install 'bucle[s3]'"


def test_a_project_keeps_its_blobs_where_its_settings_say(root: Path, bucket: str, s3_server: str) -> None:
    settings = f'[store]\nblobs = "s3://{bucket}/p"\n[store.s3]\nendpoint = "{s3_server}"\n'
    (root / "bucle.toml").write_text(f'[project]\nname = "test"\n{settings}')
    project = Project.open(root, actor="ana")
    digest = project.blobs.put(b"far away")
    project.close()
    assert objects(bucket, s3_server) == [f"p/{digest[:2]}/{digest[2:]}"]
    assert not (root / ".bucle" / "blobs").exists()
