"""The pages of runs, with 1,000 to 100,000 runs and a run of 1,000 metrics: time on the server, bytes on the wire.

    python benchmarks/ui.py [--runs 1000 10000 100000] [--profile]

Two figures a page, each the median of 15: the processor time the page takes (read the records, write the HTML), and a
request to a real server. Two yardsticks of the machine stand beside them: a request for `/health` (one count, no page),
and 50,000 turns of a Python loop, because a busy machine lengthens processor time as well. With --profile, where the
time of the default page goes.
"""

from __future__ import annotations

import argparse
import cProfile
import platform
import pstats
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import sqlalchemy as sa

from bucle.doors.server import serve
from bucle.doors.ui import bind, language
from bucle.doors.ui.pages import VIEWS
from bucle.doors.ui.render import page as written
from bucle.doors.ui.view import Address
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Point
from bucle.line.tracking.tables import NAMES, RUN_METRICS, RUN_PARAMS, RUN_TAGS, RUNS

PAGES = {
    "/runs?experiment=exp-0": "one experiment",
    "/runs": "newest 100 of all",
    "/runs?sort=-auc": "sorted by a metric",
    "/runs?q=metrics.auc > 0.89": "filtered by a metric",
    "/runs?q=run-77": "words in names",
    "/runs?experiment=exp-0&value=both": "last and best",
    "/runs/wide": "a run of 1,000 metrics",
    "/runs/wide?tab=charts": "its charts",
    "/compare?runs=HUNDRED": "100 runs compared",
    "/runs.json?experiment=exp-0": "as JSON",
    "/models": "models",
    "/": "the line",
}
MOST_MS = {1_000: 10, 10_000: 10, 100_000: 25}
"""The bar for the default page."""

START = datetime(2026, 1, 1, tzinfo=UTC)
METRICS = ("auc", "log_loss", "f1", "val/auc", "val/loss", "fit_seconds")
TIMES = 15


def fill(project: Project, count: int) -> None:
    """Runs written straight into the tables: this measures reading."""
    experiments = [int(tracking.ensure_experiment(project, f"exp-{n}").id) for n in range(5)]
    names = [*METRICS, *(f"p{k}" for k in range(12)), "team"]
    with project.database.writing() as connection:
        connection.execute(sa.insert(NAMES), [{"name": name} for name in names])
        number = dict(connection.execute(sa.select(NAMES.c.name, NAMES.c.id)).all())
    for start in range(0, count, 5000):
        block = range(start, min(start + 5000, count))
        with project.database.writing() as connection:
            connection.execute(sa.insert(RUNS), [_run(n, experiments) for n in block])
            connection.execute(sa.insert(RUN_METRICS), [row for n in block for row in _metrics(n, experiments, number)])
            connection.execute(sa.insert(RUN_PARAMS), [row for n in block for row in _params(n, number)])
            tags = [{"run": n + 1, "key": number["team"], "value": f"team-{n % 7}"} for n in block]
            connection.execute(sa.insert(RUN_TAGS), tags)
    wide = tracking.create_run(project, str(experiments[1]), id="f" * 32, name="wide", started_at=START)
    points = [
        Point(f"layer_{k // 10:03d}/{k % 10}", k + step / 7, step * 1000, step) for k in range(1000) for step in (0, 1)
    ]
    tracking.log(project, wide.id, points=points)


def _run(n: int, experiments: list[int]) -> dict[str, object]:
    at = START + timedelta(minutes=n)
    return {
        "seq": n + 1,
        "id": f"{n:032x}",
        "experiment": experiments[n % 5],
        "name": f"run-{n}",
        "status": "finished",
        "lifecycle": "active",
        "actor": "bench",
        "started_at": at,
        "ended_at": at + timedelta(minutes=3),
        "deleted_at": None,
        "sealed": 1,
        "circumstances": "{}",
    }


