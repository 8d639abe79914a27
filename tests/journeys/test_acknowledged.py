"""Many write at once, writers and the server are killed -9 at random: all that was acknowledged is there, once."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from bucle.ground.project import Project
from bucle.line import tracking

HERE = Path(__file__).parent


class Crowd:
    """A server and its writers, some through it and some beside it."""

    def __init__(self, root: Path, port: int, database: str, journals: Path, seed: int) -> None:
        self._root, self._port, self._database, self._journals = root, port, database, journals
        self._chance = random.Random(seed)
        self._started = 0
        self._server = self._serve()
        self._writers = [self._writer(number) for number in range(8)]

    def disturb(self) -> None:
        """Kill the server or a writer, and start another in its place."""
        if self._chance.random() < 0.3:
            self._server.kill()
            self._server.wait()
            self._server = self._serve()
            return
        place = self._chance.randrange(len(self._writers))
        self._writers[place].kill()
        self._writers[place].wait()
        self._writers[place] = self._writer(place)

    def end(self) -> None:
        """Kill them all."""
        for process in (*self._writers, self._server):
            process.kill()
            process.wait()

    def _serve(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bucle", "up", "--port", str(self._port)]
        return subprocess.Popen(command, cwd=self._root, env=self._surroundings(), stdout=subprocess.DEVNULL)

    def _writer(self, place: int) -> subprocess.Popen[bytes]:
        self._started += 1
        kind, target = ("http", f"http://127.0.0.1:{self._port}") if place % 2 else ("inside", str(self._root))
        journal = self._journals / f"{self._started}.txt"
        command = [sys.executable, str(HERE / "writer.py"), kind, target, str(journal), str(self._started)]
        return subprocess.Popen(command, env=self._surroundings())

    def _surroundings(self) -> dict[str, str]:
        return {**os.environ, "BUCLE_DATABASE": self._database}


@contextlib.contextmanager
def crowd(root: Path, free_port: int, database: str, tmp_path: Path, seed: int) -> Iterator[Crowd]:
    journals = tmp_path / "journals"
    journals.mkdir()
    made = Crowd(root, free_port, database, journals, seed)
    try:
        yield made
    finally:
        made.end()


def told(journals: Path) -> tuple[set[str], dict[tuple[str, str], dict[int, float]], dict[str, dict[str, str]]]:
    """The runs, points and params that were acknowledged. A last line that was cut off was not noted to its end."""
    runs = set[str]()
    points = defaultdict[tuple[str, str], dict[int, float]](dict)
    params = defaultdict[str, dict[str, str]](dict)
    for journal in journals.glob("*.txt"):
        for line in journal.read_text().split("\n")[:-1]:
            match line.split():
                case ["run", run]:
                    runs.add(run)
                case ["point", run, key, step, value]:
                    points[run, key][int(step)] = float(value)
                case ["param", run, key, value]:
                    params[run][key] = value
    return runs, points, params


def check(project: Project, journals: Path) -> int:
    """Every acknowledged record is there, exactly once."""
    runs, points, params = told(journals)
    for run in runs:
        assert tracking.run(project, run).id == run
        assert tracking.run(project, run).params.items() >= params[run].items()
    for (run, key), acknowledged in points.items():
        steps, _, values = tracking.points(project, run, key)
        assert len(set(steps.tolist())) == len(steps), f"{key} of {run} has a point twice"
        kept = dict(zip(steps.tolist(), values.tolist(), strict=True))
        assert kept.items() >= acknowledged.items()
        last = max(kept)
        assert tracking.run(project, run).metrics[key] == kept[last]
    tracking.seal(project)
    assert tracking.verify_runs(project) == []
    return sum(len(acknowledged) for acknowledged in points.values())


def play(root: Path, port: int, database: str, tmp_path: Path, *, kills: int, seconds: float, seed: int) -> int:
    with crowd(root, port, database, tmp_path, seed) as crowded:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30)
        for _ in range(kills):
            time.sleep(seconds / kills)
            crowded.disturb()
        time.sleep(1)
    project = Project.open(root, database=database)
    try:
        return check(project, tmp_path / "journals")
    finally:
        project.close()


def test_what_was_acknowledged_outlives_kills(root: Path, free_port: int, tmp_path: Path) -> None:
    assert play(root, free_port, "", tmp_path, kills=8, seconds=12, seed=1) > 1000


@pytest.mark.full
@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_a_minute_of_kills(
    root: Path, free_port: int, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgres_url") if where == "postgresql" else ""
    assert play(root, free_port, database, tmp_path, kills=40, seconds=60, seed=2) > 5000
