"""Traces that match a filter: its clauses as SQL over indexes, and the orders they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import NUMBER_OPERATORS, BadFilter, Clause, Field, Grammar, Order
from bucle.ground.store import HEAD, comparison, joined_text, like, split
from bucle.line.tracing.tables import (
    ASSESSMENTS,
    SESSION,
    SOURCE_RUN,
    SPANS,
    TRACE_METADATA,
    TRACE_PROMPTS,
    TRACE_RUNS,
    TRACE_TAGS,
    TRACES,
)
from bucle.line.tracking import Key, beyond, experiment_numbers, ordering

__all__ = [
    "GRAMMAR",
    "ORDERS",
    "conditions_of",
    "count",
    "keys_of",
    "page",
    "page_query",
    "same_text",
]

FEW = 2000
"""As many matches are looked up one by one; where there are more, the traces are walked in order until a page is full.
Either way a search reads some thousand rows at most, however many traces there are."""

MOST_VALUES = 10_000
"""Different texts that may match one RLIKE."""

_TEXT = ("=", "!=", "IN", "NOT IN", "LIKE", "ILIKE", "RLIKE")
_LABEL = ("=", "!=", "LIKE", "ILIKE", "RLIKE", "IS NULL", "IS NOT NULL")
_JUDGED = (*NUMBER_OPERATORS, "LIKE", "ILIKE", "RLIKE", "IS NULL", "IS NOT NULL")


def _scope(name: str, operators: tuple[str, ...]) -> Field:
    return Field(name=name, kind="text", operators=operators)


_ID = Field(name="id", kind="text", operators=_TEXT)
_STARTED = Field(name="started_at", kind="instant", operators=NUMBER_OPERATORS)
_ENDED = Field(name="ended_at", kind="instant", operators=NUMBER_OPERATORS)
_DURATION = Field(name="duration_ms", kind="number", operators=NUMBER_OPERATORS)
_STATE = Field(name="state", kind="text", operators=_TEXT)
_SESSION = Field(name="session", kind="text", operators=(*_TEXT, "IS NULL", "IS NOT NULL"))

GRAMMAR = Grammar(
    scopes={
        "tag": _scope("tags", _LABEL),
        "tags": _scope("tags", _LABEL),
        "metadata": _scope("metadata", _LABEL),
        "request_metadata": _scope("metadata", _LABEL),
        "span": _scope("span", _TEXT),
        "feedback": Field(name="feedback", kind="either", operators=_JUDGED),
        "expectation": Field(name="expectation", kind="either", operators=_JUDGED),
        "issue": _scope("issue", ("=",)),
    },
    attributes={
        "request_id": _ID,
        "trace_id": _ID,
        "timestamp": _STARTED,
        "timestamp_ms": _STARTED,
        "request_time": _STARTED,
        "execution_time": _DURATION,
        "execution_time_ms": _DURATION,
        "execution_duration": _DURATION,
        "end_time": _ENDED,
        "end_time_ms": _ENDED,
        "status": _STATE,
        "state": _STATE,
        "client_request_id": Field(name="client_request_id", kind="text", operators=_TEXT),
        "name": Field(name="name", kind="text", operators=_TEXT),
        "session": _SESSION,
        "session_id": _SESSION,
        "run_id": Field(name="run_id", kind="text", operators=("=", "!=", "IN", "NOT IN")),
        "prompt": Field(name="prompt", kind="text", operators=("=",)),
        "text": Field(name="text", kind="text", operators=("LIKE", "ILIKE")),
    },
    attribute_scopes=("attributes", "attribute", "attr", "trace"),
)
"""What traces can be searched by."""

ORDERS = Grammar(
    scopes={name: GRAMMAR.scopes[name] for name in ("tag", "tags", "metadata", "request_metadata")},
    attributes={
        **{name: field for name, field in GRAMMAR.attributes.items() if field.name not in ("prompt", "text", "run_id")},
        "experiment_id": Field(name="experiment", kind="number", operators=()),
    },
    attribute_scopes=GRAMMAR.attribute_scopes,
)

_SPAN_KEYS = {"name": _TEXT, "type": _TEXT, "status": _TEXT, "content": ("LIKE", "ILIKE")}

_STARTED_AT = sa.type_coerce(TRACES.c.started_at, sa.BigInteger)
_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "id": TRACES.c.id,
    "experiment": TRACES.c.experiment,
    "started_at": _STARTED_AT,
    "ended_at": _STARTED_AT + sa.func.coalesce(TRACES.c.duration_ms, 0) * 1000,
    "duration_ms": sa.type_coerce(TRACES.c.duration_ms, sa.Float),
    "state": TRACES.c.state,
    "client_request_id": TRACES.c.client_request_id,
    "name": TRACES.c.name,
    "session": TRACES.c.session,
}
_NULLABLE = {"duration_ms", "client_request_id", "name", "session"}
_LABELS = {"tags": TRACE_TAGS, "metadata": TRACE_METADATA}

Condition = sa.ColumnElement[bool]


class _Found(NamedTuple):
    """A condition, and whether few traces fulfil it and an index leads to them."""

    condition: Condition
    is_rare: bool = False


def conditions_of(connection: Connection, experiment_ids: Sequence[str], clauses: Sequence[Clause]) -> list[Condition]:
    """What a row of `traces` must fulfil.

    Args:
        connection: asked how common some of what is looked for is, to choose the way that reads less.
        experiment_ids: of one of these; ids of none are passed over.
    """
    found = [_condition(connection, clause) for clause in clauses if clause.scope != "span"]
    # As MLflow has it, all that is said of spans is said of one span.
    spans = [_span_condition(connection, clause) for clause in clauses if clause.scope == "span"]
    if spans:
        is_indexed = any(clause.scope == "span" and clause.op in ("=", "IN") for clause in clauses)
        found.append(_present(connection, SPANS.c.trace, spans, is_indexed=is_indexed))
    # Where few traces are left, their own index must lead, and not that of the experiment: adding 0 hides the column.
    is_rare = any(one.is_rare for one in found)
    experiment = TRACES.c.experiment + sa.literal_column("0") if is_rare else TRACES.c.experiment
    numbers = experiment_numbers(experiment_ids)
    owned = experiment == numbers[0] if len(numbers) == 1 else experiment.in_(numbers)
    return [owned, *(one.condition for one in found)]


def page(
    connection: Connection, where: Sequence[Condition], keys: Sequence[Key], *, after: Sequence[Any] = (), limit: int
) -> list[tuple[dict[str, Any], list[Any]]]:
    """Traces in order, each with its place in that order.

    Args:
        after: the place of the last one given out before.
    """
    where = [*where, beyond(keys, after)] if after else where
    rows = [dict(row._mapping) for row in connection.execute(page_query(where, keys, limit=limit))]
    return [(row, [row[f"place_{number}"] for number in range(len(keys))]) for row in rows]


def page_query(where: Sequence[Condition], keys: Sequence[Key], *, limit: int) -> sa.Select[Any]:
    """Rows of `traces` in order, with the value of each key."""
    places = [key.expression.label(f"place_{number}") for number, key in enumerate(keys)]
    return sa.select(TRACES, *places).where(*where).order_by(*ordering(keys)).limit(limit)


def count(connection: Connection, where: Sequence[Condition]) -> int:
    """How many traces fulfil this."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(TRACES).where(*where)).scalar_one())


