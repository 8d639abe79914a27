"""Traces and assessments through the real client, over HTTP and in its own process, on both databases."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from doors.conftest import Site
from doors.mlflow.crossed import CROSSED

V3 = "/api/3.0/mlflow/traces"
ARTIFACT = "/ajax-api/3.0/mlflow/get-trace-artifact"


@pytest.fixture(params=CROSSED)
def mlflow_uri(places: Any, request: pytest.FixtureRequest) -> str:
    return str(places.uri(request.param))


@pytest.fixture
def traced(fluent: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`fluent`, whose traces are there as soon as the function that is traced returns."""
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    fluent.tracing.reset()
    yield fluent
    fluent.tracing.reset()


def ask(mlflow: Any, question: str, *, fails: bool = False) -> str:
    """Run something that is traced; the id of its trace."""

    @mlflow.trace(span_type="TOOL")
    def look_up(text: str) -> list[str]:
        if fails:
            raise ValueError("nothing found")
        return [text, "x"]

    @mlflow.trace(name="answer", attributes={"model": "gpt-4", "temperature": 0.5})
    def answer(question: str) -> dict[str, Any]:
        mlflow.update_current_trace(
            tags={"team": "search"}, metadata={"mlflow.trace.session": "s-1"}, client_request_id=f"req-{question}"
        )
        with mlflow.start_span("llm", span_type="CHAT_MODEL") as span:
            span.set_inputs({"messages": [{"role": "user", "content": question}]})
            span.set_attributes(
                {
                    "nested": {"a": [1, 2.5, None, True]},
                    "mlflow.chat.tokenUsage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
                }
            )
            span.add_event(mlflow.entities.SpanEvent("token", attributes={"n": 1}))
        return {"found": look_up(question)}

    try:
        answer(question)
    except ValueError:
        assert fails
    return str(mlflow.get_last_active_trace_id())


def experiment_of(mlflow: Any) -> str:
    return str(mlflow.tracking.fluent._get_experiment_id())


def test_a_trace_is_read_back_as_it_was_run(traced: Any) -> None:
    with traced.start_run() as run:
        id_ = ask(traced, "héllo")
    found = traced.get_trace(id_)
    root, llm, tool = found.data.spans
    assert (found.info.state.value, found.info.client_request_id) == ("OK", "req-héllo")
    assert found.info.request_preview == '{"question": "héllo"}'
    assert found.info.tags["team"] == "search"
    assert found.info.trace_metadata["mlflow.sourceRun"] == run.info.run_id
    assert found.info.token_usage == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    assert (root.name, root.inputs, root.outputs) == ("answer", {"question": "héllo"}, {"found": ["héllo", "x"]})
    assert (root.get_attribute("model"), root.get_attribute("temperature")) == ("gpt-4", 0.5)
    assert (llm.span_type, llm.parent_id, llm.get_attribute("nested")) == (
        "CHAT_MODEL",
        root.span_id,
        {"a": [1, 2.5, None, True]},
    )
    assert [(event.name, event.attributes) for event in llm.events] == [("token", {"n": 1})]
    assert (tool.span_type, tool.inputs, tool.trace_id) == ("TOOL", {"text": "héllo"}, id_)
    assert found.info.execution_duration is not None
    assert root.start_time_ns // 1_000_000 == found.info.request_time


def test_what_failed_says_so_with_its_exception(traced: Any) -> None:
    found = traced.get_trace(ask(traced, "x", fails=True))
    tool = next(span for span in found.data.spans if span.name == "look_up")
    assert found.info.state.value == "ERROR"
    assert (tool.status.status_code.value, tool.events[0].name) == ("ERROR", "exception")


