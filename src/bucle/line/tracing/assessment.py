"""Assessment: what somebody, or some program, said about a trace; on the ledger, because decisions rest on it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from bucle.ground.core import Record, decode, make_ref, suggest
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.ground.store import HEAD
from bucle.line.tracing import store as trace_store
from bucle.line.tracing.errors import BadAssessment, NoSuchAssessment, NoSuchTrace
from bucle.line.tracing.span import storable
from bucle.line.tracing.tables import ASSESSMENTS

__all__ = [
    "Assessment",
    "AssessmentError",
    "assessment",
    "assessments_of",
    "delete_assessment",
    "log_assessment",
    "log_assessments",
    "update_assessment",
]

LONGEST_NAME = 250

LARGEST_ASSESSMENT = 1 << 20
"""Bytes of value, error, rationale and metadata together."""

Kind = Literal["feedback", "expectation", "issue"]
SOURCES = ("HUMAN", "LLM_JUDGE", "CODE", "SOURCE_TYPE_UNSPECIFIED")


class AssessmentError(Record, frozen=True):
    """Why there is no value: what went wrong while it was being found."""

    code: str
    message: str = ""
    stack: str = ""


class Assessment(Record, frozen=True):
    """One judgement.

    Attributes:
        id: `a-` and 32 hexadecimal digits.
        trace_id: what it is about.
        name: what was judged, e.g. `correctness`.
        kind: a `feedback` on the answer given, the `expectation` of a right one, or an `issue` it belongs to.
        value: what was said: a number, a truth, a text, or JSON made of them.
        source_type: `HUMAN`, `LLM_JUDGE`, `CODE` or `SOURCE_TYPE_UNSPECIFIED`.
        source_id: who exactly.
        error: why there is no value; None when there is one.
        rationale: why, in the source's words.
        span_id: the part of the trace it is about; empty for all of it.
        run_id: the run it was made in; empty when none.
        overrides: the id of the assessment it takes the place of; empty when none.
        is_valid: nothing took its place.
        metadata: anything else.
        created_at: an instant.
        updated_at: an instant.
    """

    trace_id: str
    name: str
    kind: Kind
    value: Any
    created_at: datetime
    updated_at: datetime
    id: str = ""
    source_type: str = "SOURCE_TYPE_UNSPECIFIED"
    source_id: str = ""
    error: AssessmentError | None = None
    rationale: str = ""
    span_id: str = ""
    run_id: str = ""
    overrides: str = ""
    is_valid: bool = True
    metadata: dict[str, str] = {}


_JSON = msgspec.json.Encoder()


def log_assessment(project: Project, given: Assessment) -> Assessment:
    """Keep an assessment; one it overrides is no longer valid.

    Args:
        given: without an id, a new one is made; with one that is known already, nothing happens.
    Returns:
        The assessment as it is kept.
    Raises:
        NoSuchTrace: there is nothing it could be about.
        NoSuchAssessment: it overrides one that is not there.
        BadAssessment: it has no name or is too large.
    """
    return log_assessments(project, given.trace_id, [given])[0]


def log_assessments(project: Project, trace_id: str, given: Sequence[Assessment]) -> list[Assessment]:
    """Keep several assessments of one trace, all or none; as `log_assessment`."""
    named = [_named(one, trace_id) for one in given]
    rows = [_row(one) for one in named]
    if not rows:
        return []
    with project.database.reading() as connection:
        known = trace_store.known_assessments(connection, [one.id for one in named])
    if all(one.id in known for one in named):
        return named
    with _changing(project, "tracking.assessment_logged", trace_id) as tx:
        if not trace_store.trace_exists(tx.connection, trace_id):
            raise no_such_trace(trace_id)
        known = trace_store.known_assessments(tx.connection, [one.id for one in named])
        for one, row in zip(named, rows, strict=True):
            if one.id in known:
                continue
            if one.overrides:
                _present(tx, trace_id, one.overrides)
                tx.update(ASSESSMENTS, {"id": one.overrides}, {"is_valid": False})
            tx.insert(ASSESSMENTS, row)
            tx.edge(make_ref("trace", trace_id), make_ref("assessment", one.id), "assessed")
            known.add(one.id)
        tx.data["assessments"] = [_told(one) for one in named]
    return named


def assessment(project: Project, trace_id: str, id: str) -> Assessment:  # noqa: A002
    """One assessment.

    Raises:
        NoSuchTrace, NoSuchAssessment: there is none of this id.
    """
    with project.database.reading() as connection:
        row = trace_store.assessment_row(connection, trace_id, id)
        if row is None:
            raise _missing(trace_store.trace_exists(connection, trace_id), trace_id, id)
    return _of_row(row)


def assessments_of(connection: Any, trace_ids: Sequence[str]) -> dict[str, tuple[Assessment, ...]]:
    """The assessments of each of these traces, oldest first; traces without any are left out."""
    found: dict[str, tuple[Assessment, ...]] = {}
    for row in trace_store.assessment_rows(connection, trace_ids):
        found[row["trace"]] = (*found.get(row["trace"], ()), _of_row(row))
    return found


def update_assessment(
    project: Project,
    trace_id: str,
    id: str,  # noqa: A002
    *,
    name: str | None = None,
    kind: Kind | None = None,
    value: Any = None,
    error: AssessmentError | None = None,
    rationale: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Assessment:
    """Change what was said; who said it stays.

    Args:
        kind: what the new value is; None leaves value and error as they are.
        metadata: is added to what is there.
    Raises:
        NoSuchTrace, NoSuchAssessment: there is none of this id.
        BadAssessment: a feedback would become an expectation or the reverse.
    """
    with _changing(project, "tracking.assessment_changed", trace_id) as tx:
        old = _present(tx, trace_id, id)
        if kind is not None and kind != old.kind:
            raise BadAssessment(
                f"Assessment {id} is of the kind {old.kind}; it cannot be given the value of another kind, {kind}.",
                why="What was said changes; whether it was said of the answer given or of a right one does not.",
                fix=f"Log another assessment of the kind {kind}.",
                at=kind,
            )
        new = msgspec.structs.replace(
            old,
            name=old.name if name is None else name,
            value=old.value if kind is None else value,
            error=old.error if kind is None else error,
            rationale=old.rationale if rationale is None else rationale,
            metadata={**old.metadata, **(metadata or {})},
            updated_at=project.clock.now(),
        )
        changes = {column: text for column, text in _row(new).items() if column != "id"}
        tx.update(ASSESSMENTS, {"id": id}, changes)
        tx.data["assessments"] = [_told(new)]
    return new


def delete_assessment(project: Project, trace_id: str, id: str) -> None:  # noqa: A002
    """Take an assessment back; one it overrode is valid again. An unknown id is no error.

    Raises:
        NoSuchTrace: there is no such trace.
    """
    with project.database.reading() as connection:
        row = trace_store.assessment_row(connection, trace_id, id)
        if row is None and not trace_store.trace_exists(connection, trace_id):
            raise _missing(False, trace_id, id)
    if row is None:
        return
    with _changing(project, "tracking.assessment_deleted", trace_id) as tx:
        gone = _present(tx, trace_id, id)
        tx.delete(ASSESSMENTS, {"id": id})
        if gone.overrides and trace_store.known_assessments(tx.connection, [gone.overrides]):
            tx.update(ASSESSMENTS, {"id": gone.overrides}, {"is_valid": True})
        tx.data["assessments"] = [_told(gone)]


def _changing(project: Project, kind: str, trace_id: str) -> Any:
    return project.ledger.transaction(kind, subject=make_ref("trace", trace_id), actor=project.actor)


def _named(given: Assessment, trace_id: str) -> Assessment:
    if not given.name.strip() or len(given.name) > LONGEST_NAME:
        raise BadAssessment(
            f"{given.name[:60]!r} cannot be the name of an assessment.",
            why=f"They are searched and compared by what they judge; a name has 1 to {LONGEST_NAME} characters.",
            fix='Give one, e.g. name="correctness".',
            at="assessment_name",
        )
    if given.source_type not in SOURCES:
        raise BadAssessment(
            f"{given.source_type!r} is no kind of source.",
            why=f"There are: {', '.join(SOURCES)}.",
            fix=suggest(given.source_type, SOURCES) or "Say who judged: HUMAN, LLM_JUDGE or CODE.",
            at="source",
        )
    return msgspec.structs.replace(given, trace_id=trace_id, id=given.id or f"a-{uuid.uuid4().hex}")


def _row(one: Assessment) -> dict[str, Any]:
    row = {
        "id": one.id,
        "trace": one.trace_id,
        "name": storable(one.name),
        "kind": one.kind,
        "value": _json(one.value),
        "head": _json(one.value)[:HEAD],
        "number": _number(one.value),
        "error": _json(one.error),
        "rationale": storable(one.rationale),
        "source_type": one.source_type,
        "source_id": storable(one.source_id),
        "span": storable(one.span_id),
        "run": storable(one.run_id),
        "overrides": storable(one.overrides),
        "is_valid": one.is_valid,
        "metadata": _json(one.metadata),
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }
    size = sum(len(text) for text in row.values() if isinstance(text, str))
    if size > LARGEST_ASSESSMENT:
        raise BadAssessment(
            f"Assessment {one.name[:60]!r} holds {size:,} characters.",
            why=f"It may hold {LARGEST_ASSESSMENT:,} at most.",
            fix="Log what is long as an artifact and say its name in the rationale.",
            at="assessment",
        )
    return row


def _json(value: Any) -> str:
    try:
        return _JSON.encode(value).decode()
    except UnicodeEncodeError as error:
        raise BadAssessment(
            "An assessment holds text that is no Unicode.",
            why="It could be kept in no database.",
            fix="Encode it as UTF-8 first.",
            at="assessment",
        ) from error


def _of_row(row: Mapping[str, Any]) -> Assessment:
    return Assessment(
        id=row["id"],
        trace_id=row["trace"],
        name=row["name"],
        kind=row["kind"],
        value=decode(row["value"], Any, what="assessment"),
        error=decode(row["error"], AssessmentError | None, what="assessment"),  # type: ignore[arg-type]
        rationale=row["rationale"],
        source_type=row["source_type"],
        source_id=row["source_id"],
        span_id=row["span"],
        run_id=row["run"],
        overrides=row["overrides"],
        is_valid=row["is_valid"],
        metadata=decode(row["metadata"], dict[str, str], what="assessment"),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _number(value: Any) -> float | None:
    """The value as a number: truths count as 1 and 0, `yes` and `no` as well, as MLflow's averages take them."""
    if isinstance(value, str):
        return {"yes": 1.0, "no": 0.0}.get(value.lower())
    if isinstance(value, bool | int | float):
        number = float(value) if not isinstance(value, int) or abs(value) < 1 << 1023 else math.inf
        return number if math.isfinite(number) else None
    return None


