"""People's own code, unchanged: the fluent API, autologging, models that are logged, registered and loaded again."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doors.mlflow.conftest import Places, pointed_at, unique

TWO = [
    "http+sqlite",
    "bucle+postgresql",
    pytest.param("http+postgresql", marks=pytest.mark.full),
    pytest.param("bucle+sqlite", marks=pytest.mark.full),
]


@pytest.fixture(params=TWO)
def mlflow(places: Places, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module `mlflow` in an experiment of its own; on every variant only in the long run, for models are slow."""
    yield from pointed_at(places.uri(request.param))


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    features = random.normal(size=(120, 4))
    return features, (features[:, 0] + 0.3 * features[:, 1] > 0).astype(int)


def test_a_run_within_a_run_names_its_parent(fluent: Any) -> None:
    with fluent.start_run(run_name="outer") as outer, fluent.start_run(run_name="inner", nested=True) as inner:
        fluent.log_metric("m", 1)
    found = fluent.get_run(inner.info.run_id)
    assert found.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert found.info.status == "FINISHED"


def test_a_run_that_raises_has_failed(fluent: Any) -> None:
    with pytest.raises(RuntimeError, match="by design"), fluent.start_run() as run:
        raise RuntimeError("by design")
    assert fluent.get_run(run.info.run_id).info.status == "FAILED"


def test_a_run_is_resumed(fluent: Any) -> None:
    with fluent.start_run() as run:
        fluent.log_param("a", 1)
    with fluent.start_run(run_id=run.info.run_id):
        fluent.log_params({"b": 2})
        fluent.log_metrics({"m": 0.5, "n": 2}, step=3)
        fluent.set_tags({"t": "x"})
    found = fluent.get_run(run.info.run_id)
    assert (found.data.params, found.data.metrics) == ({"a": "1", "b": "2"}, {"m": 0.5, "n": 2.0})
    assert found.info.status == "FINISHED"


def test_runs_come_as_a_table(fluent: Any) -> None:
    for number in range(3):
        with fluent.start_run():
            fluent.log_metric("m", number)
    table = fluent.search_runs(order_by=["metrics.m DESC"])
    assert list(table["metrics.m"]) == [2, 1, 0]
    assert (table["status"] == "FINISHED").all()


def test_tables_images_and_datasets_are_logged(fluent: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    with fluent.start_run() as run:
        fluent.log_table(frame, "t.json")
        fluent.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "i.png")
        fluent.log_input(fluent.data.from_pandas(frame, name="frame", source="s3://bucket/x"), context="training")
    assert fluent.load_table("t.json", run_ids=[run.info.run_id])["a"].tolist() == [1, 2]
    found = fluent.get_run(run.info.run_id)
    (seen,) = found.inputs.dataset_inputs
    assert (seen.dataset.name, {tag.key: tag.value for tag in seen.tags}) == (
        "frame",
        {"mlflow.data.context": "training"},
    )
    assert len(fluent.search_runs(filter_string="datasets.name = 'frame' AND datasets.context = 'training'")) == 1
    source = fluent.data.get_source(seen)
    assert "s3://bucket/x" in source.to_json()


def test_a_sklearn_model_is_logged_registered_and_loaded(mlflow: Any, data: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = data
    model, name = LogisticRegression().fit(features, labels), unique("sk")
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=name,
            input_example=features[:2],
            pip_requirements=["scikit-learn"],
        )
    for uri in (info.model_uri, f"models:/{name}/1", f"models:/{name}/latest"):
        back = mlflow.sklearn.load_model(uri)
        assert (back.predict(features) == model.predict(features)).all()
    loaded = mlflow.pyfunc.load_model(f"models:/{name}/1")
    assert (loaded.predict(features) == model.predict(features)).all()
    found = mlflow.get_logged_model(info.model_id)
    assert (found.status, found.source_run_id) == ("READY", run.info.run_id)
    assert [one.model_id for one in mlflow.get_run(run.info.run_id).outputs.model_outputs] == [info.model_id]


