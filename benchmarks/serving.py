"""What an endpoint adds to a bare ONNX Runtime call, and what it leaves of a server that does nothing.

    python benchmarks/serving.py [--seconds 4] [--rows 16]

All is measured in one run on one machine, so the ratios count and the milliseconds are for orientation. One worker, 16
rows of ten columns a request, every prediction on record. The client is raw sockets in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
import uvicorn
from onnx import parser

from bucle.ground.project import Project
from bucle.line import registry, serving

FLOATS = 7
STRINGS = 3


def model() -> bytes:
    """A small model: seven numbers and three categories into a logistic regression."""
    inputs = [f"float[N,1] x{i}" for i in range(FLOATS)] + [f"string[N,1] s{i}" for i in range(STRINGS)]
    encoders = "\n".join(
        f'c{i} = ai.onnx.ml.LabelEncoder <keys_strings = ["a", "b"], values_floats = [0.0, 1.0]> (s{i})'
        for i in range(STRINGS)
    )
    names = [f"x{i}" for i in range(FLOATS)] + [f"c{i}" for i in range(STRINGS)]
    weights = ", ".join(["0.01"] * len(names))
    text = f"""<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
    small ({", ".join(inputs)}) => (float[N] probability)
    <float[{len(names)},1] w = {{{weights}}}, int64[1] flat = {{-1}}> {{
      {encoders}
      row = Concat <axis = 1> ({", ".join(names)})
      product = MatMul (row, w)
      squashed = Sigmoid (product)
      probability = Reshape (squashed, flat)
    }}"""
    content: bytes = parser.parse_model(text).SerializeToString()
    return content


def columns(rows: int) -> dict[str, list[Any]]:
    """Values for one request."""
    made: dict[str, list[Any]] = {f"x{i}": [round(0.37 * row + i, 3) for row in range(rows)] for i in range(FLOATS)}
    return made | {f"s{i}": ["ab"[row % 2] for row in range(rows)] for i in range(STRINGS)}


def body(rows: int) -> bytes:
    """The same as the protocol writes it."""
    inputs = [
        {"name": name, "shape": [rows, 1], "datatype": "BYTES" if name[0] == "s" else "FP32", "data": values}
        for name, values in columns(rows).items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def bare(onnx: bytes, rows: int, seconds: float) -> list[float]:
    """Seconds of each call of nothing but onnxruntime, with arrays ready."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    feeds = {
        name: np.array(values, dtype=np.float32 if name[0] == "x" else object).reshape(rows, 1)
        for name, values in columns(rows).items()
    }
    took, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        session.run(None, feeds)
        took.append(time.perf_counter() - started)
    return took


REPLY = b'{"model_name":"small","outputs":[{"name":"probability","data":[' + b"0.5123456789012345," * 15 + b"0.5]}]}"


async def noop(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that reads the body and says the same to everybody."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(REPLY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": REPLY})


def run_noop(port: Any) -> None:
    """The server that does nothing, with the endpoint's own settings."""
    import uvloop

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port.value = listener.getsockname()[1]
    config = uvicorn.Config(
        noop, http="httptools", ws="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, date_header=False, proxy_headers=False,
    )  # fmt: skip
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


@contextlib.contextmanager
def noop_server() -> Iterator[tuple[int, int]]:
    """Its port and process."""
    context = get_context("spawn")
    port = context.Value("i", 0)
    process: BaseProcess = context.Process(target=run_noop, args=(port,), daemon=True)
    process.start()
    while not port.value and process.is_alive():
        time.sleep(0.02)
    while process.is_alive():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port.value)):
            break
        time.sleep(0.02)
    yield port.value, process.pid or 0
    process.terminate()
    process.join()


