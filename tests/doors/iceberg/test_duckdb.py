"""DuckDB's Iceberg extension: a second stock client, with another idea of how to write."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyiceberg.table import StaticTable

from bucle.ground import governance
from bucle.line import data
from doors.conftest import Site, served
from doors.iceberg.conftest import flights

duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'bucle[test]'")
EXTENSIONS = ("avro", "httpfs", "iceberg")


@pytest.fixture
def duck(lake: Site) -> Any:
    """A connection with both branches attached."""
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in EXTENSIONS:
        package = pytest.importorskip(f"duckdb_extension_{name}", reason="a DuckDB extension is not installed")
        found = next(Path(package.__path__[0]).rglob("*.duckdb_extension"))
        connection.execute(f"LOAD '{found}'")
    for branch in ("main", "dev"):
        connection.execute(
            f"ATTACH '{branch}' AS {branch}_lake "
            f"(TYPE ICEBERG, ENDPOINT '{lake.url}/iceberg', AUTHORIZATION_TYPE 'none')"
        )
    yield connection
    connection.close()


def rows(connection: Any, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def test_it_reads_two_branches(lake: Site, duck: Any) -> None:
    data.commit(lake.project, {"flights": flights(2, 10)}, branch="dev", message="two more")
    assert rows(duck, "SELECT count(*) FROM main_lake.default.flights") == [(3,)]
    assert rows(duck, "SELECT id FROM dev_lake.default.flights ORDER BY id") == [(0,), (1,), (2,), (10,), (11,)]


def test_what_it_inserts_is_ours_and_ours_its(lake: Site, duck: Any) -> None:
    duck.execute("INSERT INTO dev_lake.default.flights VALUES (10, 'LGA', 2.5)")
    data.commit(lake.project, {"flights": flights(1, 20)}, branch="dev", message="ours")
    assert data.scan(lake.project, "flights", at="dev")["id"].to_list() == [0, 1, 2, 10, 20]
    assert rows(duck, "SELECT count(*), sum(id) FROM dev_lake.default.flights") == [(5, 33)]
    assert data.scan(lake.project, "flights").height == 3
    assert data.verify_files(lake.project) == []


def test_rows_it_deletes_and_updates_are_gone(lake: Site, duck: Any) -> None:
    duck.execute("INSERT INTO main_lake.default.flights VALUES (10, 'LGA', 2.5), (11, 'EWR', 0.5)")
    duck.execute("DELETE FROM main_lake.default.flights WHERE id = 1")
    duck.execute("UPDATE main_lake.default.flights SET origin = 'BOS' WHERE id = 10")
    found = data.scan(lake.project, "flights").sort("id")
    assert found["id"].to_list() == [0, 2, 10, 11]
    assert found["origin"].to_list() == ["JFK", "JFK", "BOS", "EWR"]
    assert data.snapshot(lake.project, "flights").rows == 4
    for n in range(35):
        # More than are kept apart: their manifests are merged, those of deletes are not.
        data.commit(lake.project, {"flights": flights(1, 100 + n)}, message="ours")
    assert data.scan(lake.project, "flights").height == 39
    assert rows(duck, "SELECT count(*) FROM main_lake.default.flights") == [(39,)]
    assert data.verify_files(lake.project) == []


def test_it_makes_schemas_and_tables_and_drops_them(lake: Site, duck: Any) -> None:
    duck.execute("CREATE SCHEMA dev_lake.sales")
    duck.execute("CREATE TABLE dev_lake.sales.orders AS SELECT 1 AS n, 'a' AS name, DATE '2013-01-01' AS day")
    assert data.scan(lake.project, "sales.orders", at="dev").rows() == [(1, "a", date(2013, 1, 1))]
    duck.execute("DROP TABLE dev_lake.sales.orders")
    assert data.tables(lake.project, "dev") == ["flights"]
    assert data.verify_files(lake.project) == []


def test_its_transaction_over_two_tables_is_one_commit(lake: Site, duck: Any) -> None:
    data.commit(lake.project, {"weather": flights(1)}, message="a second table")
    before = len(data.log(lake.project))
    duck.execute("BEGIN")
    duck.execute("INSERT INTO main_lake.default.flights VALUES (7, 'LGA', 1)")
    duck.execute("INSERT INTO main_lake.default.weather VALUES (8, 'LGA', 1)")
    duck.execute("COMMIT")
    assert len(data.log(lake.project)) == before + 1
    assert (data.scan(lake.project, "flights").height, data.scan(lake.project, "weather").height) == (4, 2)


def test_rows_it_deleted_do_not_come_back_when_the_project_moves(lake: Site, duck: Any, tmp_path: Path) -> None:
    duck.execute("DELETE FROM main_lake.default.flights WHERE id = 1")
    shutil.copytree(lake.project.root, tmp_path / "copy")
    with served(tmp_path / "copy") as copy:
        left = data.scan(lake.project, "flights")["id"].to_list()
        assert data.scan(copy.project, "flights")["id"].to_list() == left
        with pytest.raises(data.BadAlteration, match="moved"):
            data.alter(copy.project, "flights", ["add x long"])
        made = data.commit(copy.project, {"flights": flights(1, 10)}, message="mends the paths")
        assert data.scan(copy.project, "flights")["id"].to_list() == [*left, 10]
        location = f"file://{copy.project.state}/{made.tables['flights'].metadata_location}"
        there = StaticTable.from_metadata(location).scan().to_arrow()
        assert sorted(there["id"].to_pylist()) == sorted([*left, 10])
        assert data.verify_files(copy.project) == []
        data.commit(copy.project, {"flights": flights(1, 10)}, mode="overwrite", message="yes")
        assert data.scan(copy.project, "flights")["id"].to_list() == [10]


def test_it_reads_what_we_deleted_upserted_altered_and_parted(lake: Site, duck: Any) -> None:
    project = lake.project
    data.delete(project, "flights", "id = 1", message="gone")
    data.upsert(project, "flights", flights(2, 2), on=["id"], message="other rows")
    data.alter(project, "flights", ["rename origin start", "add note string"], message="columns")
    expected = sorted(data.scan(project, "flights").select("id", "start").rows())
    assert sorted(duck.execute("SELECT id, start FROM main_lake.default.flights").fetchall()) == expected
    data.compact(project, "flights")
    assert sorted(duck.execute("SELECT id, start FROM main_lake.default.flights").fetchall()) == expected
    data.make_table(project, "parted", {"id": "long", "s": "string"}, partition_by=["bucket(2, id)", "s"])
    rows = pl.DataFrame({"id": range(10), "s": ["a", "b"] * 5})
    data.commit(project, {"parted": rows}, message="parted")
    data.delete(project, "parted", "id = 4", message="gone")
    found = duck.execute("SELECT id FROM main_lake.default.parted WHERE s = 'a' ORDER BY id").fetchall()
    assert found == [(0,), (2,), (6,), (8,)]


def test_a_token_says_who_may_write(lake: Site, duck: Any) -> None:
    governance.grant(lake.project, "*", "write", "table/*", effect="deny")
    governance.grant(lake.project, "ben", "write", "table/flights")
    token = governance.make_token(lake.project, "ben")
    duck.execute(f"CREATE SECRET ben (TYPE ICEBERG, TOKEN '{token}')")
    duck.execute(f"ATTACH 'main' AS of_ben (TYPE ICEBERG, ENDPOINT '{lake.url}/iceberg', SECRET ben)")
    duck.execute("INSERT INTO of_ben.default.flights VALUES (10, 'LGA', 2.5)")
    with pytest.raises(duckdb.Error, match="may not write"):
        duck.execute("INSERT INTO main_lake.default.flights VALUES (11, 'LGA', 2.5)")
    assert data.scan(lake.project, "flights")["id"].to_list() == [0, 1, 2, 10]
