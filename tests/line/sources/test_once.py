"""Exactly once: a run killed at any line, and runs at the same time, lose no row and double none; memory is bounded."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from bucle.ground.core import BucleError
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.ground.store import Lease
from bucle.line import data, sources
from bucle.line.sources import Landing, Source

WORKER = str(Path(__file__).with_name("worker.py"))


def url_of(project: Project) -> str:
    return "" if project.database.is_sqlite else project.database.url


def inbox(project: Project) -> Path:
    folder = project.root / "inbox"
    folder.mkdir()
    source = Source(name="s", kind="folder", table="t", location="inbox", sync="incremental", settle_s=0.0)
    sources.save_source(project, source)
    return folder


def check(project: Project, at_least: int, at_most: int) -> None:
    """The rows are those of the first files, each once; the cursor says the same; nothing else is left."""
    rows = data.scan(project, "t")["n"].sort().to_list() if data.log(project) else []
    assert rows == list(range(len(rows)))
    assert at_least <= len(rows) <= at_most
    (status,) = sources.statuses(project)
    assert (
        (len(status.landed.cursor["files"]), status.landed.rows) == (len(rows), len(rows))
        if status.landed
        else not rows
    )
    assert not verify_log(project.database, project.ledger._anchor).faults


def kill_at_random_lines(project: Project, kills: int) -> None:
    folder = inbox(project)
    process = subprocess.Popen(
        [sys.executable, WORKER, "victims", str(project.root), url_of(project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def victim(line: int) -> tuple[int, int]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        status, lines = process.stdout.readline().split()
        return int(status), int(lines)

    for number in range(2):
        (folder / f"{number}.csv").write_text(f"n\n{number}\n")
        _, lines = victim(0)
    assert lines > 300
    chosen, died = random.Random(20130101), 0
    for number in range(2, 2 + kills):
        (folder / f"{number}.csv").write_text(f"n\n{number}\n")
        status, _ = victim(1 + int((number - 2 + chosen.random()) * lines / kills))
        died += status == -9
        check(project, number, number + 1)
        assert victim(0)[0] == 0
        check(project, number + 1, number + 1)
    process.communicate()
    assert died >= kills * 0.8


def test_a_run_killed_at_any_line_lands_each_row_once(any_project: Project) -> None:
    kill_at_random_lines(any_project, kills=5)


@pytest.mark.full
def test_many_runs_killed_land_each_row_once(any_project: Project) -> None:
    kill_at_random_lines(any_project, kills=100)


def test_two_processes_that_run_one_source_double_nothing(any_project: Project) -> None:
    folder = inbox(any_project)
    arguments = [sys.executable, WORKER, "runs", str(any_project.root), url_of(any_project), "3"]
    running = [subprocess.Popen(arguments) for _ in range(2)]
    for number in range(20):
        (folder / f".{number}").write_text(f"n\n{number}\n")
        (folder / f".{number}").rename(folder / f"{number:02}.csv")
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    sources.run(any_project, "s")
    check(any_project, 20, 20)


def test_a_cursor_that_moved_meanwhile_takes_the_rows_back(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process had slept through its lease, and another had landed the same file."""
    folder = inbox(project)
    (folder / "0.csv").write_text("n\n0\n")
    inner, commit = sys.modules["bucle.line.sources.run"], data.commit
    monkeypatch.setattr(inner, "acquire", lambda *_: Lease(name="", holder="", token=0, ttl_s=1.0))
    monkeypatch.setattr(inner, "release", lambda *_: None)
    monkeypatch.setattr(inner, "renew", lambda *_: None)

    def late(*given: object, **named: object) -> data.Commit:
        monkeypatch.setattr(data, "commit", commit)
        sources.run(project, "s")
        return commit(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(data, "commit", late)
    with pytest.raises(sources.SourceBusy):
        sources.run(project, "s")
    check(project, 1, 1)


def grow_beyond_memory(project: Project, million: int, bound_mb: int) -> None:
    """Rows that would take 40 MB a million in memory; equal values, so that the file is short."""
    sources.save_source(
        project, Source(name="small", kind="parquet", table="small", location="small.parquet", settle_s=0.0)
    )
    sources.save_source(project, Source(name="s", kind="parquet", table="t", location="large.parquet", settle_s=0.0))
    pl.DataFrame({"n": [1.5] * 100_000}).write_parquet(project.root / "small.parquet")
    rows = pl.LazyFrame({"i": pl.int_range(1000, eager=True)}).join(
        pl.LazyFrame({"j": pl.int_range(million * 1000, eager=True)}), how="cross"
    )
    rows.select(*(pl.col("j").cast(pl.Float64).alias(f"f{number}") for number in range(5))).sink_parquet(
        project.root / "large.parquet"
    )
    said = subprocess.run(
        [sys.executable, WORKER, "memory", str(project.root)], capture_output=True, text=True, check=True
    )
    assert data.snapshot(project, "t").rows == million * 1_000_000
    assert int(said.stdout) < bound_mb, f"the peak grew by {said.stdout} MB"


def test_more_rows_than_memory_pass_through(project: Project) -> None:
    grow_beyond_memory(project, million=10, bound_mb=300)


@pytest.mark.full
def test_many_more_rows_than_memory_pass_through(project: Project) -> None:
    grow_beyond_memory(project, million=100, bound_mb=400)


def test_a_new_file_in_a_watched_folder_lands(project: Project) -> None:
    folder, stop, seen = inbox(project), threading.Event(), threading.Event()
    heard = list[object]()

    def tell(_: str, what: Landing | BucleError) -> None:
        heard.append(what)
        seen.set()

    watching = threading.Thread(
        target=sources.watch, args=(project,), kwargs={"every_s": 0.05, "stop": stop, "tell": tell}
    )
    watching.start()
    for number in range(2):
        seen.clear()
        (folder / f".{number}").write_text(f"n\n{number}\n")
        (folder / f".{number}").rename(folder / f"{number}.csv")
        assert seen.wait(30)
    stop.set()
    watching.join()
    assert [one.rows for one in heard if isinstance(one, Landing)] == [1, 1]
    check(project, 2, 2)
    # What the loop begins a cycle from.
    assert len(project.ledger.events(kinds=["data.committed"])) == 2
