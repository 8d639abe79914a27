"""Many who write at once lose nothing; what was acknowledged is there after the server was killed, and all is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from bucle.ground import governance
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import data
from doors.conftest import Site
from doors.s3.conftest import Connect, client_with, keys, new_root
from doors.s3.test_boto import BIG, read

SERVER = """
    import sys
    from bucle.doors.server import serve
    from bucle.ground.project import Project
    serve(Project.open(sys.argv[1]), "127.0.0.1", 0, ready=lambda url: print(url, flush=True))
"""


def test_four_writers_of_a_hundred_objects_lose_nothing(bucket: Site, connect: Connect) -> None:
    clients = [connect(name) for name in ("ana", "ana", "eva", "eva")]
    failed = list[BaseException]()

    def put(number: int) -> None:
        try:
            for count in range(100):
                body = b"%d-%d" % (number, count)
                clients[number].put_object(Bucket="lake", Key=f"main/{number}/{count}", Body=body)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    there = data.files(bucket.project)
    assert len(there) == 401
    for number in range(4):
        for count in (0, 50, 99):
            assert data.read_file(bucket.project, f"{number}/{count}") == b"%d-%d" % (number, count)
    made = data.log(bucket.project)[:-1]
    assert len(made) < 400
    assert {commit.author for commit in made} == {"ana", "eva"}
    assert not verify_log(bucket.project.database, bucket.project.ledger._anchor).faults


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.full)])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, kills: int) -> None:
    root, acknowledged = new_root(tmp_path / "project"), dict[str, bytes]()
    project = Project.open(root)
    key, secret = governance.make_access_key(project, "eva")
    try:
        for turn in range(kills):
            kill_while_putting(root, key.id, secret, turn, acknowledged)
            assert not verify_log(project.database, project.ledger._anchor).faults
            assert data.verify_files(project) == []
            there = data.files(project)
            assert set(acknowledged) <= set(there)
            for path, body in acknowledged.items():
                assert data.read_file(project, path) == body
    finally:
        project.close()
    assert len(acknowledged) > 10 * kills


def kill_while_putting(root: Path, key: str, secret: str, turn: int, acknowledged: dict[str, bytes]) -> None:
    """Three clients put, one of them long bodies; the server is killed in the middle."""
    server = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), str(root)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url, enough = server.stdout.readline().strip(), threading.Event()

    def put(number: int) -> None:
        s3, count = client_with(url, key, secret), 0
        while True:
            body = BIG[: (3 << 20) + count] if number == 0 else b"%d/%d/%d" % (turn, number, count)
            path = f"{turn}/{number}/{count}"
            try:
                s3.put_object(Bucket="lake", Key=f"main/{path}", Body=body)
            except (BotoCoreError, ClientError):
                return
            acknowledged[path] = body
            count += 1
            if number and count == 15 + 7 * turn:
                enough.set()

    threads = [threading.Thread(target=put, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    os.kill(server.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    server.wait()
    server.stdout.close()


def test_an_upload_goes_on_after_a_kill(tmp_path: Path) -> None:
    root = new_root(tmp_path / "project")
    project = Project.open(root)
    key, secret = governance.make_access_key(project, "eva")
    project.close()
    at: dict[str, Any] = {"Bucket": "lake", "Key": "main/big"}
    parts, half = [], 5 << 20
    for number in (1, 2):
        server = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), str(root)], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        s3 = client_with(server.stdout.readline().strip(), key.id, secret)
        if number == 1:
            at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
        body = BIG[(number - 1) * half : number * half]
        parts.append({"PartNumber": number, "ETag": s3.upload_part(**at, PartNumber=number, Body=body)["ETag"]})
        if number == 2:
            s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
            assert read(s3, "main/big") == BIG[: 2 * half]
            assert keys(s3) == ["main/big"]
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()
