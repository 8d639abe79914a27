"""Logging: calls and points a second through HTTP, beside `mlflow server` of the same version, and in process.

    python benchmarks/tracking_writes.py [--seconds 3]

The limits stand beside: a server that only decodes the body, and SQLite taking bare rows. MLflow is measured as it
starts by default (four workers) and with one worker; ratios are against the faster of the two.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from peers import (
    API,
    Client,
    Peer,
    bucle_server,
    machine,
    memory,
    mlflow_server,
    noop_server,
    rate,
    raw_sqlite_rows,
)

NOW = 1_700_000_000_000
BATCH, KEYS = 1000, 10


def new_run(client: Client) -> str:
    """The id of a run; a server that does nothing gives none."""
    body = {"experiment_id": "0", "start_time": NOW, "tags": [{"key": "mlflow.user", "value": "ana"}]}
    return str(client.post("/runs/create", body).get("run", {}).get("info", {}).get("run_id", "none"))


def create_run(client: Client, number: int) -> Callable[[int], None]:
    return lambda count: new_run(client) and None


def log_metric(client: Client, number: int) -> Callable[[int], None]:
    run = new_run(client)

    def call(count: int) -> None:
        body = {"run_id": run, "key": "loss", "value": 1 / (count + 1), "timestamp": NOW + count, "step": count}
        client.call("POST", f"{API}/runs/log-metric", json.dumps(body).encode())

    return call


def log_batch(client: Client, number: int) -> Callable[[int], None]:
    run = new_run(client)
    # Made before the clock starts: what a client takes to write JSON is not the server's.
    ready = [batch(run, count) for count in range(250)]

    def call(count: int) -> None:
        client.call("POST", f"{API}/runs/log-batch", ready[count] if count < len(ready) else batch(run, count))

    return call


def batch(run: str, count: int) -> bytes:
    """The body of one batch; no two are alike."""
    first = count * (BATCH // KEYS)
    metrics = [
        {"key": f"metric_{key}", "value": 1 / (step + 1), "timestamp": NOW + step, "step": step}
        for key in range(KEYS)
        for step in range(first, first + BATCH // KEYS)
    ]
    return msgspec.json.encode({"run_id": run, "metrics": metrics})


def small_run(client: Client, number: int) -> Callable[[int], None]:
    """All of a small run: made, five params, four metrics, ended."""
    params = [{"key": f"p{place}", "value": str(place)} for place in range(5)]

    def call(count: int) -> None:
        run = new_run(client)
        metrics = [{"key": f"m{place}", "value": place / 7, "timestamp": NOW, "step": 0} for place in range(4)]
        client.post("/runs/log-batch", {"run_id": run, "params": params, "metrics": metrics})
        client.post("/runs/update", {"run_id": run, "status": "FINISHED", "end_time": NOW + 1})

    return call


WORK = (
    ("create_run, 1 client", create_run, 1, 1),
    ("log_metric, 1 client", log_metric, 1, 1),
    ("log_metric, 8 clients", log_metric, 8, 1),
    ("log_batch points, 1 client", log_batch, 1, BATCH),
    ("log_batch points, 8 clients", log_batch, 8, BATCH),
    ("whole small runs, 1 client", small_run, 1, 1),
)


def measure(peer: Peer, seconds: float) -> dict[str, float]:
    """Each kind of work, a second."""
    found = {}
    for name, make, clients, each in WORK:
        took = rate(peer.port, clients, seconds, make)
        found[name] = len(took) * each / seconds
        middle = sorted(took)[len(took) // 2] * 1e3
        print(f"  {peer.name:22}{name:30}{found[name]:12,.0f}/s   p50 {middle:8.2f} ms", flush=True)
    return found


def in_process(folder: Path, points: int = 300_000) -> tuple[float, float]:
    """Points a second through our own client, until all are durable: one scalar a call, and arrays."""
    import numpy as np

    import bucle

    (folder / "bucle.toml").write_text('[project]\nname = "bench"\n')
    with contextlib.chdir(folder), bucle.run("scalars", system_s=None, console="none") as run:
        started = time.perf_counter()
        for step in range(points):
            run.log_metrics({"loss": 1 / (step + 1)}, step=step)
        run.flush()
        scalars = points / (time.perf_counter() - started)
        started = time.perf_counter()
        run.log_metrics({"array": np.linspace(1, 0, 10 * points)}, step=np.arange(10 * points))
        run.flush()
        arrays = 10 * points / (time.perf_counter() - started)
    return scalars, arrays


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=3.0)
    given = arguments.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bucle-bench-") as base:
        root = Path(base)
        raw = raw_sqlite_rows(root)
        print(f"bare SQLite: {raw:,.0f} rows/s")
        opened = (
            lambda: noop_server(root / "noop"),
            lambda: mlflow_server(root / "four", name="mlflow"),
            lambda: mlflow_server(root / "one", "--workers", "1", name="mlflow --workers 1"),
            lambda: bucle_server(root / "bucle"),
        )
        for make in opened:
            with make() as peer:
                time.sleep(3)  # an idle server is one that has settled
                count, resident, share = memory(peer.pid)
                print(f"{peer.name}: idle {count} processes, {resident:.0f} MB resident, {share:.0f} MB shared out")
                found[peer.name] = {**measure(peer, given.seconds), "resident": resident}
        (root / "own").mkdir()
        scalars, arrays = in_process(root / "own")
    report(found, raw, scalars, arrays)


def report(found: dict[str, dict[str, float]], raw: float, scalars: float, arrays: float) -> None:
    """The table of ratios."""
    print(f"\n{'a second':30}{'no-op':>12}{'mlflow':>12}{'1 worker':>12}{'bucle':>12}{'ratio':>9}")
    for name in (name for name, *_ in WORK):
        limit, four, one, ours = (found[peer][name] for peer in ("no-op", "mlflow", "mlflow --workers 1", "bucle"))
        print(f"{name:30}{limit:12,.0f}{four:12,.0f}{one:12,.0f}{ours:12,.0f}{ours / max(four, one):8.1f}x")
    batch = found["bucle"]["log_batch points, 1 client"]
    print(f"\nlog_batch points of bare SQLite rows: {batch / raw:.2f}")
    print(f"in process, one scalar a call, durable: {scalars:,.0f} points/s; arrays: {arrays:,.0f} points/s")
    four, one, ours = (found[peer]["resident"] for peer in ("mlflow", "mlflow --workers 1", "bucle"))
    print(f"idle memory: 1/{four / ours:.1f} of mlflow's, 1/{one / ours:.1f} of its one worker's (jobs off in both)")
    print(f"\n{machine()}")


if __name__ == "__main__":
    sys.exit(main())
