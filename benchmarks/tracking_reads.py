"""Searching, plotting and keeping runs, beside `mlflow server --workers 1` of the same version, over HTTP, by size.

    python benchmarks/tracking_reads.py [--runs 1000 10000 100000] [--points 1000000] [--skip-mlflow]

Each run has 5 params, 4 tags and 2 metrics of 5 points. MLflow's database is filled by SQL in its own schema and
measured as it is and after ANALYZE; Bucle's is filled through the verbs its importers use.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peers import API, Client, Peer, bucle_server, bytes_on_disk, machine, mlflow_server, p50_ms

NOW = 1_700_000_000_000
STEPS = 5
GIVE_UP_S = 30


class Made(NamedTuple):
    """One run as both are given it."""

    id: str
    name: str
    start: int
    params: dict[str, str]
    tags: dict[str, str]
    points: list[tuple[str, float, int, int]]


def runs(count: int) -> Iterator[Made]:
    """The same runs each time."""
    dice = random.Random(1)
    for number in range(count):
        start = NOW + number * 1000
        best = dice.random()
        params = {
            "seed": str(number),
            "lr": str(dice.choice([0.1, 0.03, 0.01, 0.003, 0.001])),
            "depth": str(dice.randrange(2, 12)),
            "model": dice.choice(["lightgbm", "xgboost", "linear"]),
            "batch": str(2 ** dice.randrange(4, 10)),
        }
        tags = {
            "mlflow.user": dice.choice(["ana", "ben", "carla"]),
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "LOCAL",
            "mlflow.runName": f"run-{number}",
        }
        points = [
            (key, best * (step + 1) / STEPS if key == "acc" else 1 - best * step / STEPS, start + step, step)
            for key in ("acc", "loss")
            for step in range(STEPS)
        ]
        yield Made(f"{number:032x}", f"run-{number}", start, params, tags, points)


def fill_mlflow(folder: Path, count: int, points: int) -> str:
    """MLflow's database with these runs, and one run with a long curve. Returns that run's id."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mlflow.db"
    made = "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; S(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", made, f"sqlite:///{path}", str(folder)], check=True, capture_output=True)
    database = sqlite3.connect(path)
    long_run = "f" * 32
    rows: dict[str, list[tuple[Any, ...]]] = {}

    def flush() -> None:
        for statement, held in rows.items():
            database.executemany(statement, held)
        database.commit()
        rows.clear()

    def add(statement: str, row: tuple[Any, ...]) -> None:
        rows.setdefault(statement, []).append(row)

    run_row = (
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
        " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES (?, ?, 'LOCAL', '', '', 'ana', 'FINISHED', ?, ?, '', 'active', ?, 0)"
    )
    metric_row = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
    latest_row = "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, 0, ?)"
    for number, run in enumerate(runs(count)):
        place = f"mlflow-artifacts:/0/{run.id}/artifacts"
        add(run_row, (run.id, run.name, run.start, run.start + 60_000, place))
        for key, value in run.params.items():
            add("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", (key, value, run.id))
        for key, value in run.tags.items():
            add("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", (key, value, run.id))
        for key, metric, at, step in run.points:
            add(metric_row, (key, metric, at, run.id, step))
            if step == STEPS - 1:
                add(latest_row, (key, metric, at, step, run.id))
        if number % 5000 == 4999:
            flush()
    add(run_row, (long_run, "long", NOW, NOW, f"mlflow-artifacts:/0/{long_run}/artifacts"))
    for step in range(points):
        add(metric_row, ("curve", 1 / (step + 1), NOW + step, long_run, step))
    add(latest_row, ("curve", 1 / points, NOW + points, points - 1, long_run))
    flush()
    database.close()
    return long_run


def fill_bucle(folder: Path, count: int, points: int) -> str:
    """A project with the same, taken over as an importer does. Returns the id of the run with the long curve."""
    from bucle.ground.project import Project
    from bucle.line import tracking

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bucle.toml").write_text('[project]\nname = "bench"\n')
    project = Project.open(folder)
    tracking.ensure_experiment(project, "Default")
    made = runs(count)
    while batch := list(itertools.islice(made, 1000)):
        tracking.adopt_runs(project, [whole(run) for run in batch])
    steps = np.arange(points)
    curve = tracking.Points(steps, NOW + steps, 1 / (steps + 1))
    tracking.adopt_runs(project, [whole(Made("f" * 32, "long", NOW, {}, {}, []), {"curve": curve})])
    tracking.seal(project)
    project.close()
    return "f" * 32


def whole(run: Made, curves: dict[str, Any] | None = None) -> Any:
    """The run as Bucle takes it over."""
    from bucle.ground.core import from_micros
    from bucle.line import tracking

    grouped = itertools.groupby(run.points, key=lambda point: point[0])
    made = {
        key: tracking.Points(
            *(np.array(column) for column in zip(*((s, at, v) for _, v, at, s in points), strict=True))
        )
        for key, points in grouped
    }
    return tracking.WholeRun(
        id=run.id,
        experiment_id="0",
        name=run.name,
        status="finished",
        started_at=from_micros(run.start * 1000),
        ended_at=from_micros((run.start + 60_000) * 1000),
        actor="ana",
        params=run.params,
        tags=run.tags,
        curves=curves or made,
    )


