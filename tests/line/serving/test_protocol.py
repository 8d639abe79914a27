from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.line.serving import RequestFailed, read_segments

Row = dict[str, list[object]]


def test_an_answer_comes_over_http_and_is_on_record(standing: Any, rows: Row) -> None:
    answer = standing.client.infer("flights", rows, request_id="mine")
    assert (answer.id, answer.model, answer.version, answer.arm) == ("mine", "flights", 1, "champion")
    assert answer.outputs["probability"] == pytest.approx([0.5744425, 0.796895, 0.3834335])
    assert answer.outputs in [p.outputs for p in read_segments(standing.log) if p.request_id == "mine"]


def test_the_protocol_s_questions_are_answered(standing: Any) -> None:
    url = standing.url
    with httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/v2").json()["name"] == "bucle"
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/flights/ready", "/ping", "/health"):
            assert http.get(path).status_code == 200, path
        about = http.get("/v2/models/flights/versions/1").json()
        assert about["platform"] == "onnx_onnxv1"
        assert about["inputs"][2] == {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]}
        assert about["outputs"] == [{"name": "probability", "datatype": "FP32", "shape": [-1]}]
        for path, status in {"/": 404, "/v2/models/other": 404, "/v2/models/flights/versions/9": 404}.items():
            answer = http.get(path)
            assert answer.status_code == status
            assert answer.json()["fix"]
        assert http.post("/v2").status_code == 405
        assert http.get("/v2/models/flights/infer").status_code == 405


def test_a_named_version_answers_past_the_routes(standing: Any, rows: Row) -> None:
    assert standing.client.infer("flights", rows, version=1).arm == "direct"
    with pytest.raises(RequestFailed, match="does not serve"):
        standing.client.infer("flights", rows, version=2)


def test_invocations_answer_as_mlflow_does(standing: Any, rows: Row, post: Callable[..., httpx.Response]) -> None:
    url = f"{standing.url}/invocations"
    body = json.dumps({"inputs": rows}).encode()
    answer = post(url, body, **{"x-request-id": "invoked"})
    assert answer.json()["predictions"] == pytest.approx([0.5744425, 0.796895, 0.3834335])
    assert read_segments(standing.log)[-1].request_id == "invoked"
    assert post(url, b"a,b\n1,2", **{"content-type": "text/csv"}).status_code == 415


@pytest.mark.parametrize(
    ("spoil", "at"),
    [
        (lambda rows: {k: v for k, v in rows.items() if k != "hour"}, "hour"),
        (lambda rows: {**rows, "extra": [1.0, 2.0, 3.0]}, "extra"),
        (lambda rows: {**rows, "hour": ["a", "b", "c"]}, "hour"),
        (lambda rows: {**rows, "carrier": [None, "a", "b"]}, "carrier"),
        (lambda rows: {**rows, "hour": [1e300, 1.0, 2.0]}, "hour"),
        (lambda rows: {**rows, "hour": [1.0]}, "distance"),
    ],
)
def test_a_wrong_input_is_refused_by_name_and_not_on_record(
    standing: Any, rows: Row, spoil: Callable[[Row], Row], at: str
) -> None:
    before = read_segments(standing.log)
    with pytest.raises(RequestFailed) as caught:
        standing.client.infer("flights", spoil(rows))
    assert caught.value.at == at
    assert caught.value.fix
    assert read_segments(standing.log) == before


def test_a_huge_body_is_refused_unread(standing: Any, post: Callable[..., httpx.Response]) -> None:
    answer = post(f"{standing.url}/v2/models/flights/infer", b" " * (17 << 20))
    assert answer.status_code == 413
    assert answer.json()["code"] == "BU1103"


VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["hour", "distance", "carrier", "?"]),
        "shape": st.lists(st.integers(-1, 3), min_size=1, max_size=2),
        "datatype": st.sampled_from(["FP32", "FP64", "INT64", "BYTES", "BOOL"]),
        "data": st.lists(VALUE, max_size=3) | VALUE,
    }
)


@given(
    path=st.sampled_from(["/v2/models/flights/infer", "/v2/models/flights/versions/1/infer", "/invocations"]),
    body=st.one_of(
        st.binary(max_size=40),
        st.fixed_dictionaries({"inputs": st.lists(TENSOR, max_size=4)}),
        st.dictionaries(st.sampled_from(["inputs", "instances", "dataframe_split", "dataframe_records"]), VALUE),
    ),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_whatever_gets_a_500(
    standing: Any, post: Callable[..., httpx.Response], path: str, body: object
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = post(f"{standing.url}{path}", content)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