def test_search_finds_by_all_that_a_trace_holds(traced: Any) -> None:
    place = experiment_of(traced)
    with traced.start_run() as run:
        one = ask(traced, "alpha")
    two = ask(traced, "beta", fails=True)

    def found(text: str, **more: Any) -> set[str]:
        return {
            trace.info.trace_id
            for trace in traced.search_traces(locations=[place], filter_string=text, return_type="list", **more)
        }

    assert found("") == {one, two}
    assert found("trace.status = 'OK'") == {one}
    assert found("tags.team = 'search' AND trace.name = 'answer'") == {one, two}
    assert found("span.name = 'look_up' AND span.status = 'ERROR'") == {two}
    assert found("span.attributes.model = 'gpt-4'") == {one, two}
    assert found("trace.text LIKE '%alpha%'") == {one}
    assert found("metadata.`mlflow.trace.session` = 's-1'") == {one, two}
    assert found("client_request_id = 'req-beta'") == {two}
    assert found("", run_id=run.info.run_id) == {one}
    assert found("timestamp > 0", max_results=1, order_by=["timestamp DESC"]) == {two}
    frame = traced.search_traces(locations=[place])
    assert set(frame["trace_id"]) == {one, two}
    with pytest.raises(traced.exceptions.MlflowException, match="At character 15"):
        found("trace.status = OK")


def test_pages_go_on_where_the_last_ended(traced: Any, mlflow_uri: str) -> None:
    client, place = traced.MlflowClient(mlflow_uri), experiment_of(traced)
    ids = {ask(traced, str(number)) for number in range(5)}
    seen, token = list[str](), None
    while True:
        page = client.search_traces(locations=[place], max_results=2, page_token=token)
        seen += [trace.info.trace_id for trace in page]
        token = page.token
        if not token:
            break
    assert (len(seen), set(seen)) == (5, ids)


def test_tags_change_and_traces_go(traced: Any, mlflow_uri: str) -> None:
    client, place = traced.MlflowClient(mlflow_uri), experiment_of(traced)
    one, two, three = (ask(traced, str(number)) for number in range(3))
    client.set_trace_tag(one, "k", "v")
    assert client.get_trace(one).info.tags["k"] == "v"
    client.delete_trace_tag(one, "k")
    with pytest.raises(traced.exceptions.MlflowException) as caught:
        client.delete_trace_tag(one, "k")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.delete_traces(place, trace_ids=[one]) == 1
    assert client.delete_traces(place, max_timestamp_millis=int(time.time() * 1000) + 1000, max_traces=1) == 1
    left = traced.search_traces(locations=[place], return_type="list")
    assert [trace.info.trace_id for trace in left] == [three]
    assert two not in {trace.info.trace_id for trace in left}
    assert traced.get_trace(one, silent=True) is None


def test_people_and_programs_judge_a_trace(traced: Any) -> None:
    entities, id_ = traced.entities, ask(traced, "x")
    bob = entities.AssessmentSource("HUMAN", "bob")
    judged = traced.log_feedback(
        trace_id=id_, name="correct", value=False, source=bob, rationale="why", metadata={"a": "1"}
    )
    traced.log_feedback(trace_id=id_, name="broken", error=ValueError("no judge"))
    expected = traced.log_expectation(trace_id=id_, name="answer", value={"text": ["a", 1]})
    better = traced.override_feedback(
        trace_id=id_, assessment_id=judged.assessment_id, value=0.75, rationale="read again"
    )
    traced.update_assessment(id_, expected.assessment_id, entities.Expectation(name="answer", value="b"))

    found = {(one.name, one.valid): one for one in traced.get_trace(id_).info.assessments}
    assert (found["correct", False].value, found["correct", False].source.source_id) == (False, "bob")
    assert (found["correct", True].value, found["correct", True].overrides) == (0.75, judged.assessment_id)
    assert found["broken", True].error_code == "ValueError"
    assert traced.get_assessment(id_, expected.assessment_id).value == "b"

    place = experiment_of(traced)
    for text, count in (
        ("feedback.correct > 0.7", 1),
        ("feedback.correct = 'false'", 0),
        ("expectation.answer = 'b'", 1),
    ):
        assert len(traced.search_traces(locations=[place], filter_string=text, return_type="list")) == count, text

    traced.delete_assessment(id_, better.assessment_id)
    assert traced.get_assessment(id_, judged.assessment_id).valid
    with pytest.raises(traced.exceptions.MlflowException) as caught:
        traced.get_assessment(id_, better.assessment_id)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_evaluate_runs_green_and_leaves_runs_traces_and_judgements(traced: Any) -> None:
    from mlflow.genai.scorers import scorer

    @scorer
    def exact(outputs: Any, expectations: Any) -> bool:
        return bool(outputs == expectations["expected"])

    data = [{"inputs": {"text": one}, "expectations": {"expected": "A"}} for one in ("a", "b")]
    result = traced.genai.evaluate(data=data, predict_fn=lambda text: text.upper(), scorers=[exact])
    assert result.metrics == {"exact/mean": 0.5}
    assert traced.get_run(result.run_id).data.metrics == {"exact/mean": 0.5}
    traces = traced.search_traces(locations=[experiment_of(traced)], run_id=result.run_id, return_type="list")
    values = {
        trace.data.spans[0].inputs["text"]: {one.name: one.value for one in trace.info.assessments} for trace in traces
    }
    assert values == {"a": {"exact": True, "expected": "A"}, "b": {"exact": False, "expected": "A"}}


