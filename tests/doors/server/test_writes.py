"""The API's writing half: what a run logs from elsewhere arrives once; what is wrong is refused."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
import pytest

from bucle.doors.server import API
from bucle.line import tracking
from doors.conftest import Site, served

AT = "2013-01-01T00:00:00Z"
HEADERS = {"x-bucle-client": "test", "content-type": "application/json"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("written") / "project"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "written"\n')
    with served(root) as found:
        yield found


def _send(site: Site, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return site.client.request(method, f"{API}{path}", content=content, headers={**HEADERS, **headers})


def _start(**given: object) -> dict[str, Any]:
    return {"type": "start", "run": uuid.uuid4().hex, "experiment": "flights", "started_at": AT, **given}


@pytest.fixture
def run(site: Site) -> str:
    start = _start()
    assert _send(site, "POST", "/runs", start).status_code == 200
    return str(start["run"])


def _entry(key: str, values: list[float], **given: object) -> dict[str, Any]:
    steps = np.arange(len(values), dtype="<i8").tobytes()
    at = np.full(len(values), 1_356_998_400_000, dtype="<i8").tobytes()
    return {"type": "entry", "stretches": [[key, steps, at, np.array(values, dtype="<f8").tobytes()]], **given}


def test_a_run_logs_in_json_or_messagepack_and_twice_is_once(site: Site) -> None:
    start = _start(params={"rate": "0.1"}, inputs=["commit/elsewhere"], seed=3)
    for _ in range(2):
        assert _send(site, "POST", "/runs", start).json()["id"] == start["run"]
        for entry in (_entry("loss", [0.5, 0.25], tags={"by": "ana"}), _entry("auc", [0.75])):
            assert _send(site, "POST", f"/runs/{start['run']}/entries", entry).json()["points"] > 0
            packed = msgspec.msgpack.encode(entry)
            kind = {"content-type": "application/msgpack"}
            assert _send(site, "POST", f"/runs/{start['run']}/entries", packed, **kind).status_code == 200
        answer = _send(site, "PUT", f"/runs/{start['run']}/artifacts/plots/r%C3%B3c.png", b"\x89PNG")
        assert answer.json()["path"] == "plots/róc.png"
        end = {"type": "end", "status": "finished", "ended_at": AT}
        assert _send(site, "POST", f"/runs/{start['run']}/end", end).json()["status"] == "finished"
    found = tracking.run(site.project, start["run"])
    assert (found.params, found.tags, found.metrics) == ({"rate": "0.1"}, {"by": "ana"}, {"auc": 0.75, "loss": 0.25})
    assert (found.inputs, found.seed, found.sealed) == (("commit/elsewhere",), 3, True)
    assert tracking.points(site.project, found.id, "loss").values.tolist() == [0.5, 0.25]
    assert site.project.blobs.get(found.artifacts["plots/róc.png"]) == b"\x89PNG"
    kinds = [event.kind for event in site.project.ledger.events(subject=f"run/{found.id}")]
    first, second, third = kinds  # the server seals what is unsealed each second, so the second end may find it done
    assert (first, second) == ("tracking.run_finished", "tracking.run_unsealed")
    assert third in {"tracking.run_finished", "tracking.runs_sealed"}
    assert tracking.verify_runs(site.project) == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-bucle-client": ""}, 200, ""),
        ({"origin": "http://evil.example"}, 403, "BU1630"),
        ({"content-type": "text/plain"}, 415, "BU1652"),
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "BU1652"),
        ({"host": "evil.example"}, 421, "BU1611"),
    ],
    ids=str,
)
def test_who_may_write(site: Site, headers: dict[str, str], status: int, code: str) -> None:
    answer = _send(site, "POST", "/runs", _start(), **headers)
    assert answer.status_code == status, answer.text
    assert answer.json().get("code", "") == code


def test_a_plain_request_of_a_browser_may_not_write(site: Site) -> None:
    for method, path in (("POST", "/runs"), ("PUT", "/runs/abc/artifacts/a.html")):
        answer = site.client.request(method, f"{API}{path}", content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (403, "BU1630")


WRONG = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"[" * 100_000,
    b'{"type":"start"}',
    b"\xff\xfe",
    b'{"type":"entry"}',
    _start(run="short"),
    _start(run="../../etc/passwd"),
    _start(run=3),
    _start(experiment=""),
    _start(experiment="x" * 501),
    _start(params={"a" * 251: "1"}),
    _start(params={"a": 1}),
    _start(params=["a"]),
    _start(tags={"a": "x" * 8001}),
    _start(tags={"a": "\0"}),
    _start(started_at="yesterday"),
    _start(seed="x"),
    _start(inputs=["x"] * 1001),
]


@pytest.mark.parametrize("body", WRONG, ids=range(len(WRONG)))
def test_what_is_no_start_is_refused(site: Site, body: object) -> None:
    before = len(tracking.runs(site.project, limit=None))
    answer = _send(site, "POST", "/runs", body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"].startswith("BU")
    assert len(tracking.runs(site.project, limit=None)) == before


@pytest.mark.parametrize(
    "entry",
    [
        {"stretches": [["loss", b"12345678", b"", b""]]}, {"stretches": [["loss", b"1", b"1", b"1"]]},
        {"stretches": [["", b"", b"", b""]]}, {"stretches": [["loss", "!!", "", ""]]}, {"stretches": [["loss"]]},
        {"params": {"a": None}}, {"params": {"a": "x" * 7000}}, {"stretches": 3},
    ],
    ids=lambda entry: str(entry)[:60],
)  # fmt: skip
def test_what_is_no_entry_is_refused(site: Site, run: str, entry: dict[str, object]) -> None:
    answer = _send(site, "POST", f"/runs/{run}/entries", {"type": "entry", **entry})
    assert answer.status_code == 422, answer.text
    assert tracking.run(site.project, run).metrics == {}


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc", "%2e%2e/x", "a//b", "%2fetc%2fpasswd", "a%00b", "a%5cb", "x" * 1001, "a/%2e/b"]
)
def test_no_path_leads_out_of_the_run(site: Site, run: str, path: str) -> None:
    answer = _send(site, "PUT", f"/runs/{run}/artifacts/{path}", b"<html>")
    assert answer.status_code in (404, 422), answer.text
    assert tracking.run(site.project, run).artifacts == {}


def test_much_is_refused_before_it_is_read(site: Site, run: str) -> None:
    place = urlsplit(site.url)
    connection = HTTPConnection(str(place.hostname), int(place.port or 0), timeout=60)
    connection.putrequest("POST", f"{API}/runs")
    for name, value in (*HEADERS.items(), ("content-length", str(1 << 40))):
        connection.putheader(name, value)
    connection.endheaders(b"x")
    answer = connection.getresponse()
    assert (answer.status, msgspec.json.decode(answer.read())["code"]) == (413, "BU1651")
    connection.close()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * (1 << 20)

    # The server hangs up while we are still sending; whether its answer is still read is chance.
    with contextlib.suppress(httpx.TransportError):
        answered = site.client.post(f"{API}/runs/{run}/entries", content=endless(), headers=HEADERS)
        assert answered.status_code == 413
    assert _send(site, "POST", f"/runs/{run}/entries", _entry("loss", [1.0])).status_code == 200


def test_an_upload_leaves_nothing_beside_its_blob(site: Site, run: str) -> None:
    assert _send(site, "PUT", f"/runs/{run}/artifacts/big", b"x" * (8 << 20)).status_code == 200
    assert list(Path(site.project.state).glob("upload-*")) == []


@pytest.mark.parametrize("path", ["entries", "end", "artifacts/a"])
def test_a_run_nobody_began_takes_nothing(site: Site, path: str) -> None:
    bodies = {
        "entries": {"type": "entry", "tags": {"a": "b"}},
        "end": {"type": "end", "status": "finished", "ended_at": AT},
        "artifacts/a": b"x",
    }
    method = "PUT" if path.startswith("artifacts") else "POST"
    answer = _send(site, method, f"/runs/{'0' * 32}/{path}", bodies[path])
    assert (answer.status_code, answer.json()["code"]) == (404, "BU0802")
