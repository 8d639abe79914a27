"""Our project as an MLflow Project: MLflow's own command runs its pipelines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import yaml

from bucle.ground.core import environment
from bucle.ground.project import Project
from bucle.line import pipelines
from doors.cli.typed import Bucle

FLOW = """
from bucle.line.pipelines import pipeline, step


@step
def add(left: int, right: float, words: str, flag: bool) -> list[str]:
    return [repr(left), repr(right), words, repr(flag)]


@pipeline
def train(left: int, right: float = 0.5, words: str = "two words", flag: bool = True) -> list[str]:
    return add(left, right, words, flag)
"""


def with_flow(root: Path) -> None:
    (root / "flow.py").write_text(FLOW)
    settings = (root / "bucle.toml").read_text()
    assert "[project]\n" in settings
    kept = "\n".join(line for line in settings.splitlines() if not line.startswith("modules"))
    (root / "bucle.toml").write_text(kept.replace("[project]\n", '[project]\nmodules = ["flow"]\n', 1))


def test_mlflow_runs_a_pipeline_of_ours(bucle: Bucle, root: Path, tmp_path: Path) -> None:
    with_flow(root)
    said = bucle("migrate", "to-mlproject", "--project", str(root), "--json")
    assert said.status == 0, said.out + said.err
    told = yaml.safe_load((root / "MLproject").read_text())
    assert set(told["entry_points"]) == {"train"}
    packages = yaml.safe_load((root / "python_env.yaml").read_text())
    assert packages["python"] == environment().python
    assert f"polars=={environment().packages['polars']}" in packages["dependencies"]
    command = [sys.executable, "-m", "mlflow", "run", str(root), "-e", "train", "--env-manager", "local"]
    given = ["-P", "left=3", "-P", "words=a 'quoted' $HOME"]
    variables = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run([*command, *given], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with closing(Project.open(root)) as project:
        (execution,) = pipelines.executions(project)
    assert execution.result == ["3", "0.5", "a 'quoted' $HOME", "True"]


def test_somebody_elses_file_is_not_written_over_and_ours_is(bucle: Bucle, root: Path) -> None:
    with_flow(root)
    (root / "MLproject").write_text("name: mine\n")
    said = bucle("migrate", "to-mlproject", "--project", str(root), "--json")
    assert said.status != 0
    assert "not written by Bucle" in json.loads(said.out)["error"]["what"]
    assert (root / "MLproject").read_text() == "name: mine\n"
    assert not (root / "python_env.yaml").exists()
    other = root / "other"
    for _ in range(2):
        assert bucle("migrate", "to-mlproject", str(other), "--project", str(root)).status == 0
    assert f"--project {root}" in (other / "MLproject").read_text()
