"""Views in queries: their own query stands in the place of their name, with the rights of who asks."""

from __future__ import annotations

import polars as pl
import pytest

from bucle.ground import governance
from bucle.ground.project import Project
from bucle.line import data, query

SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "n", "type": "long", "required": False}]}


def make(
    project: Project, name: str, text: str, *, dialect: str = "duckdb", space: str = "default", branch: str = "main"
) -> None:
    version = {
        "version-id": 1,
        "timestamp-ms": 0,
        "schema-id": 0,
        "summary": {},
        "representations": [{"type": "sql", "sql": text, "dialect": dialect}],
        "default-namespace": [space],
    }
    data.create_view(project, name, {"schema": SCHEMA, "view-version": version}, branch=branch, message="made")


def rows(project: Project, text: str, at: str = "main", principal: str = "") -> list[tuple[object, ...]]:
    return query.sql(project, text, at=at, principal=principal).table.to_pandas().to_records(index=False).tolist()


@pytest.fixture
def lake(project: Project) -> Project:
    data.commit(
        project,
        {
            "flights": pl.DataFrame({"id": [1, 2, 3], "origin": ["JFK", "LGA", "JFK"]}),
            "sales.orders": pl.DataFrame({"id": [1, 2], "price": [10, 20]}),
        },
        message="rows",
    )
    make(project, "origins", "SELECT origin, count(*) AS n FROM flights GROUP BY origin;")
    return project


def test_a_view_is_asked_as_a_table_is(lake: Project) -> None:
    assert rows(lake, "SELECT * FROM origins ORDER BY 1") == [("JFK", 2), ("LGA", 1)]
    assert rows(lake, "SELECT origins.n FROM origins WHERE origin = 'JFK'") == [(2,)]
    assert rows(lake, "SELECT o.a FROM ORIGINS AS o(a, b) ORDER BY 1") == [("JFK",), ("LGA",)]
    assert rows(lake, "SELECT count(*) FROM origins JOIN flights USING (origin)") == [(3,)]
    assert query.sql(lake, "SELECT * FROM origins").commits.keys() == {"default.flights"}
    assert len(rows(lake, "EXPLAIN SELECT * FROM origins")) == 1
    assert len(rows(lake, "DESCRIBE SELECT * FROM origins")) == 2


def test_no_with_around_it_hides_what_it_reads(lake: Project) -> None:
    text = "WITH flights AS (SELECT 'XXX' AS origin) SELECT origin FROM origins ORDER BY 1"
    assert rows(lake, text) == [("JFK",), ("LGA",)]
    make(lake, "own", "WITH flights AS (SELECT 7 AS id) SELECT * FROM flights")
    assert rows(lake, "SELECT own.id AS a, f.id AS b FROM own, flights AS f WHERE f.id = 1") == [(7, 1)]


def test_names_are_looked_for_in_its_own_namespace(lake: Project) -> None:
    make(lake, "sales.total", "SELECT sum(price) AS n FROM orders", space="sales")
    make(lake, "mixed", "SELECT t.n, count(*) AS m FROM sales.total AS t, flights GROUP BY ALL")
    assert rows(lake, "SELECT n FROM sales.total") == [(30,)]
    assert rows(lake, "SELECT * FROM mixed") == [(30, 3)]


def test_it_is_read_at_the_commit_that_is_asked(lake: Project) -> None:
    data.create_branch(lake, "dev")
    data.commit(lake, {"flights": pl.DataFrame({"id": [4], "origin": ["EWR"]})}, branch="dev", message="one more")
    assert len(rows(lake, "SELECT * FROM origins", at="dev")) == 3
    assert len(rows(lake, 'SELECT * FROM "origins@dev"')) == 3
    assert len(rows(lake, "SELECT * FROM origins AT (VERSION => 'dev')")) == 3
    assert len(rows(lake, "SELECT * FROM origins")) == 2
    make(lake, "before", "SELECT count(*) AS n FROM flights AT (VERSION => 'dev')")
    assert rows(lake, "SELECT * FROM before") == [(4,)]


