"""Appends, deletes, upserts, overwrites, compactions and altered columns against a plain list of rows."""

import importlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pyiceberg.table import StaticTable

from bucle.ground.project import Project
from bucle.line import data

NUMBER = itertools.count()
Row = dict[str, Any]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("rows")
    (root / "bucle.toml").write_text('[project]\nname = "rows"\n')
    project = Project.open(root, actor="ana")
    yield project
    project.close()


def as_iceberg(project: Project, commit: data.Commit, table: str) -> pl.DataFrame:
    """The table as pyiceberg reads it."""
    location = f"file://{project.state}/{commit.tables[table].metadata_location}"
    return pl.DataFrame(pl.from_arrow(StaticTable.from_metadata(location).scan().to_arrow()))


@dataclass
class Model:
    """A table as a list of rows, in order."""

    types: dict[str, Any] = field(default_factory=lambda: {"k": pl.Int64, "x": pl.Int32, "s": pl.String})
    rows: list[Row] = field(default_factory=list)

    def frame(self) -> pl.DataFrame:
        whole = [{name: row.get(name) for name in self.types} for row in self.rows]
        return pl.DataFrame(whole, schema=self.types, orient="row")

    def alter(self, project: Project, table: str, what: str) -> None:
        """Columns come, go and change their names; `s` goes and comes back as another."""
        if what == "widen" and "x" in self.types:
            data.alter(project, table, ["widen x long"])
            self.types["x"] = pl.Int64
        elif what == "move":
            last = list(self.types)[-1]
            data.alter(project, table, [f"move {last} first"])
            self.types = {last: self.types[last], **self.types}
        elif what == "drop" and "s" in self.types:
            data.alter(project, table, ["drop s"])
            del self.types["s"]
            self.rows = [{name: value for name, value in row.items() if name != "s"} for row in self.rows]
        elif what == "rename" and "x" in self.types and "y" not in self.types:
            data.alter(project, table, ["rename x y"])
            self.types = {"y" if name == "x" else name: kind for name, kind in self.types.items()}
            self.rows = [{"y" if name == "x" else name: value for name, value in row.items()} for row in self.rows]
        elif what == "add" and "n" not in self.types:
            data.alter(project, table, ["add n double after k"])
            place = list(self.types).index("k") + 1
            kinds = list(self.types.items())
            self.types = dict([*kinds[:place], ("n", pl.Float64), *kinds[place:]])

    def take(self, batch: pl.DataFrame, mode: str) -> None:
        """What a batch does to columns and rows."""
        if mode == "overwrite":
            self.types, self.rows = dict(batch.schema), []
        else:
            self.types = {**self.types, **{n: t for n, t in batch.schema.items() if n not in self.types}}
        self.rows = [*self.rows, *batch.to_dicts()]

    def batch(self, values: list[tuple[int, int | None, str | None]]) -> pl.DataFrame:
        return pl.DataFrame(values, schema={"k": pl.Int64, "x": pl.Int32, "s": pl.String}, orient="row")


VALUES = st.tuples(
    st.integers(0, 40), st.none() | st.integers(-5, 5), st.none() | st.sampled_from(["", "a", "ß" * 20, "z"])
)
BATCH = st.lists(VALUES, min_size=1, max_size=12)
SIGNS = ["<", ">=", "%"]
OPERATIONS = st.one_of(
    st.tuples(st.just("append"), BATCH),
    st.tuples(st.just("overwrite"), BATCH),
    st.tuples(st.just("upsert"), st.lists(VALUES, min_size=1, max_size=12, unique_by=lambda row: row[0])),
    st.tuples(
        st.just("delete"), st.tuples(st.sampled_from("kx"), st.integers(0, 40), st.sampled_from(["<", ">=", "%"]))
    ),
    st.tuples(st.just("alter"), st.sampled_from(["add", "drop", "rename", "widen", "move"])),
    st.tuples(st.just("compact"), st.sampled_from([1, 3_000, 1 << 30])),
)
HOLDS = {"<": lambda v, n: v < n, ">=": lambda v, n: v >= n, "%": lambda v, n: v % 3 == n % 3}