def _condition(connection: Connection, clause: Clause) -> _Found:
    if clause.scope in _LABELS:
        return _label(connection, clause)
    if clause.scope in ("feedback", "expectation", "issue"):
        return _judged(connection, clause)
    if clause.key == "run_id":
        return _linked(connection, TRACE_RUNS.c.trace, TRACE_RUNS.c.run, clause)
    if clause.key == "prompt":
        return _linked(connection, TRACE_PROMPTS.c.trace, TRACE_PROMPTS.c.prompt, clause)
    if clause.key == "text":
        return _present(
            connection, SPANS.c.trace, [_within_json(connection, SPANS.c.attributes, clause)], is_indexed=False
        )
    return _attribute(connection, clause)


def _attribute(connection: Connection, clause: Clause) -> _Found:
    column = _COLUMNS[clause.key]
    if clause.op in ("IS NULL", "IS NOT NULL"):
        return _Found(column.is_(None) if clause.op == "IS NULL" else column.is_not(None))
    condition = _text(connection, column, clause)
    is_key = clause.op == "=" and clause.key in ("id", "session", "client_request_id")
    return _Found(condition, is_key and _are_few(connection, sa.select(TRACES.c.seq).where(condition)))


def _label(connection: Connection, clause: Clause) -> _Found:
    if (clause.scope, clause.key, clause.op) == ("metadata", SOURCE_RUN, "="):
        return _linked(connection, TRACE_RUNS.c.trace, TRACE_RUNS.c.run, clause)
    table = _LABELS[clause.scope]
    where = [table.c.key == clause.key]
    if clause.op in ("IS NULL", "IS NOT NULL"):
        present = sa.exists().where(table.c.trace == TRACES.c.seq, *where)
        return _Found(~present if clause.op == "IS NULL" else present)
    if clause.op == "=":
        where.append(same_text(table, str(clause.value)))
    else:
        where.append(_text(connection, joined_text(table), clause, where))
    return _present(connection, table.c.trace, where, is_indexed=clause.op == "=")


