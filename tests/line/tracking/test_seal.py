"""Sealing: the ledger knows an ended run to the last bit, and whoever changes it behind its back is found out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from bucle.ground.core import CorruptRecord
from bucle.ground.ledger import verify_log
from bucle.ground.ledger.tables import EVENTS
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Dataset, ModelUse, Point, digest, tables


def ended(project: Project) -> str:
    run = tracking.create_run(project, "0", params={"lr": "0.1"}, tags={"t": "x" * 300})
    points = [Point("loss", 1 / (step + 1), step, step) for step in range(50)]
    tracking.log(project, run.id, points=[*points, Point("acc", math.nan, 1, 0), Point("top", math.inf, 1, 0)])
    tracking.log_inputs(project, run.id, [Dataset(name="d", digest="1", context="training")], [ModelUse(model="m-1")])
    tracking.put_artifact(project, f"run/{run.id}", "plots/roc.png", b"png")
    tracking.update_run(project, run.id, status="finished")
    return run.id


def test_an_ended_run_is_sealed_once_with_its_lineage(any_project: Project) -> None:
    runs = [ended(any_project) for _ in range(3)]
    running = tracking.create_run(any_project, "0").id
    assert tracking.seal(any_project) == 3
    assert tracking.seal(any_project) == 0
    (event,) = any_project.ledger.events(kinds=["tracking.runs_sealed"])
    assert set(event.data["runs"]) == set(runs)
    assert [run.sealed for run in tracking.runs_by_ids(any_project, [*runs, running])] == [True, True, True, False]
    edges = {
        (one.source, one.target, one.kind) for one in any_project.ledger.edges_of([f"run/{runs[0]}"], upstream=False)
    }
    digest = tracking.artifact_info(any_project, f"run/{runs[0]}", "plots/roc.png").digest
    assert edges == {(f"run/{runs[0]}", f"blob/{digest}", "logged plots/roc.png")}
    used = any_project.ledger.edges_of([f"run/{runs[0]}"], upstream=True)
    assert [(one.source, one.kind) for one in used] == [("logged-model/m-1", "used")]
    assert tracking.verify_runs(any_project) == []
    assert not verify_log(any_project.database, any_project.anchor).faults


def test_a_running_run_can_be_sealed_as_it_is_now(any_project: Project) -> None:
    run = tracking.create_run(any_project, "0").id
    tracking.log(any_project, run, points=[Point("a", 1.0, 0, 0)])
    assert tracking.seal(any_project, [run]) == 1
    assert tracking.verify_runs(any_project) == []
    tracking.log(any_project, run, points=[Point("a", 2.0, 1, 1)])
    assert not tracking.run_by_id(any_project, run).sealed
    assert [point.value for point in tracking.history(any_project, run, "a").items] == [1.0, 2.0]


CHANGES: dict[str, Callable[[Project, str], object]] = {
    "a late metric": lambda project, run: tracking.log(project, run, points=[Point("late", 1.0, 0, 0)]),
    "a point once more": lambda project, run: tracking.log(project, run, points=[Point("loss", 1.0, 0, 0)]),
    "a tag": lambda project, run: tracking.log(project, run, tags={"new": "1"}),
    "a tag less": lambda project, run: tracking.delete_tag(project, run, "t"),
    "a param": lambda project, run: tracking.log(project, run, params={"new": "1"}),
    "a file": lambda project, run: tracking.put_artifact(project, f"run/{run}", "late.txt", b"x"),
    "a file less": lambda project, run: tracking.delete_artifacts(project, f"run/{run}", "plots"),
    "a name": lambda project, run: tracking.update_run(project, run, name="new"),
    "a dataset": lambda project, run: tracking.log_inputs(project, run, [Dataset(name="e", digest="2")]),
    "a model": lambda project, run: tracking.log_outputs(project, run, [ModelUse(model="m-2")]),
    "a new life": lambda project, run: (tracking.delete_run(project, run), tracking.restore_run(project, run)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_breaks_the_seal_and_the_next_pass_makes_another(any_project: Project, what: str) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    CHANGES[what](any_project, run)
    assert not tracking.run_by_id(any_project, run).sealed
    assert tracking.verify_runs(any_project) == []
    assert tracking.seal(any_project) == 1
    assert tracking.verify_runs(any_project) == []


EDITS: dict[str, Callable[[], sa.Executable]] = {
    "status": lambda: sa.update(tables.RUNS).values(status="failed"),
    "lifecycle": lambda: sa.update(tables.RUNS).values(lifecycle="deleted"),
    "circumstances": lambda: sa.update(tables.RUNS).values(circumstances='{"seed":8}'),
    "sealed": lambda: sa.update(tables.RUNS).values(sealed=0),
    "unsealed": lambda: sa.update(tables.RUNS).values(sealed=None),
    "param": lambda: sa.update(tables.RUN_PARAMS).values(value="0.2"),
    "param's name": lambda: sa.update(tables.NAMES).where(tables.NAMES.c.name == "lr").values(name="rl"),
    "tag": lambda: sa.delete(tables.RUN_TAGS),
    "rest of a tag": lambda: sa.update(tables.RUN_TAGS).values(rest="y"),
    "last value": lambda: sa.update(tables.RUN_METRICS).values(value=0.5),
    "least value": lambda: sa.update(tables.RUN_METRICS).values(least=-9.0),
    "experiment of a metric": lambda: sa.update(tables.RUN_METRICS).values(experiment=7),
    "summary": lambda: sa.delete(tables.RUN_METRICS),
    "curve": lambda: sa.delete(tables.METRIC_CHUNKS),
    "a point more": lambda: sa.insert(tables.METRIC_TAIL).values(run=1, points=b"\x06\0\0\0\x92\x91\x01\x91\x01"),
    "dataset": lambda: sa.update(tables.RUN_DATASETS).values(context="test"),
    "model": lambda: sa.delete(tables.RUN_MODELS),
    "file": lambda: sa.update(tables.ARTIFACTS).values(digest="0" * 64),
    "run": lambda: sa.delete(tables.RUNS),
}


@pytest.mark.parametrize("what", EDITS)
def test_what_was_changed_behind_the_ledgers_back_is_named(any_project: Project, what: str) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    with any_project.database.writing() as connection:
        connection.execute(EDITS[what]())
    faults = tracking.verify_runs(any_project)
    assert [fault.where for fault in faults] == [f"run {run}"]


def edit(project: Project, *statements: sa.Executable) -> None:
    """As somebody with the database's password does it."""
    with project.database.writing() as connection:
        for statement in statements:
            connection.execute(statement)


