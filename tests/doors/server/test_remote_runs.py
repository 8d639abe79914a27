"""A run on one machine, its server on another: nothing is lost or doubled, and nothing waits for the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

import bucle
from bucle.doors.server import serve
from bucle.ground.project import Project
from bucle.line import client, tracking
from bucle.line.client import Delivery, queue_root
from doors.cli.typed import PROGRAM

QUIET = {"console": "none", "system_s": None}


@pytest.fixture(autouse=True)
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BUCLE_QUEUE", str(tmp_path / "queue"))
    return tmp_path / "queue"


@contextmanager
def up(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`bucle up` in a process of its own, ready."""
    command = [str(PROGRAM), "up", "--port", str(port), "--no-loop", "--project", str(root), "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout is not None
    try:
        assert b"url" in server.stdout.readline()
        yield server
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@contextmanager
def serving(project: Project, port: int) -> Iterator[None]:
    """A server in a thread of this process, ready."""
    stop, ready = threading.Event(), threading.Event()
    given = {"ready": lambda url: ready.set(), "stop": stop}
    thread = threading.Thread(target=serve, args=(project, "127.0.0.1", port), kwargs=given)
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        stop.set()
        thread.join()


def _begin(address: str) -> client.ActiveRun:
    return bucle.run("flights", server=address, **QUIET)  # type: ignore[arg-type]


def _join(name: str) -> None:
    """Wait until threads of this name have done their work."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(60)
            assert not thread.is_alive()


def _settled(address: str) -> list[Delivery]:
    """Deliver what waits until nothing does: a thread of a run before may hold it for a moment."""
    until = time.monotonic() + 60
    while True:
        told = client.sync(queue_root(), server=address)
        if not [one for one in told if one.state in ("waiting", "writing")] or time.monotonic() > until:
            return told


def _whole(project: Project, run: str, count: int) -> bool:
    found = tracking.points(project, run, "loss")
    return found.steps.tolist() == list(range(count)) and bool(np.array_equal(found.values, np.arange(count) / 2))


def test_everything_logged_arrives(project: Project, free_port: int, queue: Path) -> None:
    address = f"http://127.0.0.1:{free_port}"
    with serving(project, free_port), _begin(address) as run:
        run.log({"auc": 0.75, "image": bucle.Image(np.zeros((2, 2)))})
        run.log_metrics({"loss": np.arange(300_000) / 2})
        run.log_params({"rate": 0.1})
        with run.child("fold-1") as fold:
            fold.log({"auc": 0.5})
    assert _whole(project, run.id, 300_000)
    found = tracking.run(project, run.id)
    assert (found.status, found.params, found.sealed) == ("finished", {"rate": "0.1"}, True)
    assert project.blobs.get(found.artifacts["media/image/0.png"]).startswith(b"\x89PNG")
    assert "numpy==" in project.blobs.get(found.lock).decode()
    assert tracking.run(project, fold.id).tags["mlflow.parentRunId"] == run.id
    assert client.sync(queue) == []


def test_an_outage_neither_stops_a_training_nor_loses_anything(
    project: Project, free_port: int, queue: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"http://127.0.0.1:{free_port}"
    run = _begin(address)
    began = time.monotonic()
    for step in range(1000):
        run.log_metrics({"loss": step / 2}, step=step)
    run.flush()
    assert time.monotonic() - began < 5
    run.finish(timeout_s=0.2)
    assert "bucle runs sync" in caplog.text
    assert [one.state for one in client.sync(queue)] in (["waiting"], ["writing"])
    with serving(project, free_port):
        _join(f"bucle-courier-{run.id}")  # which goes on as long as this process lives
        assert not (queue / run.id).exists()
    assert _whole(project, run.id, 1000)
    assert tracking.run(project, run.id).status == "finished"


_WRITER = """
import sys, bucle
run = bucle.run("flights", server=sys.argv[1], console="none", system_s=None)
sys.stdout.write(run.id + "\\n")
for step in range(1_000_000):
    run.log_metrics({"loss": step / 2}, step=step)
    if step % 200 == 199:
        run.flush()
        sys.stdout.write(f"{step}\\n")
        sys.stdout.flush()
"""


def _killed_after(address: str, lines: int) -> tuple[str, int]:
    """A training that was killed; its run, and how many points were acknowledged."""
    child = subprocess.Popen([sys.executable, "-c", _WRITER, address], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = [child.stdout.readline() for _ in range(lines + 1)]
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    told += [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.stdout.close()
    return told[0].strip(), int(told[-1]) + 1


def _acknowledged(project: Project, run: str, count: int) -> bool:
    found = tracking.points(project, run, "loss").count
    return found >= count and _whole(project, run, found)


def test_a_killed_training_is_delivered_by_sync_and_known_as_killed(
    project: Project, free_port: int, queue: Path
) -> None:
    address = f"http://127.0.0.1:{free_port}"
    run, count = _killed_after(address, 10)
    assert [one.state for one in client.sync(queue)] == ["waiting"]
    with serving(project, free_port):
        (told,) = client.sync(queue)
        assert (told.run, told.state) == (run, "delivered")
        assert client.sync(queue) == []
    assert _acknowledged(project, run, count)
    assert tracking.run(project, run).status == "killed"


def test_the_next_run_delivers_what_a_killed_one_left(project: Project, free_port: int, queue: Path) -> None:
    address = f"http://127.0.0.1:{free_port}"
    run, count = _killed_after(address, 5)
    with serving(project, free_port):
        with _begin(address) as other:
            _join("bucle-leftovers")
        assert other.id != run
    assert _acknowledged(project, run, count)


def test_a_server_killed_again_and_again_has_everything_once(project: Project, free_port: int, queue: Path) -> None:
    address = f"http://127.0.0.1:{free_port}"
    run = _begin(address)
    for lap in range(2):
        with up(project.root, free_port) as server:
            for step in range(lap * 5000, lap * 5000 + 5000):
                run.log_metrics({"loss": step / 2}, step=step)
                if step % 500 == 0:
                    run.flush()
            server.kill()
    with up(project.root, free_port):
        run.finish()
    assert _whole(project, run.id, 10_000)
    assert tracking.run(project, run.id).status == "finished"
    assert tracking.verify_runs(project) == []


@pytest.mark.full
def test_writers_and_server_killed_at_any_moment_lose_nothing_acknowledged(
    project: Project, free_port: int, queue: Path
) -> None:
    address = f"http://127.0.0.1:{free_port}"
    generator, known = np.random.default_rng(0), dict[str, int]()
    for _ in range(10):
        with up(project.root, free_port) as server:
            run, count = _killed_after(address, int(generator.integers(1, 60)))
            known[run] = count
            if generator.uniform() < 0.5:
                server.kill()
            client.sync(queue)
    with up(project.root, free_port):
        _settled(address)
    assert all(_acknowledged(project, run, count) for run, count in known.items())
    assert {one.status for one in tracking.runs(project, limit=None)} == {"killed"}


def test_what_the_server_will_never_take_is_kept_aside_and_told(
    project: Project, free_port: int, queue: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"http://127.0.0.1:{free_port}"
    with serving(project, free_port):
        run = _begin(address)
        run.log({"loss": 0.5})
        run.flush()
        run.log_artifact("a", b"1")
        run.log_artifact("a/b", b"2")
        run.log({"loss": 0.25})
        run.finish()
    assert "refused" in caplog.text
    found = tracking.run(project, run.id)
    assert (found.metrics, sorted(found.artifacts), found.status) == ({"loss": 0.25}, ["a"], "finished")
    aside = queue / ".refused" / run.id
    assert b"BU08" in (aside / "refused").read_bytes()
    assert b"2" in [file.read_bytes() for file in aside.rglob("*") if file.is_file()]


def test_another_program_on_the_port_is_an_outage(free_port: int, queue: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(free_port), "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
            assert client.get(f"http://127.0.0.1:{free_port}/").status_code == 200
        run = _begin(f"http://127.0.0.1:{free_port}")
        run.log({"loss": 0.5})
        run.finish(timeout_s=0.2)
        assert (queue / run.id).exists()
    finally:
        other.kill()
        other.wait()
