"""Moving out: what is written, the real MLflow opens, finds, loads."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bucle.doors.migrate import MlflowDatabase, NotEmpty, UnknownSchema, carry_over, export_to_mlflow
from bucle.ground.project import Project
from bucle.line import tracking
from doors.migrate.conftest import Carry

LOOK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow import MlflowClient
uri = f"sqlite:///{sys.argv[1]}/mlflow.db"
mlflow.set_tracking_uri(uri); mlflow.set_registry_uri(uri)
client = MlflowClient()
(digits,) = [one for one in client.search_experiments() if one.name == "digits"]
runs = client.search_runs([digits.experiment_id], "metrics.loss < 0.1 and params.lr = '0.1'", order_by=["metrics.loss"])
first = runs[0]
trees = {one.path for one in client.list_artifacts(first.info.run_id)}
print(json.dumps({
    "tags": digits.tags,
    "found": [run.info.run_name for run in runs],
    "metrics": first.data.metrics["loss"],
    "history": [point.step for point in client.get_metric_history(first.info.run_id, "loss")],
    "dataset": first.inputs.dataset_inputs[0].dataset.name,
    "context": {tag.key: tag.value for tag in first.inputs.dataset_inputs[0].tags},
    "artifacts": sorted(trees),
    "deleted": [run.info.run_name for run in client.search_runs([digits.experiment_id], run_view_type=2)],
    "version": client.get_model_version_by_alias("digits-clf", "champion").current_stage,
    "prompt": mlflow.genai.load_prompt("prompts:/greeting/1").template,
    "models": [one.name for one in client.search_logged_models([digits.experiment_id])],
    "predicted": mlflow.sklearn.load_model("models:/digits-clf@champion").predict([[1]]).tolist(),
}))
"""


@pytest.fixture
def empty_mlflow(mlflow_original: Path, tmp_path: Path) -> Path:
    """A folder with a database as `mlflow db upgrade` makes one: the original's, with every row taken out."""
    folder = tmp_path / "moved"
    folder.mkdir()
    with sqlite3.connect(mlflow_original / "mlflow.db") as theirs, sqlite3.connect(folder / "mlflow.db") as mine:
        theirs.backup(mine)
        mine.execute("PRAGMA foreign_keys=OFF")
        for (table,) in mine.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table != "alembic_version":
                mine.execute(f'DELETE FROM "{table}"')
    return folder


def test_the_real_mlflow_opens_searches_and_loads_what_was_written(
    project: Project, mlflow_original: Path, carry: Carry, empty_mlflow: Path
) -> None:
    carry(MlflowDatabase(f"sqlite:///{mlflow_original / 'mlflow.db'}"))
    report = export_to_mlflow(project, empty_mlflow)
    assert report.is_sound, report.faults
    assert (report.runs, report.logged_models, report.models, report.versions) == (5, 1, 2, 3)
    environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(empty_mlflow)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "tags": {"team": "vision"},
        "found": ["first"],
        "metrics": 1 / 40,
        "history": list(range(40)),
        "dataset": "train",
        "context": {"mlflow.data.context": "training", "fold": "1"},
        "artifacts": ["sub dir"],
        "deleted": ["deleted"],
        "version": "Staging",
        "prompt": "Hello {{name}}",
        "models": ["clf"],
        "predicted": [1],
    }


def test_out_and_in_again_gives_the_same_runs(
    project: Project, mlflow_original: Path, carry: Carry, empty_mlflow: Path, tmp_path: Path
) -> None:
    carry(MlflowDatabase(f"sqlite:///{mlflow_original / 'mlflow.db'}"))
    export_to_mlflow(project, empty_mlflow)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "bucle.toml").write_text('[project]\nname = "other"\n')
    other = Project.open(tmp_path / "other", actor="bo")
    source = MlflowDatabase(f"sqlite:///{empty_mlflow / 'mlflow.db'}")
    assert carry_over(other, source).is_sound
    source.close()
    ids = [run.id for run in tracking.runs(project)]
    mine, theirs = (
        [(run.id, run.params, run.artifacts, run.datasets) for run in tracking.runs_by_ids(one, ids)]
        for one in (project, other)
    )
    assert mine == theirs
    other.close()


def test_writing_again_goes_on_and_writes_nothing_twice(
    project: Project, mlflow_original: Path, carry: Carry, empty_mlflow: Path
) -> None:
    carry(MlflowDatabase(f"sqlite:///{mlflow_original / 'mlflow.db'}"))
    first = export_to_mlflow(project, empty_mlflow)
    with sqlite3.connect(empty_mlflow / "mlflow.db") as theirs:
        theirs.execute("DELETE FROM tags WHERE run_uuid = (SELECT run_uuid FROM runs WHERE name = 'failed')")
        theirs.execute("DELETE FROM runs WHERE name = 'failed'")
    second = export_to_mlflow(project, empty_mlflow)
    assert second.is_sound
    assert (second.runs, second.points) == (first.runs, first.points)
    with sqlite3.connect(empty_mlflow / "mlflow.db") as theirs:
        assert theirs.execute("SELECT count(*) FROM runs").fetchone() == (5,)
        assert theirs.execute("SELECT count(*) FROM metrics").fetchone() == (first.points,)


def test_a_folder_with_something_in_it_is_left_alone(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(NotEmpty):
        export_to_mlflow(project, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        other.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(UnknownSchema, match="birds"):
        export_to_mlflow(project, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_without_mlflow_the_command_for_elsewhere_is_told(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bucle.doors.migrate.mlflow_export.find_spec", lambda name: None)
    with pytest.raises(UnknownSchema) as failed:
        export_to_mlflow(project, tmp_path / "new")
    assert f"mlflow db upgrade sqlite:///{tmp_path}/new/mlflow.db" in failed.value.fix
    assert not (tmp_path / "new").exists()
