"""boto3: what is put is there, with what was said of it; on two branches, at a commit, in parts."""

from __future__ import annotations

import hashlib
import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from bucle.line import data
from doors.conftest import Site
from doors.s3.conftest import Connect, keys, prefixes

BIG = hashlib.shake_256(b"big").digest(20 << 20)
IN_PARTS = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)


def code_of(call: Any, **asked: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(Bucket="lake", **asked)
    return str(raised.value.response["Error"]["Code"])


def read(s3: Any, key: str, **asked: Any) -> bytes:
    return s3.get_object(Bucket="lake", Key=key, **asked)["Body"].read()


def test_the_project_is_the_bucket_and_its_branches_are_folders(bucket: Site, s3: Any) -> None:
    data.create_tag(bucket.project, "v1")
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["lake"]
    assert s3.head_bucket(Bucket="lake")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_bucket_location(Bucket="lake")["LocationConstraint"] is None
    assert prefixes(s3) == ["dev/", "main/", "v1/"]
    assert prefixes(s3, Prefix="ma") == ["main/"]
    assert keys(s3) == ["dev/first.txt", "main/first.txt", "v1/first.txt"]


def test_an_object_is_told_as_it_was_put(s3: Any) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    put = s3.put_object(
        Bucket="lake", Key="main/a/ñ +%&=é.csv", Body=b"x,y\n", Metadata={"from": "lab"}, ContentType="text/csv",
        CacheControl="no-store",
    )  # fmt: skip
    found = s3.get_object(Bucket="lake", Key="main/a/ñ +%&=é.csv")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (b"x,y\n", {"from": "lab"}, "text/csv")
    assert (found["ContentLength"], found["ETag"], found["CacheControl"]) == (4, put["ETag"], "no-store")
    assert before < found["LastModified"] < datetime.now(UTC) + timedelta(seconds=2)
    head = s3.head_object(Bucket="lake", Key="main/a/ñ +%&=é.csv")
    assert (head["ContentLength"], head["ETag"]) == (4, put["ETag"])
    assert keys(s3, Prefix="main/a/") == ["main/a/ñ +%&=é.csv"]


def test_a_put_is_a_commit_of_its_principal(bucket: Site, connect: Connect) -> None:
    connect("ana").put_object(Bucket="lake", Key="main/a.txt", Body=b"a")
    made = data.log(bucket.project)[0]
    assert (made.author, made.message) == ("ana", "put a.txt")
    assert data.read_file(bucket.project, "a.txt") == b"a"


def test_the_same_bytes_again_make_no_commit(bucket: Site, s3: Any) -> None:
    for kind in ("text/plain", "text/csv"):
        s3.put_object(Bucket="lake", Key="main/a.txt", Body=b"a", ContentType=kind)
    assert len(data.log(bucket.project)) == 2
    assert s3.head_object(Bucket="lake", Key="main/a.txt")["ContentType"] == "text/csv"


def test_branches_are_apart_and_the_past_stays(bucket: Site, s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="dev/first.txt", Body=b"changed")
    old = data.log(bucket.project, "dev")[1].id
    assert read(s3, "main/first.txt") == read(s3, f"{old}/first.txt") == b"first"
    assert read(s3, "dev/first.txt") == b"changed"
    assert keys(s3, Prefix=f"{old[:12]}/") == [f"{old[:12]}/first.txt"]
    assert code_of(s3.put_object, Key=f"{old}/x", Body=b"") == "AccessDenied"
    assert code_of(s3.put_object, Key="nowhere/x", Body=b"") == "NoSuchBucket"
    assert code_of(s3.get_object, Key="nowhere/x") == "NoSuchKey"
    assert keys(s3, Prefix="nowhere/") == []


def test_ranges(s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="main/small", Body=b"0123456789")
    s3.put_object(Bucket="lake", Key="main/big", Body=BIG)
    assert read(s3, "main/small", Range="bytes=2-4") == b"234"
    assert read(s3, "main/small", Range="bytes=7-") == b"789"
    assert read(s3, "main/small", Range="bytes=-3") == b"789"
    assert read(s3, "main/small", Range="bytes=5-99") == b"56789"
    assert read(s3, "main/big", Range="bytes=4000000-9999999") == BIG[4_000_000:10_000_000]
    assert read(s3, "main/big") == BIG
    assert code_of(s3.get_object, Key="main/small", Range="bytes=10-") == "InvalidRange"
    told = s3.get_object(Bucket="lake", Key="main/small", Range="bytes=2-4")
    assert (told["ContentRange"], told["ContentLength"]) == ("bytes 2-4/10", 3)


def test_conditions(s3: Any) -> None:
    tag = s3.put_object(Bucket="lake", Key="main/a", Body=b"1")["ETag"]
    at = s3.head_object(Bucket="lake", Key="main/a")["LastModified"]
    assert read(s3, "main/a", IfMatch=tag) == b"1"
    assert code_of(s3.get_object, Key="main/a", IfNoneMatch=tag) == "304"
    assert code_of(s3.get_object, Key="main/a", IfMatch='"other"') == "PreconditionFailed"
    assert code_of(s3.get_object, Key="main/a", IfModifiedSince=at) == "304"
    assert code_of(s3.get_object, Key="main/a", IfUnmodifiedSince=at - timedelta(days=1)) == "PreconditionFailed"
    assert code_of(s3.put_object, Key="main/a", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    assert code_of(s3.put_object, Key="main/a", Body=b"2", IfMatch='"other"') == "PreconditionFailed"
    s3.put_object(Bucket="lake", Key="main/a", Body=b"2", IfMatch=tag)
    assert read(s3, "main/a") == b"2"


def test_one_of_many_who_put_if_none_is_there_wins(connect: Connect) -> None:
    won, told, clients = list[int](), list[str](), [connect() for _ in range(6)]

    def put(number: int) -> None:
        try:
            clients[number].put_object(Bucket="lake", Key="main/lock", Body=b"%d" % number, IfNoneMatch="*")
            won.append(number)
        except ClientError as error:
            told.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read(clients[0], "main/lock")] == [b"%d" % number for number in won]
    assert told == ["PreconditionFailed"] * 5


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_compared(s3: Any, algorithm: str) -> None:
    told = s3.put_object(Bucket="lake", Key="main/a", Body=b"abc", ChecksumAlgorithm=algorithm)
    assert told[f"Checksum{algorithm}"]
    wrong = {f"Checksum{algorithm}": {"CRC32": "AAAAAA==", "SHA1": "A" * 27 + "=", "SHA256": "A" * 43 + "="}[algorithm]}
    assert code_of(s3.put_object, Key="main/b", Body=b"abc", **wrong) == "BadDigest"
    assert code_of(s3.put_object, Key="main/b", Body=b"abc", ContentMD5="A" * 22 + "==") == "BadDigest"
    assert keys(s3, Prefix="main/b") == []


def test_a_copy_shares_its_bytes(bucket: Site, s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="main/a b", Body=b"1", Metadata={"x": "1"})
    s3.copy_object(Bucket="lake", Key="dev/c", CopySource={"Bucket": "lake", "Key": "main/a b"})
    assert (read(s3, "dev/c"), s3.head_object(Bucket="lake", Key="dev/c")["Metadata"]) == (b"1", {"x": "1"})
    assert data.files(bucket.project, "dev")["c"] == data.files(bucket.project)["a b"]
    s3.copy_object(
        Bucket="lake", Key="dev/c", CopySource="lake/dev/c", MetadataDirective="REPLACE", Metadata={"y": "2"}
    )
    assert s3.head_object(Bucket="lake", Key="dev/c")["Metadata"] == {"y": "2"}
    assert code_of(s3.copy_object, Key="dev/d", CopySource="lake/main/none") == "NoSuchKey"


def test_removed_is_gone_on_one_branch_only(bucket: Site, s3: Any) -> None:
    for name in "abc":
        s3.put_object(Bucket="lake", Key=f"main/{name}", Body=b"1")
    data.create_branch(bucket.project, "before")
    count = len(data.log(bucket.project))
    s3.delete_object(Bucket="lake", Key="main/a")
    s3.delete_object(Bucket="lake", Key="main/none")
    told = s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": f"main/{n}"} for n in ("b", "c", "none")]})
    assert [one["Key"] for one in told["Deleted"]] == ["main/b", "main/c", "main/none"]
    assert keys(s3, Prefix="main/") == ["main/first.txt"]
    assert keys(s3, Prefix="before/") == ["before/a", "before/b", "before/c", "before/first.txt"]
    assert len(data.log(bucket.project)) == count + 2
    told = s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": "nowhere/x"}, {"Key": "main/../x"}]})
    assert [one["Code"] for one in told["Errors"]] == ["NoSuchBucket", "InvalidArgument"]


def test_an_upload_in_parts(bucket: Site, s3: Any) -> None:
    s3.upload_fileobj(io.BytesIO(BIG), "lake", "main/big", Config=IN_PARTS, ExtraArgs={"Metadata": {"x": "1"}})
    assert (read(s3, "main/big"), s3.head_object(Bucket="lake", Key="main/big")["Metadata"]) == (BIG, {"x": "1"})
    before = len(list((bucket.project.state / "files" / "packs").glob("*.pack")))
    s3.copy({"Bucket": "lake", "Key": "main/big"}, "lake", "dev/big", Config=IN_PARTS)  # part by part as well
    assert read(s3, "dev/big") == BIG
    assert data.files(bucket.project, "dev")["big"].digest == data.files(bucket.project)["big"].digest
    assert data.verify_files(bucket.project) == []
    assert before


def test_parts_by_hand(s3: Any) -> None:
    at = {"Bucket": "lake", "Key": "main/p"}
    upload = s3.create_multipart_upload(**at)["UploadId"]
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket="lake")["Uploads"]] == ["main/p"]
    tags = {n: s3.upload_part(**at, UploadId=upload, PartNumber=n, Body=b"%d" % n * 3)["ETag"] for n in (3, 1, 2, 1)}
    listed = s3.list_parts(**at, UploadId=upload)["Parts"]
    assert [(one["PartNumber"], one["ETag"], one["Size"]) for one in listed] == [(n, tags[n], 3) for n in (1, 2, 3)]
    named = [{"PartNumber": n, "ETag": tags[n]} for n in (1, 2, 3)]

    def complete(parts: list[dict[str, Any]]) -> Any:
        return s3.complete_multipart_upload(**at, UploadId=upload, MultipartUpload={"Parts": parts})

    for wrong, code in (
        (named[::-1], "InvalidPartOrder"),
        ([*named, {"PartNumber": 4, "ETag": '"none"'}], "InvalidPart"),
        ([{"PartNumber": 1, "ETag": tags[2]}], "InvalidPart"),
    ):
        with pytest.raises(ClientError, match=code):
            complete(wrong)
    assert keys(s3, Prefix="main/p") == []
    assert complete(named)["ETag"] == complete(named)["ETag"]  # the answer may have been lost
    assert read(s3, "main/p") == b"111222333"
    assert s3.list_multipart_uploads(Bucket="lake").get("Uploads", []) == []


