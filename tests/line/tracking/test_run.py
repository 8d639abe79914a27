"""Runs: everything logged comes back, once, also after a crash."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import BadName, Environment, SimulatedClock, decode, environment
from bucle.ground.ledger import verify_log
from bucle.ground.ledger.tables import HEAD
from bucle.ground.project import Project
from bucle.ground.store import DatabaseFailed
from bucle.line import tracking
from bucle.line.tracking import tables


def test_everything_logged_comes_back(any_project: Project, clock: SimulatedClock) -> None:
    started = clock.now()
    with tracking.start(
        any_project, "flights", name="june", params={"rounds": 100}, tags={"by": "loop"}, inputs=["commit/c1"], seed=7
    ) as live:
        live.log_params({"rate": 0.1})
        for step in range(3):
            clock.advance(timedelta(minutes=1))
            live.log_metrics({"loss": 1 / (step + 1), "auc": np.float32(0.5)})
        digest = live.log_artifact("plots/roc.json", b"[]")
    found = tracking.run(any_project, live.id)
    assert (found.experiment, found.name, found.status, found.seed) == ("flights", "june", "finished", 7)
    assert found.params == {"rounds": "100", "rate": "0.1"}
    assert found.tags == {"by": "loop"}
    assert found.metrics == {"loss": pytest.approx(1 / 3), "auc": 0.5}
    assert found.artifacts == {"plots/roc.json": digest}
    assert any_project.blobs.get(digest) == b"[]"
    assert (found.started_at, found.ended_at) == (started, started + timedelta(minutes=3))
    assert decode(any_project.blobs.get(found.environment), Environment) == environment()
    assert "numpy==" in any_project.blobs.get(found.lock).decode()
    curve = tracking.metrics(any_project, live.id, "loss")
    assert [(point.step, point.value) for point in curve] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert [point.at for point in curve] == [started + timedelta(minutes=k) for k in (1, 2, 3)]
    edges = {(edge.source, edge.target, edge.kind) for edge in any_project.ledger.lineage(f"blob/{digest}")}
    assert edges == {
        (live.ref, f"blob/{digest}", "logged plots/roc.json"),
        ("commit/c1", live.ref, "used"),
    }
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_a_run_is_one_event_that_carries_the_digest_of_all_of_it(project: Project) -> None:
    with tracking.start(project, "flights", params={"a": 1}) as live:
        for step in range(2000):
            live.log_metrics({"loss": step})
    (event,) = project.ledger.events(subject=live.ref)
    assert event.kind == "tracking.run_finished"
    assert (event.data["status"], event.data["metrics"]) == ("finished", {"loss": 1999.0})
    assert list(event.data["runs"]) == [live.id]
    assert len(tracking.metrics(project, live.id, "loss")) == 2000
    assert tracking.run(project, live.id).sealed


def _train_and_fail(project: Project, losses: list[float], key: str | None = None) -> None:
    with tracking.start(project, "flights", key=key) as live:
        for loss in losses:
            live.log_metrics({"loss": loss})
        _ = 1 / 0


def test_a_failed_run_says_why(project: Project) -> None:
    with pytest.raises(ZeroDivisionError):
        _train_and_fail(project, [1.0])
    (found,) = tracking.runs(project)
    assert (found.status, found.error) == ("failed", "ZeroDivisionError: division by zero")
    assert found.metrics == {"loss": 1.0}
    assert project.ledger.events(newest_first=True)[0].kind == "tracking.run_failed"


def test_a_finished_run_with_the_same_key_stays_as_it_is(any_project: Project) -> None:
    ids = set()
    for _ in range(2):
        with tracking.start(any_project, "flights", key="cycle/1", params={"a": 1}) as live:
            live.log_metrics({"loss": 0.5})
            live.flush()
            ids.add(live.id)
    assert live.done
    assert len(ids) == 1
    assert len(tracking.runs(any_project)) == 1
    assert len(tracking.metrics(any_project, live.id)) == 1
    assert [event.kind for event in any_project.ledger.events()].count("tracking.run_finished") == 1


def test_another_experiment_with_the_same_key_is_another_run(project: Project) -> None:
    with tracking.start(project, "a", key="k") as first, tracking.start(project, "b", key="k") as second:
        pass
    assert first.id != second.id


def test_a_failed_run_is_resumed_and_nothing_is_doubled(project: Project, clock: SimulatedClock) -> None:
    with pytest.raises(ZeroDivisionError):
        _train_and_fail(project, [10.0, 9.0, 8.0], key="k")
    (failed,) = tracking.runs(project)
    clock.advance(timedelta(hours=1))
    with tracking.start(project, "flights", key="k") as again:
        for step in range(5):
            again.log_metrics({"loss": 20 - step})
    found = tracking.run(project, failed.id)
    assert again.id == failed.id
    assert (found.status, found.attempt, found.error) == ("finished", 2, "")
    assert found.started_at < clock.now()
    values = [point.value for point in tracking.metrics(project, failed.id, "loss")]
    assert values == [20.0, 19.0, 18.0, 17.0, 16.0]


_CHILD = """
import sys, time
from bucle.ground.project import Project
from bucle.line import tracking
project = Project.open(sys.argv[1])
with tracking.start(project, "flights", key="k", params={"a": 1}) as live:
    live.log_metrics({"loss": 0.5, "auc": 0.6})
    live.flush()
    live.log_metrics({"loss": 0.25})
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    time.sleep(60)
"""


def test_kill_9_leaves_a_run_that_can_be_resumed(project: Project) -> None:
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(project.root)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (left,) = tracking.runs(project, "flights")
    assert left.status == "running"
    # What was flushed is there; what was logged just before the kill may be.
    assert left.metrics in ({"loss": 0.5, "auc": 0.6}, {"loss": 0.25, "auc": 0.6})
    with tracking.start(project, "flights", key="k") as live:
        for value in (0.5, 0.25):
            live.log_metrics({"loss": value})
    assert live.id == left.id
    assert [point.value for point in tracking.metrics(project, live.id, "loss")] == [0.5, 0.25]
    assert tracking.run(project, live.id).metrics == {"loss": 0.25, "auc": 0.6}
    assert not verify_log(project.database, project.ledger._anchor).faults


_LOGGER = """
import sys
from bucle.ground.project import Project
from bucle.line import tracking
project = Project.open(sys.argv[1])
with tracking.start(project, "flights", key="k") as live:
    sys.stdout.write("started\\n")
    sys.stdout.flush()
    for step in range(40):
        live.log_metrics({"loss": step})
        live.log_artifact(f"a{step}", str(step).encode())
        live.flush()
