"""MLflow's traces in our nouns: a row a trace and a row a span in its database, a file with both in its folders."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bucle.doors.migrate.found import FoundTrace
from bucle.doors.migrate.mlflow_words import known_instant
from bucle.line.tracing import Span, SpanEvent, SpanLink, SpanStatus, Trace, TraceState

__all__ = ["found_trace"]

NAME, SESSION, RUN = "mlflow.traceName", "mlflow.trace.session", "mlflow.sourceRun"
SPAN_ID_OF_TRACE, KIND, MODEL, PROVIDER = (
    "mlflow.traceRequestId", "mlflow.spanType", "mlflow.llm.model", "mlflow.llm.provider",
)  # fmt: skip
PLACES = ("mlflow.artifactLocation", "mlflow.trace.spansLocation")
"""Where MLflow kept the rest of a trace; here it is with us."""
USAGE = ("mlflow.chat.tokenUsage", "mlflow.llm.cost")
TRACE_USAGE = ("mlflow.trace.tokenUsage", "mlflow.trace.cost")

_STATES: dict[str, TraceState] = {"OK": "OK", "ERROR": "ERROR", "IN_PROGRESS": "IN_PROGRESS"}
_STATUSES: dict[str, SpanStatus] = {"OK": "OK", "ERROR": "ERROR"}
_USAGE_NAMES = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
    "input_cost", "output_cost", "total_cost",
)  # fmt: skip


def found_trace(
    about: Mapping[str, Any], tags: Mapping[str, str], metadata: Mapping[str, str], spans: list[Mapping[str, Any]]
) -> FoundTrace:
    """A trace with its spans.

    Args:
        about: `request_id`, `experiment_id`, `timestamp_ms`, `execution_time_ms`, `status`, `client_request_id`,
            `request_preview`, `response_preview`; in newer databases also `trace_name`, `session_id`.
        spans: as MLflow writes each as JSON.
    """
    began = known_instant(about["timestamp_ms"])
    trace = Trace(
        id=about["request_id"],
        experiment_id=str(about["experiment_id"]),
        started_at=began,
        name=tags.get(NAME) or about.get("trace_name") or "",
        state=_STATES.get(str(about["status"]), "STATE_UNSPECIFIED"),
        duration_ms=about["execution_time_ms"],
        request=about["request_preview"],
        response=about["response_preview"],
        session=metadata.get(SESSION) or about.get("session_id") or "",
        client_request_id=about["client_request_id"],
        run_ids=(metadata[RUN],) if metadata.get(RUN) else (),
        usage=_usage(_json(metadata.get(name)) for name in TRACE_USAGE),
        tags={key: value for key, value in tags.items() if key not in PLACES},
        metadata=dict(metadata),
        is_final=True,
        has_spans=bool(spans),
    )
    return FoundTrace(trace, [_span(trace.id, one, began) for one in spans])


def _span(trace_id: str, content: Mapping[str, Any], began: datetime) -> Span:
    written = content.get("attributes") or {}
    attributes = {key: _json(value) for key, value in written.items() if key != SPAN_ID_OF_TRACE}
    status = content.get("status") or {}
    code = str(status.get("code", status.get("status_code", ""))).removeprefix("STATUS_CODE_")
    return Span(
        trace_id=trace_id,
        id=_hex(content.get("span_id")),
        parent=_hex(content.get("parent_span_id") or content.get("parent_id")),
        name=str(content.get("name") or ""),
        type=str(attributes.get(KIND) or ""),
        status=_STATUSES.get(code, "UNSET"),
        message=str(status.get("message") or ""),
        started_ns=_nanos(content, "start", began),
        ended_ns=_nanos(content, "end", began) or None,
        model=str(attributes.get(MODEL) or ""),
        provider=str(attributes.get(PROVIDER) or ""),
        usage=_usage(attributes.get(name) for name in USAGE),
        attributes=attributes,
        events=tuple(_event(one) for one in content.get("events") or ()),
        links=tuple(_link(one) for one in content.get("links") or ()),
    )


def _event(given: Mapping[str, Any]) -> SpanEvent:
    at = given.get("time_unix_nano") or given.get("timestamp") or 0
    return SpanEvent(name=str(given.get("name") or ""), at_ns=int(at), attributes=dict(given.get("attributes") or {}))


def _link(given: Mapping[str, Any]) -> SpanLink:
    return SpanLink(
        trace_id=str(given.get("trace_id") or ""),
        span_id=str(given.get("span_id") or ""),
        attributes=dict(given.get("attributes") or {}),
    )


def _nanos(content: Mapping[str, Any], which: str, began: datetime) -> int:
    """An instant of a span; MLflow 2 called it otherwise."""
    for name in (f"{which}_time_unix_nano", f"{which}_time"):
        if isinstance(content.get(name), int):
            return int(content[name])
    return int((began - known_instant()) / timedelta(microseconds=1)) * 1000 if which == "start" else 0


def _hex(id_: Any) -> str:
    """A span's id as 16 hexadecimal digits; MLflow writes it in base64, and MLflow 2 as `0x…`."""
    text = str(id_ or "")
    if text.startswith("0x"):
        return text[2:].zfill(16)
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
    return found.hex() if len(found) == 8 else text


def _json(value: Any) -> Any:
    """What a text of JSON holds; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def _usage(told: Any) -> dict[str, float]:
    return {
        name: float(part[name])
        for part in told
        if isinstance(part, dict)
        for name in _USAGE_NAMES
        if isinstance(part.get(name), int | float)
    }