def test_what_is_exported_in_the_background_arrives_whole(fluent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "true")
    fluent.tracing.reset()
    try:
        with fluent.start_span("root") as root:
            for place in range(60):
                with fluent.start_span(f"step-{place}") as span:
                    span.set_inputs({"text": "x" * 1000})
        id_ = root.trace_id
        fluent.flush_trace_async_logging()
        found = fluent.get_trace(id_, flush=True)
        assert len(found.data.spans) == 61
        assert json.loads(found.info.trace_metadata["mlflow.trace.sizeStats"])["num_spans"] == 61
        (again,) = fluent.MlflowClient().search_traces(locations=[experiment_of(fluent)])
        assert len(again.data.spans) == 61
    finally:
        fluent.tracing.reset()


def test_figures_and_correlations_are_the_tracking_stores_own(traced: Any, mlflow_uri: str) -> None:
    from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
    from mlflow.tracing.client import TracingClient

    place = experiment_of(traced)
    ask(traced, "a")
    ask(traced, "b", fails=True)
    client = TracingClient(mlflow_uri)
    same = client.calculate_trace_filter_correlation([place], "span.name = 'llm'", "tags.team = 'search'")
    assert (same.npmi, same.joint_count, same.total_count) == (1.0, 2, 2)
    counts = client.store.query_trace_metrics(
        [place],
        MetricViewType.TRACES,
        "trace_count",
        [MetricAggregation(AggregationType.COUNT)],
        dimensions=["trace_status"],
    )
    assert {point.dimensions["trace_status"]: point.values["COUNT"] for point in counts} == {"OK": 1, "ERROR": 1}
    tokens = client.store.query_trace_metrics(
        [place], MetricViewType.TRACES, "total_tokens", [MetricAggregation(AggregationType.PERCENTILE, 50)]
    )
    assert tokens[0].values == {"P50.0": 10.0}


