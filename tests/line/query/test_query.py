"""SQL over tables at commits: what is read, what is refused, and what it may take."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bucle.ground.core import NotAllowed, SimulatedClock
from bucle.ground.project import Project
from bucle.line import data, query


@pytest.fixture
def shop(project: Project) -> Project:
    orders = pl.DataFrame({"id": [1, 2, 3], "customer": ["a", "b", "a"], "amount": [1.5, 2.0, 4.0]})
    customers = pl.DataFrame({"customer": ["a", "b"], "city": ["Lugo", "Vigo"]})
    eu = pl.DataFrame({"id": [7]})
    data.commit(project, {"orders": orders, "customers": customers, "sales.orders": eu, "sales.eu.orders": eu},
                message="first")  # fmt: skip
    return project


def rows(project: Project, text: str, at: str = "main") -> list[dict[str, object]]:
    return query.sql(project, text, at=at).rows()


def test_tables_are_joined_and_summed(shop: Project) -> None:
    found = rows(
        shop, "SELECT city, sum(amount) AS total FROM orders JOIN customers USING (customer) GROUP BY ALL ORDER BY 1"
    )
    assert found == [{"city": "Lugo", "total": 5.5}, {"city": "Vigo", "total": 2.0}]


def test_an_answer_says_which_commit_it_is_of(shop: Project) -> None:
    head = data.resolve(shop).id
    answer = query.sql(shop, "FROM sales.orders")
    assert answer.commits == {"sales.orders": head}
    assert (answer.polars().to_dicts(), answer.arrow().num_rows, list(answer.pandas()["id"])) == ([{"id": 7}], 1, [7])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT sales.orders.id FROM sales.orders",
        "FROM sales.eu.orders",
        'FROM "sales.eu.orders"',
        "FROM SALES.Orders",
        "SELECT a.id FROM sales.orders a JOIN sales.eu.orders b USING (id)",
        "WITH x AS (FROM sales.orders) FROM x",
        "WITH sales AS (FROM sales.eu.orders) FROM sales",
        'SELECT id FROM "default".orders WHERE id = 3 UNION ALL FROM sales.orders LIMIT 1 OFFSET 1',
    ],
)
def test_namespaces_are_schemas(shop: Project, text: str) -> None:
    assert rows(shop, text) == [{"id": 7}]


def test_one_query_reads_several_commits(shop: Project, clock: SimulatedClock) -> None:
    data.create_branch(shop, "dev")
    clock.advance(timedelta(days=1))
    data.commit(
        shop, {"orders": pl.DataFrame({"id": [4], "customer": ["b"], "amount": [8.0]})}, branch="dev", message="m"
    )
    text = """SELECT (SELECT count(*) FROM orders) AS main, (SELECT count(*) FROM "orders@dev") AS dev,
              (SELECT count(*) FROM orders o AT (VERSION => 'dev') WHERE o.id = 4) AS version,
              (SELECT count(*) FROM orders AT (TIMESTAMP => '2013-01-01 12:00:00')) AS then"""
    assert rows(shop, text) == [{"main": 3, "dev": 4, "version": 1, "then": 3}]
    assert rows(shop, text, at="dev") == [{"main": 4, "dev": 4, "version": 1, "then": 3}]
    minus = 'SELECT id FROM "orders@dev" EXCEPT SELECT id FROM "orders@main"'
    assert rows(shop, minus) == [{"id": 4}]


def test_a_table_that_grew_columns_reads_as_it_is_now(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"a": [1]}, schema={"a": pl.Int32})}, message="1")
    wider = pl.DataFrame({"a": [2**40], "s": [{"x": 1, "y": ["q"]}], "d": [Decimal("1.50")]})
    data.commit(project, {"t": wider}, message="2")
    assert_frame_equal(query.sql(project, "FROM t").polars(), data.scan(project, "t"))


@given(st.data())
@settings(max_examples=15)
def test_every_type_reads_as_the_table_has_it(bare: Project, drawn: st.DataObject) -> None:
    kinds = {
        "boolean": st.booleans(), "long": st.integers(-(2**63), 2**63 - 1), "text": st.text(max_size=5),
        "double": st.floats(allow_nan=False), "date": st.dates(date(1900, 1, 1)), "bytes": st.binary(max_size=4),
        "instant": st.datetimes(datetime(1900, 1, 1), timezones=st.just(UTC)), "list": st.lists(st.integers(0, 9)),
    }  # fmt: skip
    height = drawn.draw(st.integers(0, 4))
    values = {
        name: drawn.draw(st.lists(st.none() | kind, min_size=height, max_size=height)) for name, kind in kinds.items()
    }
    schema = {"boolean": pl.Boolean, "long": pl.Int64, "text": pl.String, "double": pl.Float64, "date": pl.Date,
              "bytes": pl.Binary, "instant": pl.Datetime("us", "UTC"), "list": pl.List(pl.Int64)}  # fmt: skip
    frame = pl.DataFrame(values, schema=schema)
    data.commit(bare, {"typed": frame}, message="typed", mode="overwrite")
    assert_frame_equal(query.sql(bare, "FROM typed").polars(), frame)


def test_a_table_with_deleted_rows_and_a_new_name_is_read_as_it_is(shop: Project) -> None:
    metadata = data.table_metadata(shop, "orders").metadata
    schema = {**metadata["schemas"][0], "schema-id": 1}
    schema["fields"] = [{**one, "name": {"amount": "euros"}.get(one["name"], one["name"])} for one in schema["fields"]]
    updates = ({"action": "add-schema", "schema": schema}, {"action": "set-current-schema", "schema-id": -1})
    data.commit_metadata(shop, [data.TableChange(table="orders", requirements=(), updates=updates)], message="rename")
    assert not data.plan(shop, "orders").is_plain
    assert rows(shop, "SELECT sum(euros) AS euros FROM orders") == [{"euros": 7.5}]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO orders VALUES (1, 'a', 2)",
        "CREATE TABLE x AS FROM orders",
        "DROP VIEW orders",
        "COPY orders TO 'x.csv'",
        "ATTACH 'x.db'",
        "INSTALL httpfs",
        "SET memory_limit = '10GB'",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "FROM read_parquet('/etc/passwd')",
        "FROM read_csv('/etc/passwd')",
        "SELECT * FROM orders, read_text('/etc/passwd')",
        "SELECT (SELECT content FROM read_blob('/etc/passwd'))",
        "FROM glob('/*')",
        "FROM query('FROM read_text(''/etc/passwd'')')",
        "FROM query_table('orders')",
        "FROM duckdb_settings()",
        "FROM sniff_csv('/etc/passwd')",
        "FROM parquet_metadata('/etc/passwd')",
        "WITH a AS (FROM Read_Text('/etc/passwd')) FROM a",
        "SELECT current_setting('allowed_paths')",
        "EXPLAIN ANALYZE COPY orders TO 'x.csv'",
        "EXPLAIN FROM read_text('/etc/passwd')",
        "SHOW TABLES",
    ],
)
def test_what_does_more_than_read_tables_is_refused(shop: Project, text: str) -> None:
    with pytest.raises(NotAllowed):
        query.sql(shop, text)


@pytest.mark.parametrize(
    "text",
    ["FROM '/etc/passwd'", "FROM information_schema.tables", "FROM duckdb_views", "FROM sqlite_master", "FROM oders"],
)
def test_what_is_no_table_of_the_commit_is_not_found(shop: Project, text: str) -> None:
    with pytest.raises(data.NoSuchTable):
        query.sql(shop, text)


def test_no_variable_of_the_program_is_a_table(shop: Project) -> None:
    secret = pl.DataFrame({"x": [1]})
    with pytest.raises(data.NoSuchTable):
        query.sql(shop, "FROM secret")
    assert secret.height == 1


def test_the_files_of_a_table_cannot_be_named(shop: Project) -> None:
    path = data.plan(shop, "orders").files[0]
    with pytest.raises(NotAllowed):
        query.sql(shop, f"FROM orders, read_parquet('{path}')")
    with pytest.raises(data.NoSuchTable):
        query.sql(shop, f"SELECT * FROM orders, '{path}'")


def test_the_engine_itself_opens_no_other_file(shop: Project, tmp_path: Path) -> None:
    """Were a text let through, the engine would still refuse it."""
    from bucle.line.query.sandbox import close_doors, open_engine

    with open_engine(query.Limits()) as engine:
        close_doors(engine, [])
        for text in ("FROM read_text('/etc/passwd')", f"COPY (SELECT 1) TO '{tmp_path}/x'", "ATTACH '/tmp/y.db'"):
            with pytest.raises(duckdb.Error):
                engine.execute(text)
        with pytest.raises(duckdb.Error):
            engine.execute("SET enable_external_access = true")


@pytest.mark.parametrize("text", ["SELEC 1", "", "SELECT 1; SELECT 2", "SELECT nothing FROM orders", "SELECT 1 / 'a'"])
def test_what_is_no_query_is_told(shop: Project, text: str) -> None:
    with pytest.raises(query.BadQuery):
        query.sql(shop, text)


def test_describe_summarize_and_explain_are_answered(shop: Project) -> None:
    assert [row["column_name"] for row in rows(shop, "DESCRIBE orders")] == ["id", "customer", "amount"]
    assert len(rows(shop, "SUMMARIZE orders")) == 3
    assert rows(shop, "EXPLAIN SELECT * FROM orders")[0]["explain_key"] == "physical_plan"


def test_rows_are_cut_where_they_were_asked_to_be(shop: Project) -> None:
    cut = query.sql(shop, "FROM orders ORDER BY id", limits=query.Limits(rows=2))
    assert (cut.polars()["id"].to_list(), cut.is_cut) == ([1, 2], True)
    whole = query.sql(shop, "FROM orders ORDER BY id", limits=query.Limits(rows=3))
    assert (whole.polars().height, whole.is_cut) == (3, False)


def test_a_query_without_end_is_stopped(shop: Project) -> None:
    endless = "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range + b.range = -1"
    with pytest.raises(query.QueryTimeout):
        query.sql(shop, endless, limits=query.Limits(timeout_s=0.3))


def test_a_query_stays_within_its_memory(shop: Project) -> None:
    large = "SELECT a.range AS i, i::VARCHAR || 'x' AS t FROM range(4000000) a ORDER BY t"
    with pytest.raises(query.QueryTooLarge):
        query.sql(shop, large, limits=query.Limits(memory_mb=32))


def test_two_columns_of_one_name_are_told_apart(shop: Project) -> None:
    assert rows(shop, "SELECT 1 AS a, 2 AS a") == [{"a": 1, "a_2": 2}]


def test_a_missing_data_file_is_damage(shop: Project) -> None:
    Path(data.plan(shop, "orders").files[0]).unlink()
    with pytest.raises(data.LakeDamaged):
        query.sql(shop, "FROM orders")


def test_a_project_below_an_odd_path_is_read(tmp_path: Path) -> None:
    root = tmp_path / "a [b] * it's"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "odd"\n')
    project = Project.open(root, actor="ana")
    data.commit(project, {"t": pl.DataFrame({"a": [1]})}, message="odd")
    assert rows(project, "FROM t") == [{"a": 1}]
    project.close()


def test_an_empty_table_has_its_columns(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame(schema={"a": pl.Int64, "b": pl.List(pl.String)})}, message="empty")
    assert query.sql(project, "FROM t").columns == {"a": "int64", "b": "list<l: string>"}


def test_not_a_number_is_greater_than_any_in_every_engine(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Bounds that leave it out made DuckDB pass over files that hold it."""
    for values in ([-1.5, float("nan"), None], [-2.5, -3.5, None], [1.0, 2.0, float("nan")]):
        data.commit(project, {"t": pl.DataFrame({"f": values, "g": [1.0, 2.0, 3.0]})}, message="x")
    asked = [
        ("f > 0", pl.col("f") > 0, 4),
        ("isnan(f)", pl.col("f").is_nan(), 2),
        ("f < -2", pl.col("f") < -2, 2),
        ("f IS NULL", pl.col("f").is_null(), 2),
        ("g > 2", pl.col("g") > 2, 3),
    ]
    for text, where, count in asked:
        assert data.scan(project, "t", where=where).height == count
        assert query.sql(project, f"SELECT count(*) AS n FROM t WHERE {text}").table.to_pylist() == [{"n": count}]
    known = [file.known for file in data.load_manifest(project, data.resolve(project).tables["t"].manifest).data]
    assert [one.nulls for one in known] == [{1: 1, 2: 0}, {1: 1, 2: 0}, {1: 0, 2: 0}]
    assert [one.values for one in known] == [{1: 3, 2: 3}] * 3
    assert [sorted(one.lower) for one in known] == [[2], [1, 2], [2]]
    assert not caplog.records
