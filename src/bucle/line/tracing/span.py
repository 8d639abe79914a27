"""Span: one unit of work within a trace, in OpenTelemetry's terms."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from bucle.ground.core import Record
from bucle.line.tracing.errors import BadTrace
from bucle.line.tracing.tables import COSTS, TOKENS

__all__ = [
    "Span",
    "SpanEvent",
    "SpanLink",
    "SpanStatus",
    "check_span",
    "check_trace_id",
    "span_of_row",
    "span_row",
    "storable",
    "usage_of_tree",
]

SpanStatus = Literal["UNSET", "OK", "ERROR"]

LARGEST_SPAN = 16 << 20
"""Characters of attributes, events and links; a span with more is refused rather than cut."""

LONGEST_NAME, LONGEST_TYPE = 500, 250
"""Characters; what is longer is cut, so that an index takes it."""

_TRACE_ID = re.compile(r"[\w:.-]{1,128}", re.ASCII)
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_LATEST_NS = (1 << 63) - 1


class SpanEvent(Record, frozen=True):
    """Something that happened at one instant of a span."""

    name: str
    at_ns: int
    attributes: dict[str, Any] = {}


class SpanLink(Record, frozen=True):
    """A span elsewhere that this one has to do with."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class Span(Record, frozen=True):
    """One unit of work.

    Attributes:
        trace_id: of its trace, `tr-` and 32 hexadecimal digits.
        id: 16 hexadecimal digits, unique within the trace.
        parent: the id of the span it is a part of; empty for a root.
        name: what was done.
        type: what kind of work, e.g. `LLM`, `TOOL`, `RETRIEVER`; empty when nobody said.
        status: how it ended.
        message: what went wrong, when it did.
        started_ns: nanoseconds since 1970.
        ended_ns: the same; None while it runs.
        model: the language model it called; empty when none.
        provider: who serves that model.
        usage: what adds up over a trace: tokens (`input_tokens`, …) and US dollars (`input_cost`, …).
        attributes: anything else that is known of it, as JSON.
        events: in the order they happened.
        links: to spans of other traces.
    """

    trace_id: str
    id: str
    name: str
    started_ns: int
    parent: str = ""
    type: str = ""
    status: SpanStatus = "UNSET"
    message: str = ""
    ended_ns: int | None = None
    model: str = ""
    provider: str = ""
    usage: dict[str, float] = {}
    attributes: dict[str, Any] = {}
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()


class _Rest(msgspec.Struct, omit_defaults=True):
    """What of a span nobody searches by."""

    message: str = ""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()


# Attributes keep the order they were given in; no digest is made of them.
_JSON = msgspec.json.Encoder()
_REST = msgspec.json.Decoder(_Rest)
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def check_trace_id(trace_id: str) -> str:
    """The id itself, when a trace may be called so.

    Raises:
        BadTrace: it is empty, too long, or has other characters than an id has.
    """
    if not _TRACE_ID.fullmatch(trace_id):
        raise BadTrace(
            f"{trace_id[:80]!r} cannot be the id of a trace.",
            why="An id has 1 to 128 letters, digits, '_', '-', '.' or ':'.",
            fix="Send the id the client made: 'tr-' and 32 hexadecimal digits.",
            at="trace_id",
        )
    return trace_id