def test_a_function_becomes_a_model(mlflow: Any) -> None:
    class Twice(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
        def predict(self, context: Any, model_input: list[int], params: Any = None) -> list[int]:
            return [2 * one for one in model_input]

    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="twice", python_model=Twice(), pip_requirements=["mlflow"])
    assert mlflow.pyfunc.load_model(info.model_uri).predict([1, 2]) == [2, 4]


def test_lightgbm_logs_itself(mlflow: Any, data: Any) -> None:
    import lightgbm

    mlflow.lightgbm.autolog(log_models=False, silent=True)
    features, labels = data
    with mlflow.start_run() as run:
        train = lightgbm.Dataset(features, labels)
        booster = lightgbm.train(
            {"objective": "binary", "verbose": -1, "num_threads": 1},
            train,
            5,
            valid_sets=[train],
            valid_names=["train"],
        )
    found = mlflow.get_run(run.info.run_id)
    assert found.data.params["objective"] == "binary"
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "train-binary_logloss")) == 5
    assert {one.path for one in mlflow.MlflowClient().list_artifacts(run.info.run_id)} >= {
        "feature_importance_gain.png"
    }
    assert booster.num_trees() == 5


@pytest.mark.full
def test_lightgbm_logs_and_registers_its_model(mlflow: Any, data: Any) -> None:
    import lightgbm

    mlflow.lightgbm.autolog(log_models=True, silent=True, registered_model_name=(name := unique("lgb")))
    features, labels = data
    with mlflow.start_run():
        train = lightgbm.Dataset(features, labels)
        booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, train, 5)
    back = mlflow.lightgbm.load_model(f"models:/{name}/1")
    assert np.allclose(back.predict(features), booster.predict(features))


def test_xgboost_logs_itself(mlflow: Any, data: Any) -> None:
    import xgboost

    mlflow.xgboost.autolog(log_models=False, silent=True)
    features, labels = data
    with mlflow.start_run() as run:
        matrix = xgboost.DMatrix(features, labels)
        booster = xgboost.train(
            {"objective": "binary:logistic", "nthread": 1}, matrix, 4, evals=[(matrix, "train")], verbose_eval=False
        )
        info = mlflow.xgboost.log_model(booster, name="model", pip_requirements=["xgboost"])
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "train-logloss")) == 4
    back = mlflow.xgboost.load_model(info.model_uri)
    assert np.allclose(back.predict(matrix), booster.predict(matrix))


def test_sklearn_logs_itself(mlflow: Any, data: Any) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    mlflow.sklearn.autolog(log_models=False, silent=True, max_tuning_runs=2)
    features, labels = data
    with mlflow.start_run() as run:
        search = GridSearchCV(RandomForestClassifier(n_estimators=2, random_state=0), {"max_depth": [1, 3]}, cv=2)
        search.fit(features, labels)
    found = mlflow.get_run(run.info.run_id)
    assert found.data.params["best_max_depth"] in ("1", "3")
    assert "training_accuracy_score" in found.data.metrics
    children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert len(children) == 2


@pytest.mark.full
def test_a_model_is_evaluated(mlflow: Any, data: Any) -> None:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    features, labels = data
    frame = pd.DataFrame(features, columns=list("abcd"))
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(
            LogisticRegression().fit(frame, labels),
            name="model",
            input_example=frame[:2],
            pip_requirements=["scikit-learn"],
        )
        result = mlflow.models.evaluate(
            info.model_uri, frame.assign(label=labels), targets="label", model_type="classifier", evaluators="default"
        )
    found = mlflow.get_run(run.info.run_id)
    assert found.data.metrics["accuracy_score"] == result.metrics["accuracy_score"]
    assert mlflow.get_logged_model(info.model_id).metrics
    assert result.artifacts