def test_an_upload_that_is_aborted_is_gone(s3: Any, connect: Connect) -> None:
    at = {"Bucket": "lake", "Key": "main/p"}
    upload = s3.create_multipart_upload(**at)["UploadId"]
    with pytest.raises(ClientError, match="NoSuchUpload"):
        connect("ben").upload_part(**at, UploadId=upload, PartNumber=1, Body=b"mine")
    s3.abort_multipart_upload(**at, UploadId=upload)
    for wrong in (upload, "../../../etc", "0" * 32):
        with pytest.raises(ClientError, match="NoSuchUpload"):
            s3.upload_part(**at, UploadId=wrong, PartNumber=1, Body=b"1")


def test_what_is_not_here_says_so(s3: Any) -> None:
    assert code_of(s3.get_bucket_acl) == "NotImplemented"
    assert code_of(s3.put_object_tagging, Key="main/a", Tagging={"TagSet": []}) == "NotImplemented"
    assert code_of(s3.put_object, Key="main/a", Body=b"", ServerSideEncryption="aws:kms") == "NotImplemented"
    assert code_of(s3.get_object, Key="main/first.txt", VersionId="7") == "NotImplemented"
    assert code_of(s3.create_bucket) == "BucketAlreadyOwnedByYou"
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_objects_v2(Bucket="other")