@contextlib.contextmanager
def endpoint(onnx: bytes) -> Iterator[tuple[int, int]]:
    """The port and process of a real endpoint."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bucle.toml").write_text('[project]\nname = "bench"\n')
        project = Project.open(root)
        package = registry.pack(project, onnx)
        home = serving.endpoint_folder(project.state, "small")
        registry.stage_package(project, package.digest, home / "packages")
        arm = serving.Arm(name="champion", model="small", version=1, package=package.digest, share=1.0)
        serving.save_routes(home, serving.Routes(endpoint="small", generation=1, salt="", arms=(arm,)))
        process = serving.start_process(project.root, "small", stay=False)
        yield process.port, process.pid
        serving.stop_process(project.state, "small")
        project.close()


async def one_connection(port: int, request: bytes, until: float, took: list[float]) -> None:
    """Ask again and again over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - started)
    writer.close()


def load(port: int, content: bytes, connections: int, seconds: float) -> list[float]:
    """Seconds of each request, all connections together."""
    import uvloop

    request = (
        b"POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        + b"%d\r\n\r\n" % len(content)
        + content
    )

    async def all_of_them(until: float, took: list[float]) -> None:
        await asyncio.gather(*(one_connection(port, request, until, took) for _ in range(connections)))

    took: list[float] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_them(time.perf_counter() + seconds, took))
    return took


def percentiles(took: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(took)
    return ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


def cpu_s(pid: int) -> float:
    """Processor seconds a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def measure(port: int, pid: int, content: bytes, *, connections: int, seconds: float) -> list[float]:
    """p50 ms, p99 ms, requests a second, and the server's processor time in microseconds a request."""
    load(port, content, connections, seconds / 4)
    before = cpu_s(pid)
    took = load(port, content, connections, seconds)
    return [*percentiles(took), len(took) / seconds, (cpu_s(pid) - before) / len(took) * 1e6]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=4.0)
    arguments.add_argument("--rows", type=int, default=16)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    onnx, content = model(), body(given.rows)
    results: dict[str, list[list[float]]] = {name: [] for name in LABELS}
    with noop_server() as empty, endpoint(onnx) as ours:
        for _ in range(given.rounds):
            results["bare"].append([*percentiles(bare(onnx, given.rows, given.seconds / 4)), 0.0, 0.0])
            for connections in (1, 8):
                for name, server in (("noop", empty), ("ours", ours)):
                    made = measure(*server, content, connections=connections, seconds=given.seconds)
                    results[f"{name} {connections}"].append(made)
    # The best round of each: what other programs on the machine took away is not ours to report.
    best = {
        name: [pick(column) for pick, column in zip((min, min, max, min), zip(*rounds, strict=True), strict=True)]
        for name, rounds in results.items()
    }
    report(best, given)


LABELS = {
    "bare": "bare onnxruntime call",
    "noop 1": "no-op server, 1 connection",
    "ours 1": "endpoint, 1 connection",
    "noop 8": "no-op server, 8 connections",
    "ours 8": "endpoint, 8 connections",
}


def report(best: dict[str, list[float]], given: argparse.Namespace) -> None:
    """The table, the ratios, and what they were measured on."""
    print(
        f"{given.rows} rows, {FLOATS + STRINGS} columns, {len(body(given.rows))} bytes; best of {given.rounds} rounds"
    )
    print(f"{'':28}{'p50 ms':>10}{'p99 ms':>10}{'req/s':>10}{'CPU us':>10}")
    for name, label in LABELS.items():
        p50, p99, rate, cpu = best[name]
        print(f"{label:28}{p50:10.3f}{p99:10.3f}" + (f"{rate:10.0f}{cpu:10.0f}" if rate else ""))
    print(f"\nover the bare call, p50:             {best['ours 1'][0] - best['bare'][0]:.3f} ms")
    print(f"over bare call + no-op server, p50:  {best['ours 1'][0] - best['bare'][0] - best['noop 1'][0]:.3f} ms")
    print(f"requests/s, of the no-op server's:   {best['ours 8'][2] / best['noop 8'][2]:.2f}")
    print(f"the same by processor time:          {best['noop 8'][3] / best['ours 8'][3]:.2f}")
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{psutil.virtual_memory().total >> 30} GB; Python {platform.python_version()}, "
        f"onnxruntime {onnxruntime.__version__}, uvicorn {uvicorn.__version__}, numpy {np.__version__}"
    )


if __name__ == "__main__":
    sys.exit(main())
