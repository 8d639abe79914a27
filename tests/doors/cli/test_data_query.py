from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest

from doors.cli.typed import Bucle


@pytest.fixture
def shop(bucle: Bucle, empty: Path) -> list[str]:
    """The options that name a project with a table."""
    first = empty / "first.csv"
    first.write_text("sale,price\n1,10.0\n50,12.5\n99,9.0\n")
    options = ["--project", str(empty)]
    assert bucle("data", "add", str(first), "--table", "sales", *options).status == 0
    return options


def test_rows_are_printed_for_people_and_for_programs(bucle: Bucle, shop: list[str]) -> None:
    text = "SELECT sale, price FROM sales ORDER BY sale"
    assert "12.5" in bucle("data", "query", text, *shop).out
    found = bucle("data", "query", text, *shop, "--json").record
    assert found["rows"][0] == {"sale": 1, "price": 10.0}
    assert found["columns"] == {"sale": "int64", "price": "double"}
    assert list(found["commits"]) == ["sales"]
    cut = bucle("data", "query", text, "--limit", "2", *shop)
    assert "There are more rows" in cut.err


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet", "arrow"])
def test_rows_are_written_to_a_file(bucle: Bucle, shop: list[str], tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"found.{ending}"
    said = bucle("data", "query", "FROM sales ORDER BY sale", "--out", str(out), *shop, "--json")
    assert said.record["rows"] == 3
    read = {"csv": pl.read_csv, "json": pl.read_json, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet,
            "arrow": pl.read_ipc_stream}[ending]  # fmt: skip
    assert read(out).to_dicts()[2] == {"sale": 99, "price": 9.0}
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_csv_goes_to_standard_output(bucle: Bucle, shop: list[str]) -> None:
    said = bucle("data", "query", "FROM sales", "--format", "csv", "--limit", "2", *shop)
    assert pl.read_csv(io.StringIO(said.out)).height == 2


def test_a_query_that_writes_gives_4_and_a_bad_one_2(bucle: Bucle, shop: list[str]) -> None:
    assert bucle("data", "query", "DROP TABLE sales", *shop).status == 4
    assert bucle("data", "query", "SELECT", *shop).status == 2
    assert bucle("data", "query", "FROM sails", *shop).status == 3
    assert "Did you mean 'sales'" in bucle("data", "query", "FROM sails", *shop).err


def test_lists_do_not_go_into_csv(bucle: Bucle, shop: list[str]) -> None:
    said = bucle("data", "query", "SELECT [1] AS l", "--format", "csv", *shop)
    assert (said.status, "to_json" in said.err) == (2, True)


def test_personal_columns_are_proposed_tagged_and_masked(bucle: Bucle, empty: Path) -> None:
    at = ["--project", str(empty)]
    (empty / "p.csv").write_text("id,contact\n1,ana@example.org\n2,eva@example.org\n")
    assert bucle("data", "add", str(empty / "p.csv"), "--table", "people", *at).status == 0
    assert [one["column"] for one in bucle("data", "pii", "people", *at, "--json").record["proposed"]] == ["contact"]
    assert bucle("data", "pii", "people", "--accept", *at, "--json").record["tags"]["contact"]["mask"] == "hash"
    assert "example" not in bucle("data", "show", "people", *at, "--json").out
    assert "masked for you" in bucle("data", "query", "FROM people", *at).err
    assert bucle("data", "pii", "people", "--tag", "contact=email:partial", *at).status == 0
    assert ".org" in bucle("data", "show", "people", *at).out
    assert bucle("data", "pii", "people", "--tag", "contact=mail", *at).status == 2
    assert bucle("access", "allow", "*", "unmask", "table/people", *at).status == 0
    assert "ana@example.org" in bucle("data", "show", "people", *at).out
    assert len(bucle("access", "list", *at, "--json").record) == 1
    assert bucle("access", "revoke", "*", "unmask", "table/people", *at).status == 0
    assert bucle("access", "deny", "*", "read", "table/*", *at).status == 0
    assert bucle("data", "query", "FROM people", *at).status == 4
    token = bucle("access", "token", "eva", *at, "--json").record["token"]
    assert token.startswith("bucle_")
    assert bucle("access", "token", "eva", "--revoke", *at, "--json").record == {"revoked": 1}
    assert bucle("data", "pii", "people", "--untag", "contact", *at, "--json").record["tags"] == {}