def test_a_checkpoint_of_each_step_is_found_by_its_metric(mlflow: Any, data: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = data
    model = LogisticRegression().fit(features, labels)
    made = []
    with mlflow.start_run() as run:
        for step in range(2):
            info = mlflow.sklearn.log_model(model, name=f"c{step}", step=step, pip_requirements=["scikit-learn"])
            mlflow.log_metric("acc", 0.5 + step / 10, step=step, model_id=info.model_id)
            made.append(info.model_id)
    best = mlflow.search_logged_models(
        experiment_ids=[run.info.experiment_id],
        order_by=[{"field_name": "metrics.acc", "ascending": False}],
        max_results=1,
        output_format="list",
    )
    assert [one.model_id for one in best] == made[1:]
    found = mlflow.get_run(run.info.run_id)
    assert {one.model_id: one.step for one in found.outputs.model_outputs} == {made[0]: 0, made[1]: 1}


def test_a_project_folder_is_a_tracking_address(places: Places) -> None:
    """As a `Path`, as a `file:` address, as one of ours; MLflow hands all three to whoever claims them."""
    root = places.root("bucle+sqlite")
    places.uri("bucle+sqlite")
    script = """
        import pathlib, sys, mlflow
        for address in [pathlib.Path(sys.argv[1]), *sys.argv[2:]]:
            mlflow.set_tracking_uri(address)
            mlflow.set_experiment("folder")
            with mlflow.start_run() as run:
                mlflow.log_metric("m", 1)
                mlflow.log_text("x", "t.txt")
            assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/t.txt") == "x"
            print(run.info.artifact_uri)
    """
    addresses = [str(root), f"file://{root}", f"bucle:{os.path.relpath(root)}"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *addresses], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mlflow-artifacts:/") == 3
    assert not (root / "mlruns").exists()


def test_a_folder_that_is_no_project_is_mlflows_own(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    client = MlflowClient(tracking_uri=str(tmp_path / "mlruns"))
    run = client.create_run(client.create_experiment("e"))
    assert str(tmp_path) in run.info.artifact_uri


def test_an_address_without_a_project_says_what_to_do(tmp_path: Path) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="bucle init"):
        MlflowClient(tracking_uri=f"bucle://{tmp_path}").search_experiments()


def test_the_ledger_knows_a_run_that_has_ended(places: Places) -> None:
    from mlflow import MlflowClient

    from bucle.ground.project import Project
    from bucle.line import tracking

    client = MlflowClient(tracking_uri=places.uri("bucle+sqlite"))
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "m", 1)
    client.set_terminated(run.info.run_id)
    with_ledger = Project.open(places.root("bucle+sqlite"))
    try:
        assert tracking.run_by_id(with_ledger, run.info.run_id).sealed
        assert tracking.verify_runs(with_ledger) == []
    finally:
        with_ledger.close()


@pytest.mark.full
@pytest.mark.parametrize("variant", ["http+sqlite", "bucle+sqlite", "bucle+postgresql"])
def test_many_processes_log_at_once(places: Places, variant: str) -> None:
    script = """
        import sys, mlflow
        uri, experiment = sys.argv[1:]
        client = mlflow.MlflowClient(tracking_uri=uri)
        run = client.create_run(experiment).info.run_id
        for step in range(100):
            client.log_metric(run, "m", step, step=step)
        client.log_text(run, "x" * 1000, "t.txt")
        client.set_terminated(run)
        print(run)
    """
    from mlflow import MlflowClient

    uri = places.uri(variant)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(unique("many"))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), uri, experiment],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in running:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err.decode()
        history = client.get_metric_history(out.decode().split()[-1], "m")
        assert [one.value for one in history] == list(range(100))


@pytest.mark.full
@pytest.mark.parametrize("variant", ["bucle+sqlite", "bucle+postgresql"])
def test_a_forked_process_goes_on_logging(places: Places, variant: str) -> None:
    script = """
        import multiprocessing, sys, mlflow
        client = mlflow.MlflowClient(tracking_uri=sys.argv[1])
        run = client.create_run("0").info.run_id
        client.log_metric(run, "m", 0, step=0)

        def log(start):
            for step in range(start, start + 20):
                client.log_metric(run, "m", step, step=step)

        children = [multiprocessing.get_context("fork").Process(target=log, args=(1 + 20 * n,)) for n in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        client.log_metric(run, "m", 61, step=61)
        assert sorted(one.step for one in client.get_metric_history(run, "m")) == list(range(62))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), places.uri(variant)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
