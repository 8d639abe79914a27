"""Killed in the middle, a migration goes on where it was, and nothing is there twice."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bucle.doors.migrate import MlflowDatabase, carry_over
from bucle.ground.project import Project
from bucle.line import tracking

PROGRAM = """
import sys
from bucle.doors.migrate import MlflowDatabase, carry, carry_over
from bucle.ground.project import Project
carry.RUNS_AT_ONCE = 40
project = Project.open(sys.argv[1], actor="ana")
carry_over(project, MlflowDatabase(sys.argv[2]), tell=lambda text: print(text, flush=True))
"""


def add_runs(file: Path, count: int, *, seed: int = 1) -> None:
    """Runs with params, tags and curves, written into MLflow's own tables."""
    chance = random.Random(seed)
    with sqlite3.connect(file) as theirs:
        for number in range(count):
            id_ = f"{chance.getrandbits(128):032x}"
            theirs.execute(
                "INSERT INTO runs (run_uuid, name, start_time, end_time, status, lifecycle_stage, experiment_id) "
                "VALUES (?, ?, ?, ?, 'FINISHED', 'active', 1)",
                (id_, f"run {number}", 1_700_000_000_000 + number, 1_700_000_100_000 + number),
            )
            texts = [(f"p{key}", f"{chance.random():.3f}", id_) for key in range(5)]
            theirs.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", texts)
            theirs.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", texts[:2])
            points = [(f"m{key}", chance.random(), 1000 + step, id_, step) for key in range(3) for step in range(4)]
            theirs.executemany(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)", points
            )


@pytest.mark.parametrize("portions", [2])
def test_killed_and_started_again_everything_is_there_once(root: Path, mlflow_folder: Path, portions: int) -> None:
    add_runs(mlflow_folder / "mlflow.db", 200)
    url = f"sqlite:///{mlflow_folder / 'mlflow.db'}"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(root), url], stdout=subprocess.PIPE, text=True) as moving:
        assert moving.stdout is not None
        told = [moving.stdout.readline() for _ in range(1 + portions)]
        moving.send_signal(signal.SIGKILL)
    assert f"{40 * portions} runs" in told[-1]
    project = Project.open(root, actor="ana")
    ids = [one.id for one in tracking.search_experiments(project, lifecycle="all").items]
    half = tracking.count_runs(project, ids, lifecycle="all")
    assert 40 * portions <= half < 205
    report = carry_over(project, MlflowDatabase(url))
    assert report.is_sound, report.faults
    assert (report.runs, report.new_runs) == (205, 205 - half)
    assert tracking.count_runs(project, ids, lifecycle="all") == 205
    assert tracking.verify_runs(project) == []
    points = sum(
        run.points for run in tracking.whole_runs(project, [run.id for run in tracking.runs(project, limit=300)])
    )
    assert points == report.points - 1  # that of the deleted run
    project.close()
