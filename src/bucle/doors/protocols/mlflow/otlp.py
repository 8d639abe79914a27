"""OpenTelemetry's protocol over HTTP: spans of any OpenTelemetry exporter, MLflow's client among them.

Source: OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP"; protobuf and JSON.
"""

from __future__ import annotations

import base64
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from bucle.doors.protocols.mlflow.conventions import Reading, read_as_mlflow
from bucle.doors.protocols.mlflow.errors import MlflowError, invalid
from bucle.doors.protocols.mlflow.trace_json import TRACE_ID_PREFIX
from bucle.doors.protocols.mlflow.wire import JSON_LIMIT, Answer, Call, Route, check_values
from bucle.ground.core import from_micros
from bucle.ground.core.protobuf import BadProtobuf, double, fields, signed, text, varint
from bucle.ground.project import Project
from bucle.line import tracing

__all__ = ["ROUTES", "Resource", "read_json", "read_protobuf"]

LIMIT = 64 << 20
"""Bytes of one export, unpacked."""

JSON_VALUES = JSON_LIMIT // 8
"""Values of one export in JSON; a plain attribute is four, in some sixty bytes."""

DEEPEST = 64
"""Levels of lists and maps within an attribute."""

MOST_SPANS = 100_000
"""Spans of one export."""

EXPERIMENT = "x-mlflow-experiment-id"
RUN = "x-mlflow-run-id"
PROTOBUF, JSON = "application/x-protobuf", "application/json"

STATUS: tuple[tracing.SpanStatus, ...] = ("UNSET", "OK", "ERROR")


class Resource(msgspec.Struct):
    """Spans with what is said of the program they come from.

    Attributes:
        attributes: of the program.
        spans: each as plain values.
        wrong: why other spans of it could not be read.
    """

    attributes: dict[str, Any]
    spans: list[dict[str, Any]]
    wrong: list[str] = []


class _JsonScope(msgspec.Struct):
    spans: list[msgspec.Raw] | None = None


class _JsonResource(msgspec.Struct):
    resource: dict[str, Any] | None = None
    scopeSpans: list[_JsonScope] | None = None  # noqa: N815  as the protocol spells it
    scope_spans: list[_JsonScope] | None = None


class _JsonExport(msgspec.Struct):
    resourceSpans: list[_JsonResource] | None = None  # noqa: N815
    resource_spans: list[_JsonResource] | None = None


_JSON_EXPORT = msgspec.json.Decoder(_JsonExport)
_JSON_SPAN = msgspec.json.Decoder(dict[str, Any])


def export(call: Call, project: Project) -> Answer:
    """Take in spans; those that cannot be kept are counted in the answer, the others are kept.

    Raises:
        MlflowError: it is no export, names no experiment, or not one span of it can be kept.
    """
    experiment_id = call.headers.get(EXPERIMENT, "").strip()
    if not experiment_id:
        raise invalid(
            f"Missing value for required header '{EXPERIMENT}': it says which experiment the spans belong to."
        )
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    resources = _read(kind, call.body if isinstance(call.body, bytes) else b"")
    readings = defaultdict[str, list[Reading]](list)
    wrong = list[str]()
    for reading in _readings(resources, wrong):
        readings[reading.span.trace_id].append(reading)
    run_id = call.headers.get(RUN, "").strip()
    rejected = _keep(project, experiment_id, readings, run_id, wrong)
    accept = call.headers.get("accept", "")
    return _answer(rejected, wrong, as_json=JSON in (kind, accept))


def read_protobuf(data: bytes) -> list[Resource]:
    """The spans of an `ExportTraceServiceRequest`.

    Raises:
        BadProtobuf: it is none.
        MlflowError: it has too many; told before any is built, since an empty one takes two bytes.
    """
    for place, _ in enumerate(_spans_within(data)):
        _check_count(place + 1, "spans")
    return [_resource(value) for number, value in fields(data) if number == 1]