def _linked(connection: Connection, trace: sa.Column[Any], other: sa.Column[Any], clause: Clause) -> _Found:
    values = clause.value if isinstance(clause.value, tuple) else (str(clause.value),)
    if clause.op in ("!=", "NOT IN"):
        return _Found(~sa.exists().where(trace == TRACES.c.seq, other.in_(values)))
    return _present(connection, trace, [other.in_(values)], is_indexed=True)


def _judged(connection: Connection, clause: Clause) -> _Found:
    table = ASSESSMENTS
    name = str(clause.value) if clause.scope == "issue" else clause.key
    if clause.scope == "issue" and clause.key != "id":
        raise _unknown(clause, "issue", ["id"])
    where = [table.c.kind == clause.scope, table.c.name == name, table.c.is_valid]
    if clause.scope != "issue" and clause.op not in ("IS NULL", "IS NOT NULL"):
        where.append(_said(connection, clause, where))
    matches = sa.select(table.c.trace).where(*where)
    sessions = _judged_sessions(where)
    direct = sa.exists().where(table.c.trace == TRACES.c.id, *where)
    if connection.execute(sessions.limit(1)).first() is not None:
        either = sa.or_(direct, TRACES.c.session.in_(sessions))
        return _Found(sa.func.coalesce(either, False).is_(False) if clause.op == "IS NULL" else either)
    if clause.op == "IS NULL":
        return _Found(~direct)
    if _are_few(connection, matches):
        return _Found(TRACES.c.id.in_(matches), is_rare=True)
    return _Found(direct)


def _judged_sessions(where: Sequence[Condition]) -> sa.Select[Any]:
    """Sessions that were judged as a whole: such an assessment stands at one trace and names the session."""
    one = TRACES.alias()
    named = ASSESSMENTS.c.metadata.contains(f'"{SESSION}":', autoescape=True)
    source = ASSESSMENTS.join(one, one.c.id == ASSESSMENTS.c.trace)
    return sa.select(one.c.session).select_from(source).where(*where, named, one.c.session.is_not(None))


def _said(connection: Connection, clause: Clause, where: Sequence[Condition]) -> Condition:
    column = ASSESSMENTS.c.value
    if isinstance(clause.value, str):
        said = _json_value(connection, column, clause, where)
        heads = [form[:HEAD] for form in (clause.value, msgspec.json.encode(clause.value).decode())]
        return sa.and_(ASSESSMENTS.c.head.in_(heads), said) if clause.op == "=" else said
    # Truths and texts have a number too, for averages; they are not compared by it.
    is_number = sa.and_(column.not_in(("true", "false")), sa.func.substr(column, 1, 1) != '"')
    return sa.and_(is_number, comparison(ASSESSMENTS.c.number, clause, is_sqlite=_is_sqlite(connection)))


def _span_condition(connection: Connection, clause: Clause) -> Condition:
    head, _, attribute = clause.key.partition(".")
    if head == "attributes" and attribute:
        column = SPANS.c.attributes
        if _is_sqlite(connection):  # which would take a dot in a bare key for a step into the value
            found = column.op("->")(sa.literal(f'$."{attribute}"', sa.Text))
        else:
            found = sa.cast(column, sa.JSON).op("->")(sa.literal(attribute, sa.Text))
        value = sa.cast(found, sa.Text)
        return _json_value(connection, value, clause)
    if clause.key not in _SPAN_KEYS:
        raise _unknown(clause, "span", [*_SPAN_KEYS, "attributes.KEY"])
    if clause.op not in _SPAN_KEYS[clause.key]:
        raise BadFilter(
            f"At character {clause.at}, span.{clause.key} cannot be compared by {clause.op}.",
            why=f"It allows: {', '.join(_SPAN_KEYS[clause.key])}.",
            fix="E.g. span.content LIKE '%refund%'",
            at="filter",
        )
    if clause.key == "content":
        return _within_json(connection, SPANS.c.attributes, clause)
    return _text(connection, SPANS.c[clause.key], clause)


def _present(connection: Connection, trace: sa.Column[Any], where: Sequence[Condition], *, is_indexed: bool) -> _Found:
    """That a trace has such a row.

    Args:
        is_indexed: an index leads to the rows, so counting a few of them costs little.
    """
    matches = sa.select(trace).where(*where)
    if is_indexed and _are_few(connection, matches):
        return _Found(TRACES.c.seq.in_(matches), is_rare=True)
    return _Found(sa.exists().where(trace == TRACES.c.seq, *where))


def _are_few(connection: Connection, matches: sa.Select[Any]) -> bool:
    query = sa.select(sa.func.count()).select_from(matches.limit(FEW + 1).subquery())
    return int(connection.execute(query).scalar_one()) <= FEW