def test_a_file_beside_a_trace_is_kept_and_handed_out_as_a_download(sqlite_server: Site) -> None:
    web, id_ = sqlite_server.client, "tr-" + "c" * 32
    root = {"traceId": "c" * 32, "spanId": "d" * 16, "name": "answer", "startTimeUnixNano": "1700000000000000000"}
    export = {"resourceSpans": [{"scopeSpans": [{"spans": [root]}]}]}
    assert web.post("/v1/traces", json=export, headers={"x-mlflow-experiment-id": "0"}).status_code == 200
    spans = web.get(ARTIFACT, params={"request_id": id_})
    assert [one["name"] for one in spans.json()["spans"]] == ["answer"]
    assert json.loads(spans.json()["spans"][0]["attributes"]["mlflow.traceRequestId"]) == id_
    assert spans.headers["content-disposition"] == 'attachment; filename="traces.json"'

    tags = web.get(f"{V3}/{id_}").json()["trace"]["trace_info"]["tags"]
    place = tags["mlflow.artifactLocation"].removeprefix("mlflow-artifacts:")
    put = f"/api/2.0/mlflow-artifacts/artifacts{place}/attachments/page.html"
    assert web.put(put, content=b"<script>").status_code == 200
    file = web.get(ARTIFACT, params={"request_id": id_, "path": "page.html"})
    assert (file.content, file.headers["content-type"]) == (b"<script>", "application/octet-stream")
    assert file.headers["content-disposition"].startswith("attachment")
    for path in ("../traces.json", "/etc/passwd", "%2e%2e/x"):
        assert web.get(ARTIFACT, params={"request_id": id_, "path": path}).status_code == 400
    assert web.get(ARTIFACT, params={"request_id": id_, "path": "none"}).status_code == 404


def test_the_second_version_of_the_wire_still_begins_and_ends_a_trace(server: Site, mlflow_uri: str) -> None:
    from mlflow.entities.trace_status import TraceStatus
    from mlflow.tracing.client import TracingClient

    store = TracingClient(mlflow_uri).store
    begun = store.deprecated_start_trace_v2("0", 1_700_000_000_000, {"m": "1"}, {"t": "1", "mlflow.traceName": "old"})
    assert begun.status == TraceStatus.IN_PROGRESS
    ended = store.deprecated_end_trace_v2(begun.request_id, 1_700_000_000_500, TraceStatus.OK, {"n": "2"}, {"t": "2"})
    assert (ended.status, ended.execution_time_ms) == (TraceStatus.OK, 500)
    found = store.get_trace_info(begun.request_id)
    assert (found.trace_metadata["m"], found.trace_metadata["n"], found.tags["t"]) == ("1", "2", "2")
    assert found.tags["mlflow.traceName"] == "old"


