"""Traces, spans and assessments as MLflow's wire writes them, and as a client writes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from bucle.doors.protocols.mlflow.errors import invalid
from bucle.doors.protocols.mlflow.wire import Body, Json, double, lean, millis, pairs
from bucle.ground.core import digest_of_value
from bucle.line import tracing

__all__ = [
    "TRACE_ID_PREFIX",
    "AssessmentBody",
    "Names",
    "TraceInfoBody",
    "assessment_of",
    "expected_spans",
    "shown_assessment",
    "shown_span",
    "shown_trace",
    "shown_trace_v2",
    "stored_span",
    "trace_of",
]

TRACE_ID_PREFIX: Final = "tr-"


class Names:
    """MLflow's names of tags, metadata and attributes that mean something to it."""

    ARTIFACTS = "mlflow.artifactLocation"
    COST = "mlflow.llm.cost"
    FINAL = "mlflow.trace.infoFinalized"
    INPUTS = "mlflow.spanInputs"
    MODEL = "mlflow.llm.model"
    NAME = "mlflow.traceName"
    OUTPUTS = "mlflow.spanOutputs"
    PROVIDER = "mlflow.llm.provider"
    RUN = "mlflow.sourceRun"
    SESSION = "mlflow.trace.session"
    SIZE = "mlflow.trace.sizeStats"
    SOURCE_RUN = "mlflow.assessment.sourceRunId"
    SPANS = "mlflow.trace.spansLocation"
    TOKENS = "mlflow.chat.tokenUsage"
    TRACE_COST = "mlflow.trace.cost"
    TRACE_ID = "mlflow.traceRequestId"
    TRACE_TOKENS = "mlflow.trace.tokenUsage"
    TYPE = "mlflow.spanType"
    USER = "mlflow.trace.user"


_TOKENS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_COSTS = ("input_cost", "output_cost", "total_cost")

STATES: tuple[tracing.TraceState, ...] = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
SOURCES = {0: "SOURCE_TYPE_UNSPECIFIED", 1: "HUMAN", 2: "LLM_JUDGE", 3: "CODE"}


class ExperimentLocation(Body):
    """An experiment."""

    experiment_id: str = ""


class Location(Body):
    """Where a trace is."""

    mlflow_experiment: ExperimentLocation | None = None


class ErrorBody(Body):
    """Why there is no value."""

    error_code: str = ""
    error_message: str = ""
    stack_trace: str = ""


class FeedbackBody(Body):
    """What was said of an answer."""

    value: Any = None
    error: ErrorBody | None = None


class SerializedBody(Body):
    """A value as JSON within JSON."""

    serialization_format: str = ""
    value: str = ""


class ExpectationBody(Body):
    """What is true of a right answer."""

    value: Any = None
    serialized_value: SerializedBody | None = None


class IssueBody(Body):
    """An issue an answer belongs to."""

    issue_name: str = ""


class SourceBody(Body):
    """Who said it."""

    source_type: str | int = "SOURCE_TYPE_UNSPECIFIED"
    source_id: str = ""


class AssessmentBody(Body):
    """An assessment as a client writes it."""

    assessment_id: str = ""
    assessment_name: str = ""
    trace_id: str = ""
    span_id: str = ""
    source: SourceBody | None = None
    create_time: str = ""
    last_update_time: str = ""
    feedback: FeedbackBody | None = None
    expectation: ExpectationBody | None = None
    issue: IssueBody | None = None
    rationale: str | None = None
    error: ErrorBody | None = None
    metadata: dict[str, str] = {}
    overrides: str = ""
    valid: bool = True


class TraceInfoBody(Body):
    """A trace as a client writes it."""

    trace_id: str = ""
    client_request_id: str | None = None
    trace_location: Location | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    request_time: str = ""
    execution_duration: str | None = None
    state: str | int = "STATE_UNSPECIFIED"
    trace_metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    assessments: list[AssessmentBody] = []


