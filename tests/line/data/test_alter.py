"""Columns and partitions change, and old files read as the new columns, by us and by pyiceberg."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyiceberg.table import StaticTable

from bucle.ground.project import Project
from bucle.line import data

EVENTS = pl.DataFrame(
    {
        "id": range(20),
        "at": [datetime(2013, 1, 1 + i % 3, i % 5) for i in range(20)],
        "day": [date(2013, 1 + i % 3, 1) if i else None for i in range(20)],
        "s": [f"code{i % 4}xyz" if i else None for i in range(20)],
        "dec": pl.Series([Decimal("1.25") + i % 2 for i in range(20)], dtype=pl.Decimal(10, 2)),
        "raw": [b"x%d" % (i % 2) for i in range(20)],
        "yes": [i % 2 == 0 for i in range(20)],
    }
)


def as_iceberg(project: Project, commit: data.Commit, table: str = "t", **options: Any) -> pl.DataFrame:
    location = f"file://{project.state}/{commit.tables[table].metadata_location}"
    return pl.DataFrame(pl.from_arrow(StaticTable.from_metadata(location).scan(**options).to_arrow()))


def check(project: Project, commit: data.Commit, by: str = "id", table: str = "t") -> pl.DataFrame:
    """Both read the same; returns the rows."""
    rows = data.scan(project, table).sort(by)
    assert_frame_equal(rows, as_iceberg(project, commit, table).sort(by))
    assert commit.tables[table].rows == rows.height
    return rows


def test_columns_come_go_and_change_their_names(project: Project) -> None:
    frame = pl.DataFrame({"id": pl.Series([1, 2], dtype=pl.Int32), "v": [1.0, 2.0], "st": [{"a": 1}, {"a": 2}]})
    data.commit(project, {"t": frame}, message="x")
    changes = ["rename v w", "widen id long", "add note string after id", "move w first", "add l long", "drop l"]
    made = data.alter(project, "t", changes)
    expected = pl.DataFrame({"w": [1.0, 2.0], "id": [1, 2], "note": [None, None], "st": frame["st"]})
    assert_frame_equal(check(project, made), expected.cast({"note": pl.String}))
    data.commit(project, {"t": pl.DataFrame({"id": [3], "v": ["a new v"], "note": ["n"]})}, message="x")
    made = data.alter(project, "t", [data.DropColumn(name="note"), data.AddColumn(name="note", type=pl.Float64)])
    rows = check(project, made)
    assert rows["v"].to_list() == [None, None, "a new v"]
    assert rows["note"].to_list() == [None, None, None]
    ids = [column.id for column in data.load_manifest(project, made.tables["t"].manifest).columns]
    assert len(ids) == len(set(ids))
    made = data.compact(project, "t")
    assert_frame_equal(check(project, made), rows)


@pytest.mark.parametrize(
    "change",
    ["add id long", "drop nothing", "drop id", "rename id v", "widen v int", "widen s long", "move id after nothing",
     "partition by nothing(id)", "partition by day(id)", "partition by bucket(id)", "make it so", "add x 'list'", "'"],
)  # fmt: skip
def test_what_would_change_a_value_or_cannot_be_is_refused(project: Project, change: str) -> None:
    before = data.make_table(project, "t", {"id": "int", "v": "long", "s": "string"}, partition_by=["id"])
    with pytest.raises((data.BadAlteration, data.TypeNotKept)):
        data.alter(project, "t", [change])
    assert data.resolve(project).id == before.id


@pytest.mark.parametrize(
    "by",
    [["day(at)"], ["bucket(4, id)", "s"], ["truncate(4, s)", "month(day)"], ["year(day)", "hour(at)"], ["dec"],
     ["raw", "yes"], ["bucket(3, at)", "bucket(2, dec)"]],
    ids=", ".join,
)  # fmt: skip
def test_a_partitioned_table_takes_every_change(project: Project, by: list[str]) -> None:
    data.make_table(project, "t", EVENTS, partition_by=by)
    made = data.commit(project, {"t": EVENTS}, message="x")
    assert_frame_equal(check(project, made), EVENTS)
    check(project, data.delete(project, "t", "id % 7 = 1", message="x"))
    rows = check(project, data.upsert(project, "t", EVENTS.head(3), on=["id"], message="x"))
    made = data.compact(project, "t")
    assert_frame_equal(check(project, made), rows)
    assert as_iceberg(project, made, row_filter="id == 5").height == 1
    assert data.verify_files(project) == []


def test_a_batch_takes_the_place_of_its_partitions(project: Project) -> None:
    data.make_table(project, "t", EVENTS, partition_by=["day(at)"])
    data.commit(project, {"t": EVENTS}, message="x")
    second = EVENTS.filter(pl.col("at").dt.day() == 2)
    made = data.overwrite_partitions(project, "t", second.head(2).with_columns(id=pl.col("id") + 100), message="x")
    kept = EVENTS.filter(pl.col("at").dt.day() != 2)["id"].to_list()
    assert check(project, made)["id"].to_list() == [*kept, 101, 104]
    data.commit(project, {"plain": EVENTS}, message="x")
    with pytest.raises(data.BadAlteration, match="no partitions"):
        data.overwrite_partitions(project, "plain", EVENTS, message="x")


def test_partitions_change_and_old_rows_stay_where_they_are_until_compacted(project: Project) -> None:
    data.make_table(project, "t", EVENTS, partition_by=["day(at)"])
    data.commit(project, {"t": EVENTS}, message="x")
    data.alter(project, "t", ["partition by bucket(2, id), yes"])
    made = data.commit(project, {"t": EVENTS.with_columns(id=pl.col("id") + 20)}, message="x")
    check(project, made)
    with pytest.raises(data.BadAlteration, match="another way"):
        data.overwrite_partitions(project, "t", EVENTS, message="x")
    check(project, data.delete(project, "t", "id = 3 OR id = 23", message="x"))
    check(project, data.compact(project, "t"))
    data.overwrite_partitions(project, "t", EVENTS, message="x")
    with pytest.raises(data.BadAlteration, match="lacks"):
        data.commit(project, {"t": pl.DataFrame({"x": [1]})}, message="x", mode="overwrite")
    data.alter(project, "t", [data.PartitionBy(fields=())])
    made = data.compact(project, "t")
    assert made.tables["t"].files == 1
    check(project, made)


def test_two_branches_that_both_added_to_a_partitioned_table_merge(project: Project) -> None:
    data.make_table(project, "t", EVENTS, partition_by=["day(at)"])
    data.create_branch(project, "side")
    data.commit(project, {"t": EVENTS.head(5)}, branch="side", message="x")
    data.commit(project, {"t": EVENTS.tail(5)}, message="x")
    made = data.merge(project, "side", message="both")
    assert check(project, made)["id"].to_list() == [0, 1, 2, 3, 4, 15, 16, 17, 18, 19]
