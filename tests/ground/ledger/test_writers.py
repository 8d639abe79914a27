"""Many writers at once, and writers that die: nothing acknowledged is lost, nothing is half there."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from bucle.ground.governance.tables import APPROVALS
from bucle.ground.ledger import LogReport
from bucle.ground.project import Project

Verify = Callable[[Project], LogReport]

_WRITER = """
import sys
from bucle.ground.core import to_micros
from bucle.ground.governance.tables import APPROVALS
from bucle.ground.ledger import AlreadyDone
from bucle.ground.project import Project

root, url, name, times, shared = sys.argv[1:]
project = Project.open(root, database=url, actor=name)
number = 0
while number < int(times):
    key = f"shared/{number}" if shared == "shared" else f"{name}/{number}"
    try:
        with project.ledger.transaction("test.made", subject=f"a/{number}", actor=name, key=key) as transaction:
            transaction.insert(APPROVALS, {"subject": f"a/{number}", "digest": "d", "principal": name,
                                           "at": project.clock.now(), "reason": "x" * 200})
            transaction.edge(f"a/{number}", f"b/{name}", "made")
        print(key, flush=True)
    except AlreadyDone:
        pass
    number += 1
project.close()
"""


def writer(project: Project, name: str, times: int, keys: str = "own") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(project.root), project.database.url, name, str(times), keys]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def state_of(project: Project) -> list[tuple[str, str]]:
    with project.database.reading() as connection:
        rows = connection.execute(sa.select(APPROVALS.c.principal, APPROVALS.c.subject)).all()
    return sorted((row.principal, row.subject) for row in rows)


def test_writers_in_several_processes_lose_nothing_and_leave_no_gap(any_project: Project, verify: Verify) -> None:
    writers = [writer(any_project, f"w{number}", 25) for number in range(4)]
    acknowledged = [key for process in writers for key in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in writers] == [0] * 4
    events = any_project.ledger.events()
    assert [event.seq for event in events] == list(range(100))
    assert sorted(event.key or "" for event in events) == sorted(acknowledged)
    assert len(state_of(any_project)) == 100
    report = verify(any_project)
    assert (report.size, report.rows, report.faults) == (100, 100, ())


def test_of_writers_with_the_same_keys_one_wins_each(any_project: Project, verify: Verify) -> None:
    writers = [writer(any_project, f"w{number}", 30, "shared") for number in range(3)]
    acknowledged = [key for process in writers for key in process.communicate(timeout=120)[0].split()]
    assert sorted(acknowledged) == sorted(f"shared/{number}" for number in range(30))
    assert any_project.ledger.size() == len(state_of(any_project)) == 30
    assert verify(any_project).faults == ()


def test_reading_and_verifying_while_others_write_finds_no_fault(any_project: Project, verify: Verify) -> None:
    writers = [writer(any_project, f"w{number}", 10_000) for number in range(2)]
    try:
        for process in writers:
            assert process.stdout is not None
            assert process.stdout.readline()
        reports = [verify(any_project) for _ in range(4)]
        assert [process.poll() for process in writers] == [None, None]
    finally:
        for process in writers:
            process.kill()
            process.communicate()
    assert [report.faults for report in reports] == [()] * 4
    sizes = [report.size for report in reports]
    assert sizes == sorted(sizes)
    assert 2 <= sizes[0] < sizes[-1] <= verify(any_project).size


def kill_writers(project: Project, verify: Verify, kills: int, seed: int) -> None:
    rng, promised = random.Random(seed), set[str]()
    for number in range(kills):
        with writer(project, f"life{number}", 10_000) as process:
            assert process.stdout is not None
            promised.add(process.stdout.readline().strip())
            time.sleep(rng.random() * 0.08)  # the moment of death, not a race hidden
            process.kill()
            promised |= {line.strip() for line in process.stdout if line.endswith("\n")}
        report = verify(project)
        assert report.faults == ()
    events = project.ledger.events()
    kept = {event.key for event in events}
    assert promised <= kept
    assert len(events) - len(promised) <= kills, "at most one event a life was kept but not yet said"
    assert sorted((event.actor, event.subject) for event in events) == state_of(project)


def test_writers_killed_at_any_moment_keep_what_they_acknowledged(any_project: Project, verify: Verify) -> None:
    kill_writers(any_project, verify, kills=4, seed=1)


@pytest.mark.full
def test_fifty_writers_killed_at_any_moment_keep_what_they_acknowledged(any_project: Project, verify: Verify) -> None:
    kill_writers(any_project, verify, kills=50, seed=2)


def test_a_kill_between_commit_and_anchor_leaves_a_hole_that_the_next_entry_does_not_mind(
    project: Project, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.ledger.record("test.made", subject="a/1", actor="ana")
    with monkeypatch.context() as patched:
        patched.setattr("bucle.ground.ledger.anchor.Anchor.note", lambda *_: None)
        project.ledger.record("test.made", subject="a/2", actor="ana")
    assert verify(project).faults == ()
    project.ledger.record("test.made", subject="a/3", actor="ana")
    assert verify(project).faults == ()
    assert len((project.state / "ledger.anchor").read_bytes()) == 96


_FULL = """
import resource, signal, sys
from bucle.ground.project import Project
project = Project.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
made = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
try:
    while True:
        project.ledger.record("test.made", subject="a/b", actor="ana", data={"filling": "x" * 20_000})
        made += 1
except Exception as error:
    print(made, getattr(error, "code", repr(error)))
"""


def test_a_full_disk_is_one_error_and_the_log_stays_whole(root: Path, verify: Verify) -> None:
    Project.open(root).close()
    done = subprocess.run([sys.executable, "-c", _FULL, str(root)], capture_output=True, text=True, check=True)
    made, code = done.stdout.split()
    assert code == "BU0201"
    project = Project.open(root)
    report = verify(project)
    assert (report.size, report.faults) == (int(made), ())
    project.ledger.record("test.made", subject="a/b", actor="ana")
    assert verify(project).size == int(made) + 1
    project.close()