def trace_of(body: TraceInfoBody, now: datetime) -> tracing.Trace:
    """The trace a client tells of.

    Raises:
        MlflowError: a field is missing or cannot be read.
    """
    location = body.trace_location and body.trace_location.mlflow_experiment
    if not location or not location.experiment_id:
        raise invalid("Missing value for required parameter 'trace_location.mlflow_experiment.experiment_id'.")
    metadata, tags = dict(body.trace_metadata), dict(body.tags)
    run = metadata.get(Names.RUN, "")
    return tracing.Trace(
        id=body.trace_id,
        experiment_id=location.experiment_id,
        started_at=_instant("request_time", body.request_time) or now,
        name=tags.get(Names.NAME, ""),
        state=_state(body.state),
        duration_ms=_duration(body.execution_duration),
        request=body.request_preview,
        response=body.response_preview,
        session=metadata.get(Names.SESSION, ""),
        client_request_id=body.client_request_id,
        run_ids=(run,) if run else (),
        usage={**_usage(metadata.get(Names.TRACE_TOKENS), _TOKENS), **_usage(metadata.get(Names.TRACE_COST), _COSTS)},
        tags={key: value for key, value in tags.items() if key not in (Names.SPANS, Names.ARTIFACTS)},
        metadata=metadata,
        assessments=tuple(_first_told(one, body.trace_id, now) for one in body.assessments),
    )


def assessment_of(body: AssessmentBody, trace_id: str, now: datetime) -> tracing.Assessment:
    """The assessment a client tells of.

    Raises:
        MlflowError: it says nothing, or says two things at once.
    """
    given = [part for part in (body.feedback, body.expectation, body.issue) if part is not None]
    if len(given) != 1:
        raise invalid("Exactly one of `expectation`, `feedback`, or `issue` should be specified.")
    source = body.source or SourceBody()
    kind, value, error = value_of(body)
    return tracing.Assessment(
        id=body.assessment_id,
        trace_id=trace_id,
        name=body.assessment_name,
        kind=kind,
        value=value,
        error=error,
        rationale=body.rationale or "",
        source_type=SOURCES.get(source.source_type, "") if isinstance(source.source_type, int) else source.source_type,
        source_id=source.source_id,
        span_id=body.span_id,
        run_id=body.metadata.get(Names.SOURCE_RUN, ""),
        overrides=body.overrides,
        metadata=body.metadata,
        created_at=_instant("create_time", body.create_time) or now,
        updated_at=_instant("last_update_time", body.last_update_time) or now,
    )


def value_of(body: AssessmentBody) -> tuple[Any, Any, tracing.AssessmentError | None]:
    """Kind, value and error of what is said.

    Raises:
        MlflowError: a serialized value is no JSON.
    """
    if body.issue is not None:
        return "issue", body.issue.issue_name, None
    if body.expectation is not None:
        return "expectation", _expected(body.expectation), None
    said = body.feedback or FeedbackBody()
    wrong = said.error or body.error
    if wrong is None:
        return "feedback", said.value, None
    error = tracing.AssessmentError(code=wrong.error_code, message=wrong.error_message, stack=wrong.stack_trace)
    return "feedback", said.value, error


def shown_trace(trace: tracing.Trace, root: str = "") -> Json:
    """A trace as the wire has it, version 3.

    Args:
        root: where its attachments lie.
    """
    return lean(
        {
            "trace_id": trace.id,
            "client_request_id": trace.client_request_id,
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": trace.experiment_id},
            },
            "request_preview": trace.request,
            "response_preview": trace.response,
            "request_time": _stamp(trace.started_at),
            "execution_duration": None if trace.duration_ms is None else _seconds(trace.duration_ms),
            "state": trace.state,
            "trace_metadata": _metadata(trace),
            "tags": _tags(trace, root),
            "assessments": [shown_assessment(one) for one in trace.assessments],
        }
    )


