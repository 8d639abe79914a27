"""Writing runs: what is logged is kept whole or not at all, once, and says why it was refused."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bucle.ground.core import BucleError, SimulatedClock
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Dataset, ModelUse, Point


def run_in(project: Project, name: str = "e") -> str:
    return tracking.create_run(project, tracking.ensure_experiment(project, name).id).id


def test_a_run_is_told_as_it_was_begun(any_project: Project, clock: SimulatedClock) -> None:
    experiment = tracking.create_experiment(any_project, "flights")
    about = tracking.Circumstances(inputs=("commit/c1",), seed=7, code_commit="abc")
    made = tracking.create_run(
        any_project,
        experiment.id,
        name="june",
        actor="bob",
        started_at=clock.now() - timedelta(hours=1),
        tags={"t": "x" * 8000},
        params={"p": "y" * 6000},
        circumstances=about,
    )
    found = tracking.run_by_id(any_project, made.id)
    assert found == made
    assert (found.experiment, found.experiment_id, found.status) == ("flights", experiment.id, "running")
    assert (found.tags, found.params) == ({"t": "x" * 8000}, {"p": "y" * 6000})
    assert (found.inputs, found.seed, found.code_commit, found.actor) == (("commit/c1",), 7, "abc", "bob")


def test_beginning_the_same_run_again_is_beginning_it_once(any_project: Project, clock: SimulatedClock) -> None:
    experiment = tracking.create_experiment(any_project, "e").id
    id_ = "f" * 32
    for _ in range(2):
        tracking.create_run(any_project, experiment, id=id_, name="n", started_at=clock.now(), tags={"a": "1"})
    with pytest.raises(tracking.RunExists):
        tracking.create_run(any_project, experiment, id=id_, name="other", started_at=clock.now())
    assert len(tracking.runs(any_project)) == 1


def test_a_batch_is_kept_whole_or_not_at_all(any_project: Project) -> None:
    run = run_in(any_project)
    tracking.log(any_project, run, params={"lr": "0.1"})
    with pytest.raises(tracking.AlreadySet) as caught:
        tracking.log(
            any_project, run, points=[Point("a", 1.0, 0, 0)], params={"new": "1", "lr": "0.2"}, tags={"t": "1"}
        )
    assert caught.value.at == "lr"
    assert "'0.1' and cannot become '0.2'" in caught.value.what
    found = tracking.run_by_id(any_project, run)
    assert (found.params, found.tags, found.metrics) == ({"lr": "0.1"}, {}, {})


def test_the_same_batch_as_often_as_one_likes_is_one_batch(any_project: Project) -> None:
    run = run_in(any_project)
    for _ in range(3):
        tracking.log(
            any_project, run, points=[Point("a", 1.0, 5, 0), Point("a", 1.0, 5, 0)], params={"p": "1"}, tags={"t": "1"}
        )
    assert len(tracking.history(any_project, run, "a").items) == 1
    found = tracking.run_by_id(any_project, run)
    assert (found.params, found.tags) == ({"p": "1"}, {"t": "1"})


def test_a_tag_has_its_last_value_and_can_be_taken_off(any_project: Project) -> None:
    run = run_in(any_project)
    for value in ("a", "b" * 500, "c"):
        tracking.log(any_project, run, tags={"t": value})
    assert tracking.run_by_id(any_project, run).tags == {"t": "c"}
    tracking.delete_tag(any_project, run, "t")
    assert tracking.run_by_id(any_project, run).tags == {}
    for key in ("t", "never"):
        with pytest.raises(tracking.NoSuchTag):
            tracking.delete_tag(any_project, run, key)


@pytest.mark.parametrize(
    "given",
    [
        {"params": {"x" * 251: "1"}},
        {"params": {"": "1"}},
        {"params": {"p": "x" * 6001}},
        {"tags": {"t": "x" * 8001}},
        {"tags": {"t": "a\0b"}},
        {"tags": {"t": "\udcff"}},
    ],
)
def test_what_no_client_of_mlflow_could_read_back_is_refused(
    project: Project, given: dict[str, dict[str, str]]
) -> None:
    run = run_in(project)
    with pytest.raises(tracking.BadText):
        tracking.log(project, run, **given)  # type: ignore[arg-type]
    with pytest.raises(tracking.BadText):
        tracking.create_run(project, "0", **given)  # type: ignore[arg-type]


def test_a_deleted_run_takes_nothing_until_it_is_restored(any_project: Project) -> None:
    run = run_in(any_project)
    tracking.delete_run(any_project, run)
    tracking.delete_run(any_project, run)
    writes = [
        lambda: tracking.log(any_project, run, tags={"a": "1"}),
        lambda: tracking.update_run(any_project, run, status="finished"),
        lambda: tracking.delete_tag(any_project, run, "a"),
        lambda: tracking.put_artifact(any_project, f"run/{run}", "a", b""),
        lambda: tracking.log_inputs(any_project, run, [Dataset(name="d", digest="1")]),
    ]
    for write in writes:
        with pytest.raises(tracking.RunDeleted):
            write()
    assert tracking.runs(any_project) == []
    assert tracking.run_by_id(any_project, run).lifecycle == "deleted"
    tracking.restore_run(any_project, run)
    tracking.log(any_project, run, tags={"a": "1"})
    found = tracking.run_by_id(any_project, run)
    assert (found.lifecycle, found.deleted_at) == ("active", None)
    kinds = [event.kind for event in any_project.ledger.events(subject=f"run/{run}")]
    assert kinds == ["tracking.run_deleted", "tracking.run_unsealed"]


def test_a_run_is_put_aside_and_brought_back_with_its_experiment(any_project: Project) -> None:
    experiment = tracking.create_experiment(any_project, "e").id
    kept, gone = (tracking.create_run(any_project, experiment).id for _ in range(2))
    tracking.delete_run(any_project, gone)
    tracking.delete_experiment(any_project, experiment)
    assert {run.lifecycle for run in tracking.runs_by_ids(any_project, [kept, gone])} == {"deleted"}
    with pytest.raises(tracking.RunDeleted):
        tracking.log(any_project, kept, tags={"a": "1"})
    with pytest.raises(tracking.ExperimentDeleted):
        tracking.create_run(any_project, experiment)
    tracking.restore_experiment(any_project, experiment)
    found = tracking.runs_by_ids(any_project, [kept, gone])
    assert [run.lifecycle for run in found] == ["active", "deleted"]


def test_an_end_is_now_unless_told_and_taken_away_when_the_run_goes_on(
    any_project: Project, clock: SimulatedClock
) -> None:
    run = run_in(any_project)
    clock.advance(timedelta(minutes=1))
    ended = tracking.update_run(any_project, run, status="killed", name="new")
    assert (ended.status, ended.ended_at, ended.name) == ("killed", clock.now(), "new")
    again = tracking.update_run(any_project, run, status="running")
    assert (again.status, again.ended_at, again.name) == ("running", None, "new")
    told = tracking.update_run(any_project, run, ended_at=clock.now() - timedelta(seconds=30))
    assert (told.status, told.ended_at) == ("running", clock.now() - timedelta(seconds=30))


def test_datasets_and_models_are_noted_once(any_project: Project) -> None:
    run = run_in(any_project)
    dataset = Dataset(
        name="flights", digest="d1", source_type="local", source="{}", context="training", tags={"a": "b"}
    )
    for _ in range(2):
        tracking.log_inputs(any_project, run, [dataset], [ModelUse(model="m-1")])
        tracking.log_outputs(any_project, run, [ModelUse(model="m-2", step=5)])
    found = tracking.run_by_id(any_project, run)
    assert found.datasets == (dataset,)
    assert found.models == (
        ModelUse(model="m-1", direction="input"),
        ModelUse(model="m-2", direction="output", step=5),
    )


@pytest.mark.parametrize("id_", ["", "none", "../x", "\0", "x" * 5000, "'; DROP TABLE runs"])
def test_a_run_that_does_not_exist_is_said_to_be_none(any_project: Project, id_: str) -> None:
    if "\0" in id_ and not any_project.database.is_sqlite:
        pytest.skip("PostgreSQL's driver refuses NUL itself")
    for verb in (
        lambda: tracking.log(any_project, id_, tags={"a": "1"}),
        lambda: tracking.run_by_id(any_project, id_),
        lambda: tracking.delete_run(any_project, id_),
        lambda: tracking.update_run(any_project, id_, name="n"),
    ):
        with pytest.raises(tracking.NoSuchRun):
            verb()


def test_experiments_have_numbers_and_one_name_each(any_project: Project, clock: SimulatedClock) -> None:
    first = tracking.create_experiment(any_project, "größe / 1", tags={"a": "1"}, artifact_location="s3://x")
    assert tracking.ensure_experiment(any_project, "größe / 1").id == first.id == "1"
    with pytest.raises(tracking.ExperimentExists):
        tracking.create_experiment(any_project, "größe / 1")
    clock.advance(timedelta(minutes=1))
    tracking.rename_experiment(any_project, first.id, "size")
    tracking.set_experiment_tag(any_project, first.id, "b", "2")
    tracking.set_experiment_tag(any_project, first.id, "b", "3")
    tracking.delete_experiment_tag(any_project, first.id, "a")
    found = tracking.experiment(any_project, name="size")
    assert (found.tags, found.artifact_location, found.updated_at) == ({"b": "3"}, "s3://x", clock.now())
    with pytest.raises(tracking.NoSuchTag):
        tracking.delete_experiment_tag(any_project, first.id, "a")
    tracking.delete_experiment(any_project, first.id)
    for refused in (
        lambda: tracking.rename_experiment(any_project, first.id, "x"),
        lambda: tracking.set_experiment_tag(any_project, first.id, "b", "2"),
        lambda: tracking.ensure_experiment(any_project, "size"),
    ):
        with pytest.raises(tracking.ExperimentDeleted):
            refused()
    with pytest.raises(tracking.ExperimentExists, match="deleted"):
        tracking.create_experiment(any_project, "size")
    with pytest.raises(tracking.NoSuchExperiment):
        tracking.delete_experiment(any_project, first.id)
    assert not verify_log(any_project.database, any_project.anchor).faults


@pytest.mark.parametrize("name", ["", "x" * 501])
def test_an_experiment_cannot_be_called_anything(project: Project, name: str) -> None:
    with pytest.raises(tracking.BadExperiment):
        tracking.create_experiment(project, name)


def test_the_default_experiment_is_always_there(any_project: Project) -> None:
    assert tracking.experiment(any_project, id="0").name == "Default"
    assert tracking.create_run(any_project, "0").experiment == "Default"
    for id_ in ("1", "x", "-1", "٣", "9" * 30):
        with pytest.raises(tracking.NoSuchExperiment):
            tracking.experiment(any_project, id=id_)


def test_many_threads_write_to_the_same_run_at_once(any_project: Project) -> None:
    run = run_in(any_project)

    def write(number: int) -> None:
        tracking.log(
            any_project,
            run,
            points=[Point(f"key-{number % 3}", number, number, number)],
            params={f"p{number}": "1"},
            tags={"shared": str(number)},
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(120)))
    found = tracking.run_by_id(any_project, run)
    assert len(found.params) == 120
    assert found.metrics == {"key-0": 117.0, "key-1": 118.0, "key-2": 119.0}
    assert sum(len(tracking.history(any_project, run, f"key-{key}").items) for key in range(3)) == 120


_WRITER = """
import sys
from bucle.ground.project import Project
from bucle.line import tracking
project = Project.open(sys.argv[1], database=sys.argv[2])
who = int(sys.argv[3])
for number in range(10):
    run = tracking.create_run(project, "0", tags={"who": str(who)}, params={f"p{number}": "1"}).id
    for step in range(5):
        tracking.log(project, run, points=[tracking.Point(f"m{step % 2}", step, step, step)])
        tracking.log(project, sys.argv[4], points=[tracking.Point(f"shared-{step}", who, who, number)])
    tracking.update_run(project, run, status="finished")
