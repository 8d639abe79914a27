"""Logging traces: what a client tells of a whole one, and spans as they come, in any order and any number of times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from bucle.ground.core import from_micros, to_micros
from bucle.ground.project import Project
from bucle.line.tracing import store as trace_store
from bucle.line.tracing.span import Span, check_trace_id, span_row, usage_of_tree
from bucle.line.tracing.tables import COSTS, TOKENS
from bucle.line.tracing.text import LONGEST_KEY, LONGEST_NAME, LONGEST_PREVIEW, cut, labels, run_name
from bucle.line.tracing.trace import Trace
from bucle.line.tracking import active_experiment

__all__ = ["log_spans", "log_trace", "write_spans", "write_trace"]

_OPEN = ("IN_PROGRESS", "STATE_UNSPECIFIED")
_USAGE = msgspec.json.Decoder(dict[str, float])


def log_trace(project: Project, given: Trace) -> bool:
    """Keep what a client tells of a whole trace; a second time it replaces, so a retry does no harm.

    Its assessments are kept on the ledger, see `log_assessment`. Spans are logged by `log_spans`, before or after.

    Returns:
        Whether spans of it have arrived already.
    Raises:
        NoSuchExperiment: there is none of this id, or it is deleted.
        BadTrace: its id cannot be.
    """
    active_experiment(project, given.experiment_id)
    return project.database.grouped(write_trace(given))


def log_spans(
    project: Project, experiment_id: str, spans: Sequence[Span], told: Mapping[str, Trace] | None = None
) -> None:
    """Keep spans, of one trace or of several, all or none; a span logged again replaces.

    A trace nobody has told of yet comes to be with its first span: it begins with its earliest span, ends with its
    latest, and its state is that of its root.

    Args:
        told: by trace id, what the spans say about the whole: name, session, request, response, tags, metadata.
    Raises:
        NoSuchExperiment: there is none of this id, or it is deleted.
        BadTrace: a span cannot be kept.
    """
    if spans:
        active_experiment(project, experiment_id)
        project.database.grouped(write_spans(int(experiment_id), spans, told or {}))


def write_trace(given: Trace) -> Callable[[Connection], bool]:
    """What `log_trace` does, as a work for `Database.submit`."""
    check_trace_id(given.id)
    row: dict[str, Any] = {
        "id": given.id,
        "experiment": int(given.experiment_id),
        "name": cut(given.name, LONGEST_NAME) or None,
        "state": given.state,
        "started_at": to_micros(given.started_at) // 1000 * 1000,
        "duration_ms": given.duration_ms,
        "session": cut(given.session, LONGEST_KEY) or None,
        "client_request_id": None if given.client_request_id is None else cut(given.client_request_id, LONGEST_NAME),
        "is_final": True,
        "has_spans": False,
        **{name: given.usage.get(name) for name in (*TOKENS, *COSTS)},
        "request": _preview(given.request),
        "response": _preview(given.response),
    }
    tags, metadata = labels(given.tags), labels(given.metadata)

    def work(connection: Connection) -> bool:
        is_new = trace_store.add_trace(connection, row)
        old = trace_store.locked_trace(connection, given.id) or {}
        if not is_new:
            kept = {name for name in ("name", "session", "request", "response", *TOKENS, *COSTS) if row[name] is None}
            changes = {name: value for name, value in row.items() if name not in kept | {"id", "has_spans"}}
            changes["started_at"] = given.started_at.replace(microsecond=given.started_at.microsecond // 1000 * 1000)
            trace_store.update_trace(connection, old["seq"], changes)
        trace_store.put_labels(connection, old["seq"], tags=tags, metadata=metadata)
        for run in given.run_ids:
            trace_store.link_runs(connection, [old["seq"]], run_name(run))
        return bool(old["has_spans"])

    return work


def write_spans(experiment: int, spans: Sequence[Span], told: Mapping[str, Trace]) -> Callable[[Connection], None]:
    """What `log_spans` does, as a work for `Database.submit`."""
    parts = defaultdict[str, list[Span]](list)
    for span in spans:
        parts[span.trace_id].append(span)
    rows = {trace_id: [span_row(span) for span in part] for trace_id, part in parts.items()}

    def work(connection: Connection) -> None:
        # Every writer takes traces in the same order, so none waits for another in a circle.
        for trace_id in sorted(parts):
            _write_part(connection, experiment, parts[trace_id], rows[trace_id], told.get(trace_id))

    return work


def _write_part(
    connection: Connection,
    experiment: int,
    spans: Sequence[Span],
    rows: Sequence[Mapping[str, Any]],
    told: Trace | None,
) -> None:
    """Spans of one trace, and what they change about it."""
    new = _first_row(experiment, spans, told)
    is_new = trace_store.add_trace(connection, new)
    old = trace_store.locked_trace(connection, spans[0].trace_id) or {}
    trace_store.put_spans(connection, [{"trace": old["seq"], **row} for row in rows])
    changes = {} if is_new else _changes(old, new)
    has_root = any(not span.parent for span in spans)
    if any(span.usage for span in spans) or (has_root and not is_new):
        changes |= _usage_changes(
            connection, old, spans if is_new else None, is_ended=has_root or old["state"] not in _OPEN
        )
    trace_store.update_trace(connection, old["seq"], changes)
    if told is not None:
        trace_store.put_labels(connection, old["seq"], tags=labels(told.tags), metadata=labels(told.metadata))
        for run in told.run_ids:
            trace_store.link_runs(connection, [old["seq"]], run_name(run))


def _first_row(experiment: int, spans: Sequence[Span], told: Trace | None) -> dict[str, Any]:
    """The trace as these spans alone would tell it."""
    started_ms = min(span.started_ns for span in spans) // 1_000_000
    ends = [span.ended_ns for span in spans if span.ended_ns is not None]
    root = next((span for span in spans if not span.parent), None)
    state = "IN_PROGRESS" if root is None else "ERROR" if root.status == "ERROR" else "OK"
    return {
        "id": spans[0].trace_id,
        "experiment": experiment,
        "name": cut(told.name, LONGEST_NAME) or None if told else None,
        "state": state,
        "started_at": started_ms * 1000,
        "duration_ms": max(ends) // 1_000_000 - started_ms if ends else None,
        "session": cut(told.session, LONGEST_KEY) or None if told else None,
        "client_request_id": None,
        "is_final": False,
        "has_spans": True,
        **dict.fromkeys((*TOKENS, *COSTS)),
        "request": _preview(told.request) if told else None,
        "response": _preview(told.response) if told else None,
    }


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What more spans change about a trace: it grows at both ends; what the client has told stays."""
    changes: dict[str, Any] = {"has_spans": True}
    if not old["is_final"]:
        began = [to_micros(old["started_at"]) // 1000, new["started_at"] // 1000]
        ends = [
            at + lasted
            for at, lasted in zip(began, (old["duration_ms"], new["duration_ms"]), strict=True)
            if lasted is not None
        ]
        changes["started_at"] = from_micros(min(began) * 1000)
        changes["duration_ms"] = max(ends) - min(began) if ends else None
    if old["state"] in _OPEN and new["state"] not in _OPEN:
        changes["state"] = new["state"]
    for name in ("session", "request", "response"):
        if old[name] is None and new[name] is not None:
            changes[name] = new[name]
    if new["name"] is not None:
        changes["name"] = new["name"]
    return {name: value for name, value in changes.items() if old[name] != value}


def _usage_changes(
    connection: Connection, old: Mapping[str, Any], spans: Sequence[Span] | None, *, is_ended: bool
) -> dict[str, Any]:
    """Tokens and costs of the whole trace, unless its client has told them.

    Args:
        spans: all there are; None to read them.
        is_ended: the root is here. Before that nothing is added up: it would be done again with each span.
    """
    wanted = [
        names for names in (TOKENS, COSTS) if not (old["is_final"] and any(old[name] is not None for name in names))
    ]
    if not wanted or not is_ended:
        return {}
    nodes = (
        [(span.id, span.parent, span.usage) for span in spans]
        if spans is not None
        else [
            (id_, parent, _USAGE.decode(usage)) for id_, parent, usage in trace_store.span_usage(connection, old["seq"])
        ]
    )
    total = usage_of_tree(nodes)
    return {
        name: _whole(total[name]) if names is TOKENS else total[name]
        for names in wanted
        for name in names
        if name in total
    }


def _preview(text: str | None) -> str | None:
    return None if text is None else cut(text, LONGEST_PREVIEW)


def _whole(number: float) -> int:
    return max(-(1 << 63), min(int(number), (1 << 63) - 1))
