"""The tables are Iceberg tables: a client that knows nothing of Bucle reads them."""

import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pyiceberg.table import StaticTable

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.data.schema import Column, evolve, fit

EVERY_TYPE = pl.DataFrame(
    {
        "año y mes": [1, None],
        "b": [True, None],
        "i": pl.Series([1, None], dtype=pl.Int32),
        "f": pl.Series([1.5, float("nan")], dtype=pl.Float32),
        "d": [date(2013, 1, 1), None],
        "t": [time(1, 2, 3), None],
        "at": [datetime(2013, 1, 1, tzinfo=UTC), None],
        "naive": [datetime(2013, 1, 1), None],
        "bytes": [b"\x00\xff", None],
        "dec": pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(10, 2)),
        "l": [[1, 2], None],
        "st": [{"a": 1, "b": ["x"]}, {"a": None, "b": None}],
    }
)


def foreign(project: Project, commit: data.Commit, table: str) -> StaticTable:
    return StaticTable.from_metadata(f"file://{project.state}/{commit.tables[table].metadata_location}")


def test_pyiceberg_reads_every_type_the_same(project: Project) -> None:
    made = data.commit(project, {"t": EVERY_TYPE}, message="types")
    assert_frame_equal(data.scan(project, "t"), EVERY_TYPE)
    assert_frame_equal(pl.DataFrame(pl.from_arrow(foreign(project, made, "t").scan().to_arrow())), EVERY_TYPE)


def test_pyiceberg_prunes_by_the_statistics_we_write(project: Project) -> None:
    for start in (0, 100, 200):
        made = data.commit(project, {"t": pl.DataFrame({"x": range(start, start + 50)})}, message="x")
    table = foreign(project, made, "t")
    assert len(list(table.scan(row_filter="x >= 210").plan_files())) == 1
    assert table.scan(row_filter="x >= 240").to_arrow().num_rows == 10
    planned = [task.file.file_path for task in table.scan().plan_files()]
    state = data.load_manifest(project, made.tables["t"].manifest)
    assert sorted(planned) == sorted(f"file://{project.state}/{file.path}" for file in state.data)


def test_columns_may_be_added_and_widened_and_old_rows_read_as_the_new_columns(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": pl.Series([1], dtype=pl.Int32)})}, message="1")
    data.commit(project, {"t": pl.DataFrame({"x": [2**40], "y": ["new"]})}, message="2")
    made = data.commit(project, {"t": pl.DataFrame({"y": ["only"]})}, message="3")
    expected = pl.DataFrame({"x": [1, 2**40, None], "y": [None, "new", "only"]})
    assert_frame_equal(data.scan(project, "t"), expected)
    got = pl.DataFrame(pl.from_arrow(foreign(project, made, "t").scan().to_arrow()))
    assert_frame_equal(got.sort("y", nulls_last=False), expected.sort("y", nulls_last=False))


def test_overwriting_with_other_columns_gives_them_new_ids(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": [1], "y": [1]})}, message="1")
    made = data.commit(project, {"t": pl.DataFrame({"x": ["text"], "y": [2]})}, message="2", mode="overwrite")
    columns = data.load_manifest(project, made.tables["t"].manifest).columns
    assert [(column.name, column.id) for column in columns] == [("x", 3), ("y", 2)]
    assert foreign(project, made, "t").scan().to_arrow().to_pydict() == {"x": ["text"], "y": [2]}


def test_many_appends_keep_the_metadata_short_and_everything_readable(project: Project) -> None:
    for number in range(70):
        made = data.commit(project, {"t": pl.DataFrame({"x": [number]})}, message="x")
    table = foreign(project, made, "t")
    assert len(table.metadata.snapshots) == 10
    assert len(table.current_snapshot().manifests(table.io)) < 34  # type: ignore[union-attr]
    assert sorted(table.scan().to_arrow()["x"].to_pylist()) == list(range(70))
    assert data.scan(project, "t")["x"].to_list() == list(range(70))
    assert data.verify_files(project) == []


def test_a_project_that_was_moved_still_reads_and_is_mended_by_the_next_append(
    project: Project, tmp_path: Path, clock: SimulatedClock
) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": [1]})}, message="1")
    project.close()
    shutil.move(project.root, tmp_path / "else where")
    moved = Project.open(tmp_path / "else where", clock=clock)
    assert data.scan(moved, "t")["x"].to_list() == [1]
    made = data.commit(moved, {"t": pl.DataFrame({"x": [2]})}, message="2")
    assert sorted(foreign(moved, made, "t").scan().to_arrow()["x"].to_pylist()) == [1, 2]
    assert data.verify_files(moved) == []
    moved.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pl.Series([1]), pl.Series(["a"])),
        (pl.Series([1.5]), pl.Series([1])),
        (pl.Series([datetime(2013, 1, 1)]), pl.Series([datetime(2013, 1, 1, tzinfo=UTC)])),
        (pl.Series([[1]]), pl.Series([["a"]])),
    ],
)
def test_a_column_that_means_something_else_is_refused(project: Project, before: pl.Series, after: pl.Series) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": before})}, message="1")
    with pytest.raises(data.TypeMismatch, match="'x'"):
        data.commit(project, {"t": pl.DataFrame({"x": after})}, message="2")
    assert data.scan(project, "t").height == 1


