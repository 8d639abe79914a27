"""The page of runs with 1,000 and 10,000 runs: time on the server and bytes on the wire.

    python benchmarks/ui.py [--runs 1000 10000]

Each figure is the median of 15 requests to a real server, with a request for `/health` (one count, no page) beside it
as the yardstick of the machine.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import sqlalchemy as sa

from bucle.doors.server import serve
from bucle.ground.core import encode
from bucle.ground.project import Project
from bucle.line.tracking.tables import RUNS

ADDRESSES = {
    "/runs": "newest 100",
    "/runs?sort=-auc": "sorted by a metric",
    "/runs?q=run-77": "filtered by name",
    "/runs?offset=900": "page 10",
    "/runs.json": "as JSON",
    "/": "the line",
    "/audit": "audit",
}


def fill(project: Project, count: int) -> None:
    """Runs written straight into the table: this measures reading."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [_row(n, start + timedelta(minutes=n)) for n in range(count)]
    with project.database.writing() as connection:
        for place in range(0, count, 2000):
            connection.execute(sa.insert(RUNS), rows[place : place + 2000])


def _row(n: int, at: datetime) -> dict[str, object]:
    metrics = {"auc": 0.5 + (n * 7919 % 1000) / 2500, "log_loss": 0.6 - (n % 97) / 500, "f1": 0.4}
    plain = dict.fromkeys(("code_diff", "error"), "") | {"environment": "e", "lock": "l", "actor": "bench"}
    return {
        **plain,
        "id": f"{n:016x}",
        "experiment": f"exp-{n % 5}",
        "name": f"run-{n}",
        "status": "finished",
        "started_at": at,
        "ended_at": at + timedelta(minutes=3),
        "params": encode({f"p{k}": str((n * k) % 17) for k in range(12)}).decode(),
        "metrics": encode(metrics).decode(),
        "tags": "{}",
        "inputs": "[]",
        "artifacts": "{}",
        "code_commit": "c" * 40,
        "seed": n,
        "attempt": 1,
    }


def measure(url: str, path: str, times: int = 15) -> tuple[float, int, int]:
    """Median milliseconds, bytes on the wire, bytes of the page."""
    took, wire, whole = [], 0, 0
    with httpx.Client(base_url=url, headers={"accept": "text/html", "accept-encoding": "gzip"}, timeout=60) as client:
        client.get(path)
        for _ in range(times):
            started = time.perf_counter()
            answer = client.get(path)
            took.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 200
            wire, whole = answer.num_bytes_downloaded, len(answer.content)
    return statistics.median(took), wire, whole


def bench(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bucle.toml").write_text('[project]\nname = "bench"\n')
        project = Project.open(root)
        fill(project, count)
        stop, address = threading.Event(), list[str]()
        thread = threading.Thread(
            target=serve, args=(project, "127.0.0.1", 0), kwargs={"ready": address.append, "stop": stop}
        )
        thread.start()
        while not address:
            time.sleep(0.01)
        yardstick, _, _ = measure(address[0], "/health", 50)
        print(f"\n{count:,} runs; /health {yardstick:.1f} ms")
        for path, what in ADDRESSES.items():
            took, wire, whole = measure(address[0], path)
            told = f"{wire / 1000:6.1f} kB on the wire ({whole / 1000:.0f} kB)"
            print(f"  {path:<18} {what:<20} {took:7.1f} ms  {took / yardstick:5.1f}x  {told}")
        stop.set()
        thread.join()
        project.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    for count in parser.parse_args().runs:
        bench(count)


if __name__ == "__main__":
    main()
