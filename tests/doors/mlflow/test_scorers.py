"""Scorers through the real client."""

from __future__ import annotations

from typing import Any

import pytest

from doors.conftest import Site
from doors.mlflow.crossed import CROSSED

PATH = "/api/3.0/mlflow/scorers"


@pytest.fixture(params=CROSSED)
def mlflow_uri(places: Any, request: pytest.FixtureRequest) -> str:
    return str(places.uri(request.param))


def test_a_scorer_is_registered_listed_read_and_taken_away(fluent: Any) -> None:
    from mlflow.genai.scorers import Guidelines, delete_scorer, get_scorer, list_scorers
    from mlflow.genai.scorers.registry import list_scorer_versions

    Guidelines(name="polite", guidelines=["Be nice."]).register(name="polite")
    Guidelines(name="polite", guidelines=["Be very nice."]).register(name="polite")
    assert [one.name for one in list_scorers()] == ["polite"]
    assert get_scorer(name="polite").guidelines == ["Be very nice."]
    assert get_scorer(name="polite", version=1).guidelines == ["Be nice."]
    assert [version for _, version in list_scorer_versions(name="polite")] == [1, 2]
    delete_scorer(name="polite", version=2)
    assert get_scorer(name="polite").guidelines == ["Be nice."]
    delete_scorer(name="polite", version="all")
    assert list_scorers() == []
    with pytest.raises(fluent.exceptions.MlflowException) as caught:
        get_scorer(name="polite")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/register", {"experiment_id": "0", "name": "a"}, 400),
        ("POST", "/register", {"experiment_id": "0", "name": "a", "serialized_scorer": "no json"}, 400),
        ("POST", "/register", {"experiment_id": "4711", "name": "a", "serialized_scorer": "{}"}, 404),
        ("GET", "/get?experiment_id=0&name=none", None, 404),
        ("GET", "/get?experiment_id=0", None, 400),
        ("GET", "/versions?experiment_id=0&name=none", None, 404),
        ("GET", "/list?experiment_id=4711", None, 404),
        ("GET", "/list", None, 200),
        ("DELETE", "/delete", {"experiment_id": "0", "name": "none"}, 404),
        ("GET", "/online-configs?scorer_ids=x", None, 200),
        ("PUT", "/online-config", {"experiment_id": "0", "name": "a", "sample_rate": 1}, 501),
    ],
)
def test_a_wrong_question_is_answered_with_a_code(
    sqlite_server: Site, method: str, path: str, body: Any, status: int
) -> None:
    answer = sqlite_server.client.request(method, PATH + path, json=body)
    assert answer.status_code == status, answer.text
