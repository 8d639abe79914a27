"""The rules of the wire, said with plain HTTP: what is read, what is refused, and that nothing is ever a 500."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import threading
import zlib
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.doors.protocols.mlflow import ROUTES
from bucle.doors.protocols.mlflow.app import Door
from bucle.doors.protocols.mlflow.errors import MlflowError
from bucle.doors.protocols.mlflow.routes import Wire
from bucle.doors.protocols.mlflow.wire import JSON_LIMIT, LARGE, Body, Call, Route, check_values
from bucle.ground.project import Project
from bucle.line import tracking
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


PACKED = gzip.compress(b'{"run_id": "x", "key": "k", "value": "v"}')


@pytest.mark.parametrize(
    "body",
    [PACKED[:-1], PACKED[:-8], PACKED[:20], PACKED + b"x", PACKED + gzip.compress(b"{}"), gzip.compress(b"")[:-1]],
    ids=["a byte short", "no checksum", "the beginning", "a byte more", "two members", "nothing, short"],
)
def test_a_packed_body_that_is_cut_short_or_goes_on_is_refused(sqlite_server: Site, body: bytes) -> None:
    answer = raw(sqlite_server, "runs/set-tag", body, **{"content-encoding": "gzip"})
    assert error_of(answer) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/set-tag", b'{"run_id": "x", "key": "k", "value": "\\ud800"}'),
        ("runs/set-tag", b'{"run_id": "\\udfff", "key": "k", "value": null}'),
        ("runs/set-tag", b'{"run_id": "x", "\\ud800": "v", "key": "k"}'),
        ("runs/log-batch", b'{"run_id": "x", "tags": [{"key": "\\udc00\\ud800", "value": "v"}]}'),
        ("experiments/create", b'{"name": "\\ud83d"}'),
        ("runs/search", b'{"experiment_ids": ["0"], "filter": "tags.a = \'\\ud800\'"}'),
        ("runs/search", b'{"experiment_ids": ["0"], "page_token": "\\ud800"}'),
        ("registered-models/create", b'{"name": "\\ud800", "description": null}'),
    ],
)
def test_half_a_character_is_refused_and_the_refusal_can_be_sent(sqlite_server: Site, path: str, body: bytes) -> None:
    for sent in (body, body.replace(b"null", b'"n"')):
        assert error_of(raw(sqlite_server, path, sent)) == (400, "INVALID_PARAMETER_VALUE")


def test_half_a_character_in_a_path_of_this_process_is_refused(sqlite_server: Site) -> None:
    wire = Wire(sqlite_server.project)
    for path in (f"/api/2.0/mlflow-artifacts/artifacts/0/{'0' * 32}/artifacts/\ud800", "/\ud800"):
        answer = wire.answer(Call("PUT", path, body=b"x"))
        assert answer.status in (400, 404)
        assert b"error_code" in bytes(answer.body)


def test_a_long_body_is_read_in_a_thread_of_its_own(sqlite_server: Site) -> None:
    threads = list[str]()

    def answer(body: Body, project: Project) -> dict[str, str]:
        threads.append(threading.current_thread().name)
        return {}

    door = Door(nobody, sqlite_server.project)
    door._wire = Wire(sqlite_server.project, (Route("POST", "/api/2.0/x", Body, answer, quick=True),))
    for size in (10, LARGE + 1):
        asyncio.run(ask(door, "POST", "/api/2.0/x", b'{"a": "' + b"x" * size + b'"}'))
    assert threads[0] == threading.current_thread().name
    assert threads[1] != threads[0]


def test_a_body_of_too_many_values_is_refused_before_they_are_built(sqlite_server: Site) -> None:
    body = b'{"run_id": "x", "metrics": [' + b"{}," * 2_000_000 + b"{}]}"
    assert error_of(raw(sqlite_server, "runs/log-batch", body)) == (413, "INVALID_PARAMETER_VALUE")
    text = json.dumps({"run_id": new_run(sqlite_server), "key": "k", "value": "{[," * 2_000_000}).encode()
    assert raw(sqlite_server, "runs/set-tag", text).status_code == 200


@pytest.mark.parametrize("data", [b'"' * 1_000_000, b'"' + b'\\"' * 1_000_000, b'"\\' * 1_000_000, b"\\" * 1_000_000])
def test_counting_the_values_of_no_json_takes_one_pass(data: bytes) -> None:
    with contextlib.suppress(MlflowError):
        check_values(b"," * 10 + data, 5)


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError(scope["path"])


async def ask(door: Door, method: str, path: str, body: bytes) -> list[Any]:
    """What a door sends when it is asked."""
    sent, given = list[Any](), [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return given.pop() if given else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await door(scope, receive, send)
    return sent


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


def test_a_history_comes_by_instant_then_step_then_value_as_mlflow_s_own(server: Site) -> None:
    run = new_run(server)
    points = [(30, 1, 0.5), (10, 3, 0.25), (10, 2, 2.0), (10, 2, 1.0), (20, 9, 4.0)]  # instant, step, value
    batch = [{"key": "m", "timestamp": at, "step": step, "value": value} for at, step, value in points]
    assert post(server, "runs/log-batch", run_id=run, metrics=batch).status_code == 200
    found, token = [], ""
    while True:
        asked = {"run_id": run, "metric_key": "m", "max_results": 2, "page_token": token}
        page = server.client.get(f"{AT}/metrics/get-history", params=asked).json()
        found += [(one["timestamp"], one["step"], one["value"]) for one in page["metrics"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == sorted(points)
    bulk = server.client.get(
        f"{AT}/metrics/get-history-bulk", params={"run_id": run, "metric_key": "m", "max_results": 3}
    ).json()["metrics"]
    assert [(one["timestamp"], one["step"], one["value"]) for one in bulk] == sorted(points)[:3]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/log-batch", {"run_id": "\0", "tags": [{"key": "a", "value": "b"}]}),
        ("runs/log-metric", {"run_id": "a\0", "key": "m", "value": 1, "timestamp": 1}),
        ("runs/search", {"experiment_ids": ["0"], "filter": "tags.a = '\0'"}),
        ("experiments/search", {"max_results": 5, "filter": "tags.`a\0b` = 'x'"}),
        ("logged-models", {"experiment_id": "0", "name": "x", "source_run_id": "\0"}),
        (
            "logged-models/search",
            {"experiment_ids": ["0"], "datasets": [{"dataset_name": "\0", "dataset_digest": "b"}]},
        ),
        ("/api/3.0/mlflow/datasets/search", {"experiment_ids": ["0"], "filter_string": "tags.`a\0b` = 'x'"}),
    ],
)
def test_what_no_database_can_compare_is_the_client_s_fault(server: Site, path: str, body: dict[str, Any]) -> None:
    answer = server.client.post(path if path.startswith("/") else f"{AT}/{path}", json=body)
    assert answer.status_code < 500, answer.text


PLACES: list[Any] = [None, "x", "\0", 1.5, -1, 2**63, 2**64 - 1, 1e308, "é" * 1000]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "runs/search", {"experiment_ids": ["0"]}),
        ("POST", "runs/search", {"experiment_ids": ["0"], "order_by": ["metrics.m DESC", "params.a", "start_time"]}),
        ("POST", "experiments/search", {}),
        ("POST", "logged-models/search", {"experiment_ids": ["0"]}),
        ("GET", "registered-models/search", {}),
        ("GET", "webhooks", {}),
    ],
)
def test_a_page_token_whose_place_was_changed_is_refused(
    server: Site, method: str, path: str, body: dict[str, Any]
) -> None:
    for _ in range(2):
        new_run(server)
        post(server, "experiments/create", name=unique("e"))
        post(server, "registered-models/create", name=unique("m"))
        post(server, "logged-models", experiment_id="0", name="lm")
        events = [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]
        post(server, "webhooks", name=unique("w"), url="https://example.com/x", events=events)
    asked = {**body, "max_results": 1}

    def ask(**more: Any) -> httpx.Response:
        sent = {**asked, **more}
        return server.client.request(
            method, f"{AT}/{path}", **({"json": sent} if method == "POST" else {"params": sent})
        )

    token = ask().json()["next_page_token"]
    assert ask(page_token=token).status_code == 200
    mark, place = msgspec.msgpack.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    for which in range(len(place)):
        for value in PLACES:
            changed = [*place[:which], value, *place[which + 1 :]]
            if changed != place:
                forged = base64.urlsafe_b64encode(msgspec.msgpack.encode((mark, changed))).decode().rstrip("=")
                assert error_of(ask(page_token=forged)) == (400, "INVALID_PARAMETER_VALUE")


def test_a_page_token_of_webhooks_that_was_made_up_is_refused(sqlite_server: Site) -> None:
    for place in (("x", "y"), (2**62, "y"), (2**63, "y")):
        asked = {"max_results": 1, "page_token": tracking.make_token("webhooks", place)}
        assert error_of(sqlite_server.client.get(f"{AT}/webhooks", params=asked)) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("place", ["x", -1, 1.5, None])
def test_a_page_token_of_a_history_that_was_made_up_is_refused(sqlite_server: Site, place: Any) -> None:
    run = new_run(sqlite_server)
    token = tracking.make_token(["mlflow-history", run, "m"], (place,))
    asked = {"run_id": run, "metric_key": "m", "page_token": token}
    answer = sqlite_server.client.get(f"{AT}/metrics/get-history", params=asked)
    assert error_of(answer) == (400, "INVALID_PARAMETER_VALUE")


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
