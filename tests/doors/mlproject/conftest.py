"""A project to run in, and an MLflow Project as MLflow's documentation has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bucle.doors.cli.main import main
from doors.cli.typed import Bucle, Said

MLPROJECT = """
name: tutorial

python_env: python_env.yaml

entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      l1_ratio: {type: float, default: 0.1}
    command: "python train.py {alpha} {l1_ratio}"
  validate:
    parameters:
      words: string
      data: path
    command: "python tell.py {words} {data}"
  fails:
    command: "python -c 'import sys; sys.exit(3)'"
  killed:
    command: "kill -9 $$"
  waits:
    command: "(sleep 600 & echo $! > child.pid); touch started; sleep 600"
"""
PYTHON_ENV = """
python: "{python}"
build_dependencies:
  - pip
dependencies:
  - -r requirements.txt
"""
TRAIN = """
import sys

import mlflow
from sklearn.datasets import make_regression
from sklearn.linear_model import ElasticNet
from sklearn.metrics import r2_score

alpha, l1_ratio = float(sys.argv[1]), float(sys.argv[2])
with mlflow.start_run():
    features, target = make_regression(n_samples=60, n_features=4, noise=1.0, random_state=7)
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, random_state=42).fit(features, target)
    mlflow.log_param("alpha", alpha)
    mlflow.log_param("l1_ratio", l1_ratio)
    mlflow.log_metric("r2", r2_score(target, model.predict(features)))
    mlflow.log_text(str(model.coef_.tolist()), "coefficients.json")
"""
TELL = """
import json, sys

with open("told.json", "w") as file:
    json.dump({"argv": sys.argv[1:]}, file)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The MLflow Project."""
    made = tmp_path / "tutorial"
    made.mkdir()
    (made / "MLproject").write_text(MLPROJECT)
    (made / "python_env.yaml").write_text(PYTHON_ENV.format(python="3.11"))
    (made / "requirements.txt").write_text("six==1.17.0\n")
    (made / "train.py").write_text(TRAIN)
    (made / "tell.py").write_text(TELL)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project it is run in."""
    made = tmp_path / "project"
    assert main(["init", str(made), "--example", "none", "--quiet"]) == 0
    return made


@pytest.fixture
def bucle(capfd: pytest.CaptureFixture[str]) -> Bucle:
    """A command in this process; what its children print counts."""

    def call(*arguments: str) -> Said:
        capfd.readouterr()
        status = main(arguments)
        return Said(status, *capfd.readouterr())

    return call


@pytest.fixture
def run(bucle: Bucle, folder: Path, root: Path) -> Callable[..., Said]:
    """`bucle run` of the MLflow Project in this Python."""

    def call(*arguments: str) -> Said:
        return bucle("run", str(folder), *arguments, "--env-manager", "local", "--project", str(root), "--json")

    return call
