"""Ways round a right, a lock, a condition or a checksum, each of which was open once."""

from __future__ import annotations

import asyncio
import base64
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from bucle.doors.protocols.s3 import body
from bucle.doors.protocols.s3.body import Pipe
from bucle.doors.protocols.s3.errors import S3Error
from bucle.ground import governance
from bucle.ground.keys import make_keyring
from bucle.line import data
from doors.conftest import Site, served
from doors.s3.conftest import Connect, client_of, keys, new_root
from doors.s3.test_boto import code_of, read
from doors.s3.test_hostile import code_in

PART = b"x" * (5 << 20)


def upload(s3: Any, key: str, *parts: bytes, **last: Any) -> Any:
    name = s3.create_multipart_upload(Bucket="lake", Key=key)["UploadId"]
    told = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket="lake", Key=key, UploadId=name, PartNumber=number, Body=part)["ETag"],
        }
        for number, part in enumerate(parts, 1)
    ]
    return s3.complete_multipart_upload(Bucket="lake", Key=key, UploadId=name, MultipartUpload={"Parts": told}, **last)


def test_a_slash_at_the_end_is_no_way_round_a_right(bucket: Site, connect: Connect) -> None:
    governance.grant(bucket.project, "bob", "write", "file/first.txt", effect="deny")
    data.commit(bucket.project, {}, files={"free.txt": b"free"}, message="free")
    bob = connect("bob")
    assert code_of(bob.put_object, Key="main/first.txt", Body=b"") == "AccessDenied"
    assert code_of(bob.put_object, Key="main/first.txt/", Body=b"") == "AccessDenied"
    assert code_of(bob.copy_object, Key="main/first.txt/", CopySource="lake/main/free.txt") == "AccessDenied"
    assert code_of(bob.create_multipart_upload, Key="main/first.txt/") == "AccessDenied"
    assert code_of(bob.delete_object, Key="main/first.txt/") == "AccessDenied"
    assert read(bob, "main/first.txt") == b"first"


def test_a_file_is_no_folder_and_a_folder_no_file(bucket: Site, s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="main/empty/", Body=b"")
    assert code_of(s3.put_object, Key="main/first.txt/", Body=b"") == "InvalidArgument"
    assert code_of(s3.put_object, Key="main/empty", Body=b"x") == "InvalidArgument"
    assert code_of(s3.create_multipart_upload, Key="main/new/") == "InvalidArgument"
    assert code_of(s3.copy_object, Key="main/new/", CopySource="lake/main/first.txt") == "InvalidArgument"
    assert code_of(s3.copy_object, Key="main/new", CopySource="lake/main/empty/") == "InvalidArgument"
    s3.copy_object(Bucket="lake", Key="main/other/", CopySource="lake/main/empty/")
    assert read(s3, "main/first.txt") == b"first"
    assert keys(s3, Prefix="main/") == ["main/empty/", "main/first.txt", "main/other/"]


def test_a_slash_at_the_end_is_no_way_round_a_lock(tmp_path: Path) -> None:
    told = f'[data.encryption]\nfiles = ["*.key"]\nkeyring = "{tmp_path / "ring"}"\n'
    with served(new_root(tmp_path / "project", told)) as site:
        make_keyring(site.project)
        s3 = client_of(site)
        assert code_of(s3.create_multipart_upload, Key="main/c.key/") == "InvalidArgument"
        upload(s3, "main/c.key", PART, b"the secret of the house")
        assert read(s3, "main/c.key").endswith(b"the secret of the house")
        packs = (site.project.state / "files" / "packs").glob("*.pack")
        assert not any(b"the secret of the house" in pack.read_bytes() for pack in packs)


def test_what_is_removed_only_as_it_is_known(bucket: Site, s3: Any) -> None:
    tag = s3.head_object(Bucket="lake", Key="main/first.txt")["ETag"]
    assert code_of(s3.delete_object, Key="main/first.txt", IfMatch='"other"') == "PreconditionFailed"
    assert code_of(s3.delete_object, Key="main/none", IfMatch=tag) == "PreconditionFailed"
    s3.put_object(Bucket="lake", Key="main/second", Body=b"2")
    told = s3.delete_objects(
        Bucket="lake",
        Delete={"Objects": [{"Key": "main/first.txt", "ETag": '"other"'}, {"Key": "main/second"}]},
    )
    assert [(one["Key"], one["Code"]) for one in told["Errors"]] == [("main/first.txt", "PreconditionFailed")]
    assert keys(s3, Prefix="main/") == ["main/first.txt"]
    s3.delete_object(Bucket="lake", Key="main/first.txt", IfMatch=tag)
    assert keys(s3, Prefix="main/") == []