def _text(
    connection: Connection, column: sa.ColumnElement[Any], clause: Clause, where: Sequence[Condition] = ()
) -> Condition:
    """A text, a number or an instant compared.

    Args:
        where: which rows the text is in, besides.
    """
    if clause.op == "RLIKE":
        return column.in_(_matching(connection, sa.select(column).where(column.is_not(None), *where), clause))
    return comparison(column, clause, is_sqlite=_is_sqlite(connection))


def same_text(table: sa.Table, text: str) -> Condition:
    """That the value two columns of a table hold is this one."""
    head, rest = split(text)
    return sa.and_(table.c.value == head, table.c.rest.is_(None) if rest is None else table.c.rest == rest)


def _within_json(connection: Connection, column: sa.ColumnElement[Any], clause: Clause) -> Condition:
    """A pattern somewhere in JSON, written as JSON writes its text."""
    return _like(connection, column, clause, _escaped(str(clause.value)))


def _json_value(
    connection: Connection, column: sa.ColumnElement[Any], clause: Clause, where: Sequence[Condition] = ()
) -> Condition:
    """A JSON value compared with a text: a text in JSON by what it says, anything else as JSON writes it (`true`)."""
    if clause.op == "RLIKE":
        query = sa.select(column).where(column.is_not(None), *where)
        return column.in_(_matching(connection, query, clause, is_json=True))
    if clause.op in ("LIKE", "ILIKE"):
        inner = _escaped(str(clause.value))
        return sa.or_(*(_like(connection, column, clause, pattern) for pattern in (inner, f'"{inner}"')))
    texts = clause.value if isinstance(clause.value, tuple) else (str(clause.value),)
    same = column.in_([form for text in texts for form in (text, msgspec.json.encode(text).decode())])
    return ~same if clause.op in ("!=", "NOT IN") else same


def _like(connection: Connection, column: sa.ColumnElement[Any], clause: Clause, pattern: str) -> Condition:
    return like(column, pattern, is_sqlite=_is_sqlite(connection), any_case=clause.op == "ILIKE")


def _escaped(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _matching(connection: Connection, query: sa.Select[Any], clause: Clause, *, is_json: bool = False) -> list[str]:
    """The different texts a query gives that a regular expression finds something in.

    The expression runs in RE2, whose time grows with the text alone: no pattern can make the server hang.
    """
    import pyarrow as pa  # noqa: PLC0415  slow to load and rarely needed
    import pyarrow.compute as pc  # noqa: PLC0415

    pattern = str(clause.value)

    def match(texts: Sequence[str]) -> Sequence[bool]:
        matched: list[bool] = pc.match_substring_regex(pa.array(texts, pa.string()), pattern).to_pylist()
        return matched

    try:
        match([""])
    except pa.ArrowInvalid as error:
        raise BadFilter(
            f"At character {clause.at}, {pattern[:60]!r} is no regular expression: {str(error)[:120]}.",
            why="RLIKE takes the syntax of RE2, which has no look-around and no references back.",
            fix="E.g. tags.model RLIKE '^gpt-[0-9]+'",
            at="filter",
        ) from error
    found = list[str]()
    for part in connection.execute(query.distinct()).scalars().partitions(MOST_VALUES):
        matched = match([_unquoted(text) for text in part] if is_json else part)
        found += [text for text, is_match in zip(part, matched, strict=True) if is_match]
        if len(found) > MOST_VALUES:
            raise BadFilter(
                f"At character {clause.at}, more than {MOST_VALUES:,} different texts match {pattern[:60]!r}.",
                why="Each of them is looked up.",
                fix="Write LIKE where it will do, or a narrower expression.",
                at="filter",
            )
    return found


def _unquoted(text: str) -> str:
    return str(msgspec.json.decode(text)) if text.startswith('"') else text


def keys_of(orders: Sequence[Order]) -> list[Key]:
    """What traces are ordered by; where nothing else tells them apart, the newest first, then by id."""
    keys = [_key(order) for order in orders]
    given = {order.key for order in orders if not order.scope}
    if "started_at" not in given:
        keys.append(Key(_STARTED_AT, ascending=False))
    if "id" not in given:
        keys.append(Key(TRACES.c.id))
    return keys


def _key(order: Order) -> Key:
    if not order.scope:
        return Key(_COLUMNS[order.key], order.ascending, order.key in _NULLABLE)
    table = _LABELS[order.scope]
    value = sa.select(joined_text(table)).where(table.c.trace == TRACES.c.seq, table.c.key == order.key)
    return Key(value.scalar_subquery(), order.ascending, True)


def _unknown(clause: Clause, scope: str, known: Sequence[str]) -> BadFilter:
    return BadFilter(
        f"At character {clause.at}, there is no {scope}.{clause.key}.",
        why=f"There is: {', '.join(f'{scope}.{key}' for key in known)}.",
        fix=f"E.g. {scope}.{known[0]} = 'x'",
        at="filter",
    )
