"""Evaluation datasets through the real client."""

from __future__ import annotations

from typing import Any

import pytest

from doors.conftest import Site
from doors.mlflow.crossed import CROSSED

PATH = "/api/3.0/mlflow/datasets"


@pytest.fixture(params=CROSSED)
def mlflow_uri(places: Any, request: pytest.FixtureRequest) -> str:
    return str(places.uri(request.param))


def test_a_dataset_is_made_filled_found_and_taken_away(fluent: Any) -> None:
    from mlflow.genai import datasets

    place = str(fluent.tracking.fluent._get_experiment_id())
    made = datasets.create_dataset(f"qa-{place}", experiment_id=place, tags={"team": "search"})
    made.merge_records(
        [
            {"inputs": {"q": "1"}, "expectations": {"e": "x"}, "tags": {"t": "1"}},
            {"inputs": {"q": "2", "n": 5}, "source": {"source_type": "HUMAN", "source_data": {"user_name": "bob"}}},
        ]
    )
    made.merge_records([{"inputs": {"q": "1"}, "expectations": {"f": 1}}])

    found = datasets.get_dataset(dataset_id=made.dataset_id)
    first, second = found.to_df().to_dict("records")
    assert (first["inputs"], first["expectations"]) == ({"q": "1"}, {"e": "x", "f": 1})
    assert (second["inputs"], second["source_type"]) == ({"q": "2", "n": 5}, "HUMAN")
    assert '"num_records":2' in found.profile.replace(" ", "")
    assert found.digest != made.digest or found.last_update_time == made.last_update_time
    assert (found.tags["team"], found.experiment_ids) == ("search", [place])

    by_tag = datasets.search_datasets(experiment_ids=place, filter_string="tags.team = 'search' AND name LIKE 'qa%'")
    assert [one.dataset_id for one in by_tag] == [made.dataset_id]
    datasets.set_dataset_tags(dataset_id=made.dataset_id, tags={"a": "1"})
    datasets.delete_dataset_tag(dataset_id=made.dataset_id, key="team")
    assert datasets.get_dataset(dataset_id=made.dataset_id).tags["a"] == "1"
    datasets.add_dataset_to_experiments(dataset_id=made.dataset_id, experiment_ids=["0"])
    assert set(datasets.get_dataset(dataset_id=made.dataset_id).experiment_ids) == {"0", place}
    left = datasets.remove_dataset_from_experiments(dataset_id=made.dataset_id, experiment_ids=["0"])
    assert left.experiment_ids == [place]
    assert found.delete_records([first["dataset_record_id"]]) == 1
    datasets.delete_dataset(dataset_id=made.dataset_id)
    with pytest.raises(fluent.exceptions.MlflowException) as caught:
        datasets.get_dataset(dataset_id=made.dataset_id)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_dataset_of_traces_is_what_evaluate_takes(fluent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.genai import datasets
    from mlflow.genai.scorers import scorer

    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    fluent.tracing.reset()

    @fluent.trace
    def shout(text: str) -> str:
        return text.upper()

    @scorer
    def length(outputs: Any) -> int:
        return len(outputs)

    place = str(fluent.tracking.fluent._get_experiment_id())
    shout("abc")
    id_ = fluent.get_last_active_trace_id()
    fluent.log_expectation(trace_id=id_, name="expected", value="ABC")
    made = datasets.create_dataset(f"traces-{place}", experiment_id=place)
    made.merge_records(fluent.search_traces(locations=[place]))
    (record,) = made.to_df().to_dict("records")
    assert (record["inputs"], record["expectations"], record["source_id"]) == (
        {"text": "abc"},
        {"expected": "ABC"},
        id_,
    )
    result = fluent.genai.evaluate(data=made, predict_fn=shout, scorers=[length])
    assert result.metrics == {"length/mean": 3.0}
    fluent.tracing.reset()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/create", {}, 400),
        ("POST", "/create", {"name": "x" * 600}, 400),
        ("POST", "/create", {"name": "a", "tags": "[]"}, 400),
        ("POST", "/create", {"name": "a", "experiment_ids": ["4711"]}, 404),
        ("GET", "/d-none", None, 404),
        ("DELETE", "/d-none", None, 200),
        ("POST", "/d-none/records", {"records": "[]"}, 404),
        ("POST", "/d-none/records", {"records": "nonsense"}, 400),
        ("POST", "/d-none/records", {"records": '[{"inputs": 5}]'}, 400),
        ("POST", "/d-none/records", {}, 400),
        ("GET", "/d-none/records", None, 404),
        ("DELETE", "/d-none/records", {"dataset_record_ids": ["x"]}, 404),
        ("PATCH", "/d-none/tags", {"tags": "{}"}, 404),
        ("PATCH", "/d-none/tags", {"tags": "{"}, 400),
        ("DELETE", "/d-none/tags/a", None, 200),
        ("GET", "/d-none/experiment-ids", None, 404),
        ("POST", "/search", {"filter_string": "x = "}, 400),
        ("POST", "/search", {"max_results": -1}, 400),
        ("POST", "/search", {"page_token": "zzz"}, 400),
        ("POST", "/search", {"order_by": ["created_by"]}, 400),
    ],
)
def test_a_wrong_question_is_answered_with_a_code(
    sqlite_server: Site, method: str, path: str, body: Any, status: int
) -> None:
    answer = sqlite_server.client.request(method, PATH + path, json=body)
    assert answer.status_code == status, answer.text