SEARCHES: dict[str, dict[str, Any]] = {
    "first page of 100": {"max_results": 100},
    "page of 1000": {"max_results": 1000},
    "metrics.acc > 0.99": {"filter": "metrics.acc > 0.99", "max_results": 100},
    "params.seed = '77'": {"filter": "params.seed = '77'", "max_results": 100},
    "tag LIKE and status": {"filter": "tags.mlflow.user LIKE 'a%' AND status = 'FINISHED'", "max_results": 100},
    "metric filter, metric order": {
        "filter": "metrics.loss < 0.5",
        "order_by": ["metrics.acc DESC"],
        "max_results": 100,
    },
    "params=, metric<, metric order": {
        "filter": "params.model = 'linear' AND metrics.loss < 0.5",
        "order_by": ["metrics.acc DESC"],
        "max_results": 100,
    },
    "order by a metric": {"order_by": ["metrics.acc DESC"], "max_results": 100},
}


def searches(peer: Peer, skip: tuple[str, ...] = ()) -> dict[str, float]:
    """The middle of each search and the first one, in milliseconds: a server keeps what it has read."""
    client, found = Client(peer.port), {}
    for name, body in SEARCHES.items():
        if name in skip:
            found[name] = float("inf")
            continue
        wanted = json.dumps({"experiment_ids": ["0"], **body}).encode()
        started = time.perf_counter()
        client.call("POST", f"{API}/runs/search", wanted)
        found[f"{name}, first"] = (time.perf_counter() - started) * 1e3
        slow = found[f"{name}, first"] > 1000
        found[name] = p50_ms(lambda wanted=wanted: client.call("POST", f"{API}/runs/search", wanted), 3 if slow else 25)
    client.close()
    return found


def sampled(peer: Peer, run: str) -> float:
    """A curve of 320 points out of the long one, as MLflow's pages ask for it."""
    client = Client(peer.port)
    query = urllib.parse.urlencode({"run_ids": run, "metric_key": "curve", "max_results": 320})
    path = f"{API}/metrics/get-history-bulk-interval?{query}"
    took = p50_ms(lambda: client.call("GET", path), 3)
    client.close()
    return took


def mlflow_part(folder: Path, count: int, points: int) -> dict[str, float]:
    """Everything of MLflow at one size."""
    run = fill_mlflow(folder, count, points)
    found = {"bytes": float(bytes_on_disk(folder, "mlflow.db"))}
    # Without statistics an order by a metric is quadratic: minutes at this size, and the facts are known.
    heavy = tuple(name for name in SEARCHES if "order" in name) if count > 10_000 else ()
    with mlflow_server(folder, "--workers", "1", name="mlflow") as peer:
        found |= {f"{name} (no ANALYZE)": took for name, took in searches(peer, heavy).items()}
    sqlite3.connect(folder / "mlflow.db").execute("ANALYZE").connection.close()
    with mlflow_server(folder, "--workers", "1", name="mlflow") as peer:
        found |= searches(peer)
        found["curve of 320 out of all"] = sampled(peer, run)
    return found


def bucle_part(folder: Path, count: int, points: int) -> dict[str, float]:
    """Everything of Bucle at one size."""
    started = time.perf_counter()
    run = fill_bucle(folder, count, points)
    found = {"filled in s": time.perf_counter() - started}
    found["bytes"] = float(bytes_on_disk(folder / ".bucle", "bucle.db"))
    with bucle_server(folder) as peer:
        found |= searches(peer)
        found["curve of 320 out of all"] = sampled(peer, run)
        client = Client(peer.port)
        found["page of runs"] = p50_ms(lambda: client.call("GET", "/runs"), 15)
        client.close()
    return found


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    arguments.add_argument("--points", type=int, default=1_000_000)
    arguments.add_argument("--skip-mlflow", action="store_true")
    given = arguments.parse_args()
    for count in given.runs:
        with tempfile.TemporaryDirectory(prefix="bucle-bench-") as base:
            theirs = {} if given.skip_mlflow else mlflow_part(Path(base) / "mlflow", count, given.points)
            report(count, theirs, bucle_part(Path(base) / "bucle", count, given.points))
    print(f"\n{machine()}")


def report(count: int, theirs: dict[str, float], ours: dict[str, float]) -> None:
    """One size."""
    heads = "".join(f"{head:>12}" for head in ("mlflow", "ANALYZEd", "its first", "bucle", "its first", "ratio"))
    print(f"\n{f'{count:,} runs; p50 in ms':36}{heads}", flush=True)
    none = float("nan")
    for name in (*SEARCHES, "curve of 320 out of all"):
        plain, tuned, first = (theirs.get(one, none) for one in (f"{name} (no ANALYZE)", name, f"{name}, first"))
        own = ours.get(f"{name}, first", none)
        row = (plain, tuned, first, ours[name], own)
        print(f"  {name:34}{''.join(f'{one:12.1f}' for one in row)}{tuned / ours[name]:11.0f}x")
    print(f"  {'page /runs':34}{'':36}{ours['page of runs']:12.2f}")
    held, own = theirs.get("bytes", float("nan")), ours["bytes"]
    print(f"  bytes on disk: mlflow {held / 1e6:.1f} MB, bucle {own / 1e6:.1f} MB, 1/{held / own:.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
