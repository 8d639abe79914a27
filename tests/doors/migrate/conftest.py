"""Databases and folders of other trackers, made by those trackers themselves."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bucle.doors.migrate import Report, carry_over
from bucle.doors.migrate.found import Source
from bucle.ground.project import Project

HERE = Path(__file__).parent

BUILD = """
import os, sys, warnings
warnings.simplefilter("ignore")
import mlflow, numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from sklearn.linear_model import LogisticRegression


@mlflow.trace
def answer(question):
    return inner(question) + 1


@mlflow.trace(span_type="TOOL")
def inner(question):
    return question


def build(uri, artifacts, scratch):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient()
    place = artifacts and f"file://{artifacts}/1"
    digits = client.create_experiment("digits", artifact_location=place, tags={"team": "vision"})
    client.delete_experiment(client.create_experiment("gone"))
    mlflow.set_experiment("digits")
    told = {"mlflow.user": "ana", "note": "two\\nlines"}
    first = client.create_run(digits, start_time=1_000_000, tags=told, run_name="first").info.run_id
    loss = [Metric("loss", 1 / (step + 1), 1000 + step, step) for step in range(40)]
    odd = [Metric("nan", float("nan"), 1, 0), Metric("top", float("inf"), 1, 0), Metric("val/acc", 0.5, 2, -3)]
    client.log_batch(first, loss + odd, [Param("lr", "0.1"), Param("deep/er", "x"), Param("empty", "")])
    open(f"{scratch}/a.txt", "w").write("hello")
    client.log_artifact(first, f"{scratch}/a.txt", "sub dir")
    data = mlflow.data.from_numpy(np.arange(4.0), name="train")
    with mlflow.start_run(run_id=first):
        mlflow.log_input(data, context="training", tags={"fold": "1"})
    client.set_terminated(client.create_run(digits, run_name="failed").info.run_id, "FAILED")
    deleted = client.create_run(digits, run_name="deleted").info.run_id
    client.log_metric(deleted, "loss", 9)
    client.delete_run(deleted)
    client.create_run(digits, run_name="running")
    with mlflow.start_run(run_name="model"):
        fitted = LogisticRegression().fit([[0], [1]], [0, 1])
        info = mlflow.sklearn.log_model(
            fitted, name="clf", registered_model_name="digits-clf", pip_requirements=["scikit-learn"]
        )
        mlflow.log_metric("acc", 0.9, step=2, model_id=info.model_id, dataset=data)
    client.create_model_version("digits-clf", f"runs:/{first}/sub dir", first, description="by hand")
    client.set_registered_model_tag("digits-clf", "owner", "ana")
    client.update_registered_model("digits-clf", "reads digits")
    client.set_model_version_tag("digits-clf", "1", "validated_by", "bo")
    client.set_registered_model_alias("digits-clf", "champion", "1")
    client.transition_model_version_stage("digits-clf", "1", "Staging")
    if uri.startswith("sqlite"):
        mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="first")
    answer(41)
    mlflow.flush_trace_async_logging()


folder = sys.argv[1]
os.makedirs(f"{folder}/scratch")
build(f"sqlite:///{folder}/mlflow.db", f"{folder}/artifacts", f"{folder}/scratch")
build(f"{folder}/files/mlruns", "", f"{folder}/scratch")
"""


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a small team left behind in both of MLflow's stores, written by the real MLflow in a process of its own."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("originals")
    environ = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    program = [sys.executable, "-c", BUILD, str(folder)]
    done = subprocess.run(program, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def mlflow_original(originals: Path) -> Path:
    """A folder with `mlflow.db` and `artifacts`, to be left as it is."""
    return originals


@pytest.fixture
def mlflow_folder(mlflow_original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed; its addresses lead into the copy."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy(mlflow_original / "mlflow.db", theirs)
    shutil.copytree(mlflow_original / "artifacts", theirs / "artifacts")
    with sqlite3.connect(theirs / "mlflow.db") as database:
        for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
            moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(moved, (str(mlflow_original), str(theirs)))
    return theirs


@pytest.fixture(scope="session")
def mlruns(originals: Path) -> Path:
    """The same as MLflow's file store."""
    return originals / "files" / "mlruns"


@pytest.fixture
def wandb_folder(tmp_path: Path) -> Path:
    """What W&B 0.31 wrote offline, see `wandb/make.py`."""
    return Path(shutil.copytree(HERE / "wandb", tmp_path / "wandb", symlinks=True))


Carry = Callable[[Source], Report]


@pytest.fixture
def carry(project: Project) -> Carry:
    """Take a source over into `project` and close it."""

    def over(source: Source) -> Report:
        try:
            return carry_over(project, source)
        finally:
            source.close()

    return over
