"""The server as a process: its port, its signals, its guard."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bucle.doors.server import PortBusy, make_app, serve
from bucle.ground.core import UserError
from bucle.ground.project import Project
from doors.conftest import Site, served

SCRIPT = """
import sys
from pathlib import Path
from bucle.doors.server import serve
from bucle.ground.project import Project

project = Project.open(sys.argv[1])
work = lambda stop: (stop.wait(), Path(sys.argv[2]).write_text("at rest"))
serve(project, "127.0.0.1", 0, ready=lambda url: print(url, flush=True), background=[work])
project.close()
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_even_while_somebody_follows_the_ledger(
    root: Path, tmp_path: Path, number: signal.Signals
) -> None:
    done = tmp_path / "done"
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root), str(done)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx.stream("GET", f"{url}/live", timeout=30) as stream:
            lines = stream.iter_lines()
            next(lines)
            os.kill(process.pid, number)
            list(lines)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.strip() == "ended"
    assert err == ""
    assert done.read_text() == "at rest"


def test_a_port_in_use_is_refused_before_anything_starts(project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortBusy) as raised:
            serve(project, "127.0.0.1", port)
    assert raised.value.code == "BU1602"
    assert f"--port {port + 1}" in raised.value.fix


def test_an_address_of_another_machine_is_refused(project: Project) -> None:
    with pytest.raises(UserError, match="cannot listen"):
        serve(project, "203.0.113.7", 0)


def test_without_a_controller_no_background_work_is_begun(project: Project) -> None:
    stop, begun = threading.Event(), threading.Event()

    def work(halt: threading.Event) -> None:
        begun.set()

    serve(project, "127.0.0.1", 0, controller=False, background=[work], stop=stop, ready=lambda url: stop.set())
    assert not begun.is_set()


def test_a_page_of_another_site_cannot_read_it_under_its_own_name(site: Site) -> None:
    answer = site.client.get("/api/v1/models", headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert answer.json()["code"] == "BU1611"


def test_every_answer_tells_the_browser_what_it_may_do(site: Site) -> None:
    for path in ("/", "/api/v1", "/nope", "/static/bucle.css"):
        headers = site.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_pages_are_compressed_and_static_files_kept(site: Site) -> None:
    page = site.get("/audit")
    assert page.headers["content-encoding"] == "gzip"
    link = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "immutable" in site.client.get(link).headers["cache-control"]
    assert site.client.get("/static/bucle.css").headers["cache-control"] == "no-cache"


def test_a_growing_ledger_is_told_to_whoever_follows_it(tmp_path: Path) -> None:
    root = tmp_path / "live"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "live"\n')
    with served(root) as site, httpx.stream("GET", f"{site.url}/live", timeout=30) as stream:
        lines = stream.iter_lines()
        assert any(line == "data: 0" for line in lines)
        started = time.perf_counter()
        site.project.ledger.record("test.happened", subject="test/one", actor="ana")
        assert any(line == "event: moved" for line in lines)
        assert time.perf_counter() - started < 5


def test_a_fault_of_ours_says_where_to_look_and_shows_no_trace(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anyio

    app = make_app(project)
    monkeypatch.setattr(project.ledger, "size", lambda: 1 / 0)

    async def ask(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers={"accept": "text/html"})

    for path in ("/audit", "/api/v1", "/audit.json"):
        answer = anyio.run(ask, path)
        assert answer.status_code == 500
        assert "BU1612" in answer.text
        assert "Traceback" not in answer.text
        assert "ZeroDivision" not in answer.text


def test_a_head_without_an_end_is_cut_off(empty_site: Site) -> None:
    url = urlsplit(empty_site.url)
    for line in (b"a" * (1 << 16), (b"a: " + b"b" * 97 + b"\r\n") * 600):
        with socket.create_connection((url.hostname, url.port), timeout=60) as open_socket:
            open_socket.sendall(f"GET /health HTTP/1.1\r\nhost: {url.netloc}\r\nx: ".encode())
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    open_socket.sendall(line)
                raise AssertionError("the server took in a head of many megabytes")
    many = {f"x-{number}": "y" * 100 for number in range(1000)}
    assert empty_site.client.get("/health", headers=many).status_code == 200


@pytest.mark.parametrize(
    "hosts", [[b"evil.example", b"127.0.0.1"], [b"127.0.0.1", b"127.0.0.1"], [b"[::1].evil.example"], []]
)
def test_a_host_that_is_none_or_two_is_refused(empty_site: Site, hosts: list[bytes]) -> None:
    url = urlsplit(empty_site.url)
    with socket.create_connection((url.hostname, url.port), timeout=60) as open_socket:
        given = b"".join(b"host: " + host + b"\r\n" for host in hosts)
        open_socket.sendall(b"GET /health HTTP/1.1\r\nconnection: close\r\n" + given + b"\r\n")
        assert open_socket.recv(100).split()[1] == b"421"


def test_head_and_body_of_a_short_answer_come_in_one_piece(empty_site: Site) -> None:
    url = urlsplit(empty_site.url)
    with socket.create_connection((url.hostname, url.port), timeout=60) as open_socket:
        for path in ("/health", "/api/2.0/mlflow/experiments/get?experiment_id=0") * 3:
            open_socket.sendall(f"GET {path} HTTP/1.1\r\nhost: {url.netloc}\r\n\r\n".encode())
            head, _, body = open_socket.recv(1 << 16).partition(b"\r\n\r\n")
            assert head.split()[1] == b"200"
            assert f"content-length: {len(body)}".encode() in head.lower()
            assert body


def test_an_answer_that_goes_on_begins_at_once(empty_site: Site) -> None:
    with empty_site.client.stream("GET", "/live", timeout=60) as answer:  # no event is under way
        assert answer.status_code == 200
