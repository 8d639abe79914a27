"""Experiments through the real client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from doors.mlflow.conftest import unique

if TYPE_CHECKING:
    from mlflow import MlflowClient


def test_the_default_experiment_is_there_from_the_start(client: MlflowClient) -> None:
    found = client.get_experiment("0")
    assert (found.name, found.lifecycle_stage) == ("Default", "active")


def test_an_experiment_comes_back_as_it_was_made(client: MlflowClient) -> None:
    name = f"{unique('Größe')} / 模型"
    id_ = client.create_experiment(name, tags={"team": "fraud", "größe": "ñ"})
    by_id, by_name = client.get_experiment(id_), client.get_experiment_by_name(name)
    assert dict(by_id) == dict(by_name)
    assert (by_id.name, by_id.tags["team"], by_id.tags["größe"]) == (name, "fraud", "ñ")
    assert by_id.artifact_location == f"mlflow-artifacts:/{id_}"
    assert by_id.creation_time is not None
    assert by_id.creation_time <= by_id.last_update_time


def test_an_unknown_name_is_none_and_a_taken_one_is_refused(client: MlflowClient) -> None:
    from mlflow.exceptions import MlflowException

    assert client.get_experiment_by_name(unique("nobody")) is None
    name = unique("taken")
    client.create_experiment(name)
    with pytest.raises(MlflowException, match="already") as caught:
        client.create_experiment(name)
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"


def test_tags_are_set_changed_and_taken_away(client: MlflowClient, experiment: str) -> None:
    client.set_experiment_tag(experiment, "a", "1")
    client.set_experiment_tag(experiment, "a", "2")
    client.set_experiment_tag(experiment, "b", "3")
    client.delete_experiment_tag(experiment, "b")
    assert client.get_experiment(experiment).tags == {"a": "2"}


def test_a_deleted_experiment_is_found_only_among_the_deleted(client: MlflowClient, experiment: str) -> None:
    from mlflow.entities import ViewType

    name = client.get_experiment(experiment).name
    client.delete_experiment(experiment)
    ours = f"name = '{name}'"
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    assert client.search_experiments(filter_string=ours) == []
    assert [e.experiment_id for e in client.search_experiments(ViewType.DELETED_ONLY, filter_string=ours)] == [
        experiment
    ]
    client.restore_experiment(experiment)
    assert [e.experiment_id for e in client.search_experiments(filter_string=ours)] == [experiment]


def test_renaming_keeps_the_id(client: MlflowClient, experiment: str) -> None:
    name = unique("renamed")
    client.rename_experiment(experiment, name)
    assert client.get_experiment_by_name(name).experiment_id == experiment


def test_a_search_goes_through_all_pages_in_order(client: MlflowClient) -> None:
    mark = unique("paged")
    made = [client.create_experiment(f"{mark}-{number:02}", tags={"batch": mark}) for number in range(7)]
    found, token, more = [], None, True
    while more:
        page = client.search_experiments(
            filter_string=f"tags.batch = '{mark}' AND name LIKE '{mark}%'",
            order_by=["name DESC"],
            max_results=3,
            page_token=token,
        )
        found += [one.experiment_id for one in page]
        token, more = page.token, bool(page.token)
    assert found == made[::-1]


def test_an_artifact_location_is_kept_when_it_is_none_of_this_machine(client: MlflowClient) -> None:
    from mlflow.exceptions import MlflowException

    id_ = client.create_experiment(unique("far"), artifact_location="s3://bucket/folder")
    run = client.create_run(id_)
    assert run.info.artifact_uri == f"s3://bucket/folder/{run.info.run_id}/artifacts"
    for location in (
        "file:///etc",
        "s3://[abc/x",
        "/etc",
        "../up",
        "s3://bucket/../up",
        "mlflow-artifacts:/%2e%2e/x",
        "sqlite:///x.db",
    ):
        with pytest.raises(MlflowException, match="artifact_location") as caught:
            client.create_experiment(unique("near"), artifact_location=location)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
