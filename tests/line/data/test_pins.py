"""Files imported by URL: no byte is copied before somebody reads, and what has changed never passes for what it was."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from buckets import REGION, client_of
from bucle.ground.project import Project
from bucle.line import data


class _Shop(http.server.BaseHTTPRequestHandler):
    body, etag = b"", ""

    def do_GET(self) -> None:
        self.send_response(200 if self.body else 404)
        if self.etag:
            self.send_header("ETag", self.etag)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[type[_Shop]]:
    class Mine(_Shop):
        address = ""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Mine.address = f"http://127.0.0.1:{server.server_port}/things/a.bin"
    yield Mine
    server.shutdown()
    server.server_close()


def kept(project: Project) -> int:
    folders = [project.state / "files", project.state / "blobs"]
    return sum(one.stat().st_size for folder in folders for one in folder.rglob("*") if one.is_file())


def test_a_file_pinned_to_a_file_is_read_until_it_changes(project: Project, tmp_path: Path) -> None:
    there = tmp_path / "there.bin"
    there.write_bytes(b"x" * 3_000_000)
    made = data.import_url(project, str(there), "in/tree.bin")
    assert kept(project) < 10_000
    assert data.import_url(project, str(there), "in/tree.bin").id == made.id
    assert data.files(project)["in/tree.bin"].size_bytes == 3_000_000
    assert data.read_file(project, "in/tree.bin") == b"x" * 3_000_000
    there.write_bytes(b"y")
    assert data.read_file(project, "in/tree.bin") == b"x" * 3_000_000
    assert data.file_path(project, "in/tree.bin").read_bytes() == b"x" * 3_000_000
    data.update_url(project, "in/tree.bin")
    there.write_bytes(b"z")
    with pytest.raises(data.PinMoved, match=r"there\.bin"):
        data.read_file(project, "in/tree.bin")
    with pytest.raises(data.PinMoved):
        data.checkout(project, tmp_path / "out", "in")
    assert not (tmp_path / "out").exists()
    assert data.read_file(project, "in/tree.bin", at=made.id) == b"x" * 3_000_000
    there.unlink()
    with pytest.raises(data.PinMoved, match="gone"):
        data.read_file(project, "in/tree.bin")


def test_a_checkout_and_an_add_leave_a_pin_a_pin(project: Project, tmp_path: Path) -> None:
    there = tmp_path / "there.bin"
    there.write_bytes(b"x" * 100_000)
    data.commit(project, {}, files={"f/a": b"1"}, message="a")
    data.import_url(project, str(there), "f/pinned")
    head = data.resolve(project).id
    data.checkout(project, tmp_path / "f")
    assert (tmp_path / "f" / "pinned").read_bytes() == b"x" * 100_000
    assert data.status(project, tmp_path / "f").unchanged == 2
    assert data.add_files(project, tmp_path / "f").id == head
    (tmp_path / "f" / "a").write_bytes(b"2")
    data.add_files(project, tmp_path / "f")
    with pytest.raises(data.NoSuchFile):
        data.update_url(project, "f/a")
    (tmp_path / "f" / "pinned").write_bytes(b"edited")
    assert data.status(project, tmp_path / "f").changed == ("pinned",)
    data.add_files(project, tmp_path / "f")
    assert data.read_file(project, "f/pinned") == b"edited"
    assert data.verify_files(project) == []


def test_an_address_of_the_web_is_pinned_by_its_etag(project: Project, shop: type[_Shop]) -> None:
    shop.body, shop.etag = b"first", '"1"'
    data.import_url(project, shop.address, "a.bin")
    shop.body, shop.etag = b"again", '"2"'
    with pytest.raises(data.PinMoved):
        data.read_file(project, "a.bin")
    data.update_url(project, "a.bin")
    assert data.read_file(project, "a.bin") == b"again"
    shop.etag = ""
    with pytest.raises(data.BadUrl, match="neither"):
        data.import_url(project, shop.address, "b.bin")
    shop.body = b""
    with pytest.raises(data.BadUrl, match="404"):
        data.import_url(project, shop.address, "b.bin")


REFUSED = ["ftp://x/y", "http://me:secret@x/y", "s3://bucket", "http://127.0.0.1:1/x", "http://[::1/x", "http://x/a\r\nb",
           "file:///dev/zero", "file:///dev"]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_pinned_is_refused(project: Project, url: str) -> None:
    with pytest.raises(data.BadUrl) as refused:
        data.import_url(project, url, "a")
    assert "secret" not in str(refused.value)


def test_an_object_of_a_bucket_is_pinned_by_its_etag(root: Path, s3_server: str, bucket: str) -> None:
    (root / "bucle.toml").write_text(
        f'[project]\nname = "test"\n[store.s3]\nendpoint = "{s3_server}"\nregion = "{REGION}"\nretry_s = 2.0\n'
    )
    client = client_of(s3_server)
    client.put_object(Bucket=bucket, Key="deep/a.bin", Body=b"first" * 1000)
    project = Project.open(root, actor="ana")
    data.import_url(project, f"s3://{bucket}/deep/a.bin", "a.bin")
    assert data.read_file(project, "a.bin") == b"first" * 1000
    data.import_url(project, f"s3://{bucket}/deep/a.bin", "b.bin")
    client.put_object(Bucket=bucket, Key="deep/a.bin", Body=b"other" * 1000)
    data.import_url(project, f"s3://{bucket}/deep/a.bin", "c.bin")
    client.put_object(Bucket=bucket, Key="deep/a.bin", Body=b"third" * 1000)
    assert data.read_file(project, "b.bin") == b"first" * 1000
    with pytest.raises(data.PinMoved, match="ETag"):
        data.read_file(project, "c.bin")
    with pytest.raises(data.BadUrl):
        data.import_url(project, f"s3://{bucket}/nothing", "d.bin")
    project.close()
