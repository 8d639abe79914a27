"""The language of searches: what is written is what is read, and what cannot be read says where and why."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import (
    NUMBER_OPERATORS,
    TEXT_OPERATORS,
    BadFilter,
    Clause,
    Field,
    Grammar,
    Order,
    parse_filter,
    parse_order,
)

METRICS = Field(name="metrics", kind="number", operators=NUMBER_OPERATORS)
PARAMS = Field(name="params", kind="text", operators=(*TEXT_OPERATORS, "IS NULL", "IS NOT NULL"))
STATUS = Field(name="status", kind="text", operators=TEXT_OPERATORS)
START = Field(name="start_time", kind="instant", operators=NUMBER_OPERATORS)
GRAMMAR = Grammar(
    scopes={"metrics": METRICS, "metric": METRICS, "params": PARAMS, "tags": PARAMS},
    attributes={"status": STATUS, "start_time": START, "created": START},
)


def clause(scope: str, key: str, op: str, value: Any, at: int = 0) -> Clause:
    return Clause(scope=scope, key=key, op=op, value=value, at=at)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("   ", ()),
        ("metrics.auc > 0.9", (clause("metrics", "auc", ">", 0.9),)),
        ("metric.auc>=-1", (clause("metrics", "auc", ">=", -1),)),
        ("metrics.val/loss < 1e-3", (clause("metrics", "val/loss", "<", 1e-3),)),
        ("metrics.`a b` == 3", (clause("metrics", "a b", "=", 3),)),
        ('metrics."a.b" <> .5', (clause("metrics", "a.b", "!=", 0.5),)),
        ("tags.mlflow.runName = 'x'", (clause("params", "mlflow.runName", "=", "x"),)),
        ("params.lr = 'it''s'", (clause("params", "lr", "=", "it's"),)),
        ("params.lr = \"a 'b'\"", (clause("params", "lr", "=", "a 'b'"),)),
        ("params.x is not null", (clause("params", "x", "IS NOT NULL", None),)),
        ("params.x IS NULL", (clause("params", "x", "IS NULL", None),)),
        ("status like 'run%'", (clause("", "status", "LIKE", "run%"),)),
        ("attributes.status IN ('a', 'b')", (clause("", "status", "IN", ("a", "b")),)),
        ("status not in ('a')", (clause("", "status", "NOT IN", ("a",)),)),
        ("created > 1700000000000", (clause("", "start_time", ">", 1700000000000),)),
        ("start_time > '2023-11-14T22:13:20Z'", (clause("", "start_time", ">", 1700000000000),)),
        (
            "metrics.a > 1 and params.b = 'x' AND status = 'y'",
            (clause("metrics", "a", ">", 1), clause("params", "b", "=", "x", 18), clause("", "status", "=", "y", 37)),
        ),
    ],
)
def test_a_filter_reads_as_it_is_written(text: str, expected: tuple[Clause, ...]) -> None:
    assert parse_filter(text, GRAMMAR) == expected


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("metrics.auc", 11, "one of =, !="),
        ("metrics.auc >", 13, "a number"),
        ("metrics.auc > 'x'", 14, "a number"),
        ("metrics.auc LIKE 'x'", 12, "one of =, !="),
        ("params.x = 3", 11, "a text in quotes"),
        ("params.x = y", 11, "a text in quotes"),
        ("params.x IN 'a'", 12, "'('"),
        ("params.x IN ('a'", 16, "')'"),
        ("params.x IN (3)", 13, "a text in quotes"),
        ("params.x IS 3", 12, "NULL or NOT"),
        ("metrics.a > 1 metrics.b > 2", 14, "AND"),
        ("metrics.a > 1 AND", 17, "a key"),
        ("> 3", 0, "a key"),
        ("start_time > 'yesterday'", 13, "milliseconds"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text: str, place: int, expected: str) -> None:
    with pytest.raises(BadFilter) as raised:
        parse_filter(text, GRAMMAR)
    assert f"character {place}" in raised.value.what
    assert expected in raised.value.what


def test_or_an_open_quote_and_an_unknown_name_are_told() -> None:
    with pytest.raises(BadFilter, match="OR at character 14"):
        parse_filter("metrics.a > 1 OR metrics.b > 2", GRAMMAR)
    with pytest.raises(BadFilter, match="character 11"):
        parse_filter("params.x = 'open", GRAMMAR)
    with pytest.raises(BadFilter) as raised:
        parse_filter("stats = 'x'", GRAMMAR)
    assert "status" in raised.value.fix
    with pytest.raises(BadFilter, match="no 'metrcs' to look into"):
        parse_filter("metrcs.auc > 1", GRAMMAR)
    with pytest.raises(BadFilter, match="36000 characters"):
        parse_filter("metrics.a > 1 AND " * 2000, GRAMMAR)


def test_orders_are_read_and_none_is_given_twice() -> None:
    assert parse_order(["metrics.auc DESC", "created", "params.`a b` asc"], GRAMMAR) == (
        Order(scope="metrics", key="auc", ascending=False),
        Order(scope="", key="start_time", ascending=True),
        Order(scope="params", key="a b", ascending=True),
    )
    with pytest.raises(BadFilter, match="twice"):
        parse_order(["created", "start_time DESC"], GRAMMAR)
    with pytest.raises(BadFilter, match="ASC or DESC"):
        parse_order(["created upwards"], GRAMMAR)
    with pytest.raises(BadFilter, match="the end"):
        parse_order(["created DESC DESC"], GRAMMAR)


KEYS = st.text(st.characters(exclude_characters="`\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, tuple[str, str, str, Any]]:
    key = draw(KEYS)
    if draw(st.booleans()):
        op, number = draw(st.sampled_from(NUMBER_OPERATORS)), draw(NUMBERS)
        return f"metrics.`{key}` {op} {number!r}", ("metrics", key, op, number)
    op, text = draw(st.sampled_from(["=", "!=", "LIKE", "ILIKE"])), draw(TEXTS)
    quoted = "'" + text.replace("'", "''") + "'"
    return f"params.`{key}` {op} {quoted}", ("params", key, op, text)


@given(st.lists(written(), max_size=5))
def test_whatever_is_written_comes_back(clauses: list[tuple[str, tuple[str, str, str, Any]]]) -> None:
    found = parse_filter(" AND ".join(text for text, _ in clauses), GRAMMAR)
    assert [(one.scope, one.key, one.op, one.value) for one in found] == [expected for _, expected in clauses]
    assert all(not isinstance(one.value, float) or math.isfinite(one.value) for one in found)


@given(st.text(max_size=60) | st.text("metricsparams.`'\"()=<>! AND1e-", max_size=40))
def test_junk_is_refused_and_nothing_else_happens(text: str) -> None:
    for read in (lambda: parse_filter(text, GRAMMAR), lambda: parse_order([text], GRAMMAR)):
        with contextlib.suppress(BadFilter):
            read()
