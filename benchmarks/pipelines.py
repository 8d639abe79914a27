"""What the step engine costs over doing the same without any promise.

    python benchmarks/pipelines.py [--steps 40] [--rows 1250000] [--frame-steps 5]

Every ratio is taken within one run on one machine; the yardsticks are run before and after, the better one counts:

- a step that does nothing, in a process of its own, beside `python -c pass` as a process of its own, and beside the two
  ledger transactions and one kept blob that no durable step can do without;
- a step whose result is known, verified, beside the one ledger transaction that says so;
- a frame of 100 MB bumped through steps, beside writing it with Polars as Arrow IPC, hashing it with BLAKE3 and fsync.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from blake3 import blake3

from bucle.ground.project import Project
from bucle.line import pipelines

FLOW = """
import numpy as np
import polars as pl
from bucle.line.pipelines import pipeline, step

@step
def noop(i: int) -> int:
    return i + 1

@step
def make(rows: int) -> pl.DataFrame:
    return pl.DataFrame({f"x{c}": np.arange(rows, dtype=np.float64) + c for c in range(10)})

@step
def bump(frame: pl.DataFrame, by: int) -> pl.DataFrame:
    return frame.with_columns(pl.all() + by)

@pipeline
def chain(n: int, start: int) -> int:
    for _ in range(n):
        start = noop(start)
    return start

@pipeline
def bumps(rows: int, n: int, start: int) -> int:
    frame = make(rows)
    for by in range(n):
        frame = bump(frame, by=start + by)
    return n
"""


def timed(run: Callable[[], object], count: int = 1) -> tuple[float, float]:
    """Wall and processor milliseconds of one of `count` units, our children's included."""
    before, start = cpu(), time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1000 / count, (cpu() - before) * 1000 / count


def cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def show(what: str, ours: float, bare: float, yardstick: str) -> None:
    print(f"{what:<46} {ours:8.2f} ms   {yardstick:<44} {bare:8.2f} ms   x{ours / bare:.2f}")


def spawn_ms(count: int) -> float:
    took = [timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))[0] for _ in range(count)]
    return statistics.median(took)


def journal_ms(project: Project, count: int, lines: int, *, blob: bool) -> float:
    took = []
    for number in range(count):

        def work(number: int = number) -> None:
            for _ in range(lines):
                project.ledger.record("bench.line", subject="bench/x", actor="bench", data={"n": number})
            if blob:
                project.blobs.put(os.urandom(16))

        took.append(timed(work)[0])
    return statistics.median(took)


def raw_frame_ms(rows: int, folder: Path, count: int) -> float:
    frame = pl.DataFrame({f"x{c}": np.arange(rows, dtype=np.float64) + c for c in range(10)})
    took = []
    for number in range(count):

        def work(number: int = number) -> None:
            target = folder / "raw.arrow"
            frame.with_columns(pl.all() + number).write_ipc(target)
            blake3(max_threads=blake3.AUTO).update_mmap(target)
            with target.open("rb") as file:
                os.fsync(file.fileno())

        took.append(timed(work)[0])
    (folder / "raw.arrow").unlink()
    return statistics.median(took)


def steps_ms(project: Project, execution: pipelines.Execution, name: str) -> float:
    return statistics.median(
        run.duration_s * 1000 for run in pipelines.step_runs(project, execution.id) if run.step == name
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rows", type=int, default=1_250_000)
    parser.add_argument("--frame-steps", type=int, default=5)
    options = parser.parse_args()
    versions = {
        name: importlib.metadata.version(name) for name in ("bucle", "polars", "pyarrow", "sqlalchemy", "blake3")
    }
    machine = f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bucle.toml").write_text('[project]\nname = "bench"\nmodules = ["flow"]\n')
        (folder / "flow.py").write_text(FLOW)
        project = Project.open(folder, actor="bench")
        try:
            measure(project, folder, options)
        finally:
            project.close()


def measure(project: Project, folder: Path, options: argparse.Namespace) -> None:
    steps = options.steps
    cold, _ = timed(lambda: pipelines.run(project, "chain", {"n": 1, "start": -1000}))
    spawn, journal, raw = [], [], []
    chain, cached = [], []
    spawn.append(spawn_ms(15))
    journal.append(journal_ms(project, 30, 2, blob=True))
    line = journal_ms(project, 30, 1, blob=False)
    for number in range(3):
        params = {"n": steps, "start": number * 1000}
        chain.append(timed(lambda params=params: pipelines.run(project, "chain", params), steps))
        cached.append(timed(lambda params=params: pipelines.run(project, "chain", params), steps))
    spawn.append(spawn_ms(15))
    journal.append(journal_ms(project, 30, 2, blob=True))
    raw.append(raw_frame_ms(options.rows, folder, options.frame_steps))
    frames = pipelines.run(project, "bumps", {"rows": options.rows, "n": options.frame_steps, "start": 1})
    hits, _ = timed(
        lambda: pipelines.run(project, "bumps", {"rows": options.rows, "n": options.frame_steps, "start": 1}),
        options.frame_steps + 1,
    )
    raw.append(raw_frame_ms(options.rows, folder, options.frame_steps))
    noop, noop_cpu = min(chain)
    known, known_cpu = min(cached)
    print(f"first step of a process, with the zygote's start      {cold:8.0f} ms")
    show("step that does nothing (wall)", noop, min(spawn), "bare process, python -c pass")
    show("", noop, min(journal), "2 ledger transactions + 1 blob")
    print(f"  processor time in the engine: {noop_cpu:.2f} ms a step; known: {known_cpu:.2f} ms")
    show("known step, verified", known, line, "1 ledger transaction")
    show(
        "100 MB frame through a step",
        steps_ms(project, frames, "bump"),
        min(raw),
        "add, write Arrow IPC, BLAKE3, fsync",
    )
    print(f"100 MB frame, known and verified                      {hits:8.1f} ms a step")


if __name__ == "__main__":
    main()