def shown_trace_v2(trace: tracing.Trace, root: str = "") -> Json:
    """A trace as the wire had it before version 3."""
    return {
        "request_id": trace.id,
        "experiment_id": trace.experiment_id,
        "timestamp_ms": millis(trace.started_at),
        "execution_time_ms": trace.duration_ms or 0,
        "status": "TRACE_STATUS_UNSPECIFIED" if trace.state == "STATE_UNSPECIFIED" else trace.state,
        "request_metadata": pairs(_metadata(trace)),
        "tags": pairs(_tags(trace, root)),
    }


def shown_assessment(one: tracing.Assessment) -> Json:
    """An assessment as the wire has it."""
    said: Json
    if one.kind == "issue":
        said = {"issue": {"issue_name": str(one.value)}}
    elif one.kind == "expectation":
        said = {"expectation": _shown_expectation(one.value)}
    else:
        error = one.error and lean(
            {
                "error_code": one.error.code,
                "error_message": one.error.message or None,
                "stack_trace": one.error.stack or None,
            }
        )
        said = {"feedback": {"value": one.value, **({"error": error} if error else {})}}
    return lean(
        {
            "assessment_id": one.id,
            "assessment_name": one.name,
            "trace_id": one.trace_id,
            "span_id": one.span_id or None,
            "source": {"source_type": one.source_type, "source_id": one.source_id},
            "create_time": _stamp(one.created_at),
            "last_update_time": _stamp(one.updated_at),
            "rationale": one.rationale or None,
            "metadata": one.metadata or None,
            "overrides": one.overrides or None,
            "valid": one.is_valid,
            **said,
        }
    )


def shown_span(span: tracing.Span) -> Json:
    """A span in protobuf's JSON of OpenTelemetry."""
    return {
        "trace_id": _base64(span.trace_id.removeprefix(TRACE_ID_PREFIX)),
        "span_id": _base64(span.id),
        "parent_span_id": _base64(span.parent),
        "name": span.name,
        "start_time_unix_nano": span.started_ns,
        **({} if span.ended_ns is None else {"end_time_unix_nano": span.ended_ns}),
        "attributes": _shown_attributes({**span.attributes, Names.TRACE_ID: span.trace_id}),
        "status": {"code": f"STATUS_CODE_{span.status}", "message": span.message},
        "events": [
            {"name": event.name, "time_unix_nano": event.at_ns, "attributes": _shown_attributes(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": _base64(link.trace_id.removeprefix(TRACE_ID_PREFIX)),
                "span_id": _base64(link.span_id),
                "attributes": _shown_attributes(link.attributes),
            }
            for link in span.links
        ],
    }


def stored_span(span: tracing.Span) -> Json:
    """A span as MLflow keeps it in a file: every attribute is JSON within JSON."""
    attributes = {**span.attributes, Names.TRACE_ID: span.trace_id}
    return {
        "trace_id": _base64(span.trace_id.removeprefix(TRACE_ID_PREFIX)),
        "span_id": _base64(span.id),
        "parent_span_id": _base64(span.parent) or None,
        "name": span.name,
        "start_time_unix_nano": span.started_ns,
        "end_time_unix_nano": span.ended_ns,
        "events": [
            {"name": event.name, "time_unix_nano": event.at_ns, "attributes": event.attributes} for event in span.events
        ],
        "status": {"code": f"STATUS_CODE_{span.status}", "message": span.message},
        "attributes": {key: msgspec.json.encode(value).decode() for key, value in attributes.items()},
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": link.attributes} for link in span.links
        ],
    }


def expected_spans(trace: tracing.Trace) -> int:
    """How many spans the client said there are; 0 when it said nothing."""
    found = _usage(trace.metadata.get(Names.SIZE), ("num_spans",))
    return int(found.get("num_spans", 0))


def _metadata(trace: tracing.Trace) -> dict[str, str]:
    """Metadata, with what was added up from spans when the client told no sums."""
    found = dict(trace.metadata)
    for name, keys in ((Names.TRACE_TOKENS, _TOKENS), (Names.TRACE_COST, _COSTS)):
        told = {key: trace.usage[key] for key in keys if key in trace.usage}
        if told and name not in found:
            found[name] = msgspec.json.encode(told).decode()
    return found