"""


@pytest.mark.full
def test_a_run_killed_again_and_again_ends_whole(project: Project) -> None:
    generator = np.random.default_rng(0)
    for _ in range(25):
        child = subprocess.Popen([sys.executable, "-c", _LOGGER, str(project.root)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(float(generator.uniform(0, 0.25)))
        child.kill()
        child.wait()
        child.stdout.close()
        assert not verify_log(project.database, project.ledger._anchor).faults
    subprocess.run([sys.executable, "-c", _LOGGER, str(project.root)], check=True, stdout=subprocess.DEVNULL)
    (found,) = tracking.runs(project)
    assert found.status == "finished"
    assert [point.value for point in tracking.metrics(project, found.id)] == [float(step) for step in range(40)]
    assert len(found.artifacts) == 40
    assert tracking.verify_artifacts(project) == []


_WRITER = """
import sys
from bucle.ground.project import Project
from bucle.line import tracking
project = Project.open(sys.argv[1], database=sys.argv[2])
for number in range(5):
    with tracking.start(project, "many", params={"n": number}) as live:
        for step in range(20):
            live.log_metrics({"loss": step})
            if step % 7 == 0:
                live.flush()
"""


def test_many_processes_log_at_once_and_none_is_lost(any_project: Project) -> None:
    url = any_project.database.url
    command = [sys.executable, "-c", _WRITER, str(any_project.root), url]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    found = tracking.runs(any_project, "many")
    assert len(found) == 15
    assert all(run.status == "finished" and run.metrics == {"loss": 19.0} for run in found)
    assert all(len(tracking.metrics(any_project, run.id)) == 20 for run in found)
    # Each child notes roots in the anchor too; the log must agree with all of them.
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


_BOTH = """
import sys
from bucle.ground.project import Project
from bucle.line import tracking
project = Project.open(sys.argv[1], database=sys.argv[2])
tracking.ensure_experiment(project, "flights")
print("ready", flush=True)
sys.stdin.readline()
with tracking.start(project, "flights", key="k", params={"a": 1}) as live:
    live.log_metrics({"loss": 0.5}, 0)
    print(live.id, flush=True)