def test_what_iceberg_cannot_hold_exactly_is_refused(project: Project) -> None:
    for column in (
        pl.Series([None]),
        pl.Series([1]).cast(pl.Duration("us")),
        pl.Series([2**63], dtype=pl.UInt64),
        pl.Series([1], dtype=pl.Int64).cast(pl.Datetime("ns")),
    ):
        with pytest.raises((data.TypeNotKept, data.TypeMismatch)):
            data.commit(project, {"t": pl.DataFrame({"x": column})}, message="1")
    assert project.ledger.size() == 0
    assert not [path for path in (project.state / "lake").rglob("*") if path.is_file()]


def test_categories_and_small_numbers_are_kept_as_iceberg_has_them(project: Project) -> None:
    frame = pl.DataFrame({"c": pl.Series(["a", "b"], dtype=pl.Categorical), "n": pl.Series([1, 2], dtype=pl.UInt8)})
    data.commit(project, {"t": frame}, message="1")
    assert data.scan(project, "t").schema == {"c": pl.String, "n": pl.Int32}


NUMBERS = st.sampled_from([pl.Int8, pl.Int32, pl.Int64, pl.UInt16, pl.UInt32, pl.Float32, pl.Float64, pl.Boolean])
FRAMES = st.dictionaries(st.sampled_from("abcd"), NUMBERS, min_size=1)


@given(st.lists(FRAMES, min_size=1, max_size=5))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_growing_columns_never_reuses_an_id_nor_loses_a_column(batches: list[dict[str, type[pl.DataType]]]) -> None:
    columns, last = tuple[Column, ...](), 0
    for schema in batches:
        frame = pl.DataFrame(schema=schema)
        try:
            grown = evolve(columns, frame, last=last)
        except data.TypeMismatch:
            continue
        assert [column.name for column in grown][: len(columns)] == [column.name for column in columns]
        assert [column.id for column in grown][: len(columns)] == [column.id for column in columns]
        assert all(column.id > last for column in grown[len(columns) :])
        assert fit(frame, grown).columns == [column.name for column in grown]
        columns, last = grown, max(column.id for column in grown)


def test_who_only_reads_never_loads_pyiceberg() -> None:
    code = "import sys; import bucle.line.data; sys.exit('pyiceberg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pyiceberg_reads_what_was_merged_and_appends_go_on(project: Project) -> None:
    def rows(*values: int) -> pl.DataFrame:
        return pl.DataFrame({"x": values})

    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "side")
    data.commit(project, {"t": rows(2).with_columns(y=pl.lit("two"))}, branch="side", message="there")
    data.commit(project, {"t": rows(3)}, message="here")
    merged = data.merge(project, "side", message="both")
    assert sorted(foreign(project, merged, "t").scan().to_arrow()["x"].to_pylist()) == [1, 2, 3]
    assert foreign(project, merged, "t").scan(row_filter="y = 'two'").to_arrow()["x"].to_pylist() == [2]
    later = data.commit(project, {"t": rows(4)}, message="later")
    assert sorted(foreign(project, later, "t").scan().to_arrow()["x"].to_pylist()) == [1, 2, 3, 4]