def _tags(trace: tracing.Trace, root: str) -> dict[str, str]:
    found = dict(trace.tags)
    if trace.name:
        found[Names.NAME] = trace.name
    if root:
        found[Names.ARTIFACTS] = root
    if trace.has_spans:
        found[Names.SPANS] = "TRACKING_STORE"
    return found


def _first_told(body: AssessmentBody, trace_id: str, now: datetime) -> tracing.Assessment:
    """An assessment that comes with its trace; its id is made from what it says, so a retry says it once."""
    one = assessment_of(body, trace_id, now)
    if one.id:
        return one
    said = [trace_id, one.name, one.kind, one.value, one.source_type, one.source_id, body.create_time, one.span_id]
    return msgspec.structs.replace(one, id=f"a-{digest_of_value(said)[:32]}")


def _expected(body: ExpectationBody) -> Any:
    if body.serialized_value is None:
        return body.value
    if body.serialized_value.serialization_format not in ("", "JSON_FORMAT"):
        raise invalid(
            f"Unknown serialization format: {body.serialized_value.serialization_format[:40]!r}. "
            "Only JSON_FORMAT is supported."
        )
    try:
        return msgspec.json.decode(body.serialized_value.value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid(f"The serialized value of an expectation is no JSON: {str(error)[:100]}.") from error


def _shown_expectation(value: Any) -> Json:
    if isinstance(value, str | int | float | bool):
        return {"value": value}
    return {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": msgspec.json.encode(value).decode()}}


def _shown_attributes(attributes: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": _shown_value(value)} for key, value in attributes.items()]


def _shown_value(value: Any) -> Json:
    """A plain value as `AnyValue`."""
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        return {"int_value": value} if -(1 << 63) <= value < 1 << 63 else {"double_value": double(float(value))}
    if isinstance(value, float):
        return {"double_value": double(value)}
    if isinstance(value, list):
        return {"array_value": {"values": [_shown_value(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlist_value": {"values": _shown_attributes(value)}}
    return {}


def _usage(text: str | None, names: tuple[str, ...]) -> dict[str, float]:
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    numbers = {name: found.get(name) for name in names} if isinstance(found, dict) else {}
    return {
        name: number
        for name, number in numbers.items()
        if isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < 1 << 53
    }


def _state(given: str | int) -> tracing.TraceState:
    if isinstance(given, int) and 0 <= given < len(STATES):
        return STATES[given]
    named = "STATE_UNSPECIFIED" if given == "TRACE_STATUS_UNSPECIFIED" else given
    for state in STATES:
        if state == named:
            return state
    raise invalid(f"Invalid trace state {str(given)[:40]!r}; it is one of {', '.join(STATES)}.")


def _instant(field: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(
            f"Invalid value {text[:40]!r} for parameter '{field}': an RFC 3339 timestamp is expected."
        ) from error
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError as error:
        raise invalid(f"Invalid value {text[:40]!r} for parameter '{field}': no calendar reaches that far.") from error


def _duration(text: str | None) -> int | None:
    """Milliseconds of a duration such as `1.5s`."""
    if text is None:
        return None
    try:
        found = int(Decimal(text.removesuffix("s")) * 1000)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise invalid(
            f"Invalid value {text[:40]!r} for parameter 'execution_duration': e.g. '1.5s' is expected."
        ) from error
    if abs(found) >= 1 << 53:
        raise invalid(f"Invalid value {text[:40]!r} for parameter 'execution_duration': nothing takes that long.")
    return found


def _seconds(milliseconds: int) -> str:
    sign, rest = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    whole, part = divmod(rest, 1000)
    return f"{sign}{whole}.{part:03d}s" if part else f"{sign}{whole}s"


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _base64(digits: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(digits)).decode()
    except ValueError:
        return ""
