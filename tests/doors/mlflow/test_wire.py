"""The rules of the wire, said with plain HTTP: what is read, what is refused, and that nothing is ever a 500."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.doors.protocols.mlflow import ROUTES
from bucle.doors.protocols.mlflow.wire import JSON_LIMIT
from doors.conftest import Site
from doors.mlflow.conftest import unique

AT = "/api/2.0/mlflow"


def post(site: Site, path: str, **body: Any) -> httpx.Response:
    return site.client.post(f"{AT}/{path}", json=body)


def raw(site: Site, path: str, data: bytes, **headers: str) -> httpx.Response:
    return site.client.post(f"{AT}/{path}", content=data, headers=headers)


def new_run(site: Site) -> str:
    answer = post(site, "runs/create", experiment_id="0", start_time=1000, run_name="r")
    assert answer.status_code == 200, answer.text
    return answer.json()["run"]["info"]["run_id"]


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


def test_version_and_server_info_answer_before_anything_else(sqlite_server: Site) -> None:
    from packaging.version import Version

    assert Version(sqlite_server.client.get("/version").text) >= Version("3.17")
    info = sqlite_server.client.get("/api/3.0/mlflow/server-info").json()
    assert info["workspaces_enabled"] is False
    assert info["multipart_uploads_enabled"] is False


def test_a_run_is_shown_as_protobuf_writes_it(server: Site) -> None:
    made = post(server, "runs/create", experiment_id="0", start_time=1234, run_name="r", user_id="ana").json()["run"]
    info = made["info"]
    assert info["run_uuid"] == info["run_id"]
    assert info["status"] == "RUNNING"
    assert info["start_time"] == 1234
    assert info["lifecycle_stage"] == "active"
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/{info['run_id']}/artifacts"
    assert "end_time" not in info
    assert made["data"] == {"tags": [{"key": "mlflow.runName", "value": "r"}]}


def test_numbers_may_be_texts_and_unknown_fields_are_ignored(server: Site) -> None:
    run = new_run(server)
    sent = {"run_id": run, "key": "m", "value": "0.5", "timestamp": "1700000000000", "step": "3", "shoe_size": 44}
    assert post(server, "runs/log-metric", **sent).status_code == 200
    found = server.client.get(f"{AT}/metrics/get-history", params={"run_id": run, "metric_key": "m"}).json()
    assert found["metrics"] == [{"key": "m", "value": 0.5, "timestamp": 1700000000000, "step": 3}]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_finite_number_travels_as_text(server: Site, text: str) -> None:
    run = new_run(server)
    batch = [{"key": "m", "value": text, "timestamp": 1, "step": 0}]
    assert post(server, "runs/log-batch", run_id=run, metrics=batch).status_code == 200
    found = server.client.get(f"{AT}/runs/get", params={"run_id": run}).json()
    assert found["run"]["data"]["metrics"] == [{"key": "m", "value": text, "timestamp": 1, "step": 0}]


def test_null_counts_as_not_given_and_bare_nan_is_read(server: Site) -> None:
    run = new_run(server)
    body = b'{"run_id": "%s", "key": "m", "value": NaN, "timestamp": 1, "step": null, "model_id": null}' % run.encode()
    assert raw(server, "runs/log-metric", body).status_code == 200


def test_a_body_that_was_encoded_twice_is_read(server: Site) -> None:
    body = json.dumps(json.dumps({"run_id": new_run(server), "key": "k", "value": "v"})).encode()
    assert raw(server, "runs/set-tag", body).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("runs/log-metric", {"key": "m", "value": 1.0, "timestamp": 1}, "run_id"),
        ("runs/log-metric", {"run_id": "x", "value": 1.0, "timestamp": 1}, "key"),
        ("runs/log-metric", {"run_id": "x", "key": "m", "timestamp": 1}, "value"),
        ("runs/log-metric", {"run_id": "x", "key": "m", "value": 1.0}, "timestamp"),
        ("runs/log-parameter", {"run_id": "x", "value": "1"}, "key"),
        ("runs/set-tag", {"run_id": "x"}, "key"),
        ("runs/update", {}, "run_id"),
        ("runs/delete", {}, "run_id"),
        ("experiments/create", {}, "name"),
        ("experiments/update", {"experiment_id": "0"}, "new_name"),
        ("experiments/delete", {}, "experiment_id"),
        ("logged-models", {}, "experiment_id"),
    ],
)
def test_a_missing_field_is_named(sqlite_server: Site, path: str, body: dict[str, Any], field: str) -> None:
    answer = post(sqlite_server, path, **body)
    assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert f"Missing value for required parameter '{field}'" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/log-metric", {"run_id": 5, "key": "m", "value": 1, "timestamp": 1}),
        ("runs/log-metric", {"run_id": "x", "key": "m", "value": "many", "timestamp": 1}),
        ("runs/log-metric", {"run_id": "x", "key": "m", "value": 1, "timestamp": "soon"}),
        ("runs/log-batch", {"run_id": "x", "metrics": {}}),
        ("runs/search", {"experiment_ids": "0"}),
        ("runs/search", {"experiment_ids": ["0"], "max_results": 50001}),
        ("runs/search", {"experiment_ids": ["0"], "max_results": -1}),
        ("runs/search", {"experiment_ids": ["0"], "filter": "metrics.a >"}),
        ("runs/search", {"experiment_ids": ["0"], "page_token": "%%%"}),
        ("runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.a SIDEWAYS"]}),
        ("experiments/search", {"max_results": 0}),
        ("experiments/search", {"max_results": 10, "page_token": "bm90IG91cnM="}),
        ("runs/create", {"experiment_id": "0", "start_time": 10**30}),
        ("runs/update", {"run_id": "x", "status": "SLEEPING"}),
        ("logged-models/search", {"experiment_ids": []}),
        ("logged-models/search", {"experiment_ids": ["0"], "order_by": [{"field_name": "shoe_size"}]}),
        ("logged-models/search", {"experiment_ids": ["0"], "datasets": [{"dataset_digest": "x"}]}),
    ],
)
def test_a_wrong_value_is_refused(sqlite_server: Site, path: str, body: dict[str, Any]) -> None:
    assert error_of(post(sqlite_server, path, **body)) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b'{"run_id": "x"', b"[1]", b"7", b'"text"', b'"\\"x\\""']
)
def test_a_body_that_is_no_object_is_refused_at_once(sqlite_server: Site, body: bytes) -> None:
    assert error_of(raw(sqlite_server, "runs/log-metric", body))[0] == 400


def test_a_packed_body_is_unpacked(server: Site) -> None:
    body = gzip.compress(json.dumps({"run_id": new_run(server), "key": "k", "value": "v"}).encode())
    assert raw(server, "runs/set-tag", body, **{"content-encoding": "gzip"}).status_code == 200


def test_a_bomb_is_refused_before_it_unfolds(sqlite_server: Site) -> None:
    bomb = gzip.compress(b" " * (JSON_LIMIT * 8))
    answer = raw(sqlite_server, "runs/set-tag", bomb, **{"content-encoding": "gzip"})
    assert error_of(answer) == (413, "INVALID_PARAMETER_VALUE")


def test_a_body_without_an_end_is_cut_off_at_the_limit(sqlite_server: Site) -> None:
    def endless() -> Any:
        for _ in range(JSON_LIMIT // 65536 + 2):
            yield b" " * 65536

    answer = sqlite_server.client.post(f"{AT}/runs/set-tag", content=endless())
    assert error_of(answer) == (413, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_an_encoding_that_is_not_so_is_refused(sqlite_server: Site, encoding: str) -> None:
    answer = raw(sqlite_server, "runs/set-tag", zlib.compress(b"{}")[3:], **{"content-encoding": encoding})
    assert answer.status_code == 400


def test_a_batch_of_too_many_is_refused(server: Site) -> None:
    run = new_run(server)
    metrics = [{"key": f"m{n}", "value": 1, "timestamp": 1, "step": 0} for n in range(1001)]
    texts = [{"key": f"p{n}", "value": "1"} for n in range(101)]
    assert error_of(post(server, "runs/log-batch", run_id=run, metrics=metrics))[0] == 400
    assert error_of(post(server, "runs/log-batch", run_id=run, params=texts))[0] == 400
    assert error_of(post(server, "runs/log-batch", run_id=run, tags=texts))[0] == 400
    both = {"metrics": metrics[:950], "params": texts[:60]}
    assert error_of(post(server, "runs/log-batch", run_id=run, **both))[0] == 400
    assert server.client.get(f"{AT}/runs/get", params={"run_id": run}).json()["run"]["data"].get("metrics") is None


def test_a_batch_is_kept_whole_or_not_at_all(server: Site) -> None:
    run = new_run(server)
    post(server, "runs/log-parameter", run_id=run, key="p", value="1")
    answer = post(
        server,
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
        params=[{"key": "p", "value": "2"}],
    )
    assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert "p" in answer.json()["message"]
    assert "metrics" not in server.client.get(f"{AT}/runs/get", params={"run_id": run}).json()["run"]["data"]


def test_a_batch_sent_twice_counts_once(server: Site) -> None:
    run = new_run(server)
    batch = {
        "run_id": run,
        "metrics": [{"key": "m", "value": n / 7, "timestamp": 1, "step": n} for n in range(200)],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}],
    }
    for _ in range(3):
        assert post(server, "runs/log-batch", **batch).status_code == 200
    found = server.client.get(f"{AT}/metrics/get-history", params={"run_id": run, "metric_key": "m"}).json()["metrics"]
    assert [(one["step"], one["value"]) for one in found] == [(n, n / 7) for n in range(200)]


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "runs/get?run_id=0123456789abcdef", "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "experiments/get?experiment_id=999999", "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "experiments/get-by-name?experiment_name=nobody", "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "logged-models/m-0123", "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "metrics/get-history?run_id=0123456789abcdef&metric_key=m", "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "artifacts/list?run_id=0123456789abcdef", "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_what_is_not_there_is_404(sqlite_server: Site, method: str, path: str, error: str) -> None:
    assert error_of(sqlite_server.client.request(method, f"{AT}/{path}")) == (404, error)


def test_a_name_that_is_taken_already_exists(server: Site) -> None:
    name = unique("taken")
    assert post(server, "experiments/create", name=name).status_code == 200
    assert error_of(post(server, "experiments/create", name=name)) == (400, "RESOURCE_ALREADY_EXISTS")


def test_a_deleted_run_takes_nothing_more(server: Site) -> None:
    run = new_run(server)
    post(server, "runs/delete", run_id=run)
    answer = post(server, "runs/log-metric", run_id=run, key="m", value=1, timestamp=1)
    assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")


def test_a_page_of_another_site_cannot_write(sqlite_server: Site) -> None:
    body = json.dumps({"name": unique("forged")}).encode()
    answer = raw(
        sqlite_server, "experiments/create", body, **{"content-type": "text/plain", "origin": "https://evil.example"}
    )
    assert answer.status_code == 403


def test_a_host_that_is_not_ours_is_refused(sqlite_server: Site) -> None:
    answer = sqlite_server.client.get("/version", headers={"host": "evil.example"})
    assert answer.status_code == 421


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({name for route in ROUTES for name in getattr(route.kind, "__struct_fields__", ()) if route.kind})


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    route=st.sampled_from(ROUTES),
    body=st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=6) | JUNK,
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10),
)
def test_junk_is_never_our_fault(sqlite_server: Site, route: Any, body: Any, name: str) -> None:
    path = "".join(part if not part.startswith("{") else name for part in _parts(route.path))
    answer = sqlite_server.client.request(route.method, quote(path), content=json.dumps(body).encode())
    assert answer.status_code < 500 or answer.json()["error_code"] == "NOT_IMPLEMENTED", answer.text


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_junk_in_the_right_fields_is_never_our_fault(sqlite_server: Site, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from([one for one in ROUTES if hasattr(one.kind, "__struct_fields__")]))
    if route.kind.__name__ == "Call":
        return
    fields = route.kind.__struct_fields__
    body = data.draw(st.dictionaries(st.sampled_from(fields), JUNK, max_size=6)) if fields else {}
    answer = sqlite_server.client.request(route.method, route.path.split("{")[0], content=json.dumps(body).encode())
    assert answer.status_code < 500 or answer.json()["error_code"] == "NOT_IMPLEMENTED", answer.text


def _parts(path: str) -> list[str]:
    import re

    return re.split(r"(\{[^}]+\})", path)
