from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bucle.ground.project import Project
from bucle.line import serving
from bucle.line.serving import Client, EndpointFailed, Process, RequestFailed, read_segments

Row = dict[str, list[object]]


def here(project: Project) -> Process:
    process = serving.find_process(project.state, "flights")
    assert process is not None
    return process


def infer_body(rows: Row, **more: object) -> bytes:
    kinds = {"hour": "FP32", "distance": "FP32", "carrier": "BYTES"}
    inputs = [{"name": k, "shape": [len(v)], "datatype": kinds[k], "data": v} for k, v in rows.items()]
    return json.dumps({"inputs": inputs, **more}).encode()


def test_refusals_and_answers_are_counted(running: Client, rows: Row, project: Project) -> None:
    running.infer("flights", rows)
    with pytest.raises(RequestFailed):
        running.infer("flights", {"hour": [1.0]})
    text = httpx.get(f"{here(project).url}/metrics", trust_env=False).text
    assert 'bucle_requests_total{endpoint="flights",model="flights",version="1",arm="champion"} 1' in text
    assert 'bucle_rows_total{endpoint="flights",model="flights",version="1",arm="champion"} 3' in text
    assert (
        'bucle_latency_seconds_bucket{endpoint="flights",model="flights",version="1",arm="champion",le="+Inf"} 1'
        in text
    )
    assert 'bucle_refused_total{endpoint="flights",code="BU1102"} 1' in text
    assert "bucle_generation" in text


async def ask_in_a_row(url: str, body: Callable[[str], bytes], name: str, go_on: Callable[[], bool]) -> list[Any]:
    """The answers one client gets, one after the other: status, version and request id."""
    answers: list[Any] = []
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        while go_on():
            identity = f"{name}-{len(answers)}"
            try:
                answer = await http.post("/v2/models/flights/infer", content=body(identity))
            except httpx.HTTPError:
                break
            answers.append((answer.status_code, answer.json().get("model_version"), identity))
    return answers


def load_while(url: str, rows: Row, act: Callable[[], None], clients: int = 4) -> list[Any]:
    """What many clients were told while something happened to the endpoint."""
    going = threading.Event()
    going.set()

    async def everybody() -> list[Any]:
        clients_ = [
            ask_in_a_row(url, lambda identity: infer_body(rows, id=identity), f"c{at}", going.is_set)
            for at in range(clients)
        ]
        return [answer for answers in await asyncio.gather(*clients_) for answer in answers]

    told: list[Any] = []
    asking = threading.Thread(target=lambda: told.extend(asyncio.run(everybody())))
    asking.start()
    try:
        act()
    finally:
        going.clear()
        asking.join()
    return told


def test_no_request_fails_while_versions_are_swapped(
    running: Client, rows: Row, project: Project, pack: Callable[..., Any], deploy: Callable[..., Any]
) -> None:
    process = here(project)

    def swap() -> None:
        for version in range(2, 8):
            generation = deploy(pack(bias=version / 10), version=version).generation
            assert serving.ask(process, "/bucle/reload")["generation"] == generation
            for _ in range(25):  # the clients must get their turn before the next swap
                assert running.infer("flights", rows).version == version

    told = load_while(process.url, rows, swap)
    assert {status for status, _, _ in told} == {200}
    assert len({version for _, version, _ in told}) > 2
    logged = [p.request_id for p in read_segments(serving.endpoint_folder(project.state, "flights") / "log")]
    assert len(logged) == len(set(logged))
    assert {identity for _, _, identity in told} <= set(logged)


def test_new_routes_come_into_force_without_a_nudge(
    running: Client, rows: Row, pack: Callable[..., Any], deploy: Callable[..., Any], until: Callable[..., None]
) -> None:
    deploy(pack(bias=1.0), version=2)
    until(lambda: running.infer("flights", rows).version == 2)


def kill_under_load(project: Project, rows: Row, after: int, folder: Path) -> list[Any]:
    process = here(project)

    def kill() -> None:
        while len(read_segments(folder / "log")) < after:
            pass
        os.kill(process.pid, signal.SIGKILL)

    return load_while(process.url, rows, kill)


