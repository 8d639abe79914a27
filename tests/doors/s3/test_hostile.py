"""Who may, and who may not: signatures that are wrong, old, cut or replayed; keys that climb out; bodies that lie."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import io
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from bucle.ground import governance
from bucle.ground.keys import make_keyring
from bucle.line import data
from doors.conftest import Site, served
from doors.s3.conftest import Connect, client_of, client_with, keys, new_root
from doors.s3.test_boto import BIG, code_of, read

EMPTY = hashlib.sha256(b"").hexdigest()


def code_in(answer: httpx.Response) -> str:
    found = re.search("<Code>(.*?)</Code>", answer.text)
    return found[1] if found else str(answer.status_code)


@pytest.fixture
def credentials(bucket: Site) -> Credentials:
    key, secret = governance.make_access_key(bucket.project, "eva")
    return Credentials(key.id, secret)


def signed(site: Site, by: Credentials, method: str, path: str, body: bytes = b"", **headers: str) -> dict[str, str]:
    """The headers of a request, signed by botocore."""
    request = AWSRequest(method=method, url=f"{site.url}{path}", data=body, headers=headers)
    S3SigV4Auth(by, "s3", "x").add_auth(request)
    return without_length(request.prepare().headers)


def without_length(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "content-length"}


def test_a_wrong_secret_or_key_is_refused(bucket: Site) -> None:
    key, _ = governance.make_access_key(bucket.project, "eva")
    assert code_of(client_with(bucket.url, key.id, "wrong").get_object, Key="main/first.txt") == "SignatureDoesNotMatch"
    assert code_of(client_with(bucket.url, "AKIANOBODY", "x").get_object, Key="main/a") == "InvalidAccessKeyId"


def test_a_key_that_was_taken_back_is_refused(bucket: Site) -> None:
    key, secret = governance.make_access_key(bucket.project, "eva")
    s3 = client_with(bucket.url, key.id, secret)
    assert read(s3, "main/first.txt") == b"first"
    governance.revoke_access_keys(bucket.project, key.id)
    assert code_of(s3.get_object, Key="main/first.txt") == "InvalidAccessKeyId"


def test_what_was_signed_cannot_be_changed(bucket: Site, credentials: Credentials) -> None:
    good = signed(bucket, credentials, "PUT", "/lake/main/x", b"abc")
    put = bucket.client.put
    assert put("/lake/main/x", content=b"abd", headers=good).status_code == 400
    assert code_in(put("/lake/main/x", content=b"abd", headers=good)) == "XAmzContentSHA256Mismatch"
    assert code_in(put("/lake/main/y", content=b"abc", headers=good)) == "SignatureDoesNotMatch"
    assert code_in(put("/lake/main/x?uploadId=1", content=b"abc", headers=good)) == "SignatureDoesNotMatch"
    assert code_in(bucket.client.delete("/lake/main/x", headers=good)) == "SignatureDoesNotMatch"
    more = {**good, "x-amz-copy-source": "/lake/main/first.txt"}
    assert code_in(put("/lake/main/x", content=b"abc", headers=more)) == "AccessDenied"
    assert put("/lake/main/x", content=b"abc", headers=good).status_code == 200


def test_an_old_request_is_refused(bucket: Site, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=16)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: old.replace(tzinfo=None))
    answer = bucket.client.get(
        "/lake/main/first.txt", headers=signed(bucket, credentials, "GET", "/lake/main/first.txt")
    )
    assert (answer.status_code, code_in(answer)) == (403, "RequestTimeTooSkewed")


def test_addresses_that_hold_a_while(bucket: Site, s3: Any, credentials: Credentials) -> None:
    get = s3.generate_presigned_url("get_object", {"Bucket": "lake", "Key": "main/first.txt"})
    put = s3.generate_presigned_url("put_object", {"Bucket": "lake", "Key": "main/up"})
    assert httpx.get(get).text == "first"
    assert httpx.put(put, content=b"up").status_code == 200
    assert read(s3, "main/up") == b"up"
    assert code_in(httpx.put(get, content=b"")) == "SignatureDoesNotMatch"
    assert code_in(httpx.get(get.replace("first.txt", "other"))) == "SignatureDoesNotMatch"
    assert code_in(httpx.get(re.sub("Expires=[0-9]+", "Expires=9999", get))) == "SignatureDoesNotMatch"
    named = s3.generate_presigned_url(
        "get_object",
        {"Bucket": "lake", "Key": "main/first.txt", "ResponseContentDisposition": 'attachment; filename="a.txt"'},
    )
    assert httpx.get(named).headers["content-disposition"] == 'attachment; filename="a.txt"'


def test_an_address_that_expired(bucket: Site, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=2)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: old.replace(tzinfo=None))
    request = AWSRequest(method="GET", url=f"{bucket.url}/lake/main/first.txt")
    S3SigV4QueryAuth(credentials, "s3", "x", expires=60).add_auth(request)
    answer = httpx.get(str(request.prepare().url))
    assert (answer.status_code, "expired" in answer.text) == (403, True)


def chunked(site: Site, by: Credentials, key: str, chunks: list[bytes]) -> tuple[dict[str, str], list[bytes]]:
    """The headers and the chunks of a body that is signed piece by piece, made as Amazon describes it."""
    size = sum(map(len, chunks))
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    request = AWSRequest(
        method="PUT",
        url=f"{site.url}/lake/{key}",
        headers={"x-amz-decoded-content-length": str(size), "content-encoding": "aws-chunked"},
    )
    request.headers["X-Amz-Content-SHA256"] = kind

    class Streaming(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return kind

    Streaming(by, "s3", "x").add_auth(request)
    headers = without_length(request.prepare().headers)
    at = headers["X-Amz-Date"]
    before = headers["Authorization"].rpartition("Signature=")[2]
    secret = f"AWS4{by.secret_key}".encode()
    for part in (at[:8], "x", "s3", "aws4_request"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    made = []
    for chunk in [*chunks, b""]:
        told = ["AWS4-HMAC-SHA256-PAYLOAD", at, f"{at[:8]}/x/s3/aws4_request", before, EMPTY]
        text = "\n".join([*told, hashlib.sha256(chunk).hexdigest()])
        before = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        made.append(f"{len(chunk):x};chunk-signature={before}\r\n".encode() + chunk + b"\r\n")
    return headers, made


@pytest.mark.parametrize("size", [100, 700_000], ids=["short", "long"])
def test_chunks_that_are_signed(bucket: Site, credentials: Credentials, size: int) -> None:
    parts = [BIG[:size], BIG[size : 2 * size], b"end"]
    headers, made = chunked(bucket, credentials, "main/c", parts)
    put = bucket.client.put
    whole = b"".join(made)
    changed = bytearray(whole)
    changed[len(made[0]) - 10] ^= 1
    for wrong in (bytes(changed), made[1] + made[0] + made[2] + made[3], made[0] + made[2] + made[3], whole[:-90]):
        answer = put("/lake/main/c", content=wrong, headers=headers)
        assert (answer.status_code, code_in(answer)) in ((403, "SignatureDoesNotMatch"), (400, "IncompleteBody"))
        assert "c" not in data.files(bucket.project)
    assert put("/lake/main/c", content=whole, headers=headers).status_code == 200
    assert data.read_file(bucket.project, "c") == b"".join(parts)
    assert "aws-chunked" not in str(client_of(bucket).head_object(Bucket="lake", Key="main/c").get("ContentEncoding"))


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "a//b", "/a", "a\\b", "a/./b", "a\x01b", "\x7f", "é" * 600, "a/..", ".contracts/t.yaml"],
    ids=["up", "far up", "empty", "root", "backslash", "dot", "control", "delete", "long", "end", "ours"],
)  # fmt: skip
def test_keys_that_cannot_be(bucket: Site, credentials: Credentials, path: str) -> None:
    at = f"/lake/main/{quote(path)}"
    headers = signed(bucket, credentials, "PUT", at, b"x")
    request = httpx.Request("PUT", f"{bucket.url}/", content=b"x", headers=headers)
    request.url = request.url.copy_with(raw_path=at.encode())
    answer = bucket.client.send(request)
    assert answer.status_code in (400, 403), answer.text
    assert list(data.files(bucket.project)) == ["first.txt"]


def test_a_file_is_no_folder(s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="main/a/b", Body=b"1")
    assert code_of(s3.put_object, Key="main/a", Body=b"2") == "InvalidArgument"
    assert code_of(s3.put_object, Key="main/a/b/c", Body=b"2") == "InvalidArgument"
    assert keys(s3, Prefix="main/") == ["main/a/b", "main/first.txt"]


def test_empty_folders(bucket: Site, s3: Any) -> None:
    s3.put_object(Bucket="lake", Key="main/d/", Body=b"")
    s3.put_object(Bucket="lake", Key="main/d-e", Body=b"1")
    assert keys(s3, Prefix="main/") == ["main/d-e", "main/d/", "main/first.txt"]
    assert keys(s3, Prefix="main/", PaginationConfig={"PageSize": 1}) == ["main/d-e", "main/d/", "main/first.txt"]
    assert s3.head_object(Bucket="lake", Key="main/d/")["ContentLength"] == 0
    assert code_of(s3.head_object, Key="main/d") == "404"
    s3.put_object(Bucket="lake", Key="main/d/f", Body=b"1")
    assert keys(s3, Prefix="main/d/") == ["main/d/f"]
    s3.put_object(Bucket="lake", Key="main/g/", Body=b"")
    s3.delete_object(Bucket="lake", Key="main/g")
    assert keys(s3, Prefix="main/g") == ["main/g/"]
    s3.delete_object(Bucket="lake", Key="main/g/")
    assert keys(s3, Prefix="main/g") == []


def test_grants_count(bucket: Site, connect: Connect) -> None:
    ana, project = connect("ana"), bucket.project
    for name in ("open", "secret"):
        ana.put_object(Bucket="lake", Key=f"main/{name}/x", Body=b"1")
    governance.grant(project, "ana", "read", "file/secret/*", effect="deny")
    governance.grant(project, "ana", "write", "file/*", effect="deny")
    governance.grant(project, "ana", "write", "file/open/*")
    assert keys(ana, Prefix="main/") == ["main/first.txt", "main/open/x"]
    assert code_of(ana.get_object, Key="main/secret/x") == "AccessDenied"
    assert code_of(ana.copy_object, Key="main/open/y", CopySource="lake/main/secret/x") == "AccessDenied"
    assert code_of(ana.put_object, Key="main/other", Body=b"1") == "AccessDenied"
    assert code_of(ana.delete_object, Key="main/first.txt") == "AccessDenied"
    assert code_of(ana.create_multipart_upload, Key="main/other") == "AccessDenied"
    ana.put_object(Bucket="lake", Key="main/open/y", Body=b"1")
    assert keys(connect("eva"), Prefix="main/secret/") == ["main/secret/x"]


def test_who_is_not_signed_comes_by_a_path_of_its_own(bucket: Site, s3: Any) -> None:
    get = bucket.client.get
    assert get("/lake/main/first.txt").status_code == 404  # a page that is not there
    assert get("/s3/lake/main/first.txt").text == "first"
    assert get("/s3/lake/main/first.txt", headers={"range": "bytes=1-2"}).text == "ir"
    assert "sandbox" in get("/s3/lake/main/first.txt").headers["content-security-policy"]
    assert get("/s3/lake/main/first.txt", headers={"sec-fetch-dest": "script"}).status_code == 403
    governance.grant(bucket.project, "anonymous", "read", "file/*", effect="deny")
    assert get("/s3/lake/main/first.txt").status_code == 403
    token = governance.make_token(bucket.project, "ben")
    assert get("/s3/lake/main/first.txt", headers={"authorization": f"Bearer {token}"}).text == "first"
    assert get("/s3/lake/main/first.txt", headers={"authorization": "Bearer wrong"}).status_code == 403


def test_a_protected_branch_does_not_move(bucket: Site, s3: Any) -> None:
    data.protect(bucket.project, "main")
    with pytest.raises(ClientError, match=r"AccessDenied.*protected"):
        s3.put_object(Bucket="lake", Key="main/x", Body=b"1")
    s3.put_object(Bucket="lake", Key="dev/x", Body=b"1")


def test_a_hook_is_asked(tmp_path: Any) -> None:
    root = new_root(tmp_path / "project", '[data.hooks.no_txt]\non = "pre-commit"\nrun = "checks:no_txt"\n')
    (root / "checks.py").write_text(
        "from bucle.line import data\n"
        "def no_txt(project, proposal):\n"
        "    bad = [p for p in data.files(project, proposal.commit) if p.endswith('.exe')]\n"
        "    return f'{bad} may not be here' if bad else ''\n"
    )
    with served(root) as site:
        s3 = client_of(site)
        s3.put_object(Bucket="lake", Key="main/a.txt", Body=b"1")
        with pytest.raises(ClientError, match=r"AccessDenied.*may not be here"):
            s3.put_object(Bucket="lake", Key="main/a.exe", Body=b"1")
        assert keys(s3) == ["main/a.txt"]


def test_encrypted_files(tmp_path: Any) -> None:
    keyring = tmp_path / "keyring"
    root = new_root(tmp_path / "project", f'[data.encryption]\nfiles = ["secret/*"]\nkeyring = "{keyring}"\n')
    with served(root) as site:
        make_keyring(site.project)
        s3 = client_of(site)
        s3.put_object(Bucket="lake", Key="main/secret/small", Body=b"nobody may read this")
        s3.upload_fileobj(io.BytesIO(BIG), "lake", "main/secret/big")
        s3.put_object(Bucket="lake", Key="main/secret/told", Body=b"told to all")
        s3.copy_object(Bucket="lake", Key="main/open", CopySource="lake/main/secret/told")
        assert (read(s3, "main/secret/small"), read(s3, "main/open")) == (b"nobody may read this", b"told to all")
        assert read(s3, "main/secret/big", Range="bytes=9000000-9000009") == BIG[9_000_000:9_000_010]
        assert read(s3, "main/secret/big") == BIG
        packs = b"".join(file.read_bytes() for file in (root / ".bucle" / "files" / "packs").glob("*.pack"))
        assert b"nobody may read this" not in packs
        assert BIG[5_000_000:5_000_064] not in packs


def test_xml_that_would_grow_is_refused(bucket: Site, credentials: Credentials) -> None:
    body = b'<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>'
    headers = signed(bucket, credentials, "POST", "/lake?delete=", body)
    assert code_in(bucket.client.post("/lake?delete=", content=body, headers=headers)) == "MalformedXML"


def test_no_secret_is_kept(bucket: Site, connect: Connect) -> None:
    key, secret = governance.make_access_key(bucket.project, "eva")
    client_with(bucket.url, key.id, secret).put_object(Bucket="lake", Key="main/a", Body=b"1")
    for file in bucket.project.state.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()
    assert (bucket.project.state / "access.key").stat().st_mode & 0o077 == 0