def read_json(data: bytes) -> list[Resource]:
    """The spans of an `ExportTraceServiceRequest` in OTLP's JSON; one that is wrong spoils no other.

    Raises:
        ValueError: it is none.
        MlflowError: it is too long, or has too many spans or other values; told before they are built.
    """
    if len(data) > JSON_LIMIT:
        said = f"An export in JSON has {JSON_LIMIT} bytes at most. Send fewer spans at once, or protobuf."
        raise MlflowError("INVALID_PARAMETER_VALUE", said, status=413)
    check_values(data, JSON_VALUES)
    found = _JSON_EXPORT.decode(data)
    resources = found.resourceSpans or found.resource_spans or []
    parts = [[span for scope in _scopes(one) for span in scope.spans or ()] for one in resources]
    _check_count(sum(map(len, parts)), "spans")
    return [_resource_of_json(one.resource or {}, part) for one, part in zip(resources, parts, strict=True)]


ROUTES = (Route("POST", "/v1/traces", Call, export, limit=LIMIT),)


def _read(kind: str, body: bytes) -> list[Resource]:
    if kind not in (PROTOBUF, JSON):
        raise invalid(f"Invalid Content-Type: {kind[:80]!r}. Expected: {PROTOBUF} or {JSON}.")
    try:
        resources = read_json(body) if kind == JSON else read_protobuf(body)
    except (ValueError, TypeError, OverflowError, RecursionError, msgspec.DecodeError) as error:
        raise invalid(f"Invalid OpenTelemetry format: {str(error)[:200]}.") from error
    if not any(resource.spans or resource.wrong for resource in resources):
        raise invalid("Invalid OpenTelemetry format: no spans found.")
    return resources


def _check_count(count: int, what: str) -> None:
    if count > MOST_SPANS:
        said = f"More than {MOST_SPANS} {what} at once; send fewer."
        raise MlflowError("INVALID_PARAMETER_VALUE", said, status=413)


def _spans_within(data: bytes) -> Iterator[int | bytes]:
    for resource in _parts(data, 1):
        for scope in _parts(_message(resource), 2):
            yield from _parts(_message(scope), 2)


def _parts(data: bytes, wanted: int) -> Iterator[int | bytes]:
    return (value for number, value in fields(data) if number == wanted)


def _readings(resources: Iterable[Resource], wrong: list[str]) -> Iterator[Reading]:
    for resource in resources:
        wrong += resource.wrong
        for span in resource.spans:
            try:
                yield read_as_mlflow(span, resource.attributes)
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
                wrong.append(f"span {str(span.get('name', ''))[:60]!r}: {str(error)[:120]}")


def _keep(
    project: Project, experiment_id: str, readings: Mapping[str, list[Reading]], run_id: str, wrong: list[str]
) -> int:
    """Keep the spans, all at once; where some cannot be kept, all others at once. How many were not."""
    try:
        _log(project, experiment_id, readings, run_id)
    except tracing.BadTrace:
        before = len(wrong)
        readings = _storable(readings, wrong)
        if len(wrong) == before:  # it is no span's fault
            raise
        _log(project, experiment_id, readings, run_id)
    if not readings:
        raise invalid(f"Not one span could be kept. {wrong[0]}")
    return len(wrong)


def _storable(readings: Mapping[str, list[Reading]], wrong: list[str]) -> dict[str, list[Reading]]:
    """Those spans that can be kept."""
    found = defaultdict[str, list[Reading]](list)
    for trace_id, part in readings.items():
        for reading in part:
            try:
                tracing.check_span(reading.span)
            except tracing.BadTrace as error:
                wrong.append(error.what)
            else:
                found[trace_id].append(reading)
    return found


def _log(project: Project, experiment_id: str, readings: Mapping[str, list[Reading]], run_id: str) -> None:
    spans = [reading.span for part in readings.values() for reading in part]
    told = {trace_id: _told(experiment_id, part, run_id) for trace_id, part in readings.items()}
    tracing.log_spans(project, experiment_id, spans, told)


def _told(experiment_id: str, part: list[Reading], run_id: str) -> tracing.Trace:
    """What the spans of one trace say about all of it."""
    root = next((reading for reading in part if not reading.span.parent), None)
    labels = {key: value for reading in part for key, value in reading.labels.items()}
    tags = {key: value for reading in part for key, value in reading.tags.items()}
    return tracing.Trace(
        id=part[0].span.trace_id,
        experiment_id=experiment_id,
        started_at=from_micros(part[0].span.started_ns // 1000),
        name=root.name if root else "",
        request=root.request if root else None,
        response=root.response if root else None,
        session=next((reading.session for reading in part if reading.session), ""),
        tags={**labels, **tags},
        metadata={key: value for reading in reversed(part) for key, value in reading.metadata.items()},
        run_ids=(run_id,) if run_id and root else (),
    )


def _answer(rejected: int, wrong: list[str], *, as_json: bool) -> Answer:
    message = "; ".join(wrong)[:1000]
    if as_json:
        said = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}} if rejected else {}
        return Answer(200, {"content-type": JSON}, msgspec.json.encode(said))
    body = b""
    if rejected:
        told = message.encode()
        inner = b"\x08" + varint(rejected) + b"\x12" + varint(len(told)) + told
        body = b"\x0a" + varint(len(inner)) + inner
    return Answer(200, {"content-type": PROTOBUF}, body)