def _metrics(n: int, experiments: list[int], number: dict[str, int]) -> list[dict[str, object]]:
    values = {"auc": 0.5 + (n * 7919 % 1000) / 2500, "log_loss": 0.6 - (n % 97) / 500, "f1": 0.4}
    return [
        {
            "run": n + 1,
            "key": number[name],
            "experiment": experiments[n % 5],
            "value": values.get(name, (n * 31 % 997) / 997),
            "step": 99,
            "at": 1000 * n,
            "least": 0.1,
            "least_step": 0,
            "greatest": 0.99,
            "greatest_step": 50,
        }
        for name in METRICS
    ]


def _params(n: int, number: dict[str, int]) -> list[dict[str, object]]:
    return [{"run": n + 1, "key": number[f"p{k}"], "value": str((n * k) % 17)} for k in range(12)]


def in_process(project: Project, address: str) -> float:
    """Median milliseconds to read the records of a page and write it."""
    path, _, query = address.partition("?")
    given = dict(httpx.QueryParams(query))
    view, more = next((view, found) for view in VIEWS if (found := _fits(view.path, path)) is not None)

    def once() -> None:
        record = view.read(project, **bind(view.read, {**given, **more}, strict=False))
        here = {
            "project": "bench",
            "origin": "",
            "at": Address(path, given),
            "station": view.station,
            "rows": view.rows,
        }
        written(view.template, language("en"), "", page=record, **here)

    return _median(once, time.thread_time)


def _fits(pattern: str, path: str) -> dict[str, str] | None:
    if "{" not in pattern:
        return {} if pattern == path else None
    front, _, name = pattern.rstrip("}").partition("{")
    rest = path.removeprefix(front)
    return {name: rest} if path.startswith(front) and rest and "/" not in rest and "{" not in name else None


def over_http(client: httpx.Client, address: str) -> tuple[float, int, int]:
    """Median milliseconds, bytes on the wire, bytes of the page."""
    answer = client.get(address)
    assert answer.status_code == 200, f"{address}: {answer.text[:300]}"
    return _median(lambda: client.get(address)), answer.num_bytes_downloaded, len(answer.content)


def _median(once: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    once()
    took = list[float]()
    for _ in range(TIMES):
        started = clock()
        once()
        took.append((clock() - started) * 1000)
    return statistics.median(took)


def _turn() -> int:
    total = 0
    for place in range(50_000):
        total += place * place
    return total


def bench(count: int, *, profile: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bucle.toml").write_text('[project]\nname = "bench"\n')
        project = Project.open(root)
        fill(project, count)
        if profile:
            _profiled(project)
        stop, ready, address = threading.Event(), threading.Event(), list[str]()

        def told(url: str) -> None:
            address.append(url)
            ready.set()

        thread = threading.Thread(target=serve, args=(project, "127.0.0.1", 0), kwargs={"ready": told, "stop": stop})
        thread.start()
        ready.wait()
        hundred = ",".join(f"{n:032x}" for n in range(100))
        headers = {"accept": "text/html", "accept-encoding": "gzip"}
        with httpx.Client(base_url=address[0], headers=headers, timeout=60) as client:
            yardstick, _, _ = over_http(client, "/health")
            bar = f"bar for the page of runs {MOST_MS.get(count, 25)} ms"
            print(
                f"\n{count:,} runs; /health {yardstick:.1f} ms; loop {_median(_turn, time.thread_time):.1f} ms; {bar}"
            )
            for shown, what in PAGES.items():
                path = shown.replace("/runs/wide", f"/runs/{'f' * 32}").replace("HUNDRED", hundred)
                took, wire, whole = over_http(client, path)
                inside = "" if ".json" in path else f"{in_process(project, path):6.1f} ms on the CPU"
                told_size = f"{wire / 1000:6.1f} kB on the wire ({whole / 1000:.0f} kB)"
                print(f"  {shown:<34} {what:<24} {inside:<22} {took:6.1f} ms over HTTP  {told_size}")
        stop.set()
        thread.join()
        project.close()


def _profiled(project: Project) -> None:
    in_process(project, "/runs?experiment=exp-0")
    profiler = cProfile.Profile()
    profiler.enable()
    in_process(project, "/runs?experiment=exp-0")
    profiler.disable()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    for count in asked.runs:
        bench(count, profile=asked.profile)


if __name__ == "__main__":
    main()
