"""Trace: what one request went through, as a tree of spans, with what was said about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, make_ref
from bucle.ground.project import Project
from bucle.line.tracing import store as trace_store
from bucle.line.tracing.assessment import Assessment, assessments_of, no_such_trace
from bucle.line.tracing.errors import TraceIncomplete
from bucle.line.tracing.span import Span, span_of_row
from bucle.line.tracing.tables import ASSESSMENTS, COSTS, TOKENS, TRACE_METADATA, TRACE_TAGS
from bucle.line.tracing.text import LONGEST_NAME, cut, labels, run_name

__all__ = [
    "Trace",
    "TraceState",
    "change_trace",
    "delete_trace_tag",
    "delete_traces",
    "link_prompts",
    "link_traces",
    "span_pages",
    "trace",
    "traces_by_ids",
]

TraceState = Literal["STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"]

PAGE_OF_SPANS, PAGE_OF_CHARACTERS = 200, 4 << 20
"""Spans read at once: so many, or fewer when they are large; one that is larger by itself comes alone."""


class Trace(Record, frozen=True):
    """One request.

    Attributes:
        id: `tr-` and 32 hexadecimal digits.
        experiment_id: what it belongs to.
        name: what was asked for; empty when nobody said.
        state: how it ended, or that it has not.
        started_at: an instant, exact to the millisecond.
        duration_ms: how long it took; None while it runs.
        request: the beginning of what went in.
        response: the beginning of what came out.
        session: the conversation it is a part of; empty when none.
        client_request_id: what the client calls it.
        run_ids: runs it was made in or linked to.
        usage: tokens (`input_tokens`, …) and US dollars (`input_cost`, …), all spans together.
        tags: may change later.
        metadata: may not.
        assessments: what was said about it, oldest first.
        is_final: the client has told the whole trace itself, not only its spans.
        has_spans: spans of it have arrived.
    """

    id: str
    experiment_id: str
    started_at: datetime
    name: str = ""
    state: TraceState = "STATE_UNSPECIFIED"
    duration_ms: int | None = None
    request: str | None = None
    response: str | None = None
    session: str = ""
    client_request_id: str | None = None
    run_ids: tuple[str, ...] = ()
    usage: dict[str, float] = {}
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}
    assessments: tuple[Assessment, ...] = ()
    is_final: bool = False
    has_spans: bool = False


def trace(project: Project, id: str) -> Trace:  # noqa: A002
    """One trace, without its spans.

    Raises:
        NoSuchTrace: there is none of this id.
    """
    found = traces_by_ids(project, [id])
    if not found:
        raise no_such_trace(id)
    return found[0]


def traces_by_ids(project: Project, ids: Sequence[str]) -> list[Trace]:
    """The traces of these ids that are there, in the order asked for, each once."""
    wanted = list(dict.fromkeys(ids))
    with project.database.reading() as connection:
        rows = [row for start in range(0, len(wanted), 500) for row in _part(connection, wanted[start : start + 500])]
        found = {one.id: one for one in traces_of_rows(connection, rows)}
    return [found[id_] for id_ in wanted if id_ in found]


def span_pages(project: Project, trace_id: str, *, at_least: int = 0) -> Iterator[list[Span]]:
    """The spans of a trace in pieces: roots first, then as they began.

    Args:
        at_least: how many there must be for the trace to be whole.
    Raises:
        NoSuchTrace: there is none of this id.
        TraceIncomplete: fewer spans have arrived.
    Cost: memory for one piece of some megabytes, whatever the trace's size; both errors are raised by the first piece.
    """
    with project.database.reading() as connection:
        rows = trace_store.trace_rows(connection, [trace_id])
        order = trace_store.span_order(connection, rows[0]["seq"]) if rows else []
    if not rows:
        raise no_such_trace(trace_id)
    if len(order) < at_least:
        raise TraceIncomplete(
            f"Trace with ID {trace_id} is not fully exported yet: {len(order)} of {at_least} spans are here.",
            why="A client sends spans and the trace's end in parallel.",
            fix="Try again, or ask for what is there: allow_partial.",
            at=trace_id,
        )
    for ids in _pages(order):
        with project.database.reading() as connection:
            page = trace_store.span_rows(connection, rows[0]["seq"], ids)
        yield [span_of_row(trace_id, row) for row in page]


def _pages(order: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    ids, size = list[str](), 0
    for id_, length in order:
        if ids and (len(ids) == PAGE_OF_SPANS or size + length > PAGE_OF_CHARACTERS):
            yield ids
            ids, size = [], 0
        ids.append(id_)
        size += length
    if ids:
        yield ids


def change_trace(project: Project, id: str, *, tags: Mapping[str, str], name: str | None = None) -> None:  # noqa: A002
    """Set tags of a trace, and its name when one is given.

    Raises:
        NoSuchTrace: there is none of this id.
        BadTrace: a tag has no key.
    """
    kept = labels(tags)

    def work(connection: Connection) -> None:
        row = _locked(connection, id)
        trace_store.put_labels(connection, row["seq"], tags=kept)
        if name is not None:
            trace_store.update_trace(connection, row["seq"], {"name": cut(name, LONGEST_NAME)})

    project.database.grouped(work)


def delete_trace_tag(project: Project, id: str, key: str, *, name: bool = False) -> bool:  # noqa: A002
    """Remove a tag of a trace; whether there was one.

    Args:
        name: the trace loses its name with it.
    Raises:
        NoSuchTrace: there is none of this id.
    """

    def work(connection: Connection) -> bool:
        row = _locked(connection, id)
        if name:
            trace_store.update_trace(connection, row["seq"], {"name": None})
        return trace_store.delete_label(connection, row["seq"], key)

    return project.database.grouped(work)


def link_traces(project: Project, trace_ids: Sequence[str], run_id: str) -> None:
    """Note that traces belong to a run; ids of no trace are passed over, as MLflow does.

    Raises:
        BadTrace: the run's id cannot be.
    """
    run = run_name(run_id)

    def work(connection: Connection) -> None:
        trace_store.link_runs(connection, [row["seq"] for row in trace_store.trace_rows(connection, trace_ids)], run)

    project.database.grouped(work)


def link_prompts(project: Project, trace_id: str, prompts: Sequence[tuple[str, str]]) -> None:
    """Note the prompt versions a trace used.

    Args:
        prompts: name and version of each.
    Raises:
        NoSuchTrace: there is none of this id.
    """
    names = [cut(f"{name}/{version}", LONGEST_NAME) for name, version in prompts]

    def work(connection: Connection) -> None:
        trace_store.link_prompts(connection, _locked(connection, trace_id)["seq"], names)

    project.database.grouped(work)


def delete_traces(
    project: Project,
    experiment_id: str,
    *,
    ids: Sequence[str] = (),
    until: datetime | None = None,
    limit: int | None = None,
) -> int:
    """Remove traces of an experiment, oldest first, with their spans and assessments; how many there were.

    Args:
        ids: only these.
        until: only those that began then or earlier.
        limit: at most so many.
    """
    deleted, left = 0, limit
    while left is None or left > 0:
        size = min(left, 500) if left is not None else 500
        with project.database.reading() as connection:
            meant = trace_store.traces_to_delete(connection, int(experiment_id), ids=ids, until=until, limit=size)
        if not meant:
            break
        _delete(project, experiment_id, meant)
        deleted += len(meant)
        left = None if left is None else left - len(meant)
    return deleted


def traces_of_rows(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Trace]:
    """The traces these rows keep, with tags, metadata, runs and assessments."""
    seqs = [row["seq"] for row in rows]
    tags = trace_store.labels_of(connection, TRACE_TAGS, seqs)
    metadata = trace_store.labels_of(connection, TRACE_METADATA, seqs)
    runs = trace_store.runs_of(connection, seqs)
    judged = assessments_of(connection, [row["id"] for row in rows])
    return [
        Trace(
            id=row["id"],
            experiment_id=str(row["experiment"]),
            name=row["name"] or "",
            state=row["state"],
            started_at=row["started_at"],
            duration_ms=row["duration_ms"],
            request=row["request"],
            response=row["response"],
            session=row["session"] or "",
            client_request_id=row["client_request_id"],
            run_ids=runs.get(row["seq"], ()),
            usage={name: row[name] for name in (*TOKENS, *COSTS) if row[name] is not None},
            tags=tags.get(row["seq"], {}),
            metadata=metadata.get(row["seq"], {}),
            assessments=judged.get(row["id"], ()),
            is_final=row["is_final"],
            has_spans=row["has_spans"],
        )
        for row in rows
    ]


def _part(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    return trace_store.trace_rows(connection, ids)


def _delete(project: Project, experiment_id: str, meant: Sequence[tuple[int, str]]) -> None:
    subject = make_ref("experiment", experiment_id)
    with project.ledger.transaction("tracking.traces_deleted", subject=subject, actor=project.actor) as tx:
        for row in trace_store.assessment_rows(tx.connection, [id_ for _, id_ in meant]):
            tx.delete(ASSESSMENTS, {"id": row["id"]})
        trace_store.delete_traces(tx.connection, meant)
        tx.data["traces"] = [id_ for _, id_ in meant]


def _locked(connection: Connection, trace_id: str) -> dict[str, Any]:
    row = trace_store.locked_trace(connection, trace_id)
    if row is None:
        raise no_such_trace(trace_id)
    return row
