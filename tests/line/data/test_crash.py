"""Two processes at once, and processes killed at any line: nothing half visible, nothing lost, nothing twice."""

import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import data

WORKER = str(Path(__file__).with_name("worker.py"))


def test_processes_committing_to_one_branch_lose_nothing(any_project: Project) -> None:
    """One commits, the other lands through a contract, both as fast as they can."""
    url = "" if any_project.database.is_sqlite else any_project.database.url
    count, names = 6, {"ana": "commits", "eva": "lands"}
    running = [
        subprocess.Popen([sys.executable, WORKER, what, str(any_project.root), url, name, str(count)])
        for name, what in names.items()
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    expected = {f"{name}-{number}" for name in names for number in range(count)}
    rows = data.scan(any_project, "t")["key"].to_list()
    assert len(rows) == len(expected)
    assert set(rows) == expected
    for name in names:
        assert [row for row in rows if row.startswith(name)] == [f"{name}-{number}" for number in range(count)]
    assert len(data.log(any_project)) == len(expected)
    assert [branch.name for branch in data.branches(any_project)] == ["main"]
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults
    assert data.verify_files(any_project) == []


class Victims:
    """A process whose children commit and are killed."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, WORKER, "victims", str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def commit(self, key: str, die_at_line: int = 0) -> tuple[int, int]:
        """Exit status and lines run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{key} {die_at_line}\n")
        self._process.stdin.flush()
        status, lines = self._process.stdout.readline().split()
        return int(status), int(lines)

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def victims(project: Project) -> Iterator[Victims]:
    started = Victims(project.root)
    yield started
    started.close()


def check(project: Project, finished: set[str], at_most: set[str]) -> None:
    """What readers see is whole: each key in both tables and, for a commit, in the file tree; or nowhere."""
    log = verify_log(project.database, project.ledger._anchor)
    assert not log.faults
    assert data.verify_files(project) == []
    seen = [data.scan(project, table)["key"].to_list() for table in "ab"]
    assert seen[0] == seen[1]
    assert len(seen[0]) == len(set(seen[0]))
    assert finished <= set(seen[0]) <= at_most
    files = {path.removesuffix(".txt") for path in data.files(project) if not path.startswith(".contracts/")}
    assert files == {key for key in seen[0] if key.startswith("commit")}
    assert sum(event.kind == "data.committed" for event in project.ledger.events()) == len(seen[0])


def kill_at_random_lines(project: Project, victims: Victims, kind: str, kills: int) -> None:
    finished = {f"{kind}-0", f"{kind}-1"}
    victims.commit(f"{kind}-0")
    _, lines = victims.commit(f"{kind}-1")
    assert lines > 300
    # One kill in each of `kills` equal stretches of the run, so that no part of it goes untested.
    chosen, died = random.Random(20130101), 0
    for number in range(kills):
        key = f"{kind}-kill-{number}"
        line = 1 + int((number + chosen.random()) * lines / kills)
        status, _ = victims.commit(key, line)
        assert status in (0, -9)
        died += status == -9
        check(project, finished, finished | {key})
        assert victims.commit(key)[0] == 0
        finished.add(key)
    check(project, finished, finished)
    assert died >= kills * 0.9
    assert {branch.name for branch in data.branches(project)} == {"main"}


@pytest.mark.parametrize("kind", ["commit", "land", "client"])
def test_a_process_killed_while_committing_leaves_all_or_nothing(project: Project, victims: Victims, kind: str) -> None:
    kill_at_random_lines(project, victims, kind, kills=5)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["commit", "land", "client"])
def test_many_processes_killed_while_committing_leave_all_or_nothing(
    project: Project, victims: Victims, kind: str
) -> None:
    kill_at_random_lines(project, victims, kind, kills=100)


def check_added(project: Project, finished: set[str], at_most: set[str]) -> None:
    """Each key's folder is in the tree whole, or not at all; sweeping what was left behind takes nothing from it."""
    assert not verify_log(project.database, project.ledger._anchor).faults
    data.sweep(project, older_than=timedelta(seconds=-5))
    assert data.verify_files(project) == []
    tree = data.files(project) if finished else {}
    seen = {path.split("/")[0] for path in tree}
    assert finished <= seen <= at_most
    assert len(tree) == 3 * len(seen)
    for path in tree:
        assert data.read_file(project, path) == (project.root / path).read_bytes()


def kill_while_adding(project: Project, victims: Victims, kills: int) -> None:
    _, lines = victims.commit("add-0")
    assert lines > 300
    finished, chosen, died = {"add-0"}, random.Random(20130101), 0
    for number in range(kills):
        key = f"add-kill-{number}"
        status, _ = victims.commit(key, 1 + int((number + chosen.random()) * lines / kills))
        died += status == -9
        check_added(project, finished, finished | {key})
        assert victims.commit(key)[0] == 0
        finished.add(key)
        check_added(project, finished, finished)
    assert died >= kills * 0.9


def test_a_process_killed_while_adding_files_leaves_all_or_nothing(project: Project, victims: Victims) -> None:
    kill_while_adding(project, victims, kills=8)


@pytest.mark.full
def test_many_processes_killed_while_adding_files_leave_all_or_nothing(project: Project, victims: Victims) -> None:
    kill_while_adding(project, victims, kills=100)


def check_mended(project: Project) -> None:
    """Every row that was ever to stay is there, once, and every file of every commit that is kept."""
    assert not verify_log(project.database, project.ledger._anchor).faults
    assert data.verify_files(project) == []
    rows = data.scan(project, "t")
    assert sorted(rows.filter(rows["v"] == 0)["id"]) == list(range(40))
    assert set(rows.filter(rows["v"] == 9)["id"]) in (set(), set(range(40, 45)))


def kill_while_mending(project: Project, victims: Victims, kills: int) -> None:
    _, lines = victims.commit("mend-0")
    assert lines > 1000
    chosen, died = random.Random(20130101), 0
    for number in range(kills):
        key = f"mend-kill-{number}"
        status, _ = victims.commit(key, 1 + int((number + chosen.random()) * lines / kills))
        died += status == -9
        check_mended(project)
        assert victims.commit(key)[0] == 0
        check_mended(project)
    assert died >= kills * 0.9


def test_a_process_killed_while_mending_a_table_loses_no_row(project: Project, victims: Victims) -> None:
    """In mid-upsert, mid-delete, mid-compaction, mid-expiry and mid-sweep."""
    kill_while_mending(project, victims, kills=7)


@pytest.mark.full
def test_many_processes_killed_while_mending_a_table_lose_no_row(project: Project, victims: Victims) -> None:
    kill_while_mending(project, victims, kills=100)