def _resource(data: int | bytes) -> Resource:
    found = Resource({}, [])
    for number, value in fields(_message(data)):
        if number == 1:
            found.attributes = _attributes(value, 1)
        elif number == 2:
            found.spans += [_span(span) for inner, span in fields(_message(value)) if inner == 2]
    return found


_SPAN_TEXTS = {3: "trace_state", 5: "name"}
_SPAN_IDS = {1: "trace_id", 2: "span_id", 4: "parent_id"}
_SPAN_NUMBERS = {6: "kind", 7: "started_ns", 8: "ended_ns", 16: "flags"}


def _span(data: int | bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"attributes": {}, "events": [], "links": []}
    for number, value in fields(_message(data)):
        if number == 9:
            key, said = _key_value(value, 0)
            found["attributes"][key] = said
        elif number in _SPAN_IDS:
            found[_SPAN_IDS[number]] = _message(value).hex()
        elif number in _SPAN_NUMBERS:
            found[_SPAN_NUMBERS[number]] = _number(value)
        elif number in _SPAN_TEXTS:
            found[_SPAN_TEXTS[number]] = text(value)
        elif number == 11:
            found["events"].append(_event(value))
        elif number == 13:
            found["links"].append(_link(value))
        if number in (11, 13):
            _check_count(len(found["events"]) + len(found["links"]), "events and links of a span")
        elif number == 15:
            status = dict(fields(_message(value)))
            found["message"] = text(status.get(2, b""))
            found["status"] = _status(status.get(3, 0))
    return found


def _event(data: int | bytes) -> tracing.SpanEvent:
    found = {number: value for number, value in fields(_message(data)) if number != 3}
    attributes = _attributes(data, 3)
    return tracing.SpanEvent(name=text(found.get(2, b"")), at_ns=_number(found.get(1, 0)), attributes=attributes)


def _link(data: int | bytes) -> tracing.SpanLink:
    found = {number: value for number, value in fields(_message(data)) if number in (1, 2)}
    return tracing.SpanLink(
        trace_id=f"{TRACE_ID_PREFIX}{_message(found.get(1, b'')).hex()}",
        span_id=_message(found.get(2, b"")).hex(),
        attributes=_attributes(data, 4),
    )


def _attributes(data: int | bytes, wanted: int) -> dict[str, Any]:
    """The attributes that stand in the fields of one number."""
    return dict(_key_value(value, 0) for number, value in fields(_message(data)) if number == wanted)


def _key_value(data: int | bytes, depth: int) -> tuple[str, Any]:
    key, said = "", None
    for number, value in fields(_message(data)):
        if number == 1:
            key = text(value)
        elif number == 2:
            said = _any(value, depth)
    return key, said


def _any(data: int | bytes, depth: int) -> Any:
    """The plain value of an `AnyValue`."""
    if depth > DEEPEST:
        raise BadProtobuf(f"an attribute is nested more than {DEEPEST} levels deep")
    said: Any = None
    for number, value in fields(_message(data)):
        if number == 1:
            said = text(value)
        elif number == 2:
            said = bool(value)
        elif number == 3:
            said = signed(_number(value))
        elif number == 4:
            said = _finite(double(_number(value)))
        elif number == 5:
            said = [_any(one, depth + 1) for inner, one in fields(_message(value)) if inner == 1]
        elif number == 6:
            said = dict(_key_value(one, depth + 1) for inner, one in fields(_message(value)) if inner == 1)
        elif number == 7:
            said = base64.b64encode(_message(value)).decode()
    return said


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise BadProtobuf("a number stands where a message should")
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise BadProtobuf("a message stands where a number should")
    return value