def storable(text: str) -> str:
    """The text without what a database cannot keep: NUL, and halves of characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def span_row(span: Span) -> dict[str, Any]:
    """The row of `spans` that keeps a span, without its trace's place.

    Raises:
        BadTrace: an id, an instant or a value cannot be, or it is larger than `LARGEST_SPAN`.
    """
    rest, attributes, size = _checked(span)
    return {
        "id": span.id,
        "parent": span.parent,
        "name": storable(span.name[:LONGEST_NAME]),
        "type": storable(span.type[:LONGEST_TYPE]),
        "status": span.status,
        "started_ns": span.started_ns,
        "ended_ns": span.ended_ns,
        "model": storable(span.model[:LONGEST_NAME]) or None,
        "provider": storable(span.provider[:LONGEST_NAME]) or None,
        **{name: _finite(span.usage.get(name)) for name in COSTS},
        "usage": _JSON.encode(span.usage).decode(),
        "size": size,
        "rest": rest,
        "attributes": attributes,
    }


def check_span(span: Span) -> None:
    """Whether a span can be kept; raises as `span_row`. Cost: it is encoded, as `span_row` does."""
    _checked(span)


def span_of_row(trace_id: str, row: Any) -> Span:
    """The span a row of `spans` keeps."""
    rest = _REST.decode(row.rest)
    return Span(
        trace_id=trace_id,
        id=row.id,
        parent=row.parent,
        name=row.name,
        type=row.type,
        status=row.status,
        message=rest.message,
        started_ns=row.started_ns,
        ended_ns=row.ended_ns,
        model=row.model or "",
        provider=row.provider or "",
        usage=_OBJECT.decode(row.usage),
        attributes=_OBJECT.decode(row.attributes),
        events=rest.events,
        links=rest.links,
    )


def usage_of_tree(nodes: Iterable[tuple[str, str, Mapping[str, float]]]) -> dict[str, float]:
    """What a trace used in all.

    Tokens and costs are each counted where they first appear on the way down from a root: many libraries write on a
    parent the sum of its children, which must not count twice.

    Args:
        nodes: id, parent and usage of every span; a parent that is not among them makes its child a root.
    """
    spans = {id_: (parent, usage) for id_, parent, usage in nodes}
    total: dict[str, float] = {}
    for names in (TOKENS, COSTS):
        counted = _topmost(spans, names)
        for name in names:
            values = [usage[name] for usage in counted if _finite(usage.get(name)) is not None]
            if values:
                total[name] = sum(values)
    return total


def _topmost(spans: Mapping[str, tuple[str, Mapping[str, float]]], names: tuple[str, ...]) -> list[Mapping[str, float]]:
    """The usage of the spans that tell of one of these names while none above them does."""
    children = defaultdict[str, list[str]](list)
    for id_, (parent, _) in spans.items():
        children[parent if parent in spans else ""].append(id_)
    found, ahead = list[Mapping[str, float]](), [(root, False) for root in children[""]]
    while ahead:
        id_, is_told = ahead.pop()
        usage = spans[id_][1]
        tells = any(name in usage for name in names)
        if tells and not is_told:
            found.append(usage)
        ahead += [(child, is_told or tells) for child in children[id_]]
    return found


def _checked(span: Span) -> tuple[str, str, int]:
    """What of a span is kept as JSON, and how many characters that is."""
    check_trace_id(span.trace_id)
    _check(span)
    try:
        rest = _JSON.encode(_Rest(message=span.message, events=span.events, links=span.links)).decode()
        attributes = _JSON.encode(span.attributes).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadTrace(
            f"Span {span.id} ({span.name[:60]!r}) cannot be written as JSON: {str(error)[:120]}.",
            why="A number has 64 bits at most, a text whole characters, and nothing is nested too deeply.",
            fix="Send such values as texts.",
            at="spans",
        ) from error
    size = len(rest) + len(attributes)
    if size > LARGEST_SPAN:
        raise BadTrace(
            f"Span {span.id} ({span.name[:60]!r}) holds {size:,} characters.",
            why=f"A span holds {LARGEST_SPAN:,} at most.",
            fix="Log what is large as an artifact and keep its name in the span.",
            at="spans",
        )
    return rest, attributes, size


def _check(span: Span) -> None:
    wrong = (
        "its id is not 16 hexadecimal digits"
        if not _SPAN_ID.fullmatch(span.id)
        else "its parent's id is not 16 hexadecimal digits"
        if span.parent and not _SPAN_ID.fullmatch(span.parent)
        else "it is its own parent"
        if span.parent == span.id
        else "it begins or ends at no instant there is"
        if not 0 <= span.started_ns <= _LATEST_NS or not 0 <= (span.ended_ns or 0) <= _LATEST_NS
        else ""
    )
    if wrong:
        raise BadTrace(
            f"Span {span.id[:40]!r} ({span.name[:60]!r}) cannot be kept: {wrong}.",
            why="Spans are found by their ids and ordered by their instants.",
            fix="Send ids and nanoseconds since 1970 as OpenTelemetry writes them.",
            at="spans",
        )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