tracking.seal(project)
project.close()
"""


def test_eight_processes_write_and_seal_at_once(any_project: Project) -> None:
    shared = tracking.create_run(any_project, "0").id
    url = any_project.database.url
    children = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(any_project.root), url, str(who), shared])
        for who in range(8)
    ]
    assert [child.wait() for child in children] == [0] * 8
    tracking.seal(any_project)
    found = tracking.search_runs(any_project, ["0"], filter="status = 'finished'").items
    assert len(found) == 80
    assert all(run.metrics == {"m0": 4.0, "m1": 3.0} and run.sealed for run in found)
    assert all(len(tracking.history(any_project, shared, f"shared-{step}").items) == 80 for step in range(5))
    assert tracking.verify_runs(any_project) == []
    assert not verify_log(any_project.database, any_project.anchor).faults


def test_every_error_tells_what_to_do(project: Project) -> None:
    run = run_in(project)
    for wrong in (
        lambda: tracking.log(project, run, points=[Point("a", "x", 0, 0)]),  # type: ignore[arg-type]
        lambda: tracking.log(project, "none"),
        lambda: tracking.experiment(project, id="77"),
        lambda: tracking.search_runs(project, ["0"], token="x"),
        lambda: tracking.put_artifact(project, f"run/{run}", "../x", b""),
    ):
        with pytest.raises(BucleError) as caught:
            wrong()
        assert caught.value.what
        assert caught.value.fix