def test_who_asks_sees_what_it_may_see(lake: Project) -> None:
    make(lake, "names", "SELECT origin FROM flights")
    data.tag_columns(lake, "flights", {"origin": data.ColumnTag(kind="name", mask="redact")}, message="tagged")
    assert rows(lake, "SELECT DISTINCT origin FROM names", principal="ben") == [("***",)]
    governance.grant(lake, "ben", "read", "table/flights", effect="deny")
    with pytest.raises(governance.Denied, match="table/flights"):
        rows(lake, "SELECT * FROM names", principal="ben")
    governance.grant(lake, "eva", "read", "table/names", effect="deny")
    with pytest.raises(governance.Denied, match="table/names"):
        rows(lake, "SELECT * FROM names", principal="eva")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SELECT * FROM read_csv('/etc/passwd')", query.QueryNotAllowed),
        ("SELECT * FROM '/etc/passwd'", data.NoSuchTable),
        ("SELECT 1) AS v, (SELECT 2", query.BadQuery),
        ("DROP TABLE flights", query.QueryNotAllowed),
        ("SELECT 1; SELECT 2", query.BadQuery),
        ("SELECT * FROM odd", query.BadQuery),
        ("SELECT * FROM nothing", data.NoSuchTable),
    ],
)
def test_a_view_can_do_no_more_than_a_query(lake: Project, text: str, error: type[Exception]) -> None:
    make(lake, "odd", text)
    with pytest.raises(error):
        rows(lake, "SELECT * FROM odd")


def test_a_view_in_the_words_of_another_engine_says_so(lake: Project) -> None:
    make(lake, "sparks", "SELECT 1 AS n", dialect="spark")
    with pytest.raises(query.BadQuery, match="no query in DuckDB's words"):
        rows(lake, "SELECT * FROM sparks")
    make(lake, "plain", "SELECT 1 AS n", dialect="SQL")
    assert rows(lake, "SELECT * FROM plain") == [(1,)]


def test_a_query_is_given_a_name_and_another(lake: Project) -> None:
    made = query.define_view(lake, "prices", "SELECT id, price * 1.5 AS dear FROM sales.orders ;")
    assert [(one["name"], one["type"]) for one in made.columns] == [("id", "long"), ("dear", "decimal(21, 1)")]
    assert rows(lake, "SELECT sum(dear) AS s FROM prices")[0][0] == 45
    changed = query.define_view(lake, "prices", "SELECT count(*) AS n FROM sales.orders")
    assert (changed.version["version-id"], changed.metadata["view-uuid"]) == (2, made.metadata["view-uuid"])
    assert rows(lake, "FROM prices") == [(2,)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SELECT * FROM nothing", data.NoSuchTable),
        ("DROP TABLE flights", query.QueryNotAllowed),
        ("SELECT 1) AS x, (SELECT 2", query.BadQuery),
        ("SELECT * FROM read_csv('/etc/passwd')", query.QueryNotAllowed),
        ("SELECT INTERVAL 1 DAY AS i", query.BadQuery),
        ("SELECT [INTERVAL 1 DAY] AS i", query.BadQuery),
    ],
)
def test_what_cannot_be_a_view_is_refused(lake: Project, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        query.define_view(lake, "odd", text)
    assert data.views(lake) == ["origins"]


@pytest.mark.parametrize("text", ['"sales.orders"', '"eu.sales.orders"', '"a.b.c.orders"', '"sales.orders@main"'])
def test_a_name_with_dots_in_quotes_is_the_table_of_that_name(lake: Project, text: str) -> None:
    more = pl.DataFrame({"id": [1, 2]})
    data.commit(lake, {"eu.sales.orders": more, "a.b.c.orders": more}, message="deeper")
    assert rows(lake, f"SELECT count(*) FROM {text}") == [(2,)]
    query.define_view(lake, "quoted", f"SELECT id FROM {text}")
    assert rows(lake, "SELECT * FROM quoted ORDER BY 1") == [(1,), (2,)]