def _told(one: Assessment) -> dict[str, Any]:
    """What the ledger's event says of it: short, the row's digest covers the rest."""
    value = one.value if len(_json(one.value)) <= 200 else "…"
    return {
        "id": one.id,
        "name": one.name,
        "kind": one.kind,
        "value": value,
        "source": f"{one.source_type} {one.source_id}".strip(),
    }


def _present(tx: Transaction, trace_id: str, id: str) -> Assessment:  # noqa: A002
    row = trace_store.assessment_row(tx.connection, trace_id, id)
    if row is None:
        raise _missing(trace_store.trace_exists(tx.connection, trace_id), trace_id, id)
    return _of_row(row)


def _missing(trace_is_there: bool, trace_id: str, id: str) -> NoSuchTrace | NoSuchAssessment:  # noqa: A002
    if not trace_is_there:
        return no_such_trace(trace_id)
    return NoSuchAssessment(
        f"Assessment with ID '{id}' not found for trace '{trace_id}'.",
        why="It was never logged, or was deleted.",
        fix="Read the trace: it lists its assessments.",
        at=id,
    )


def no_such_trace(trace_id: str) -> NoSuchTrace:
    """The error that says so."""
    return NoSuchTrace(
        f"Trace with ID '{trace_id}' not found.",
        why="It was never logged here, is still on its way, or was deleted.",
        fix="Search for it by experiment and time; a client that logs in the background may need a flush.",
        at=trace_id,
    )
