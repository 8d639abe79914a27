"""OpenTelemetry's wire: our reader against the official one, and what a broken or hostile sender gets."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.doors.protocols.mlflow.otlp import Resource, read_json, read_protobuf
from bucle.doors.protocols.mlflow.routes import Wire
from bucle.doors.protocols.mlflow.wire import Answer, Call
from bucle.ground.core.protobuf import BadProtobuf, varint
from bucle.ground.project import Project
from bucle.line import tracing
from doors.conftest import Site

collector = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
json_format = pytest.importorskip("google.protobuf.json_format")

PROTOBUF = "application/x-protobuf"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root: Path = tmp_path_factory.mktemp("otlp")
    (root / "bucle.toml").write_text('[project]\nname = "otlp"\n')
    opened = Project.open(root, actor="ana")
    yield opened
    opened.close()


def export(*spans: dict[str, Any], resource: dict[str, Any] | None = None) -> Any:
    """The message a real exporter would send."""
    plain = [{**span, **{name: as_base64(span[name]) for name in IDS if name in span}} for span in spans]
    request = {"resourceSpans": [{"resource": resource or {}, "scopeSpans": [{"spans": plain}]}]}
    return json_format.ParseDict(request, collector.ExportTraceServiceRequest())


IDS = ("traceId", "spanId", "parentSpanId")


def as_base64(digits: str) -> str:
    """An id as protobuf's own JSON has it."""
    return base64.b64encode(bytes.fromhex(digits)).decode()


def a_span(**more: Any) -> dict[str, Any]:
    given = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "ask",
        "startTimeUnixNano": 10**18,
        "endTimeUnixNano": 10**18 + 5_000_000,
    }
    return {**given, **more}


