"""A real bucket for tests: moto's S3 server in a thread, and a line to it that can be cut."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import uuid
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bucle.ground.core import S3Section
from bucle.ground.store import BlobPlace

REGION = "eu-south-2"
KEY, SECRET = "AKIATESTTESTTESTTEST", "a-secret-that-is-nowhere-printed"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.fixture
def bucket(s3_server: str, credentials: None) -> str:
    """The name of an empty bucket."""
    name = f"bucle-{uuid.uuid4().hex[:12]}"
    client_of(s3_server).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def client_of(address: str):  # boto3's clients have no type of their own
    """Another client than ours, to look at what is really there."""
    return boto3.client(
        "s3", endpoint_url=address, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION
    )


def place_in(bucket: str, address: str, folder: object, **settings: object) -> BlobPlace:
    """A place below `bucket/team/blobs`."""
    given = {"endpoint": address, "region": REGION, "retry_s": 2.0, **settings}
    return BlobPlace(folder=str(folder), url=f"s3://{bucket}/team/blobs", s3=S3Section(**given))  # type: ignore[arg-type]


class Line:
    """A line to a server that carries so many bytes towards it and is dead from then on.

    Args:
        address: the server.
        upstream: bytes it carries to the server before it is cut; None for ever.
    """

    def __init__(self, address: str, upstream: int | None = None) -> None:
        host, _, port = address.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._left = upstream
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def mend(self) -> None:
        """Carry everything from now on."""
        with self._lock:
            self._left = None

    def close(self) -> None:
        self._door.close()
        self._cut()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                if self._left is not None and self._left <= 0:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._open |= {near, far}
                for pair in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_upstream: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_upstream and not self._may_pass(len(data)):
                    self._cut()
                    return
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _may_pass(self, size: int) -> bool:
        with self._lock:
            if self._left is not None:
                self._left -= size
            return self._left is None or self._left > 0

    def _cut(self) -> None:
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()