def test_every_answered_request_survives_kill_9_and_is_collected_once(
    running: Client, rows: Row, project: Project, folder: Path, server: Callable[[], Process]
) -> None:
    answered = set()
    for round_ in range(3):
        told = kill_under_load(project, rows, 20, folder)
        answered |= {f"{identity}/{row}" for status, _, identity in told if status == 200 for row in range(3)}
        assert serving.collect(project, "flights") > 0
        if round_ < 2:
            server()
    found = serving.predictions(project, "flights", columns=["prediction_id"])["prediction_id"].to_list()
    assert answered <= set(found)
    assert serving.collect(project, "flights") == 0
    assert list((folder / "log").glob("*.seg")) == []


@pytest.mark.full
def test_twenty_kills_at_random_points_lose_and_double_nothing(
    running: Client, rows: Row, project: Project, folder: Path, server: Callable[[], Process]
) -> None:
    import random

    draw, answered = random.Random(20), 0
    for _ in range(20):
        told = kill_under_load(project, rows, draw.randint(1, 150), folder)
        answered += sum(3 for status, _, _ in told if status == 200)
        before = serving.predictions(project, "flights", columns=["prediction_id"]).height
        logged = [f"{p.request_id}/{row}" for p in read_segments(folder / "log") for row in range(p.rows)]
        assert len(logged) == len(set(logged))
        assert {f"{identity}/0" for status, _, identity in told if status == 200} <= set(logged)
        moved = serving.collect(project, "flights")
        assert moved == len(logged)
        assert serving.predictions(project, "flights", columns=["prediction_id"]).height >= before
        server()
    assert answered > 0


def test_an_orderly_end_answers_what_is_under_way_and_closes_the_log(
    running: Client, rows: Row, project: Project, folder: Path
) -> None:
    process = here(project)
    told = load_while(process.url, rows, lambda: serving.stop_process(project.state, "flights") or None)
    assert {status for status, _, _ in told} <= {200}
    assert not (folder / "process.json").exists()
    assert {identity for _, _, identity in told} <= {p.request_id for p in read_segments(folder / "log")}
    assert serving.find_process(project.state, "flights") is None
    assert serving.stop_process(project.state, "flights") is False


def test_it_answers_when_the_control_plane_is_gone(running: Client, rows: Row, project: Project) -> None:
    before = running.infer("flights", rows).outputs
    project.close()
    for file in project.state.glob("bucle.db*"):
        file.unlink()
    assert running.infer("flights", rows).outputs == before


def test_a_second_start_finds_the_first_process(
    running: Client, project: Project, server: Callable[[], Process]
) -> None:
    assert server() == here(project)


def run_by_hand(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bucle.line.serving", str(project.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_and_an_endpoint_in_use_are_said_so(running: Client, project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = run_by_hand(project, "other", "--port", str(other.getsockname()[1]))
    assert (taken.returncode, "BU1114" in taken.stderr) == (6, True)
    twice = run_by_hand(project, "flights")
    assert (twice.returncode, "served by another process" in twice.stderr) == (6, True)


def test_a_process_that_cannot_start_says_why(project: Project, folder: Path) -> None:
    (project.root / "bucle.toml").write_text('[project]\nname = "t"\n[serving]\nmax_row = 5\n')
    with pytest.raises(EndpointFailed, match="max_rows"):
        serving.start_process(project.root, "flights", stay=False)


def test_a_process_ends_with_its_parent_when_told_to(
    project: Project, pack: Callable[..., Any], deploy: Callable[..., Any], until: Callable[..., None]
) -> None:
    deploy(pack())
    code = (
        "import sys; from pathlib import Path; from bucle.line import serving;"
        "serving.start_process(Path(sys.argv[1]), 'flights', stay=False)"
    )
    subprocess.run([sys.executable, "-c", code, str(project.root)], check=True, timeout=60)
    until(lambda: serving.find_process(project.state, "flights") is None)


def test_a_client_without_an_endpoint_says_so() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(RequestFailed, match="does not answer"):
        client.infer("flights", {"hour": [1.0]})