def attribute(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def send(project: Project, body: bytes, *, kind: str = PROTOBUF, experiment: str = "0", **headers: str) -> Answer:
    given = {
        "content-type": kind,
        "x-mlflow-experiment-id": experiment,
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    return Wire(project).answer(Call("POST", "/v1/traces", headers=given, body=body))


def text_of(answer: Answer) -> str:
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain_values = st.recursive(
    st.one_of(
        texts.map(lambda one: ({"stringValue": one}, one)),
        st.booleans().map(lambda one: ({"boolValue": one}, one)),
        st.integers(-(2**63), 2**63 - 1).map(lambda one: ({"intValue": str(one)}, one)),
        st.floats().map(lambda one: ({"doubleValue": written(one)}, written(one))),
        st.just(({}, None)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(
            lambda many: ({"arrayValue": {"values": [one[0] for one in many]}}, [one[1] for one in many])
        ),
        st.dictionaries(texts, inner, max_size=3).map(
            lambda many: (
                {"kvlistValue": {"values": [attribute(key, one[0]) for key, one in many.items()]}},
                {key: one[1] for key, one in many.items()},
            )
        ),
    ),
    max_leaves=6,
)


def written(number: float) -> float | str:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


@settings(max_examples=60)
@given(st.dictionaries(texts, plain_values, max_size=4), st.sampled_from([0, 1, 2]), st.integers(0, 2**63 - 1))
def test_what_the_official_library_writes_is_read_alike_from_protobuf_and_from_json(
    attributes: dict[str, tuple[Any, Any]], status: int, at: int
) -> None:
    said = [attribute(key, wire) for key, (wire, _) in attributes.items()]
    span = a_span(
        attributes=said,
        startTimeUnixNano=str(at),
        status={"code": status, "message": "m"},
        events=[{"name": "e", "timeUnixNano": str(at), "attributes": said}],
        links=[{"traceId": "", "spanId": "", "attributes": said}],
    )
    (from_json,) = read_json(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode())
    (from_bytes,) = read_protobuf(export(span).SerializeToString())
    (one,), (other,) = from_json.spans, from_bytes.spans
    expected = {key: plain for key, (_, plain) in attributes.items()}
    for found in (one, other):
        assert found["attributes"] == expected
        assert found["events"][0].attributes == expected
        assert found["links"][0].attributes == expected
        assert found["status"] == ("UNSET", "OK", "ERROR")[status]
        assert (found["trace_id"], found["span_id"], found.get("started_ns", 0)) == (TRACE, SPAN, at)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error_and_nothing_else(data: bytes) -> None:
    try:
        found = read_protobuf(data)
    except BadProtobuf:
        return
    assert all(isinstance(one, Resource) for one in found)


@settings(max_examples=60)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_message_with_one_byte_changed_never_fails_but_as_bad_input(project: Project, place: int, byte: int) -> None:
    data = bytearray(
        export(
            a_span(attributes=[attribute("k", {"kvlistValue": {"values": [attribute("x", {"intValue": 1})]}})])
        ).SerializeToString()
    )
    data[place % len(data)] = byte
    assert send(project, bytes(data)).status in (200, 400)


def test_spans_of_any_exporter_become_a_trace_in_mlflows_words(project: Project) -> None:
    trace, parent = "1" * 32, "2" * 16
    root = a_span(
        traceId=trace,
        spanId=parent,
        name="POST /ask",
        attributes=[
            attribute("input.value", {"stringValue": '{"messages": [{"role": "user", "content": "Hello?"}]}'}),
            attribute("output.value", {"stringValue": "Hi!"}),
            attribute("openinference.span.kind", {"stringValue": "AGENT"}),
            attribute("session.id", {"stringValue": "s-1"}),
            attribute("user.id", {"stringValue": "ana"}),
            attribute("mlflow.traceTag.team", {"stringValue": "search"}),
            attribute("mlflow.traceTag.mlflow.traceName", {"stringValue": "asked"}),
        ],
    )
    child = a_span(
        traceId=trace,
        spanId="3" * 16,
        parentSpanId=parent,
        endTimeUnixNano=10**18 + 9_000_000,
        status={"code": 2, "message": "late"},
        attributes=[
            attribute("gen_ai.operation.name", {"stringValue": "chat"}),
            attribute("gen_ai.request.model", {"stringValue": "gpt-4"}),
            attribute("gen_ai.provider.name", {"stringValue": "openai"}),
            attribute("gen_ai.usage.input_tokens", {"intValue": 7}),
            attribute("gen_ai.usage.output_tokens", {"intValue": 2}),
            attribute("mlflow.llm.cost", {"stringValue": '{"total_cost": 0.5}'}),
        ],
    )
    named = {
        "attributes": [
            attribute("service.name", {"stringValue": "shop"}),
            attribute("telemetry.sdk.name", {"stringValue": "x"}),
        ]
    }
    assert send(project, export(child, resource=named).SerializeToString()).status == 200
    assert send(project, export(root, resource=named).SerializeToString(), x_mlflow_run_id="run-1").body == b""

    found = tracing.trace(project, f"tr-{trace}")
    assert (found.name, found.state, found.session, found.run_ids) == ("asked", "OK", "s-1", ("run-1",))
    assert (found.request, found.response, found.duration_ms) == ("Hello?", "Hi!", 9)
    assert found.tags == {"team": "search", "mlflow.traceName": "asked", "service.name": "shop"}
    assert found.metadata == {"mlflow.trace.session": "s-1", "mlflow.trace.user": "ana"}
    assert found.usage == {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9, "total_cost": 0.5}
    (page,) = tracing.span_pages(project, found.id)
    assert [(one.type, one.model, one.provider, one.status, one.message) for one in page] == [
        ("AGENT", "", "", "UNSET", ""),
        ("CHAT_MODEL", "gpt-4", "openai", "ERROR", "late"),
    ]


def test_spans_that_cannot_be_kept_are_counted_and_the_others_kept(project: Project) -> None:
    good, bad = a_span(traceId="4" * 32), a_span(traceId="4" * 32, spanId="5" * 10, name="bad one")
    short = a_span(traceId="6" * 8, name="short")
    answer = send(project, export(good, bad, short).SerializeToString())
    assert answer.status == 200
    said = collector.ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert said.rejected_spans == 2
    assert "short" in said.error_message
    assert "bad one" in said.error_message
    assert tracing.trace(project, "tr-" + "4" * 32).has_spans
    as_json = send(project, export(good, short).SerializeToString(), accept="application/json")
    assert json.loads(text_of(as_json))["partialSuccess"]["rejectedSpans"] == "1"


def test_json_of_the_protocol_is_taken_as_well(project: Project) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [a_span(traceId="7" * 32)]}]}]}
    answer = send(project, json.dumps(body).encode(), kind="application/json; charset=utf-8")
    assert (answer.status, answer.body) == (200, b"{}")
    assert tracing.trace(project, "tr-" + "7" * 32).state == "OK"


