"""What MLflow's own pages and older clients ask besides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doors.conftest import Site
from doors.mlflow.conftest import unique

AT, AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"


def ask(site: Site, path: str, **body: Any) -> dict[str, Any]:
    answer = site.client.post(f"{AT}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture
def experiment(server: Site) -> str:
    return str(ask(server, "experiments/create", name=unique("pages"))["experiment_id"])


@pytest.fixture
def run(server: Site, experiment: str) -> str:
    return str(ask(server, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"])


def test_curves_of_several_runs_come_at_once(server: Site, experiment: str, run: str) -> None:
    other = ask(server, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
    for id_ in (run, other):
        points = [{"key": "m", "value": step / 2, "timestamp": step, "step": step} for step in range(5)]
        ask(server, "runs/log-batch", run_id=id_, metrics=points)
    params = {"run_id": [run, other], "metric_key": "m"}
    found = server.client.get(f"{AJAX}/metrics/get-history-bulk", params=params).json()["metrics"]
    assert sorted({one["run_id"] for one in found}) == sorted([run, other])
    assert [one["step"] for one in found if one["run_id"] == run] == list(range(5))
    short = server.client.get(f"{AJAX}/metrics/get-history-bulk", params={**params, "max_results": 3}).json()
    assert len(short["metrics"]) == 3


@pytest.mark.parametrize(
    "params",
    [
        {"run_ids": ["x"] * 101, "metric_key": "m"},
        {"run_ids": ["x"], "metric_key": "m", "max_results": 2501},
        {"run_ids": ["x"], "metric_key": "m", "start_step": 3},
        {"run_ids": ["x"], "metric_key": "m", "start_step": 3, "end_step": 2},
        {"run_ids": ["x"]},
        {"metric_key": "m"},
    ],
)
def test_a_sample_nobody_can_take_is_refused(sqlite_server: Site, params: dict[str, Any]) -> None:
    answer = sqlite_server.client.get(f"{AT}/metrics/get-history-bulk-interval", params=params)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_the_datasets_of_experiments_are_summed_up(server: Site, experiment: str, run: str) -> None:
    dataset = {"name": "train", "digest": "abc", "source_type": "local", "source": "{}"}
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    ask(server, "runs/log-inputs", run_id=run, datasets=[{"tags": tags, "dataset": dataset}])
    for path in (f"{AJAX}/experiments/search-datasets", "/api/2.0mlflow/experiments/search-datasets"):
        found = server.client.post(path, json={"experiment_ids": [experiment]}).json()
        assert found["dataset_summaries"] == [
            {"experiment_id": experiment, "name": "train", "digest": "abc", "context": "training"}
        ]
    assert server.client.post(f"{AJAX}/experiments/search-datasets", json={}).status_code == 400


def test_a_model_logged_the_old_way_is_noted_in_a_tag(server: Site, run: str) -> None:
    for number in range(2):
        model = {"artifact_path": f"m{number}", "flavors": {"sklearn": {}}, "utc_time_created": "now", "run_id": run}
        ask(server, "runs/log-model", run_id=run, model_json=json.dumps(model))
    tags = server.client.get(f"{AT}/runs/get", params={"run_id": run}).json()["run"]["data"]["tags"]
    told = next(json.loads(tag["value"]) for tag in tags if tag["key"] == "mlflow.log-model.history")
    assert [one["artifact_path"] for one in told] == ["m0", "m1"]
    for text in ("no json", "[]", '{"flavors": {}}', "[" * 50_000):
        answer = server.client.post(f"{AT}/runs/log-model", json={"run_id": run, "model_json": text})
        assert answer.status_code == 400


def test_a_small_file_is_uploaded_and_fetched(server: Site, run: str) -> None:
    params = {"run_uuid": run, "path": "notes/n.txt"}
    assert server.client.post(f"{AJAX}/upload-artifact", params=params, content=b"text").status_code == 200
    answer = server.client.get("/get-artifact", params={"run_uuid": run, "path": "notes/n.txt"})
    assert (answer.content, answer.headers["content-type"]) == (b"text", "text/plain")
    large = server.client.post(f"{AJAX}/upload-artifact", params=params, content=bytes(11 << 20))
    assert large.status_code == 413
    assert server.client.post(f"{AJAX}/upload-artifact", params={"path": "n"}, content=b"x").status_code == 400


def test_a_file_of_a_logged_model_is_fetched(server: Site, experiment: str) -> None:
    model = ask(server, "logged-models", experiment_id=experiment)["model"]["info"]["model_id"]
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/models/{model}/artifacts/MLmodel"
    assert server.client.put(path, content=b"flavors: {}").status_code == 200
    at = f"{AJAX}/logged-models/{model}/artifacts/files"
    answer = server.client.get(at, params={"artifact_file_path": "MLmodel"})
    assert answer.content == b"flavors: {}"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert server.client.get(at).json()["error_code"] == "BAD_REQUEST"
    assert server.client.get(at, params={"artifact_file_path": "../x"}).status_code == 400


def test_a_head_is_answered_without_a_body(server: Site, run: str) -> None:
    target = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/a.txt"
    server.client.put(target, content=b"12345")
    answer = server.client.head(target)
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "5", b"")
