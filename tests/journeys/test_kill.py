"""Kill -9 of controller, pipeline runner and endpoint at random moments: the loop ends the same, once."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parent


def run(root: Path, *, kill_after_s: float | None = None, database: str = "") -> dict[str, Any] | None:
    """Turn the loop; what it told at its end, or None when it was killed before."""
    command = [sys.executable, str(HERE / "toy_loop.py"), str(root), *([database] if database else [])]
    with (root / "toy.log").open("ab") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        try:
            told, _ = child.communicate(timeout=kill_after_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.communicate()
            return None
    assert child.returncode == 0, (root / "toy.log").read_text()[-3000:]
    return json.loads(told)


def kill_server(root: Path, chance: random.Random) -> None:
    """Now and then the endpoint's own process is killed as well, should it still be there."""
    known = root / ".bucle" / "endpoints" / "toy" / "process.json"
    if known.exists() and chance.random() < 0.5:
        with contextlib.suppress(psutil.Error):  # it may end by itself this very moment
            server = psutil.Process(json.loads(known.read_text())["pid"])
            if "bucle.line.serving" in " ".join(server.cmdline()):
                server.kill()


def play_with_kills(root: Path, kills: int, seed: int, longest_s: float, database: str = "") -> dict[str, Any]:
    chance = random.Random(seed)
    shutil.copytree(HERE / "toy", root)
    done = 0
    while True:
        told = run(root, kill_after_s=chance.uniform(0.5, longest_s) if done < kills else None, database=database)
        if told is not None and done >= min(kills, 1):
            return told
        done += 1
        kill_server(root, chance)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("undisturbed") / "toy"
    shutil.copytree(HERE / "toy", root)
    told = run(root)
    assert told is not None
    return told


def test_the_undisturbed_loop_promotes_and_is_sound(undisturbed: dict[str, Any]) -> None:
    assert [cycle[2] for cycle in undisturbed["cycles"]].count("promoted") >= 3
    assert undisturbed["done_once"]
    assert undisturbed["sound"]
    assert undisturbed["asked"] == undisturbed["rows"] == 1000


def test_a_loop_killed_at_random_ends_the_same(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    assert play_with_kills(tmp_path / "toy", kills=6, seed=1, longest_s=9) == undisturbed


@pytest.mark.full
@pytest.mark.parametrize("seed", [2, 3])
def test_a_loop_killed_thirty_times_ends_the_same(undisturbed: dict[str, Any], tmp_path: Path, seed: int) -> None:
    assert play_with_kills(tmp_path / "toy", kills=30, seed=seed, longest_s=6) == undisturbed


@pytest.mark.full
def test_it_ends_the_same_on_postgresql(undisturbed: dict[str, Any], tmp_path: Path, postgres_url: str) -> None:
    assert play_with_kills(tmp_path / "toy", kills=10, seed=4, longest_s=8, database=postgres_url) == undisturbed
