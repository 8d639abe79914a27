"""Traces: logged, read, searched, tagged, linked, deleted; version 3 of the wire and what is left of version 2."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bucle.doors.protocols.mlflow.errors import MlflowError, invalid
from bucle.doors.protocols.mlflow.locations import safe_path, trace_root
from bucle.doors.protocols.mlflow.trace_json import (
    TRACE_ID_PREFIX,
    Names,
    TraceInfoBody,
    expected_spans,
    shown_span,
    shown_trace,
    shown_trace_v2,
    stored_span,
    trace_of,
)
from bucle.doors.protocols.mlflow.wire import Answer, Body, Json, KeyValue, Route, encode, instant, lean, required
from bucle.ground.core import NotFound, from_micros, to_micros
from bucle.ground.project import Project
from bucle.line import tracing, tracking

__all__ = ["ROUTES"]

V2, V3 = "/api/2.0/mlflow/traces", "/api/3.0/mlflow/traces"
DEFAULT_PAGE, MOST = 100, 500
"""Traces on one page."""

MOST_IDS = 10_000
"""Traces asked for by their ids at once."""

MOST_LINKS = 100
"""Traces linked to a run at once."""

PATIENCE_S, PAUSE_S = 2.0, 0.02
"""How long the answer for a whole trace waits for spans that are on their way, and how often it looks."""

FRESH_S = 30
"""Seconds after its end in which spans of a trace may still be on their way."""

DATA_FILE = "traces.json"


class TraceBody(Body):
    """A trace without its spans."""

    trace_info: TraceInfoBody | None = None


class StartTrace(Body):
    """A trace that has ended: version 3 says so in one request."""

    trace: TraceBody | None = None


class TraceId(Body):
    """A trace by its id."""

    trace_id: str = ""
    allow_partial: bool = False


class TraceIds(Body):
    """Traces by their ids."""

    trace_ids: list[str] = []
    experiment_ids: list[str] | None = None


class ExperimentLocation(Body):
    """An experiment."""

    experiment_id: str = ""


class Location(Body):
    """Where traces are."""

    mlflow_experiment: ExperimentLocation | None = None


class SearchTraces(Body):
    """Which traces are wanted."""

    locations: list[Location] = []
    experiment_ids: list[str] = []
    filter: str = ""
    max_results: int | None = None
    order_by: list[str] = []
    page_token: str = ""


class DeleteTraces(Body):
    """Which traces are to go."""

    experiment_id: str = ""
    max_timestamp_millis: int | None = None
    max_traces: int | None = None
    request_ids: list[str] = []


class TagOfTrace(Body):
    """A tag of a trace; the path says which trace."""

    trace_id: str = ""
    request_id: str = ""
    key: str = ""
    value: str = ""


class LinkToRun(Body):
    """Traces that belong to a run."""

    trace_ids: list[str] = []
    run_id: str = ""


class PromptVersion(Body):
    """A version of a prompt."""

    name: str = ""
    version: str = ""


class LinkPrompts(Body):
    """The prompts a trace used."""

    trace_id: str = ""
    prompt_versions: list[PromptVersion] = []


class StartTraceV2(Body):
    """A trace that begins."""

    experiment_id: str = ""
    timestamp_ms: int = 0
    request_metadata: list[KeyValue] = []
    tags: list[KeyValue] = []


class EndTraceV2(Body):
    """A trace that has ended."""

    request_id: str = ""
    timestamp_ms: int = 0
    status: str = ""
    request_metadata: list[KeyValue] = []
    tags: list[KeyValue] = []


class TraceFile(Body):
    """A file of a trace."""

    request_id: str = ""
    path: str = ""


class Correlate(Body):
    """Two filters to compare."""

    experiment_ids: list[str] = []
    filter_string1: str = ""
    filter_string2: str = ""
    base_filter: str = ""


def start(body: StartTrace, project: Project) -> Json:
    """Keep a trace; its spans come by themselves."""
    info = None if body.trace is None else body.trace.trace_info
    if info is None:
        raise invalid("Missing value for required parameter 'trace'.")
    required("trace_id", info.trace_id)
    given = trace_of(info, project.clock.now())
    has_spans = tracing.log_trace(project, given)
    said = tracing.log_assessments(project, given.id, given.assessments)
    kept = msgspec.structs.replace(given, has_spans=has_spans, assessments=tuple(said))
    return {"trace": {"trace_info": _shown(project, [kept])[0]}}


def info(body: TraceId, project: Project) -> Json:
    """One trace without its spans."""
    return {"trace": {"trace_info": _shown(project, [tracing.trace(project, body.trace_id)])[0]}}


def get(body: TraceId, project: Project) -> Answer:
    """One trace with its spans, sent in pieces when there are many."""
    found = tracing.trace(project, required("trace_id", body.trace_id))
    whole = 0 if body.allow_partial else expected_spans(found)
    pages = _patiently(project, found, whole)
    first = next(pages, [])
    if not (first or body.allow_partial):
        raise _without_spans(found)
    head = b'{"trace":' + encode({"trace_info": _shown(project, [found])[0]})[:-1] + b',"spans":'
    return Answer(200, {"content-type": "application/json"}, _pieces(head, first, pages, b"}}"))


def batch_get(body: TraceIds, project: Project) -> Answer:
    """Several traces with their spans; those that are not whole yet are left out."""
    traces = _some(project, body)
    return Answer(200, {"content-type": "application/json"}, _whole_traces(project, traces))


def batch_infos(body: TraceIds, project: Project) -> Json:
    """Several traces without their spans."""
    return {"trace_infos": _shown(project, _some(project, body))}


def search(body: SearchTraces, project: Project) -> Json:
    """Traces that match a filter, page by page."""
    ids = [place.mlflow_experiment.experiment_id for place in body.locations if place.mlflow_experiment]
    if not body.locations:
        raise invalid("Missing value for required parameter 'locations'.")
    page = _search(project, ids, body)
    return lean({"traces": _shown(project, page.items), "next_page_token": page.token or None})


def search_v2(body: SearchTraces, project: Project) -> Json:
    """The same in the form before version 3."""
    if not body.experiment_ids:
        raise invalid("Missing value for required parameter 'experiment_ids'.")
    page = _search(project, body.experiment_ids, body)
    roots = _roots(project, page.items)
    shown = [shown_trace_v2(one, roots[one.id]) for one in page.items]
    return lean({"traces": shown, "next_page_token": page.token or None})


def delete(body: DeleteTraces, project: Project) -> Json:
    """Remove traces by id, or those up to an instant."""
    required("experiment_id", body.experiment_id)
    by_ids, by_time = bool(body.request_ids), body.max_timestamp_millis is not None or body.max_traces is not None
    if not by_ids and body.max_timestamp_millis is None:
        raise invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.")
    if by_ids and by_time:
        raise invalid("`trace_ids` cannot be given together with `max_timestamp_millis` or `max_traces`.")
    if body.max_traces is not None and body.max_traces <= 0:
        raise invalid(f"`max_traces` must be a positive integer, received {body.max_traces}.")
    until = None if body.max_timestamp_millis is None else _until(body.max_timestamp_millis)
    gone = tracing.delete_traces(project, body.experiment_id, ids=body.request_ids, until=until, limit=body.max_traces)
    return {"traces_deleted": gone}


def set_tag(body: TagOfTrace, project: Project) -> Json:
    """Set a tag of a trace."""
    key = required("key", body.key)
    name = body.value if key == Names.NAME else None
    tracing.change_trace(project, body.trace_id or body.request_id, tags={key: body.value}, name=name)
    return {}


def delete_tag(body: TagOfTrace, project: Project) -> Json:
    """Remove a tag of a trace."""
    key, id_ = required("key", body.key), body.trace_id or body.request_id
    if not tracing.delete_trace_tag(project, id_, key, name=key == Names.NAME):
        raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"No trace tag with key '{key}' for trace with ID '{id_}'")
    return {}


def link_to_run(body: LinkToRun, project: Project) -> Json:
    """Have traces belong to a run."""
    run_id = required("run_id", body.run_id)
    if len(body.trace_ids) > MOST_LINKS:
        raise invalid(
            f"Cannot link more than {MOST_LINKS} traces to a run in a single request. "
            f"Provided {len(body.trace_ids)} traces."
        )
    tracking.run_by_id(project, run_id)
    tracing.link_traces(project, body.trace_ids, run_id)
    return {}


def link_prompts(body: LinkPrompts, project: Project) -> Json:
    """Note the prompts a trace used."""
    prompts = [(required("name", one.name), required("version", one.version)) for one in body.prompt_versions]
    tracing.link_prompts(project, required("trace_id", body.trace_id), prompts)
    return {}


def start_v2(body: StartTraceV2, project: Project) -> Json:
    """Begin a trace; its data is kept as a file by the client."""
    given = tracing.Trace(
        id=f"{TRACE_ID_PREFIX}{uuid.uuid4().hex}",
        experiment_id=required("experiment_id", body.experiment_id),
        started_at=instant(body.timestamp_ms) or project.clock.now(),
        state="IN_PROGRESS",
        **_labels_v2(body.request_metadata, body.tags),
    )
    tracing.log_trace(project, given)
    return _answer_v2(project, given)


def end_v2(body: EndTraceV2, project: Project) -> Json:
    """End a trace that was begun."""
    begun = tracing.trace(project, body.request_id)
    if body.status not in ("OK", "ERROR", "IN_PROGRESS", "TRACE_STATUS_UNSPECIFIED"):
        raise invalid(f"Invalid trace status {body.status[:40]!r}.")
    state = "STATE_UNSPECIFIED" if body.status == "TRACE_STATUS_UNSPECIFIED" else body.status
    ended = msgspec.structs.replace(
        begun,
        state=state,
        duration_ms=body.timestamp_ms - to_micros(begun.started_at) // 1000,
        **{**_labels_v2(body.request_metadata, body.tags, begun.name), "assessments": ()},
    )
    tracing.log_trace(project, ended)
    return _answer_v2(project, tracing.trace(project, begun.id))


def info_v2(body: TagOfTrace, project: Project) -> Json:
    """One trace in the form before version 3."""
    return _answer_v2(project, tracing.trace(project, body.request_id))


def artifact(body: TraceFile, project: Project) -> Answer:
    """An attachment of a trace, or its spans as MLflow keeps them in a file."""
    found = tracing.trace(project, required("request_id", body.request_id))
    owner = f"trace/{found.id}"
    if body.path:
        name = safe_path(body.path)
        return _download(name.rpartition("/")[2], tracking.get_artifact(project, owner, f"attachments/{name}"))
    if not found.has_spans:
        return _download(DATA_FILE, tracking.get_artifact(project, owner, DATA_FILE))
    pages = tracing.span_pages(project, found.id)
    return _download(DATA_FILE, _listed(b'{"spans":', ([stored_span(one) for one in page] for page in pages), b"}"))


def correlate(body: Correlate, project: Project) -> Json:
    """How often two filters hold together."""
    found = tracing.correlation(
        project,
        required("experiment_ids", body.experiment_ids),
        required("filter_string1", body.filter_string1),
        required("filter_string2", body.filter_string2),
        within=body.base_filter,
    )
    return {
        "npmi": found.npmi if found.npmi == found.npmi else "NaN",
        "npmi_smoothed": found.npmi_smoothed if found.npmi_smoothed == found.npmi_smoothed else "NaN",
        "filter1_count": found.first,
        "filter2_count": found.second,
        "joint_count": found.both,
        "total_count": found.total,
    }


ROUTES = (
    Route("POST", V3, StartTrace, start),
    Route("GET", f"{V3}/get", TraceId, get),
    Route("GET", f"{V3}/batchGet", TraceIds, batch_get),
    Route("POST", f"{V3}/batchGetInfos", TraceIds, batch_infos),
    Route("POST", f"{V3}/search", SearchTraces, search),
    Route("POST", f"{V3}/delete-traces", DeleteTraces, delete),
    Route("POST", f"{V3}/calculate-filter-correlation", Correlate, correlate),
    Route("GET", f"{V3}/{{trace_id}}", TraceId, info),
    Route("PATCH", f"{V3}/{{trace_id}}/tags", TagOfTrace, set_tag),
    Route("DELETE", f"{V3}/{{trace_id}}/tags", TagOfTrace, delete_tag),
    Route("POST", V2, StartTraceV2, start_v2),
    Route("GET", V2, SearchTraces, search_v2),
    Route("POST", f"{V2}/delete-traces", DeleteTraces, delete),
    Route("POST", f"{V2}/link-to-run", LinkToRun, link_to_run),
    Route("POST", f"{V2}/link-prompts", LinkPrompts, link_prompts),
    Route("PATCH", f"{V2}/{{request_id}}", EndTraceV2, end_v2),
    Route("GET", f"{V2}/{{request_id}}/info", TagOfTrace, info_v2),
    Route("PATCH", f"{V2}/{{request_id}}/tags", TagOfTrace, set_tag),
    Route("DELETE", f"{V2}/{{request_id}}/tags", TagOfTrace, delete_tag),
    Route("GET", "/api/2.0/mlflow/get-trace-artifact", TraceFile, artifact),
    Route("GET", "/api/3.0/mlflow/get-trace-artifact", TraceFile, artifact),
)


def _shown(project: Project, traces: Sequence[tracing.Trace]) -> list[Json]:
    roots = _roots(project, traces)
    return [shown_trace(one, roots[one.id]) for one in traces]


def _roots(project: Project, traces: Sequence[tracing.Trace]) -> dict[str, str]:
    """Where the attachments of each of these traces lie."""
    return {one.id: trace_root(project, one.experiment_id, one.id) for one in traces}


def _some(project: Project, body: TraceIds) -> list[tracing.Trace]:
    if not body.trace_ids:
        raise invalid("Missing value for required parameter 'trace_ids'.")
    if len(body.trace_ids) > MOST_IDS:
        raise invalid(f"{len(body.trace_ids)} traces at once; ask for {MOST_IDS} at most.")
    found = tracing.traces_by_ids(project, body.trace_ids)
    return [one for one in found if body.experiment_ids is None or one.experiment_id in body.experiment_ids]


def _search(project: Project, ids: Sequence[str], body: SearchTraces) -> tracking.Page[tracing.Trace]:
    limit = DEFAULT_PAGE if body.max_results is None else body.max_results
    if not 0 < limit <= MOST:
        raise invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer, "
            f"at most {MOST}."
        )
    return tracing.search_traces(
        project, ids, filter=body.filter, order_by=body.order_by, limit=limit, token=body.page_token
    )


def _until(milliseconds: int) -> Any:
    try:
        return from_micros(milliseconds * 1000 + 999)
    except OverflowError:
        return from_micros(253_402_300_799_000_000) if milliseconds > 0 else from_micros(0)


def _patiently(project: Project, trace: tracing.Trace, at_least: int) -> Iterator[list[tracing.Span]]:
    """The spans of a trace; those that are on their way are waited for, for a short while."""
    end = trace.started_at.timestamp() + (trace.duration_ms or 0) / 1000
    is_fresh = project.clock.now().timestamp() - end < FRESH_S
    deadline = time.monotonic() + (PATIENCE_S if is_fresh else 0)
    while True:
        pages = tracing.span_pages(project, trace.id, at_least=at_least)
        try:
            first = next(pages, [])
        except tracing.TraceIncomplete:
            if time.monotonic() >= deadline:
                raise
            time.sleep(PAUSE_S)
            continue
        yield first
        yield from pages
        return


def _whole_traces(project: Project, traces: Sequence[tracing.Trace]) -> Iterator[bytes]:
    roots = _roots(project, traces)
    mark = b'{"traces":['
    for one in traces:
        try:
            pages = tracing.span_pages(project, one.id, at_least=max(1, expected_spans(one)))
            first = next(pages)
        except NotFound:
            continue  # not whole yet, or deleted meanwhile
        head = mark + encode({"trace_info": shown_trace(one, roots[one.id])})[:-1] + b',"spans":'
        yield from _pieces(head, first, pages, b"}")
        mark = b","
    yield b'{"traces":[]}' if mark != b"," else b"]}"


def _pieces(
    head: bytes, first: Sequence[tracing.Span], pages: Iterator[list[tracing.Span]], tail: bytes
) -> Iterator[bytes]:
    def shown() -> Iterator[list[Json]]:
        yield [shown_span(one) for one in first]
        for page in pages:
            yield [shown_span(one) for one in page]

    return _listed(head, shown(), tail)


def _listed(head: bytes, pages: Iterator[list[Json]], tail: bytes) -> Iterator[bytes]:
    """A JSON list between two texts, a piece for each page."""
    mark = b"["
    for page in pages:
        if page:
            yield head + mark + msgspec.json.encode(page)[1:-1]
            head, mark = b"", b","
    yield head + (b"[]" if mark == b"[" else b"]") + tail


def _labels_v2(metadata: Sequence[KeyValue], tags: Sequence[KeyValue], name: str = "") -> dict[str, Any]:
    found = {one.key: one.value for one in metadata}
    named = {one.key: one.value for one in tags}
    run = found.get(Names.RUN, "")
    return {
        "metadata": found,
        "tags": named,
        "name": named.get(Names.NAME, name),
        "session": found.get(Names.SESSION, ""),
        "run_ids": (run,) if run else (),
        "request": found.get("mlflow.traceInputs"),
        "response": found.get("mlflow.traceOutputs"),
    }


def _answer_v2(project: Project, trace: tracing.Trace) -> Json:
    return {"trace_info": shown_trace_v2(trace, _roots(project, [trace])[trace.id])}


def _download(name: str, content: Any) -> Answer:
    """A file to be kept, never shown: a browser must not run what a client logged."""
    plain = "".join(one for one in name if one.isascii() and (one.isalnum() or one in "._-"))
    headers = {
        "content-type": "application/octet-stream",
        "content-disposition": f'attachment; filename="{plain}"',
        "x-content-type-options": "nosniff",
    }
    return Answer(200, headers, content)


def _without_spans(trace: tracing.Trace) -> MlflowError:
    return MlflowError(
        "RESOURCE_DOES_NOT_EXIST",
        f"Trace with ID {trace.id} has no spans here: its client keeps them as a file, or they never arrived.",
    )