FORGED = sa.update(tables.RUN_PARAMS).values(value="0.2")


def test_the_first_change_after_a_seal_is_an_event_and_no_other(any_project: Project) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    (sealed,) = any_project.ledger.events(kinds=["tracking.runs_sealed"])
    for step in range(3):
        tracking.log(any_project, run, points=[Point("late", 1.0, step, step)], tags={"late": str(step)})
    (broken,) = any_project.ledger.events(kinds=["tracking.run_unsealed"])
    assert (broken.subject, broken.actor, broken.data) == (f"run/{run}", "ana", {"sealed": sealed.seq})
    assert broken.reason == "Something was logged to it."
    tracking.seal(any_project)
    _, again = any_project.ledger.events(kinds=["tracking.runs_sealed"])
    assert again.data["after"] == {run: broken.seq}
    assert not verify_log(any_project.database, any_project.anchor).faults
    assert tracking.verify_runs(any_project) == []


def test_a_change_that_fails_breaks_no_seal(any_project: Project) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    with pytest.raises(tracking.AlreadySet):
        tracking.log(any_project, run, params={"lr": "0.2"}, tags={"new": "1"})
    with pytest.raises(tracking.NoSuchTag):
        tracking.delete_tag(any_project, run, "none")
    assert tracking.run_by_id(any_project, run).sealed
    assert any_project.ledger.events(kinds=["tracking.run_unsealed"]) == []