"""


def test_two_processes_that_start_one_key_at_once_both_get_the_run(any_project: Project) -> None:
    command = [sys.executable, "-c", _BOTH, str(any_project.root), any_project.database.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    assert [child.stdout.readline() for child in children] == ["ready\n", "ready\n"]
    with both_about_to_insert(any_project, "runs"):
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
    ids = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    (found,) = tracking.runs(any_project)
    assert ids == {f"{found.id}\n"}
    assert (found.status, found.metrics) == ("finished", {"loss": 0.5})


@contextlib.contextmanager
def both_about_to_insert(project: Project, table: str) -> Iterator[None]:
    """In PostgreSQL, who was let go in the block goes on once two of them have looked and wait to write."""
    if project.database.is_sqlite:
        yield
        return
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST(:name AS regclass)")
    with project.database.engine.connect() as gate, project.database.engine.connect() as look:
        gate.exec_driver_sql(f"LOCK TABLE {table} IN SHARE MODE")
        yield
        until = time.monotonic() + 60
        while look.execute(waiting, {"name": table}).scalar_one() < 2:
            look.rollback()
            assert time.monotonic() < until


def test_a_run_that_two_end_at_once_has_one_end(any_project: Project) -> None:
    runs = [tracking.create_run(any_project, "0").id for _ in range(10)]
    both = threading.Barrier(2)

    def end(run: str) -> None:
        both.wait(60)
        tracking.end_run(any_project, run, status="finished")

    with ThreadPoolExecutor(2) as pool:
        for run in runs:
            list(pool.map(end, [run, run]))
    events = any_project.ledger.events(kinds=["tracking.*"])
    assert sorted(one.subject for one in events if one.kind == "tracking.run_finished") == sorted(
        f"run/{run}" for run in runs
    )
    assert not [one for one in events if one.kind == "tracking.run_unsealed"]


def test_an_end_that_loses_a_deadlock_is_made_again(root: Path, clock: SimulatedClock, postgres_url: str) -> None:
    project = Project.open(root, clock=clock, database=postgres_url, actor="ana")
    run = tracking.create_run(project, "0").id
    mine = sa.select(tables.RUNS.c.seq).where(tables.RUNS.c.id == run).with_for_update()
    with ThreadPoolExecutor(1) as pool, project.database.engine.connect() as other:
        other.exec_driver_sql("SET deadlock_timeout = '60s'")  # so that it is the end that gives up
        other.execute(sa.select(HEAD).with_for_update())
        ending = pool.submit(tracking.end_run, project, run, status="finished")
        with project.database.engine.connect() as look:
            until = time.monotonic() + 60
            while look.execute(mine.with_for_update(skip_locked=True)).first() is not None:
                look.rollback()
                assert time.monotonic() < until
        other.execute(mine)
        other.commit()
        ending.result(60)
    (event,) = project.ledger.events(subject=f"run/{run}")
    assert event.kind == "tracking.run_finished"
    assert tracking.verify_runs(project) == []
    project.close()


def test_threads_may_share_a_run(project: Project) -> None:
    with tracking.start(project, "flights") as live, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda step: (live.log_metrics({"loss": step}, step), live.flush()), range(60)))
    assert [point.step for point in tracking.metrics(project, live.id)] == list(range(60))


def test_what_is_logged_is_written_within_moments_without_being_asked(project: Project) -> None:
    with tracking.start(project, "flights") as live:
        live.log_metrics({"loss": 1})
        deadline = time.monotonic() + 30
        while not tracking.metrics(project, live.id) and time.monotonic() < deadline:
            live._closing.wait(0.01)
        assert [point.value for point in tracking.metrics(project, live.id)] == [1.0]


def test_what_could_not_be_written_is_told_to_who_logs_next_and_written_at_the_end(project: Project) -> None:
    with tracking.start(project, "flights") as live:
        live._error = DatabaseFailed("The disk was full.")
        with pytest.raises(DatabaseFailed):
            live.log_metrics({"loss": 1})
        live.log_metrics({"loss": 2})
    assert tracking.run(project, live.id).metrics == {"loss": 2.0}


def test_not_a_number_is_kept_as_such_and_a_text_is_refused(project: Project) -> None:
    with tracking.start(project, "flights") as live:
        live.log_metrics({"loss": math.nan})
        with pytest.raises(tracking.BadMetric) as caught:
            live.log_metrics({"auc": 0.5, "note": "good"})  # type: ignore[dict-item]
    assert caught.value.at == "note"
    (metric,) = tracking.metrics(project, live.id)
    assert math.isnan(metric.value)
    assert math.isnan(tracking.run(project, live.id).metrics["loss"])


def test_logging_after_the_end_is_an_error(project: Project) -> None:
    with tracking.start(project, "flights") as live:
        pass
    for log in (lambda: live.log_metrics({"a": 1}), lambda: live.log_params({"a": 1}), lambda: live.end("failed")):
        with pytest.raises(tracking.RunEnded):
            log()


def test_bad_names_are_refused_before_anything_is_written(project: Project) -> None:
    with pytest.raises(BadName), tracking.start(project, "a/b"):
        pass
    with pytest.raises(BadName), tracking.start(project, "flights") as live:
        live.log_artifact("../evil", b"")
    assert tracking.run(project, live.id).artifacts == {}


def test_a_file_is_kept_as_an_artifact(project: Project, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(b"x" * 3_000_000)
    with tracking.start(project, "flights") as live:
        digest = live.log_artifact("big.bin", tmp_path / "big.bin")
    assert len(project.blobs.get(digest)) == 3_000_000


def test_runs_are_found_by_experiment_status_and_prefix(project: Project, clock: SimulatedClock) -> None:
    for experiment in ("a", "a", "b"):
        clock.advance(timedelta(minutes=1))
        with tracking.start(project, experiment) as live:
            pass
    assert [run.experiment for run in tracking.runs(project)] == ["b", "a", "a"]
    assert len(tracking.runs(project, "a", limit=1)) == 1
    assert tracking.runs(project, status="failed") == []
    assert [(item.name, item.runs) for item in tracking.experiments(project)] == [("a", 2), ("b", 1)]
    assert tracking.experiments(project)[1].last_at == clock.now()
    assert tracking.run(project, live.id[:10]).id == live.id
    with pytest.raises(tracking.NoSuchRun, match="There is no run"):
        tracking.run(project, "zzzz")
    with pytest.raises(tracking.NoSuchRun):
        tracking.run(project, "")


def test_a_damaged_artifact_is_found_and_named(project: Project) -> None:
    with tracking.start(project, "flights") as live:
        digest = live.log_artifact("curve.json", b"[1, 2]")
    assert tracking.verify_artifacts(project) == []
    project.blobs.path(digest).write_bytes(b"[1, 3]")
    (fault,) = tracking.verify_artifacts(project)
    assert fault.where == f"curve.json of {live.ref}"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.lists(
        st.tuples(
            st.sampled_from(["loss", "auc"]),
            st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.integers(0, 5),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_a_curve_is_what_was_logged_however_it_was_flushed(
    project: Project, points: list[tuple[str, float, int | None, bool]]
) -> None:
    expected: dict[tuple[str, int], float] = {}
    following = {"loss": 0, "auc": 0}
    with tracking.start(project, "flights") as live:
        for key, value, step, is_flushed in points:
            live.log_metrics({key: value}, step)
            place = following[key] if step is None else step
            following[key] = place + 1
            expected[key, place] = value
            if is_flushed:
                live.flush()
    found = {(metric.key, metric.step): metric.value for metric in tracking.metrics(project, live.id)}
    assert found == expected
    last = {key: max(step for name, step in expected if name == key) for key, _ in expected}
    assert tracking.run(project, live.id).metrics == {key: expected[key, step] for key, step in last.items()}
