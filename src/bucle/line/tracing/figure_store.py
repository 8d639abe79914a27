"""The queries behind figures over traces, spans and assessments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import BadFilter, Clause, Field, Grammar, parse_filter
from bucle.line.tracing.search_store import same_text
from bucle.line.tracing.tables import (
    ASSESSMENTS,
    COSTS,
    SOURCE_RUN,
    SPANS,
    TOKENS,
    TRACE_METADATA,
    TRACE_RUNS,
    TRACE_TAGS,
    TRACES,
)
from bucle.line.tracking import experiment_numbers

__all__ = ["Question"]

_EQUAL = ("=",)
_GRAMMAR = Grammar(
    scopes={name: Field(name=name, kind="text", operators=_EQUAL) for name in ("trace", "span", "assessment")},
    attributes={},
    attribute_scopes=(),
)
_STARTED = sa.type_coerce(TRACES.c.started_at, sa.BigInteger)

_DIMENSIONS: dict[str, sa.ColumnElement[Any]] = {
    "trace_name": TRACES.c.name,
    "trace_status": TRACES.c.state,
    "span_name": SPANS.c.name,
    "span_type": SPANS.c.type,
    "span_status": SPANS.c.status,
    "span_model_name": SPANS.c.model,
    "span_model_provider": SPANS.c.provider,
    "assessment_name": ASSESSMENTS.c.name,
    "assessment_value": ASSESSMENTS.c.value,
}
_METRICS: dict[tuple[str, str], sa.ColumnElement[Any]] = {
    ("TRACES", "trace_count"): TRACES.c.seq,
    ("TRACES", "session_count"): TRACES.c.session,
    ("TRACES", "latency"): TRACES.c.duration_ms,
    **{("TRACES", name): TRACES.c[name] for name in TOKENS},
    ("SPANS", "span_count"): SPANS.c.id,
    ("SPANS", "latency"): (SPANS.c.ended_ns - SPANS.c.started_ns) / sa.literal(1_000_000.0, sa.Float),
    **{("SPANS", name): SPANS.c[name] for name in COSTS},
    ("ASSESSMENTS", "assessment_count"): ASSESSMENTS.c.id,
    ("ASSESSMENTS", "assessment_value"): ASSESSMENTS.c.number,
}
_FIXED: dict[tuple[str, str], sa.ColumnElement[Any]] = {
    ("trace", "status"): TRACES.c.state,
    ("trace", "name"): TRACES.c.name,
    ("span", "name"): SPANS.c.name,
    ("span", "status"): SPANS.c.status,
    ("span", "type"): SPANS.c.type,
    ("assessment", "name"): ASSESSMENTS.c.name,
    ("assessment", "type"): ASSESSMENTS.c.kind,
}
_SUMMED: dict[str, Callable[[Any], Any]] = {
    "COUNT": sa.func.count,
    "SUM": sa.func.sum,
    "AVG": sa.func.avg,
    "MIN": sa.func.min,
    "MAX": sa.func.max,
}
_VIEWS = {"trace": ("TRACES", "SPANS", "ASSESSMENTS"), "span": ("SPANS",), "assessment": ("ASSESSMENTS",)}

Key = tuple[Any, ...]


class Question:
    """What is asked for, as SQL.

    Args:
        connection: of a reading.
        view, metric, dimensions, filters, interval_s, since_ms, until_ms: see `trace_figures`.
    Raises:
        BadFilter: a filter cannot be read, or speaks of what the view has not.
    """

    def __init__(
        self,
        connection: Connection,
        experiment_ids: Sequence[str],
        *,
        view: str,
        metric: str,
        dimensions: Sequence[str],
        filters: Sequence[str],
        interval_s: int | None,
        since_ms: int | None,
        until_ms: int | None,
    ) -> None:
        self._connection = connection
        self._metric = _METRICS[view, metric]
        self._is_distinct = metric == "session_count"
        at = SPANS.c.started_ns if view == "SPANS" else _STARTED
        scale = 1_000_000 if view == "SPANS" else 1000
        groups = [_DIMENSIONS[name] for name in dimensions]
        if interval_s:
            bucket = interval_s * 1000 * scale
            # Whole numbers divide downwards in both databases as long as none is negative, and no instant here is.
            groups.insert(0, at // sa.literal(bucket, sa.BigInteger) * sa.literal(interval_s * 1000, sa.BigInteger))
        self._groups = [group.label(f"group_{number}") for number, group in enumerate(groups)]
        self._source = _source(view)
        self._where = [
            TRACES.c.experiment.in_(experiment_numbers(experiment_ids)),
            self._metric.is_not(None),
            *(group.is_not(None) for group in groups),
            *((ASSESSMENTS.c.is_valid,) if view == "ASSESSMENTS" else ()),
            *(() if since_ms is None else (at >= since_ms * scale,)),
            *(() if until_ms is None else (at < (until_ms + 1) * scale,)),
            *(_condition(view, clause) for text in filters for clause in parse_filter(text, _GRAMMAR)),
        ]

    def groups(self, kinds: Sequence[str], limit: int) -> Iterator[tuple[Key, list[Any]]]:
        """Each group with its figures, in order."""
        metric = sa.distinct(self._metric) if self._is_distinct else self._metric
        figures = [_SUMMED[kind](metric).label(f"figure_{number}") for number, kind in enumerate(kinds)]
        if not figures:
            return
        query = sa.select(*self._groups, *figures).select_from(self._source).where(*self._where)
        query = query.group_by(*self._groups).order_by(*self._groups).limit(limit)
        for row in self._connection.execute(query):
            yield tuple(row[: len(self._groups)]), list(row[len(self._groups) :])

    def values(self, limit: int) -> Iterator[tuple[Key, float]]:
        """Every value with its group, group by group, until there are `limit` groups."""
        query = sa.select(*self._groups, self._metric.label("value")).select_from(self._source).where(*self._where)
        seen, last = 0, None
        for row in self._connection.execute(query.order_by(*self._groups)):
            key = tuple(row[:-1])
            if key != last:
                seen, last = seen + 1, key
            if seen > limit:
                return
            yield key, float(row[-1])


def _source(view: str) -> sa.FromClause:
    if view == "SPANS":
        return SPANS.join(TRACES, SPANS.c.trace == TRACES.c.seq)
    if view == "ASSESSMENTS":
        return ASSESSMENTS.join(TRACES, ASSESSMENTS.c.trace == TRACES.c.id)
    return TRACES


def _condition(view: str, clause: Clause) -> sa.ColumnElement[bool]:
    if view not in _VIEWS[clause.scope]:
        raise BadFilter(
            f"Figures of {view.lower()} cannot be filtered by a {clause.scope}, at character {clause.at}.",
            why=f"A {clause.scope} is looked at by the view {' or '.join(_VIEWS[clause.scope])} only.",
            fix="Filter by the trace: trace.status, trace.tag.KEY, trace.metadata.KEY.",
            at="filters",
        )
    column = _FIXED.get((clause.scope, clause.key))
    if column is not None:
        return column == str(clause.value)
    kind, _, key = clause.key.partition(".")
    if clause.scope == "trace" and key and kind in ("tag", "metadata"):
        return _labelled(kind, key, str(clause.value))
    known = [f"{scope}.{name}" for scope, name in _FIXED if scope == clause.scope]
    raise BadFilter(
        f"At character {clause.at}, there is no {clause.scope}.{clause.key}.",
        why=f"There is: {', '.join(known)}"
        + (", trace.tag.KEY, trace.metadata.KEY." if clause.scope == "trace" else "."),
        fix="E.g. trace.status = 'OK'",
        at="filters",
    )


def _labelled(kind: str, key: str, value: str) -> sa.ColumnElement[bool]:
    table = TRACE_TAGS if kind == "tag" else TRACE_METADATA
    found = sa.exists().where(table.c.trace == TRACES.c.seq, table.c.key == key, same_text(table, value))
    if kind == "metadata" and key == SOURCE_RUN:
        linked = sa.exists().where(TRACE_RUNS.c.trace == TRACES.c.seq, TRACE_RUNS.c.run == value)
        return sa.or_(found, linked)
    return found