def test_a_forged_run_that_was_sealed_anew_is_named(any_project: Project) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    edit(any_project, FORGED, sa.update(tables.RUNS).values(sealed=None))
    assert tracking.seal(any_project) == 1
    (fault,) = tracking.verify_runs(any_project)
    assert fault.where == f"run {run}"
    assert "sealed again" in fault.what


def test_an_old_event_that_broke_a_seal_excuses_no_later_forgery(any_project: Project) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    tracking.log(any_project, run, tags={"new": "1"})
    tracking.seal(any_project)
    edit(any_project, FORGED, sa.update(tables.RUNS).values(sealed=None))
    assert [fault.where for fault in tracking.verify_runs(any_project)] == [f"run {run}"]
    assert tracking.seal(any_project) == 1
    assert [fault.where for fault in tracking.verify_runs(any_project)] == [f"run {run}"]


def test_a_seal_that_was_broken_cannot_be_put_back_by_hand(any_project: Project) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    (sealed,) = any_project.ledger.events(kinds=["tracking.runs_sealed"])
    tracking.log(any_project, run, tags={"new": "1"})
    edit(any_project, sa.delete(tables.RUN_TAGS), sa.update(tables.RUNS).values(sealed=sealed.seq))
    assert [fault.where for fault in tracking.verify_runs(any_project)] == [f"run {run}"]


def test_an_event_by_hand_that_breaks_a_seal_is_there_to_be_seen(any_project: Project) -> None:
    run = ended(any_project)
    tracking.seal(any_project)
    (sealed,) = any_project.ledger.events(kinds=["tracking.runs_sealed"])
    said = {"subject": f"run/{run}", "actor": "eve", "data": {"sealed": sealed.seq}}
    any_project.ledger.record("tracking.run_unsealed", **said)
    edit(any_project, FORGED, sa.update(tables.RUNS).values(sealed=None))
    tracking.seal(any_project)
    assert tracking.verify_runs(any_project) == []
    assert [event.actor for event in any_project.ledger.events(kinds=["tracking.run_unsealed"])] == ["eve"]
    edit(any_project, sa.delete(EVENTS).where(EVENTS.c.kind == "tracking.run_unsealed"))
    assert verify_log(any_project.database, any_project.anchor).faults


def test_a_run_that_an_older_bucle_sealed_and_unsealed_without_a_word_is_no_fault(any_project: Project) -> None:
    run = ended(any_project)
    any_project.ledger.record(
        "tracking.runs_sealed", subject="tracking/runs", actor="ana", data={"runs": {run: "0" * 64}}
    )
    assert tracking.verify_runs(any_project) == []
    tracking.seal(any_project)
    assert tracking.verify_runs(any_project) == []


def test_a_run_that_is_sealed_while_others_verify_is_no_fault(any_project: Project) -> None:
    ended(any_project)
    tracking.seal(any_project)
    late = ended(any_project)
    with ThreadPoolExecutor(1) as pool:
        busy = threading.Event()

        @sa.event.listens_for(any_project.database.engine, "after_cursor_execute")
        def _seal(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            # Between the look at the log and the look at the runs, whichever comes first.
            if "events" in statement and not busy.is_set():
                busy.set()
                pool.submit(tracking.seal, any_project, [late]).result(60)

        assert tracking.verify_runs(any_project) == []
    assert busy.is_set()
    assert tracking.run_by_id(any_project, late).sealed


def test_verifying_finds_nothing_while_others_write(any_project: Project) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            run = ended(any_project)
            tracking.seal(any_project)
            tracking.log(any_project, run, tags={"late": "1"})
            tracking.seal(any_project)

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write) for _ in range(2)]
        try:
            faults = [fault for _ in range(8) for fault in tracking.verify_runs(any_project)]
        finally:
            stop.set()
        for writer in writers:
            writer.result(60)
    assert faults == []


