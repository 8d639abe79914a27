"""A team's MLflow of 2,000 runs and 20 models: the same client sees the same before and after."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bucle.doors.migrate import MlflowDatabase, carry_over
from doors.conftest import served

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUNS, MODELS = 2000, 20

BUILD = """
import random, sys
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
folder = sys.argv[1]
uri = f"sqlite:///{folder}/mlflow.db"
client, chance = MlflowClient(uri, uri), random.Random(7)
experiments = [client.create_experiment(f"e{n}", artifact_location=f"file://{folder}/artifacts/{n}") for n in range(4)]
open(f"{folder}/model.bin", "wb").write(b"model" * 100)
runs = []
for number in range(int(sys.argv[2])):
    owner = chance.choice(experiments)
    began = 1_700_000_000_000 + number * 1000
    run = client.create_run(owner, start_time=began, run_name=f"run-{number % 100}", tags={"mlflow.user": "ana"})
    id_ = run.info.run_id
    points = [Metric(f"m{key}", chance.gauss(0, 1), began + step, step) for key in range(4) for step in range(3)]
    if number % 50 == 0:
        points.append(Metric("m0", float("nan"), began + 9, 9))
    params = [Param("seed", str(number % 97)), Param("kind", chance.choice("abc")), Param(f"p{number % 5}", "x")]
    tags = [RunTag("team", chance.choice(["red", "blue"])), RunTag("note", f"number {number}")]
    client.log_batch(id_, points, params, tags)
    if number % 3:
        client.set_terminated(id_, chance.choice(["FINISHED", "FAILED", "KILLED"]), began + 500)
    if number % 40 == 0:
        client.delete_run(id_)
    else:
        runs.append(id_)
for number in range(int(sys.argv[3])):
    name = f"model-{number:02d}"
    client.create_registered_model(name, {"tier": str(number % 3)}, f"model number {number}")
    for version in range(1, 2 + number % 4):
        run = runs[(number * 31 + version) % len(runs)]
        client.log_artifact(run, f"{folder}/model.bin", "model")
        told = f"{name} {version}"
        client.create_model_version(name, f"runs:/{run}/model", run, {"v": str(version)}, description=told)
    if number % 2:
        client.set_registered_model_alias(name, "champion", "1")
    if number % 4 == 0:
        client.transition_model_version_stage(name, "1", "Staging")
"""


def seen_runs(client: MlflowClient, filter_: str, order: list[str], view: int = 1, limit: int = 300) -> list[Any]:
    ids = [one.experiment_id for one in client.search_experiments(view_type=3)]
    found, token = [], None
    while True:
        page = client.search_runs(ids, filter_, view, max_results=limit, order_by=order, page_token=token)
        found += page
        token = page.token
        if not token or len(found) >= 900:
            return [_run(one) for one in found[:900]]


def _run(run: Any) -> Any:
    info, data = run.info, run.data
    metrics = {key: "nan" if math.isnan(value) else value for key, value in data.metrics.items()}
    about = (
        info.run_id,
        info.run_name,
        info.status,
        info.start_time,
        info.end_time,
        info.lifecycle_stage,
        info.user_id,
    )
    return (*about, metrics, data.params, data.tags)


def seen_models(client: MlflowClient, filter_: str) -> list[Any]:
    found = [
        (
            one.name,
            one.description,
            one.tags,
            {alias: int(version) for alias, version in one.aliases.items()},
            sorted((int(version.version), version.current_stage) for version in one.latest_versions),
        )
        for one in client.search_registered_models(filter_, max_results=100)
    ]
    return sorted(found, key=lambda one: one[0])


def seen_versions(client: MlflowClient, filter_: str) -> list[Any]:
    found = [
        (one.name, int(one.version), one.run_id, one.description, one.tags, one.current_stage, one.source)
        for one in client.search_model_versions(filter_, max_results=500)
    ]
    return sorted(found, key=lambda one: one[:2])


QUESTIONS: dict[str, Callable[[MlflowClient], Any]] = {
    "all": lambda c: seen_runs(c, "", ["attributes.start_time DESC"]),
    "by metric": lambda c: seen_runs(c, "metrics.m1 > 0.5", ["metrics.m1 DESC"]),
    "by nan": lambda c: seen_runs(c, "", ["metrics.m0 ASC"]),
    "by param": lambda c: seen_runs(c, "params.seed = '13' and params.kind != 'a'", []),
    "by tag": lambda c: seen_runs(c, "tags.team = 'red' and tags.note LIKE '%7%'", ["attributes.start_time"]),
    "by status": lambda c: seen_runs(c, "attributes.status = 'FAILED'", ["params.seed", "attributes.run_id"]),
    "by name": lambda c: seen_runs(c, "attributes.run_name = 'run-42'", []),
    "deleted": lambda c: seen_runs(c, "", ["attributes.start_time"], view=2),
    "experiments": lambda c: sorted(
        (one.experiment_id, one.name, one.lifecycle_stage, one.tags) for one in c.search_experiments(view_type=3)
    ),
    "models": lambda c: seen_models(c, ""),
    "models by tag": lambda c: seen_models(c, "tags.tier = '1'"),
    "models by name": lambda c: seen_models(c, "name ILIKE 'MODEL-1%'"),
    "versions": lambda c: seen_versions(c, ""),
    "versions of one": lambda c: seen_versions(c, "name = 'model-03'"),
}


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_same_client_sees_the_same_before_and_after(tmp_path: Path, root: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    program = [sys.executable, "-c", BUILD, str(tmp_path), str(RUNS), str(MODELS)]
    done = subprocess.run(program, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before_uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    before = MlflowClient(before_uri, before_uri)
    with served(root) as site:
        source = MlflowDatabase(before_uri)
        report = carry_over(site.project, source)
        source.close()
        assert report.is_sound, report.faults
        assert (report.runs, report.models) == (RUNS, MODELS)
        after = MlflowClient(site.url, site.url)
        for name, ask in QUESTIONS.items():
            assert ask(after) == ask(before), name
        for run in before.search_runs(["1"], max_results=20):
            histories = [
                [
                    (point.step, point.timestamp, str(point.value))
                    for point in client.get_metric_history(run.info.run_id, "m0")
                ]
                for client in (before, after)
            ]
            assert sorted(histories[0]) == sorted(histories[1])
        version = before.get_model_version("model-07", "2")
        (tmp_path / "back").mkdir()
        place = after.download_artifacts(version.run_id, "model/model.bin", str(tmp_path / "back"))
        assert Path(place).read_bytes() == b"model" * 100