def _finite(value: float) -> float | str:
    # JSON has no such number; protobuf's own JSON writes these words.
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _status(code: Any) -> tracing.SpanStatus:
    names = {"STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
    number = names.get(code, 0) if isinstance(code, str) else int(code)
    return STATUS[number] if 0 <= number < len(STATUS) else "UNSET"


def _scopes(found: _JsonResource) -> list[_JsonScope]:
    return found.scopeSpans or found.scope_spans or []


def _resource_of_json(program: Mapping[str, Any], raw: Iterable[msgspec.Raw]) -> Resource:
    found = Resource(_attributes_of_json(program), [])
    for one in raw:
        try:
            found.spans.append(_span_of_json(_JSON_SPAN.decode(one)))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            found.wrong.append(f"a span: {str(error)[:120]}")
    return found


def _span_of_json(span: Mapping[str, Any]) -> dict[str, Any]:
    status, events, links = _dict(span, "status"), _list(span, "events"), _list(span, "links")
    _check_count(len(events) + len(links), "events and links of a span")
    return {
        "trace_id": _first(span, "", "traceId", "trace_id"),
        "span_id": _first(span, "", "spanId", "span_id"),
        "parent_id": _first(span, "", "parentSpanId", "parent_span_id"),
        "name": _first(span, "", "name"),
        "kind": span.get("kind", 0),
        "started_ns": _instant(span, "startTimeUnixNano", "start_time_unix_nano"),
        "ended_ns": _instant(span, "endTimeUnixNano", "end_time_unix_nano"),
        "message": _first(status, "", "message"),
        "status": _status(status.get("code", 0)),
        "attributes": _attributes_of_json(span),
        "events": [
            tracing.SpanEvent(
                name=_first(event, "", "name"),
                at_ns=_instant(event, "timeUnixNano", "time_unix_nano"),
                attributes=_attributes_of_json(event),
            )
            for event in events
        ],
        "links": [
            tracing.SpanLink(
                trace_id=f"{TRACE_ID_PREFIX}{_first(link, '', 'traceId', 'trace_id').lower()}",
                span_id=_first(link, "", "spanId", "span_id").lower(),
                attributes=_attributes_of_json(link),
            )
            for link in links
        ],
    }


def _attributes_of_json(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {_first(one, "", "key"): _any_of_json(_dict(one, "value")) for one in _list(holder, "attributes")}


def _any_of_json(value: Mapping[str, Any], depth: int = 0) -> Any:
    """The plain value of an `AnyValue` in JSON."""
    if depth > DEEPEST:
        raise ValueError(f"an attribute is nested more than {DEEPEST} levels deep")
    for name, said in value.items():
        kind = name.replace("_", "").removesuffix("Value").removesuffix("value").lower()
        if kind == "array":
            return [_any_of_json(one, depth + 1) for one in _list(_object(said), "values")]
        if kind == "kvlist":
            pairs = _list(_object(said), "values")
            return {_first(one, "", "key"): _any_of_json(_dict(one, "value"), depth + 1) for one in pairs}
        if kind == "int":
            return _within(int(said), -(1 << 63), (1 << 63) - 1, name)
        if kind == "double":
            return _finite(float(said))
        if kind in ("string", "bool", "bytes"):
            return _plain(said)
    return None


def _instant(holder: Mapping[str, Any], *names: str) -> int:
    """Nanoseconds since 1970, 64 bits without a sign; a number or a text."""
    found = next((holder[name] for name in names if holder.get(name) is not None), 0)
    return _within(int(found), 0, (1 << 64) - 1, names[0])


def _within(number: int, least: int, most: int, name: str) -> int:
    if not least <= number <= most:
        raise ValueError(f"{name} does not fit into 64 bits")
    return number


def _plain(said: Any) -> Any:
    if not isinstance(said, str | bool):
        raise TypeError("an attribute is neither a text nor true or false, as it says it is")
    return said


def _object(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise TypeError("the values of an attribute are no object")
    return said


def _first(holder: Mapping[str, Any], default: Any, *names: str) -> Any:
    found = next((holder[name] for name in names if holder.get(name) is not None), default)
    if isinstance(default, str) and not isinstance(found, str):
        raise TypeError(f"{names[0]} is no text")
    return found


def _list(holder: Mapping[str, Any], *names: str) -> list[Any]:
    found: Any = next((holder[name] for name in names if holder.get(name) is not None), [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TypeError(f"{names[0]} is no list of objects")
    return found


def _dict(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = holder.get(name) or {}
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no object")
    return found