def carry_out(project: Project, table: str, model: Model, what: str, given: Any) -> None:
    if what in ("append", "overwrite"):
        batch = model.batch(given)
        data.commit(project, {table: batch}, message=what, mode=what)  # type: ignore[arg-type]
        model.take(batch, what)
    elif what == "upsert":
        batch = model.batch(given)
        data.upsert(project, table, batch, on=["k"], message=what)
        keys, old = set(batch["k"]), {row["k"]: row for row in reversed(model.rows)}
        model.rows = [row for row in model.rows if row["k"] not in keys]
        before = len(model.rows)
        model.take(batch, "append")
        model.rows[before:] = [{**old.get(row["k"], {}), **row} for row in model.rows[before:]]
    elif what == "delete":
        column, limit, sign = given
        if column not in model.types:
            return
        where = {"<": pl.col(column) < limit, ">=": pl.col(column) >= limit, "%": pl.col(column) % 3 == limit % 3}[sign]
        data.delete(project, table, where, message=what)
        held = HOLDS[sign]
        model.rows = [r for r in model.rows if r.get(column) is None or not held(r[column], limit)]
    elif what == "alter":
        model.alter(project, table, given)
    else:
        data.compact(project, table, target_size=given)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(OPERATIONS, min_size=2, max_size=10))
def test_any_sequence_of_changes_reads_as_the_rows_say(shared: Project, operations: list[tuple[str, Any]]) -> None:
    table, model = f"t{next(NUMBER)}", Model()
    carry_out(shared, table, model, "append", [(1, 1, "a"), (2, None, None), (30, 3, "z")])
    for what, value in operations:
        carry_out(shared, table, model, what, value)
        expected = model.frame()
        assert_frame_equal(data.scan(shared, table), expected)
        assert data.snapshot(shared, table).rows == expected.height
        where = pl.col("k") > 20 if "s" not in expected.columns else (pl.col("k") > 20) & (pl.col("s") != "a")
        assert_frame_equal(data.scan(shared, table, where=where, columns=["k"]), expected.filter(where).select("k"))
    head = data.resolve(shared)
    by = list(expected.columns)
    assert_frame_equal(as_iceberg(shared, head, table).sort(by), expected.sort(by))


def test_everything_those_sequences_wrote_is_as_it_was_written(shared: Project) -> None:
    carry_out(shared, "last", Model(), "append", [(1, 1, "a")])
    assert data.verify_files(shared) == []


def rows(*keys: int, **more: Any) -> pl.DataFrame:
    return pl.DataFrame({"k": keys, **more})


def test_a_file_of_which_every_row_goes_goes_itself(project: Project) -> None:
    for start in (0, 10, 20):
        data.commit(project, {"t": rows(*range(start, start + 10))}, message="x")
    made = data.delete(project, "t", "k >= 10 AND k < 20 OR k = 3", message="gone")
    manifest = data.load_manifest(project, made.tables["t"].manifest)
    assert [file.rows for file in manifest.data] == [10, 10]
    assert [file.rows for file in manifest.deletes] == [1]
    assert sorted(as_iceberg(project, made, "t")["k"]) == [k for k in range(30) if k != 3 and not 10 <= k < 20]


def test_deletes_of_one_file_never_name_a_row_twice(project: Project) -> None:
    data.commit(project, {"t": rows(*range(1000))}, message="x")
    for step in (2, 3, 5, 7):
        made = data.delete(project, "t", pl.col("k") % step == 0, message="gone")
    left = [k for k in range(1000) if all(k % step for step in (2, 3, 5, 7))]
    manifest = data.load_manifest(project, made.tables["t"].manifest)
    assert sum(file.rows for file in manifest.deletes) == 1000 - len(left)
    assert made.tables["t"].rows == len(left)
    assert data.scan(project, "t")["k"].to_list() == left
    assert sorted(as_iceberg(project, made, "t")["k"]) == left


def test_nothing_that_matches_is_no_commit(project: Project) -> None:
    first = data.commit(project, {"t": rows(1)}, message="x")
    assert data.delete(project, "t", "k = 2", message="none").id == first.id
    assert data.delete(project, "t", pl.lit(None, pl.Boolean), message="none").id == first.id


@pytest.mark.parametrize("where", ["k", "nothing = 1", "SELECT", "k +"])
def test_a_condition_that_cannot_be_used_is_refused(project: Project, where: str) -> None:
    data.commit(project, {"t": rows(1)}, message="x")
    with pytest.raises(data.BadCondition):
        data.delete(project, "t", where, message="x")


