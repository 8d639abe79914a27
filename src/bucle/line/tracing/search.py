"""Search of traces by MLflow's filters over traces, their tags, spans and assessments."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bucle.ground.core import Record, parse_filter, parse_order
from bucle.ground.project import Project
from bucle.line.tracing import search_store as store
from bucle.line.tracing.trace import Trace, traces_of_rows
from bucle.line.tracking import Page, check_limit, make_token, read_token

__all__ = ["Correlation", "correlation", "count_traces", "search_traces"]

MOST_TRACES = 50_000
"""Traces a page at most."""


class Correlation(Record, frozen=True):
    """How often two filters hold together.

    Attributes:
        npmi: normalized pointwise mutual information, -1 (never together) to 1 (always); not-a-number when undefined.
        npmi_smoothed: the same with half an observation more in each of the four fields.
        first, second, both, total: numbers of traces.
    """

    npmi: float
    npmi_smoothed: float
    first: int
    second: int
    both: int
    total: int


def search_traces(
    project: Project,
    experiment_ids: Sequence[str],
    *,
    filter: str = "",  # noqa: A002
    order_by: Sequence[str] = (),
    limit: int = 100,
    token: str = "",
) -> Page[Trace]:
    """Traces of some experiments that match a filter, the newest first unless an order is given; without spans.

    Args:
        filter: e.g. `trace.status = 'ERROR' AND tags.team = 'search' AND feedback.correct = 'no'`.
        order_by: e.g. `execution_time DESC`.
        limit: 1 to 50,000.
        token: of the page before.
    Raises:
        BadFilter: the filter or the order cannot be read; it says where.
        BadToken: the token belongs to another search.
    Cost: some thousand rows, by indexes; a filter on span attributes or text reads spans until the page is full.
    """
    check_limit(limit, MOST_TRACES)
    keys = store.keys_of(parse_order(order_by, store.ORDERS))
    clauses = parse_filter(filter, store.GRAMMAR)
    question = [sorted(experiment_ids), filter, list(order_by)]
    after = read_token(token, question, len(keys)) if token else ()
    with project.database.reading() as connection:
        where = store.conditions_of(connection, experiment_ids, clauses)
        found = store.page(connection, where, keys, after=after, limit=limit + 1)
        items = traces_of_rows(connection, [row for row, _ in found[:limit]])
    is_last = len(found) <= limit
    return Page(items=tuple(items), token="" if is_last else make_token(question, found[limit - 1][1]))


def count_traces(project: Project, experiment_ids: Sequence[str], *, filter: str = "") -> int:  # noqa: A002
    """How many traces match a filter; as `search_traces`."""
    clauses = parse_filter(filter, store.GRAMMAR)
    with project.database.reading() as connection:
        return store.count(connection, store.conditions_of(connection, experiment_ids, clauses))


def correlation(
    project: Project,
    experiment_ids: Sequence[str],
    first: str,
    second: str,
    *,
    within: str = "",
) -> Correlation:
    """How often two filters hold for the same trace, against what chance would have them.

    Args:
        within: a filter every trace counted passes.
    Source: Bouma (2009), Normalized (pointwise) mutual information in collocation extraction, eq. 7.
    """
    total, one, other, both = (
        count_traces(project, experiment_ids, filter=" AND ".join(part for part in parts if part.strip()))
        for parts in ((within,), (within, first), (within, second), (within, first, second))
    )
    return Correlation(
        npmi=_npmi(both, one, other, total, 0.0),
        npmi_smoothed=_npmi(both, one, other, total, 0.5),
        first=one,
        second=other,
        both=both,
        total=total,
    )


def _npmi(both: int, one: int, other: int, total: int, more: float) -> float:
    if not one or not other or not total:
        return math.nan
    n11, n10, n01 = both + more, one - both + more, other - both + more
    n = total + 4 * more
    if not n11:
        return -1.0
    if total == both:
        return 1.0
    information = math.log(n11 * n / ((n11 + n10) * (n11 + n01)))
    return max(-1.0, min(1.0, information / -math.log(n11 / n)))
