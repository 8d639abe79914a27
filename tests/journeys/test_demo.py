"""`bucle demo`, as a newcomer runs it: to the end, again, killed in between, and on PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bucle.examples.flights.play import Year
from bucle.ground.project import Project


def demo(folder: Path, *arguments: str, kill_after_s: float | None = None) -> dict[str, Any] | None:
    """Run the command; its report, or None when it was killed before."""
    command = [sys.executable, "-m", "bucle", "demo", str(folder), "--json", *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        told, talk = child.communicate(timeout=kill_after_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.communicate()
        return None
    assert child.returncode == 0, talk.decode()[-3000:]
    return json.loads(told)


def digests(report: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in every telling of the same year."""
    answer = {name: report["trace"]["answer"][name] for name in ("id", "entity", "score", "features")}
    return {
        "cycles": [{**row, "rollout": ""} for row in report["cycles"]],
        "months": report["months"],
        "drills": report["drills"],
        "answer": answer,
        "package": report["trace"]["version"]["digest"],
        "steps": [[step["key"], step["outputs"]] for step in report["trace"]["steps"]],
        "commit": report["trace"]["commit"]["id"],
    }


def check(report: dict[str, Any]) -> None:
    assert report["audit"]["faults"] == []
    assert report["failed_requests"] == 0
    assert report["proof"]["answer"]
    assert report["proof"]["features"]
    assert all(report["proof"]["steps"].values())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo") / "flights"
    report = demo(folder, "--months", "3")
    assert report is not None
    return folder, report


def test_the_demo_ends_with_a_traced_reproduced_and_audited_answer(first: tuple[Path, dict[str, Any]]) -> None:
    folder, report = first
    check(report)
    assert report["cycles"][0]["decision"] == "promoted"
    assert "refused" in report["drills"]["spoilt-batch"]
    assert report["months"][0]["flights"] > 27_000
    page = (folder / "report.html").read_text()
    assert "identical, bit for bit" in page
    assert "http" not in page.replace("http-equiv", "")


def test_run_again_it_finds_everything_done(first: tuple[Path, dict[str, Any]]) -> None:
    folder, report = first
    again = demo(folder, "--months", "3")
    assert again is not None
    check(again)
    assert digests(again) == digests(report)


@pytest.mark.full
def test_a_killed_demo_tells_the_same_in_the_end(first: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "flights"
    told = None
    for seconds in (6.0, 15.0, 25.0, None):
        told = demo(folder, "--months", "3", kill_after_s=seconds)
    assert told is not None
    check(told)
    expected, got = digests(first[1]), digests(told)
    assert got == expected


class _Killed(Exception):
    pass


class _KilledAtTheEnd(Year):
    def _note(self, key: str, kind: str, subject: str, reason: str) -> None:
        if key == "played/3":
            raise _Killed
        super()._note(key, kind, subject, reason)


@pytest.mark.full
def test_killed_once_its_last_window_is_closed_it_opens_no_cycle(tmp_path: Path) -> None:
    for kind, killed in ((_KilledAtTheEnd, pytest.raises(_Killed)), (Year, contextlib.nullcontext())):
        with contextlib.closing(kind(tmp_path / "flights", months=3)) as year, killed:
            year.play()
    with contextlib.closing(Project.open(tmp_path / "flights")) as project:
        decided = project.ledger.events(kinds=["loop.decided"])
        assert [event.data["kind"] for event in decided][-1] == "watch"
        assert project.ledger.find("demo/played/3") is not None


@pytest.mark.full
def test_the_whole_year_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    report = demo(tmp_path / "flights", "--database", postgres_url)
    assert report is not None
    check(report)
    decisions = [row["decision"] for row in report["cycles"]]
    assert decisions.count("promoted") >= 3
    assert "rolled_back" in decisions
    assert "refused" in decisions
    year = report["months"][-1]
    assert year["loop_auc"] > year["static_auc"] + 0.01
    assert set(report["drills"]) == {"spoilt-batch", "shuffled-labels", "faulty-version"}