def test_nobody_waits_while_the_curves_of_a_seal_are_read(
    any_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reading, go_on = ended(any_project), threading.Event(), threading.Event()
    read = digest.curves_of

    def slowly(*args: Any) -> Any:
        reading.set()
        assert go_on.wait(60)
        return read(*args)

    monkeypatch.setattr(digest, "curves_of", slowly)
    with ThreadPoolExecutor(2) as pool:
        sealing = pool.submit(tracking.seal, any_project, [run])
        assert reading.wait(60)
        try:
            pool.submit(any_project.ledger.record, "test.noted", subject="test/1", actor="ana").result(20)
            pool.submit(tracking.log, any_project, run, points=[Point("loss", 9.0, 99, 99)]).result(20)
        finally:
            go_on.set()
        assert sealing.result(60) == 1
    assert tracking.verify_runs(any_project) == []


def test_a_seal_is_the_same_however_little_is_read_at_once(
    any_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [ended(any_project) for _ in range(3)]
    running = tracking.create_run(any_project, "0").id
    for step in range(20):
        tracking.log(any_project, running, points=[Point(key, float(step), step, step) for key in ("a", "b")])
    read, largest = digest.curves_of, list[int]()

    def counted(*args: Any) -> Any:
        found = read(*args)
        largest.append(sum(points.count for points in found.values()))
        return found

    monkeypatch.setattr(digest, "curves_of", counted)
    monkeypatch.setattr(digest, "MOST_POINTS", 50)
    assert tracking.seal(any_project, [*runs, running]) == 4
    assert max(largest) < 60
    monkeypatch.undo()
    assert tracking.verify_runs(any_project) == []


def test_a_flipped_bit_in_a_curve_is_named(project: Project) -> None:
    run = ended(project)
    tracking.seal(project)
    with project.database.writing() as connection:
        chunk = connection.execute(sa.select(tables.METRIC_CHUNKS)).first()
        assert chunk is not None
        points = bytearray(chunk.points)
        points[-3] ^= 1
        connection.execute(sa.update(tables.METRIC_CHUNKS).values(points=bytes(points)))
    assert [fault.where for fault in tracking.verify_runs(project)] == [f"run {run}"]


def test_folding_changes_nothing_that_is_sealed(any_project: Project) -> None:
    run = ended(any_project)
    tracking.update_run(any_project, run, status="running")
    tracking.seal(any_project, [run])
    tracking.fold(any_project, [run])
    assert tracking.verify_runs(any_project) == []


def test_a_run_that_cannot_be_read_keeps_no_other_from_being_sealed(any_project: Project) -> None:
    first, broken, last = (ended(any_project) for _ in range(3))
    with any_project.database.writing() as connection:
        wrong = sa.update(tables.RUNS).values(circumstances="{").where(tables.RUNS.c.id == broken)
        connection.execute(wrong)
    assert tracking.seal(any_project) == 2
    with pytest.raises(CorruptRecord):
        tracking.seal(any_project, [broken])
    with any_project.database.reading() as connection:
        sealed = connection.execute(sa.select(tables.RUNS.c.id).where(tables.RUNS.c.sealed.is_not(None)))
        assert set(sealed.scalars()) == {first, last}


def test_more_runs_than_fit_into_one_event_are_sealed_by_several(any_project: Project) -> None:
    runs = [tracking.create_run(any_project, "0").id for _ in range(450)]
    assert tracking.seal(any_project, runs) == 450
    events = any_project.ledger.events(kinds=["tracking.runs_sealed"])
    assert [len(event.data["runs"]) for event in events] == [200, 200, 50]
    assert tracking.verify_runs(any_project) == []
