"""Rows that came, went and changed between two commits."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import data

ROW = st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", None]))


def frame(rows: list[tuple[int, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"x": pl.Int64, "s": pl.String}, orient="row")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.lists(ROW, max_size=4)), min_size=2, max_size=4))
def test_rows_removed_and_added_lead_from_one_to_the_other(
    project: Project, steps: list[tuple[bool, list[tuple[int, str | None]]]]
) -> None:
    table = f"t{len(data.log(project))}"
    made = [
        data.commit(project, {table: frame(rows)}, mode="append" if adds else "overwrite", message="m")
        for adds, rows in steps
    ]
    held = [Counter(data.scan(project, table, at=one.id).rows()) for one in made]
    for first in (0, len(made) // 2):
        found = data.diff_rows(project, table, made[first].id, made[-1].id)
        assert Counter(found.removed.rows()) == held[first] - held[-1]
        assert Counter(found.added.rows()) == held[-1] - held[first]


def test_with_a_key_a_row_that_changed_is_shown_before_and_after(any_project: Project) -> None:
    first = data.commit(any_project, {"t": frame([(1, "a"), (2, "b"), (3, None)])}, message="start")
    data.commit(any_project, {"t": frame([(1, "a"), (3, "c"), (4, "d")])}, mode="overwrite", message="new")
    found = data.diff_rows(any_project, "t", first.id, "main", key=["x"])
    assert found.removed.rows() == [(2, "b")]
    assert found.added.rows() == [(4, "d")]
    assert (found.before.rows(), found.after.rows()) == ([(3, None)], [(3, "c")])


def test_files_that_both_have_are_not_read(project: Project) -> None:
    first = data.commit(project, {"t": frame([(1, "a")])}, message="start")
    data.commit(project, {"t": frame([(2, "b")])}, message="more")
    for path in (project.state / "lake").glob("*/data/*.parquet"):
        if pl.read_parquet(path)["x"].to_list() == [1]:
            path.unlink()
    found = data.diff_rows(project, "t", first.id, "main")
    assert (found.added.rows(), found.removed.rows()) == ([(2, "b")], [])


def test_a_table_that_came_or_went_is_all_added_or_removed(project: Project) -> None:
    first = data.commit(project, {"u": frame([(9, "z")])}, message="start")
    second = data.commit(project, {"t": frame([(1, "a")])}, message="new table")
    came, went = (data.diff_rows(project, "t", *ids) for ids in ((first.id, second.id), (second.id, first.id)))
    assert (came.added.rows(), came.removed.rows()) == ([(1, "a")], [])
    assert (went.added.rows(), went.removed.rows()) == ([], [(1, "a")])
    with pytest.raises(data.NoSuchTable):
        data.diff_rows(project, "nothing", first.id, second.id)


def test_a_new_column_and_its_statistics(project: Project) -> None:
    first = data.commit(project, {"t": frame([(1, "a")])}, message="start")
    more = pl.DataFrame({"x": [5], "s": [None], "y": [2.5]}, schema_overrides={"s": pl.String})
    data.commit(project, {"t": more}, message="a column more")
    assert data.diff_rows(project, "t", first.id, "main").added.rows() == [(5, None, 2.5)]
    by_name = {one.column: one for one in data.diff_columns(project, "t", first.id, "main")}
    before, after = by_name["x"].before, by_name["x"].after
    assert before is not None
    assert after is not None
    assert (before.greatest, after.greatest, after.mean) == ("1", "5", 3.0)
    assert by_name["y"].before is None
    assert by_name["y"].after == data.ColumnContent("double", 1, 2, "2.5", "2.5", 2.5)


def test_a_dropped_columns_values_are_gone_from_files_that_both_have(project: Project) -> None:
    data.commit(project, {"t": frame([(1, "a")])}, message="start")
    first = data.commit(project, {"t": frame([(2, None)])}, message="more")
    second = data.alter(project, "t", ["drop s"])
    for _ in ("as they lie", "written anew"):
        found = data.diff_rows(project, "t", first.id, second.id)
        assert (found.removed.rows(), found.added.rows()) == ([(1, "a")], [(1, None)])
        second = data.compact(project, "t")
    third = data.alter(project, "t", ["add s string"])
    found = data.diff_rows(project, "t", first.id, third.id, key=["x"])
    assert (found.before.rows(), found.after.rows()) == ([(1, "a")], [(1, None)])


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        (pl.Series([1 << 40]), pl.Series([1], dtype=pl.Int32), ([(1 << 40,)], [(1,)])),
        (pl.Series(["x"]), pl.Series([1]), ([("x",)], [("1",)])),
    ],
    ids=["narrower", "another"],
)
def test_a_column_of_another_type_is_compared_in_one_that_holds_both(
    project: Project, old: pl.Series, new: pl.Series, rows: tuple[list[object], list[object]]
) -> None:
    first = data.commit(project, {"t": old.to_frame("v")}, message="start")
    second = data.commit(project, {"t": new.to_frame("v")}, mode="overwrite", message="another type")
    there, back = (data.diff_rows(project, "t", *ids) for ids in ((first.id, second.id), (second.id, first.id)))
    assert (there.removed.rows(), there.added.rows()) == rows
    assert (back.added.rows(), back.removed.rows()) == rows


def test_a_key_that_names_nothing_or_two_rows_is_told(project: Project) -> None:
    first = data.commit(project, {"t": frame([(1, "a"), (1, "b")])}, message="start")
    data.commit(project, {"t": frame([(2, "b")])}, mode="overwrite", message="new")
    with pytest.raises(data.RepeatedKey, match="share their x"):
        data.diff_rows(project, "t", first.id, "main", key=["x"])
    with pytest.raises(data.NoSuchColumn, match="'z'"):
        data.diff_rows(project, "t", first.id, "main", key=["z"])
