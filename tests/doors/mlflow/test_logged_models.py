"""Logged models of MLflow 3 through the real client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from doors.mlflow.conftest import unique

if TYPE_CHECKING:
    from mlflow import MlflowClient


@pytest.fixture
def run(client: MlflowClient, experiment: str) -> str:
    return client.create_run(experiment).info.run_id


def test_a_model_is_pending_until_it_is_finalized(client: MlflowClient, experiment: str, run: str) -> None:
    from mlflow.entities import LoggedModelStatus

    made = client.create_logged_model(
        experiment, name="net", source_run_id=run, params={"depth": "3"}, tags={"team": "fraud"}, model_type="agent"
    )
    assert made.model_id.startswith("m-")
    assert (made.status, made.model_type, made.source_run_id) == (LoggedModelStatus.PENDING, "agent", run)
    assert made.artifact_location == f"mlflow-artifacts:/{experiment}/models/{made.model_id}/artifacts"
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    found = client.get_logged_model(made.model_id)
    assert (found.status, found.params, found.tags) == (LoggedModelStatus.READY, {"depth": "3"}, {"team": "fraud"})


def test_tags_and_params_are_added(client: MlflowClient, experiment: str) -> None:
    from mlflow.exceptions import MlflowException

    id_ = client.create_logged_model(experiment).model_id
    client.set_logged_model_tags(id_, {"a": "1", "b/c": "2"})
    client.set_logged_model_tags(id_, {"a": "3"})
    client.log_model_params(id_, {"p": "1"})
    client.delete_logged_model_tag(id_, "a")
    found = client.get_logged_model(id_)
    assert (found.tags, found.params) == ({"b/c": "2"}, {"p": "1"})
    assert found.name
    with pytest.raises(MlflowException, match="RESOURCE_DOES_NOT_EXIST"):
        client.delete_logged_model_tag(id_, "a")


def test_a_deleted_model_is_gone_from_searches(client: MlflowClient, experiment: str) -> None:
    from mlflow.exceptions import MlflowException

    id_ = client.create_logged_model(experiment).model_id
    client.delete_logged_model(id_)
    assert client.search_logged_models([experiment]) == []
    with pytest.raises(MlflowException, match="RESOURCE_DOES_NOT_EXIST"):
        client.get_logged_model(id_)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b'])
def test_a_name_that_would_not_stand_in_an_address_is_refused(client: MlflowClient, experiment: str, name: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="INVALID_PARAMETER_VALUE"):
        client.create_logged_model(experiment, name=name)


def test_files_are_kept_and_listed(client: MlflowClient, experiment: str, tmp_path: Any) -> None:
    id_ = client.create_logged_model(experiment).model_id
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"weights")
    client.log_model_artifacts(id_, str(tmp_path))
    assert {one.path for one in client.list_logged_model_artifacts(id_)} == {"MLmodel", "data"}
    assert {one.path for one in client.list_logged_model_artifacts(id_, "data")} == {"data/w.bin"}


class Measured(NamedTuple):
    experiment: str
    run: str
    models: dict[str, str]


@pytest.fixture(scope="module")
def kept() -> dict[str, Measured]:
    return {}


@pytest.fixture
def measured(client: MlflowClient, mlflow_uri: str, kept: dict[str, Measured]) -> Measured:
    """Five models; on dataset A `acc` rises with the number, on B it falls; the last was never measured. Only read."""
    if mlflow_uri not in kept:
        kept[mlflow_uri] = five(client)
    return kept[mlflow_uri]


def five(client: MlflowClient) -> Measured:
    experiment = client.create_experiment(unique("measured"))
    run, made = client.create_run(experiment).info.run_id, {}
    for number in range(5):
        name = f"m{number}"
        params = {"kind": "tree" if number % 2 else "line"}
        made[name] = client.create_logged_model(experiment, name=name, source_run_id=run, params=params).model_id
        if number == 4:
            continue
        for place, (dataset, value) in enumerate((("A", number / 10), ("B", 1 - number / 10))):
            client.log_metric(
                run, "acc", value, timestamp=place + 1, step=number, model_id=made[name],
                dataset_name=dataset, dataset_digest=f"d{dataset}",
            )  # fmt: skip
    return Measured(experiment, run, made)


def names(found: Any) -> list[str]:
    return [model.name for model in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 'm1'", {"m1"}),
        ("name LIKE 'm%' AND params.kind = 'tree'", {"m1", "m3"}),
        ("metrics.acc >= 0.8", {"m0", "m1", "m2"}),
        ("metrics.acc < 0.15", {"m0", "m1"}),
        ("status = 'PENDING' AND params.kind != 'tree'", {"m0", "m2", "m4"}),
        ("name IN ('m3', 'm4')", {"m3", "m4"}),
    ],
)
def test_a_filter_finds_models(client: MlflowClient, measured: Measured, text: str, expected: set[str]) -> None:
    assert set(names(client.search_logged_models([measured.experiment], text))) == expected


def test_metrics_are_searched_within_a_dataset(client: MlflowClient, measured: Measured) -> None:
    found = client.search_logged_models([measured.experiment], "metrics.acc >= 0.2", datasets=[{"dataset_name": "A"}])
    assert set(names(found)) == {"m2", "m3"}
    scope = [{"dataset_name": "B", "dataset_digest": "dB"}]
    assert set(names(client.search_logged_models([measured.experiment], "metrics.acc > 0.85", datasets=scope))) == {
        "m0",
        "m1",
    }
    assert set(names(client.search_logged_models([measured.experiment], datasets=scope))) == {"m0", "m1", "m2", "m3"}


def test_models_are_ordered_by_a_metric_on_a_dataset(client: MlflowClient, measured: Measured) -> None:
    def ordered(**order: Any) -> list[str]:
        return names(
            client.search_logged_models([measured.experiment], order_by=[{"field_name": "metrics.acc", **order}])
        )

    assert ordered(ascending=False, dataset_name="A", dataset_digest="dA") == ["m3", "m2", "m1", "m0", "m4"]
    assert ordered(ascending=True, dataset_name="B", dataset_digest="dB") == ["m3", "m2", "m1", "m0", "m4"]
    # Without a dataset the newest measurement counts, which was made on B.
    assert ordered(ascending=False) == ["m0", "m1", "m2", "m3", "m4"]


def test_all_pages_together_are_the_whole(client: MlflowClient, measured: Measured) -> None:
    order = [{"field_name": "metrics.acc", "ascending": False}]
    seen, token, more = [], None, True
    while more:
        page = client.search_logged_models([measured.experiment], max_results=2, order_by=order, page_token=token)
        seen += names(page)
        token, more = page.token, bool(page.token)
    assert seen == ["m0", "m1", "m2", "m3", "m4"]


def test_what_was_measured_comes_with_the_model_and_with_the_run(client: MlflowClient, measured: Measured) -> None:
    metrics = client.get_logged_model(measured.models["m1"]).metrics
    assert [(m.key, m.value, m.dataset_name, m.dataset_digest, m.run_id, m.step) for m in metrics] == [
        ("acc", 0.1, "A", "dA", measured.run, 1),
        ("acc", 0.9, "B", "dB", measured.run, 1),
    ]
    assert len(client.get_metric_history(measured.run, "acc")) == 8


def test_a_measurement_of_an_unknown_model_is_refused(client: MlflowClient, run: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="RESOURCE_DOES_NOT_EXIST"):
        client.log_metric(run, "acc", 1, model_id=unique("m-0"))