DEEP = b'{"arrayValue":{"values":[' * 3000 + b"{}" + b"]}}" * 3000


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"\xff\xff\xff", PROTOBUF, "Invalid OpenTelemetry format"),
        (b"", PROTOBUF, "no spans found"),
        (b"{}", "application/json", "no spans found"),
        (b"[]", "application/json", "Invalid OpenTelemetry format"),
        (b'{"resourceSpans": 5}', "application/json", "Invalid OpenTelemetry format"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}', "application/json", "name is no text"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"key": "k", "value": '
            + DEEP
            + b"}]}]}]}]}",
            "application/json",
            "Invalid OpenTelemetry format",
        ),
        (b"x", "text/plain", "Invalid Content-Type"),
    ],
)
def test_what_is_no_export_is_refused_as_bad_input(project: Project, body: bytes, kind: str, words: str) -> None:
    answer = send(project, body, kind=kind)
    assert answer.status == 400
    assert words in text_of(answer)


def test_an_attribute_nested_too_deeply_is_refused(project: Project) -> None:
    def message(number: int, inner: bytes) -> bytes:
        return bytes([number << 3 | 2]) + varint(len(inner)) + inner

    value = b"\x18\x01"  # the number 1
    for _ in range(5000):
        value = message(5, message(1, value))  # a list of one value
    span = message(9, message(1, b"k") + message(2, value))
    answer = send(project, message(1, message(2, message(2, span))))
    assert answer.status == 400
    assert "levels deep" in text_of(answer)


def test_spans_must_say_which_experiment_they_belong_to(project: Project) -> None:
    data = export(a_span()).SerializeToString()
    for experiment, status, words in (
        ("", 400, "x-mlflow-experiment-id"),
        ("4711", 404, "4711"),
        ("../0", 404, "../0"),
    ):
        answer = send(project, data, experiment=experiment)
        assert (answer.status, words in text_of(answer)) == (status, True)
    assert send(project, export(a_span(traceId="0" * 32)).SerializeToString()).status == 400


def test_a_packed_body_is_unpacked_and_a_bomb_is_not(sqlite_server: Site) -> None:
    headers = {"content-type": PROTOBUF, "content-encoding": "gzip", "x-mlflow-experiment-id": "0"}
    data = gzip.compress(export(a_span(traceId="8" * 32)).SerializeToString())
    assert sqlite_server.client.post("/v1/traces", content=data, headers=headers).status_code == 200
    bomb = gzip.compress(b"\x00" * (80 << 20))
    assert len(bomb) < 100_000
    assert sqlite_server.client.post("/v1/traces", content=bomb, headers=headers).status_code == 413
    assert sqlite_server.client.post("/v1/traces", content=data[:-20], headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("within", "what"),
    [(b"\x12\x00" * 200_000, "spans"), (b"\x12" + varint(400_000) + b"\x5a\x00" * 200_000, "events")],
)
def test_more_spans_or_events_than_anybody_sends_are_refused(project: Project, within: bytes, what: str) -> None:
    scope = b"\x12" + varint(len(within)) + within
    answer = send(project, b"\x0a" + varint(len(scope)) + scope)
    assert answer.status == 413
    assert what.encode() in bytes(answer.body)


def json_export(*spans: bytes) -> bytes:
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join(spans) + b"]}]}]}"


