"""`bucle.run`: everything logged comes back, with the circumstances, whatever becomes of the process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bucle
from bucle.ground.core import NotFound
from bucle.ground.project import Project
from bucle.ground.store import DatabaseFailed
from bucle.line import client, data, tracking
from bucle.line.client import ActiveRun, End, Entry, Start
from bucle.line.client.sink import ProjectSink

QUIET = {"console": "none", "system_s": None}


def _begin(project: Project, **given: object) -> ActiveRun:
    return bucle.run("flights", project=project, **{**QUIET, **given})  # type: ignore[arg-type]


def _curve(project: Project, run: ActiveRun, key: str) -> list[tuple[int, float]]:
    found = tracking.points(project, run.id, key)
    return list(zip(found.steps.tolist(), found.values.tolist(), strict=True))


def test_everything_logged_comes_back(any_project: Project) -> None:
    with _begin(any_project, name="june", params={"model": {"depth": 3}}, tags={"by": "hand"}, seed=7) as run:
        run.log_params({"rate": 0.1})
        run.set_tags({"stage": "trial"})
        run.log({"loss": 0.5, "eval": {"auc": np.float32(0.75)}})
        run.log({"loss": 0.25})
        run.log_metrics({"curve": np.array([3.0, 2.0, 1.0])}, step=np.array([10, 20, 30]))
        run.log_artifact("plots/roc.json", b"[]")
    found = tracking.run(any_project, run.id)
    assert (found.experiment, found.name, found.status, found.seed, found.actor) == (
        "flights", "june", "finished", 7, "ana",
    )  # fmt: skip
    assert found.params == {"model/depth": "3", "rate": "0.1"}
    assert found.tags["by"] == "hand"
    assert found.tags["stage"] == "trial"
    assert found.metrics == {"curve": 1.0, "eval/auc": 0.75, "loss": 0.25}
    assert _curve(any_project, run, "loss") == [(0, 0.5), (1, 0.25)]
    assert _curve(any_project, run, "curve") == [(10, 3.0), (20, 2.0), (30, 1.0)]
    assert any_project.blobs.get(found.artifacts["plots/roc.json"]) == b"[]"
    assert "numpy==" in any_project.blobs.get(found.lock).decode()
    assert found.sealed
    assert tracking.verify_runs(any_project) == []
    (ended,) = any_project.ledger.events(subject=run.ref)
    assert ended.kind == "tracking.run_finished"


def test_the_circumstances_are_kept_without_asking(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py", "--api-key", "s3cret", "--token=s3cret", "--lr=1"])
    with _begin(project) as run:
        pass
    tags = tracking.run(project, run.id).tags
    assert tags["bucle.command"] == "python train.py --api-key '•••' '--token=•••' --lr=1"
    assert tags["bucle.host"]
    assert tags["mlflow.user"] == "ana"


def test_media_become_artifacts_by_name_and_step(project: Project) -> None:
    with _begin(project) as run:
        for _ in range(2):
            run.log({"image": bucle.Image(np.zeros((2, 2))), "loss": 1.0})
        run.log(
            {
                "rows": pl.DataFrame({"a": [1]}),
                "page": bucle.Html("<p>hi</p>"),
                "deep": {"image": bucle.Image(np.zeros((1, 1)))},
            },
            step=7,
        )
    found = tracking.run(project, run.id)
    assert sorted(found.artifacts) == [
        "media/deep/image/7.png", "media/image/0.png", "media/image/1.png", "media/page/7.html", "media/rows/7.parquet",
        "media/rows/7.preview.json",
    ]  # fmt: skip
    assert found.metrics == {"loss": 1.0}


def test_of_a_call_with_a_wrong_value_nothing_is_kept(project: Project) -> None:
    with _begin(project) as run:
        for wrong in ("text", None, object(), [["a"]]):
            with pytest.raises(tracking.BadMetric):
                run.log({"good": 1.0, "wrong": wrong})
        with pytest.raises(tracking.BadText):
            run.log_params({"a" * 300: 1})
        with pytest.raises(tracking.BadText):
            run.log_params({"long": "x" * 7000})
    found = tracking.run(project, run.id)
    assert (found.metrics, found.params) == ({}, {})


def test_a_folder_is_kept_with_all_in_it(project: Project, tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "weights").write_bytes(b"1")
    (tmp_path / "model" / "sub" / "vocabulary").write_bytes(b"2")
    with _begin(project) as run:
        run.log_artifact(tmp_path / "model")
        run.log_artifact("best/weights.bin", tmp_path / "model" / "weights")
        for wrong in ("../up", "/root", "a//b", "", "a/../b", "a\0b"):
            with pytest.raises(tracking.BadArtifactPath):
                run.log_artifact(wrong, b"")
        with pytest.raises(NotFound):
            run.log_artifact(tmp_path / "none")
    artifacts = tracking.run(project, run.id).artifacts
    assert sorted(artifacts) == ["best/weights.bin", "model/sub/vocabulary", "model/weights"]


def test_a_failed_run_says_why_and_keeps_what_it_had(project: Project) -> None:
    run = _begin(project)

    def train() -> None:
        with run:
            run.log({"loss": 1.0})
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        train()
    found = tracking.run(project, run.id)
    assert (found.status, found.error, found.metrics) == (
        "failed",
        "ZeroDivisionError: division by zero",
        {"loss": 1.0},
    )


def test_an_interrupted_run_is_killed(project: Project) -> None:
    with pytest.raises(KeyboardInterrupt), _begin(project) as run:
        raise KeyboardInterrupt
    assert tracking.run(project, run.id).status == "killed"


def test_after_the_end_nothing_is_taken(project: Project) -> None:
    run = _begin(project)
    run.finish()
    run.finish()
    for log in (lambda: run.log({"a": 1}), lambda: run.log_params({"a": 1}), lambda: run.log_artifact("a", b"")):
        with pytest.raises(tracking.RunEnded):
            log()


class _Away(ProjectSink):
    """A project whose database does not answer now and then."""

    is_away = False

    def log(self, entry: Entry) -> None:
        self._answer()
        super().log(entry)

    def end(self, end: End, timeout_s: float) -> str:
        self._answer()
        return super().end(end, timeout_s)

    def _answer(self) -> None:
        if self.is_away:
            raise DatabaseFailed("The database does not answer.")


def test_an_end_that_was_not_taken_is_told_and_tried_again(project: Project) -> None:
    sink, now = _Away(project, owned=False), project.clock.now
    start = Start(run="a" * 32, experiment="flights", started_at=now())
    run = ActiveRun(start, sink, another=lambda: sink, now=now, now_ms=lambda: 0)
    sink.is_away = True
    run.log({"loss": 0.5})
    for _ in range(2):
        with pytest.raises(DatabaseFailed):
            run.finish(timeout_s=0)
    with pytest.raises(tracking.RunEnded):
        run.log({"loss": 0.25})
    assert tracking.run(project, run.id).status == "running"
    sink.is_away = False
    run.finish("failed")
    run.finish()
    found = tracking.run(project, run.id)
    assert (found.status, found.metrics) == ("finished", {"loss": 0.5})
    assert len(project.ledger.events(kinds=["tracking.run_finished"])) == 1


def test_flush_acknowledges(project: Project) -> None:
    with _begin(project) as run:
        run.log({"loss": 0.5})
        run.flush()
        assert tracking.run(project, run.id).metrics == {"loss": 0.5}
        assert tracking.run(project, run.id).status == "running"


def test_children_stand_under_their_parent(project: Project) -> None:
    with _begin(project, tags={"team": "fraud"}) as run:
        with run.child("fold-1", params={"fold": 1}) as fold:
            fold.log({"auc": 0.5})
        run.log({"auc": 0.75})
    child, parent = tracking.run(project, fold.id), tracking.run(project, run.id)
    assert (child.name, child.experiment, child.params) == ("fold-1", "flights", {"fold": "1"})
    assert child.tags["mlflow.parentRunId"] == run.id
    assert (child.environment, child.metrics, parent.metrics) == (parent.environment, {"auc": 0.5}, {"auc": 0.75})


def test_inputs_are_pinned_to_the_commit_they_are_now(project: Project) -> None:
    made = data.commit(project, {"flights": pl.DataFrame({"a": [1]})}, message="one")
    with _begin(project, inputs=["main", "table/flights@main", "run/abc"]) as run:
        data.commit(project, {"flights": pl.DataFrame({"a": [2]})}, message="two")
    found = tracking.run(project, run.id)
    assert found.inputs == (f"commit/{made.id}", "run/abc")
    assert [(one.name, one.digest) for one in found.datasets] == [("flights", made.tables["flights"].digest)]
    with pytest.raises(data.NoSuchCommit):
        _begin(project, inputs=["commit/doesnotexist"])
    with pytest.raises(data.NoSuchTable):
        _begin(project, inputs=["table/fligths"])
    assert len(tracking.runs(project)) == 1


def test_what_is_printed_and_how_busy_the_machine_is_are_kept(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with bucle.run("flights", project=project) as run:
        sys.stdout.write("epoch 1\n")
        logging.getLogger("train").warning("careful")
        sys.stderr.write("to the side\n")
    found = tracking.run(project, run.id)
    assert project.blobs.get(found.artifacts["console.log"]).startswith(b"epoch 1\n")
    assert {"system/cpu_utilization_percentage", "system/process_memory_usage_megabytes"} <= set(found.metrics)
    assert capsys.readouterr().out == "epoch 1\n"


def test_the_project_is_found_from_the_folder_or_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BUCLE_PROJECT", "BUCLE_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(client.NoProject, match="There is no project") as raised:
        bucle.run(**QUIET)  # type: ignore[arg-type]
    assert "bucle init" in raised.value.fix
    monkeypatch.setenv("BUCLE_PROJECT", str(root))
    bucle.run(**QUIET).finish()  # type: ignore[arg-type]
    monkeypatch.delenv("BUCLE_PROJECT")
    (root / "deep").mkdir()
    monkeypatch.chdir(root / "deep")
    bucle.run(**QUIET).finish()  # type: ignore[arg-type]
    bucle.run(project=root, **QUIET).finish()  # type: ignore[arg-type]
    opened = Project.open(root)
    assert [one.experiment for one in tracking.runs(opened)] == ["Default"] * 3
    opened.close()


def test_many_threads_log_to_one_run(project: Project) -> None:
    def log(key: str) -> None:
        for step in range(500):
            run.log_metrics({key: step})

    with _begin(project) as run, ThreadPoolExecutor(8) as pool:
        list(pool.map(log, "abcdefgh"))
    for key in "abcdefgh":
        assert _curve(project, run, key) == [(step, float(step)) for step in range(500)]


def test_what_is_logged_to_a_run_put_aside_is_told_and_stops_nothing(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    run = _begin(project)
    tracking.delete_run(project, run.id)
    run.log({"loss": 1.0, "auc": 2.0})
    with pytest.raises(tracking.RunDeleted):
        run.flush()
    assert "deleted" in caplog.text
    tracking.restore_run(project, run.id)
    run.log({"loss": 0.5})
    run.finish()
    found = tracking.run(project, run.id)
    assert (found.status, found.metrics) == ("finished", {"loss": 0.5})


def _log_in_child(run: ActiveRun, told: object) -> None:
    try:
        run.log({"a": 1.0})
    except client.ForeignProcess as error:
        told.put(error.code)  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_told_to_log_elsewhere(project: Project) -> None:
    context = multiprocessing.get_context("fork")
    with _begin(project) as run:
        told = context.SimpleQueue()
        child = context.Process(target=_log_in_child, args=(run, told))
        child.start()
        child.join()
        assert told.get() == "BU0855"
        run.log({"a": 2.0})
    assert tracking.run(project, run.id).metrics == {"a": 2.0}


def _run_script(root: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("then", "status"), [("", "finished"), ("1 / 0", "failed"), ("sys.exit()", "finished")])
def test_a_run_nobody_finished_ends_with_its_process(root: Path, project: Project, then: str, status: str) -> None:
    code = f"import bucle, sys\nrun = bucle.run('x')\nrun.log({{'loss': 0.5}})\nprint('hello')\n{then}"
    done = _run_script(root, code)
    (found,) = tracking.runs(project)
    assert (found.status, found.metrics["loss"]) == (status, 0.5)
    assert project.blobs.get(found.artifacts["console.log"]).startswith(b"hello\n")
    assert ("ZeroDivisionError" in done.stderr) == (status == "failed")


_KILLED = """
import sys, bucle
run = bucle.run("x", console="none", system_s=None)
sys.stdout.write(run.id + "\\n")
for step in range(1_000_000):
    run.log_metrics({"loss": step}, step=step)
    if step % 1000 == 999:
        run.flush()
        sys.stdout.write(f"{step}\\n")
        sys.stdout.flush()
"""


def test_after_kill_9_all_that_was_acknowledged_is_there_once(root: Path, project: Project) -> None:
    child = subprocess.Popen([sys.executable, "-c", _KILLED], cwd=root, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    id_ = child.stdout.readline().strip()
    for _ in range(20):
        child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    told = child.stdout.read().split("\n")[:-1]
    child.stdout.close()
    found = tracking.points(project, id_, "loss")
    assert found.steps.tolist() == list(range(found.count))
    assert found.count > (int(told[-1]) if told else 19_999)
    assert tracking.run(project, id_).status == "running"