def test_a_file_and_the_folder_of_its_name_in_one_delete(s3: Any) -> None:
    s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": "main/first.txt"}, {"Key": "main/first.txt/"}]})
    assert code_of(s3.get_object, Key="main/first.txt") == "NoSuchKey"


def test_what_is_said_of_a_file_of_a_protected_branch_stays(bucket: Site, s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="main/x", Body=b"x", ContentType="text/plain")
    data.protect(bucket.project, "main", approvals=1)
    assert code_of(s3.put_object, Key="main/x", Body=b"x", ContentType="text/html") == "AccessDenied"
    assert s3.head_object(Bucket="lake", Key="main/x")["ContentType"] == "text/plain"


@pytest.mark.parametrize("encoding", ["utf-16", "cp037"])
def test_a_document_type_is_refused_in_any_encoding(bucket: Site, encoding: str) -> None:
    kind = f'<!DOCTYPE a [<!ENTITY b "{"x" * 5000}">]><Delete><Object><Key>main/&b;</Key></Object></Delete>'
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    text = (head + kind).encode(encoding) if encoding == "utf-16" else head.encode() + kind.encode(encoding)
    assert code_in(httpx.post(f"{bucket.url}/s3/lake?delete", content=text)) == "MalformedXML"


def test_a_checksum_of_the_whole_is_compared_with_the_whole(s3: Any) -> None:
    good = base64.b64encode(zlib.crc32(PART + b"end").to_bytes(4, "big")).decode()
    wrong = base64.b64encode(bytes(4)).decode()
    with pytest.raises(s3.exceptions.ClientError, match="BadDigest"):
        upload(s3, "main/big", PART, b"end", ChecksumCRC32=wrong, ChecksumType="FULL_OBJECT")
    assert keys(s3, Prefix="main/big") == []
    upload(s3, "main/big", PART, b"end", ChecksumCRC32=good, ChecksumType="FULL_OBJECT")
    assert read(s3, "main/big") == PART + b"end"


def test_what_would_not_be_done_is_refused(bucket: Site, s3: Any) -> None:
    assert code_of(s3.put_object, Key="main/first.txt", Body=b"more", WriteOffsetBytes=5) == "NotImplemented"
    assert read(s3, "main/first.txt") == b"first"
    lied = httpx.put(f"{bucket.url}/s3/lake/main/y", content=b"y", headers={"x-amz-content-sha256": "nonsense"})
    assert code_in(lied) == "InvalidArgument"


def test_an_upload_that_is_completed_by_several_at_once(s3: Any) -> None:
    name = s3.create_multipart_upload(Bucket="lake", Key="main/big")["UploadId"]
    tag = s3.upload_part(Bucket="lake", Key="main/big", UploadId=name, PartNumber=1, Body=PART)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}

    def complete(_: int) -> int:
        try:
            s3.complete_multipart_upload(Bucket="lake", Key="main/big", UploadId=name, MultipartUpload=parts)
        except s3.exceptions.ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(4) as pool:
        said = set(pool.map(complete, range(8)))
    assert said <= {200, 404}
    assert read(s3, "main/big") == PART


def test_a_delimiter_behind_which_nothing_comes(bucket: Site, s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="main/u/a\U0010ffffb", Body=b"1")
    s3.put_object(Bucket="lake", Key="main/u/b", Body=b"2")
    told = s3.list_objects_v2(Bucket="lake", Prefix="main/u/", Delimiter="\U0010ffff")
    assert [one["Prefix"] for one in told["CommonPrefixes"]] == ["main/u/a\U0010ffff"]
    assert [one["Key"] for one in told["Contents"]] == ["main/u/b"]


def test_a_client_that_sends_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "IDLE_S", 0.01)

    async def never() -> Any:
        await asyncio.Event().wait()

    async def pump() -> Pipe:
        pipe = Pipe(never)
        await pipe.pump()
        return pipe

    with pytest.raises(S3Error) as told:
        asyncio.run(pump()).get()
    assert told.value.code == "RequestTimeout"