def test_an_upsert_works_right_after_a_column_came(project: Project) -> None:
    data.commit(project, {"t": rows(1, 2, 3, x=[1, 2, 3])}, message="x")
    made = data.upsert(project, "t", rows(2, 4, y=["new", "newer"]), on=["k"], message="y")
    expected = pl.DataFrame({"k": [1, 3, 2, 4], "x": [1, 3, 2, None], "y": [None, None, "new", "newer"]})
    assert_frame_equal(data.scan(project, "t"), expected)
    assert_frame_equal(as_iceberg(project, made, "t").sort("k"), expected.sort("k"))


def test_an_upsert_makes_the_table_when_there_is_none(project: Project) -> None:
    data.upsert(project, "t", rows(1, 2), on=["k"], message="x")
    assert data.scan(project, "t")["k"].to_list() == [1, 2]


@pytest.mark.parametrize(
    "keys",
    [
        ["", "it's", "ñ 😀"],
        ["k", "v", "z"],
        [date(1, 1, 1), date(2013, 1, 1), date(9999, 12, 31)],
        [datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC)],
        [time(0), time(1, 2, 3), time(23, 59, 59)],
        [Decimal("-9.99"), Decimal("0.00"), Decimal("1.10")],
        [b"", b"a\0", b"z"],
        [-0.5, 2.0, float("nan")],
        [[1], [1, 2], []],
        [{"a": 1}, {"a": 2}, {"a": 3}],
    ],
    ids=["texts", "columns' names", "dates", "instants", "times", "decimals", "bytes", "floats", "lists", "structs"],
)
def test_a_key_is_of_any_type(project: Project, keys: list[object]) -> None:
    table = pl.DataFrame({"k": keys, "v": [1, 2, 3]})
    data.commit(project, {"t": table.head(2)}, message="x")
    data.commit(project, {"t": table.tail(1)}, message="x")
    for place in range(3):
        data.upsert(project, "t", table.slice(place, 1).with_columns(v=pl.lit(10, pl.Int64)), on=["k"], message="one")
    changed = table.with_columns(v=pl.lit(20, pl.Int64))
    data.upsert(project, "t", changed.tail(2), on=["k"], message="two")
    assert_frame_equal(
        data.scan(project, "t"), pl.concat([table.head(1).with_columns(v=pl.lit(10, pl.Int64)), changed.tail(2)])
    )


@pytest.mark.parametrize("keys", [(1, 1), (None, 2)])
def test_a_batch_whose_keys_say_nothing_is_refused(project: Project, keys: tuple[int | None, int]) -> None:
    data.commit(project, {"t": rows(1)}, message="x")
    with pytest.raises(data.BadKeys):
        data.upsert(project, "t", pl.DataFrame({"k": keys}), on=["k"], message="x")
    with pytest.raises(data.NoSuchColumn, match="q"):
        data.upsert(project, "t", rows(1), on=["q"], message="x")


def test_files_that_cannot_match_are_not_read(project: Project) -> None:
    for start in (0, 100, 200, 300, 400):
        data.commit(project, {"t": rows(*range(start, start + 50), f=[float("nan"), *[1.5] * 49])}, message="x")
    first = data.load_manifest(project, data.resolve(project).tables["t"].manifest).data[0]
    Path(project.state / first.path).rename(project.state / "away")
    assert data.scan(project, "t", where=pl.col("k") >= 100).height == 200
    data.delete(project, "t", "k = 203", message="x")
    data.upsert(project, "t", rows(104), on=["k"], message="x")
    Path(project.state / "away").rename(project.state / first.path)
    # Not-a-number is above every number: no bound may rule its file out.
    assert data.scan(project, "t", where=pl.col("f") > 2).height == 5


def test_compacting_keeps_what_was_added_meanwhile(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in range(4):
        data.commit(project, {"t": rows(start)}, message="x")
    module = importlib.import_module("bucle.line.data.compact")
    real, met = module._written, list[int]()

    def slow(*given: Any) -> Any:
        if not met:
            met.append(1)
            data.commit(project, {"t": rows(9)}, message="meanwhile")
        return real(*given)

    monkeypatch.setattr(module, "_written", slow)
    made = data.compact(project, "t")
    assert met
    assert data.scan(project, "t")["k"].to_list() == [0, 1, 2, 3, 9]
    assert made.tables["t"].files == 2
    assert sorted(as_iceberg(project, made, "t")["k"]) == [0, 1, 2, 3, 9]
    assert data.compact(project, "t").tables["t"].files == 1
    summary = StaticTable.from_metadata(f"file://{project.state}/{made.tables['t'].metadata_location}")
    assert summary.current_snapshot().summary.operation.value == "replace"  # type: ignore[union-attr]