def number_of_commits(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    made, grouped = list[object](), project.database.grouped

    def counted(work: Any) -> Any:
        made.append(work)
        return grouped(work)

    monkeypatch.setattr(project.database, "grouped", counted)
    return made


def test_a_bad_span_costs_the_others_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = [a_span(traceId=f"{number:032x}", spanId=f"{number:016x}") for number in range(100, 150)]
    spans[7]["parentSpanId"] = spans[7]["spanId"]  # its own parent
    spans[9]["startTimeUnixNano"] = 2**64 - 1
    made = number_of_commits(project, monkeypatch)
    answer = send(project, export(*spans).SerializeToString(), accept="application/json")
    said = json.loads(text_of(answer))["partialSuccess"]
    assert (answer.status, said["rejectedSpans"]) == (200, "2")
    assert "its own parent" in said["errorMessage"]
    assert len(made) <= 2
    ids = [f"tr-{number:032x}" for number in range(100, 150)]
    assert len(tracing.traces_by_ids(project, ids)) == 48


@pytest.mark.parametrize(
    "wrong",
    [
        b'"startTimeUnixNano":"99999999999999999999999999"',
        b'"startTimeUnixNano":18446744073709551615',
        b'"startTimeUnixNano":-1',
        b'"startTimeUnixNano":1e400',
        b'"startTimeUnixNano":"soon"',
        b'"endTimeUnixNano":"99999999999999999999999999"',
        b'"events":[{"name":"e","timeUnixNano":"99999999999999999999999999"}]',
        b'"attributes":[{"key":"k","value":{"intValue":"99999999999999999999999999"}}]',
        b'"attributes":[{"key":"k","value":{"intValue":1e30}}]',
        b'"attributes":[{"key":"k","value":{"boolValue":{"a":1}}}]',
        b'"attributes":[{"key":"k","value":{"arrayValue":[1]}}]',
        b'"attributes":[{"key":"k","value":' + b'{"arrayValue":{"values":[' * 70 + b"]}}" * 70 + b"}]",
        b'"status":{"code":1e400}',
        b'"name":5',
        b'"name":"\\ud800"',
        b'"events":[' + b",".join([b"{}"] * 100_001) + b"]",
    ],
)
def test_a_span_of_impossible_values_is_counted_and_the_others_kept(project: Project, wrong: bytes) -> None:
    good = json.dumps(a_span(traceId="9" * 32)).encode()
    bad = good[:-1].replace(b"9" * 32, b"8" * 32) + b"," + wrong + b"}"
    answer = send(project, json_export(bad, good), kind="application/json")
    if answer.status == 200:
        assert json.loads(text_of(answer))["partialSuccess"]["rejectedSpans"] == "1"
        assert tracing.trace(project, "tr-" + "9" * 32).state == "OK"
    else:
        assert answer.status in (400, 413)
    assert send(project, json_export(bad), kind="application/json").status in (400, 413)


@pytest.mark.parametrize(
    "body",
    [
        json_export(b"{}," * 150_000 + b"{}"),
        b'{"resourceSpans":[' + b"{}," * 3_000_000 + b"{}]}",
        json_export(b"0," * 3_000_000 + b"0"),
        b'{"resourceSpans":[{"resource":{"attributes":[' + b"[]," * 3_000_000 + b"0]}}]}",
        b" " * (17 << 20) + b"{}",
    ],
)
def test_json_of_too_many_values_is_refused_before_they_are_built(project: Project, body: bytes) -> None:
    assert send(project, body, kind="application/json").status == 413


def test_texts_full_of_marks_are_no_values(project: Project) -> None:
    prompt = json.dumps("{[,]}" * 2_500_000).encode()
    span = json.dumps(a_span(traceId="3" * 32)).encode()[:-1] + b',"attributes":[{"key":"k","value":{"stringValue":'
    answer = send(project, json_export(span + prompt + b"}}]}"), kind="application/json")
    assert (answer.status, answer.body) == (200, b"{}")