INFO = {
    "trace_id": "tr-" + "9" * 32,
    "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
    "request_time": "2025-01-01T00:00:00.5Z",
    "state": "OK",
}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"trace_id": ""}, 400),
        ({"trace_id": "a b"}, 400),
        ({"trace_id": "x" * 200}, 400),
        ({"trace_location": None}, 400),
        ({"trace_location": {"mlflow_experiment": {"experiment_id": "4711"}}}, 404),
        ({"request_time": "yesterday"}, 400),
        ({"request_time": "0001-01-01T00:00:00+14:00"}, 400),
        ({"execution_duration": "1.25s"}, 200),
        ({"execution_duration": "soon"}, 400),
        ({"execution_duration": "1e99s"}, 400),
        ({"execution_duration": "NaN"}, 400),
        ({"state": "WRONG"}, 400),
        ({"state": 99}, 400),
        ({"tags": {"": "x"}}, 400),
        ({"tags": [1]}, 400),
        ({"tags": {"k": "\u0000 x" * 10_000}}, 200),
        ({"trace_metadata": {"mlflow.trace.tokenUsage": '{"input_tokens": 1e300}'}}, 200),
        ({"trace_metadata": {"mlflow.trace.tokenUsage": "[[[["}}, 200),
        ({"trace_metadata": {"mlflow.sourceRun": "r" * 300}}, 400),
        ({"assessments": [{"assessment_name": "x"}]}, 400),
        ({"assessments": [{"assessment_name": "x", "feedback": {"value": None}}]}, 200),
        ({"assessments": [{"assessment_name": "x", "expectation": {"serialized_value": {"value": "{"}}}]}, 400),
    ],
)
def test_a_trace_is_kept_or_refused_and_never_breaks_the_server(
    server: Site, change: dict[str, Any], status: int
) -> None:
    answer = server.client.post(V3, json={"trace": {"trace_info": {**INFO, **change}}})
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["error_code"] in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", V3, {}, 400),
        ("GET", f"{V3}/tr-none", None, 404),
        ("GET", f"{V3}/get?trace_id=tr-none", None, 404),
        ("GET", f"{V3}/get", None, 400),
        ("GET", f"{V3}/batchGet", None, 400),
        ("GET", f"{V3}/batchGet?trace_ids=tr-none", None, 200),
        ("POST", f"{V3}/batchGetInfos", {"trace_ids": ["tr-none"]}, 200),
        ("POST", f"{V3}/search", {}, 400),
        (
            "POST",
            f"{V3}/search",
            {"locations": [{"mlflow_experiment": {"experiment_id": "0"}}], "max_results": 501},
            400,
        ),
        ("POST", f"{V3}/search", {"locations": [{"mlflow_experiment": {"experiment_id": "0"}}], "max_results": 0}, 400),
        ("POST", f"{V3}/search", {"locations": [{"mlflow_experiment": {"experiment_id": "0"}}], "filter": "a = "}, 400),
        (
            "POST",
            f"{V3}/search",
            {"locations": [{"mlflow_experiment": {"experiment_id": "0"}}], "page_token": "x"},
            400,
        ),
        ("POST", f"{V3}/search", {"locations": [{"mlflow_experiment": {"experiment_id": "no"}}]}, 200),
        ("POST", f"{V3}/delete-traces", {"experiment_id": "0"}, 400),
        ("POST", f"{V3}/delete-traces", {"experiment_id": "0", "max_timestamp_millis": 1, "max_traces": 0}, 400),
        ("POST", f"{V3}/delete-traces", {"experiment_id": "4711", "max_timestamp_millis": 10**30}, 200),
        ("PATCH", f"{V3}/tr-none/tags", {"key": "a", "value": "b"}, 404),
        ("PATCH", f"{V3}/tr-none/tags", {"value": "b"}, 400),
        ("POST", f"{V3}/tr-none/assessments", {"assessment": {"assessment_name": "x", "feedback": {"value": 1}}}, 404),
        ("POST", f"{V3}/tr-none/assessments", {"assessment": {"assessment_name": "x"}}, 400),
        ("PATCH", f"{V3}/tr-none/assessments/a-1", {"assessment": {}, "update_mask": "rationale"}, 404),
        ("PATCH", f"{V3}/tr-none/assessments/a-1", {"assessment": {}}, 400),
        ("GET", f"{V3}/tr-none/assessments/a-1", None, 404),
        ("DELETE", f"{V3}/tr-none/assessments/a-1", None, 404),
        ("POST", f"{V3}/metrics", {}, 400),
        (
            "POST",
            f"{V3}/metrics",
            {"experiment_ids": ["0"], "view_type": 9, "metric_name": "x", "aggregations": [{"aggregation_type": 1}]},
            400,
        ),
        (
            "POST",
            f"{V3}/calculate-filter-correlation",
            {"experiment_ids": ["0"], "filter_string1": "x", "filter_string2": "y"},
            400,
        ),
        ("POST", "/api/2.0/mlflow/traces/link-to-run", {"trace_ids": ["x"], "run_id": "none"}, 404),
        ("POST", "/api/2.0/mlflow/traces/link-to-run", {"trace_ids": ["x"] * 101, "run_id": "none"}, 400),
        (
            "POST",
            "/api/2.0/mlflow/traces/link-prompts",
            {"trace_id": "tr-none", "prompt_versions": [{"name": "a", "version": "1"}]},
            404,
        ),
        ("PATCH", "/api/2.0/mlflow/traces/tr-none", {"status": "OK"}, 404),
        ("GET", "/api/2.0/mlflow/traces?experiment_ids=0&max_results=5", None, 200),
        ("GET", "/api/2.0/mlflow/traces", None, 400),
        ("GET", ARTIFACT, None, 400),
    ],
)
def test_every_address_answers_a_wrong_question_with_a_code(
    sqlite_server: Site, method: str, path: str, body: Any, status: int
) -> None:
    answer = sqlite_server.client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert set(answer.json()) == {"error_code", "message"}
