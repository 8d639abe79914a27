from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data


def rows(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"x": list(values)})


def test_a_branch_does_not_see_what_happens_on_another(project: Project) -> None:
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"t": rows(2)}, branch="trial", message="there")
    assert data.scan(project, "t")["x"].to_list() == [1]
    assert data.scan(project, "t", at="trial")["x"].to_list() == [1, 2]


def test_a_merge_without_change_on_the_target_takes_the_sources_head(project: Project) -> None:
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "trial")
    there = data.commit(project, {"t": rows(2)}, branch="trial", message="there")
    assert data.merge(project, "trial", message="bring it").id == there.id
    assert data.scan(project, "t")["x"].to_list() == [1, 2]
    assert data.merge(project, "trial", message="again").id == there.id


def test_changes_of_different_tables_and_files_merge(any_project: Project) -> None:
    data.commit(any_project, {"a": rows(1), "b": rows(1)}, message="start", files={"x": b"1"})
    data.create_branch(any_project, "trial")
    theirs = data.commit(any_project, {"a": rows(2), "new": rows(7)}, branch="trial", message="a", files={"y": b"2"})
    ours = data.commit(any_project, {"b": rows(3)}, message="b", files={"x": None, "z": b"3"})
    merged = data.merge(any_project, "trial", message="both")
    assert merged.parents == (ours.id, theirs.id)
    assert {name: data.scan(any_project, name)["x"].to_list() for name in data.tables(any_project)} == {
        "a": [1, 2],
        "b": [1, 3],
        "new": [7],
    }
    assert sorted(data.files(any_project)) == ["y", "z"]
    assert data.log(any_project)[0].id == merged.id
    assert len(data.log(any_project)) == 4


def test_a_table_both_sides_changed_is_a_conflict_that_names_it(project: Project) -> None:
    data.commit(project, {"a": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"a": rows(2)}, branch="trial", mode="overwrite", message="there")
    here = data.commit(project, {"a": rows(3)}, message="here")
    with pytest.raises(data.Conflict, match="table 'a'"):
        data.merge(project, "trial", message="both")
    assert data.resolve(project, "main").id == here.id


def test_rows_that_both_sides_added_to_one_table_are_all_there(any_project: Project) -> None:
    data.commit(any_project, {"a": rows(1)}, message="start")
    data.create_branch(any_project, "trial")
    data.commit(any_project, {"a": rows(2)}, branch="trial", message="there")
    data.commit(any_project, {"a": rows(3)}, branch="trial", message="there again")
    data.commit(any_project, {"a": rows(4)}, message="here")
    merged = data.merge(any_project, "trial", message="both")
    assert data.scan(any_project, "a")["x"].to_list() == [1, 4, 2, 3]
    assert merged.tables["a"].rows == 4
    data.commit(any_project, {"a": rows(5)}, branch="trial", message="and again")
    data.commit(any_project, {"a": rows(6)}, message="here again")
    data.merge(any_project, "trial", message="both again")
    assert data.scan(any_project, "a")["x"].to_list() == [1, 4, 2, 3, 6, 5]
    assert data.verify_files(any_project) == []


def test_a_column_that_one_side_added_is_kept_by_the_merge(project: Project) -> None:
    data.commit(project, {"a": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"a": rows(2).with_columns(y=pl.lit("two"))}, branch="trial", message="there")
    data.commit(project, {"a": rows(3)}, message="here")
    data.merge(project, "trial", message="both")
    assert data.scan(project, "a").rows() == [(1, None), (3, None), (2, "two")]


def test_columns_that_both_sides_added_are_a_conflict(project: Project) -> None:
    data.commit(project, {"a": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"a": rows(2).with_columns(y=pl.lit("two"))}, branch="trial", message="there")
    data.commit(project, {"a": rows(3).with_columns(z=pl.lit(3.0))}, message="here")
    with pytest.raises(data.Conflict, match="table 'a'"):
        data.merge(project, "trial", message="both")


def test_a_table_made_on_both_sides_is_a_conflict(project: Project) -> None:
    data.commit(project, {"a": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"b": rows(2)}, branch="trial", message="there")
    data.commit(project, {"b": rows(3)}, message="here")
    with pytest.raises(data.Conflict, match="table 'b'"):
        data.merge(project, "trial", message="both")


def test_the_same_change_on_both_sides_is_no_conflict(project: Project) -> None:
    data.commit(project, {"a": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"a": rows(2)}, branch="trial", mode="overwrite", message="there")
    data.commit(project, {"a": rows(2)}, mode="overwrite", message="here")
    data.merge(project, "trial", message="both")
    assert data.scan(project, "a")["x"].to_list() == [2]


def test_equal_rows_that_both_sides_added_are_kept_twice(project: Project) -> None:
    data.commit(project, {"a": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"a": rows(2)}, branch="trial", message="there")
    data.commit(project, {"a": rows(2)}, message="here")
    data.merge(project, "trial", message="both")
    assert data.scan(project, "a")["x"].to_list() == [1, 2, 2]


def test_a_merge_with_a_key_happens_once(any_project: Project) -> None:
    data.commit(any_project, {"a": rows(1)}, message="start")
    data.create_branch(any_project, "trial")
    data.commit(any_project, {"a": rows(2)}, branch="trial", message="there")
    first = data.merge(any_project, "trial", message="m", key="merge/1")
    size = any_project.ledger.size()
    assert data.merge(any_project, "trial", message="m", key="merge/1") == first
    assert any_project.ledger.size() == size


def test_branches_are_made_listed_and_removed(any_project: Project) -> None:
    made = data.commit(any_project, {"t": rows(1)}, message="start")
    data.create_branch(any_project, "trial", at=made.id[:10])
    with pytest.raises(data.BranchExists):
        data.create_branch(any_project, "trial")
    assert [branch.name for branch in data.branches(any_project)] == ["main", "trial"]
    kept = data.commit(any_project, {"t": rows(2)}, branch="trial", message="there")
    data.delete_branch(any_project, "trial")
    assert [branch.name for branch in data.branches(any_project)] == ["main"]
    assert data.scan(any_project, "t", at=kept.id).height == 2
    with pytest.raises(data.NoSuchBranch):
        data.delete_branch(any_project, "trial")
    with pytest.raises(data.BranchProtected):
        data.delete_branch(any_project, "main")


def test_a_diff_tells_what_changed_by_table(project: Project) -> None:
    first = data.commit(project, {"a": rows(1), "b": rows(1)}, message="start")
    wider = pl.DataFrame({"x": [2], "y": ["new"]})
    second = data.commit(project, {"a": wider, "c": rows(1, 2)}, message="more")
    changed, added = data.diff(project, first.id, second.id)
    assert (changed.table, changed.change, changed.rows_before, changed.rows_after) == ("a", "changed", 1, 2)
    assert (changed.files_added, changed.files_removed, changed.columns_added) == (1, 0, ("y",))
    assert (added.table, added.change, added.rows_after) == ("c", "added", 2)
    assert [d.change for d in data.diff(project, second.id, first.id)] == ["changed", "removed"]
    assert data.diff(project, "main", second.id) == []


def test_files_travel_with_commits(project: Project, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(b"z" * 100_000)
    first = data.commit(project, {}, files={"a/x.txt": b"one", "big": tmp_path / "big.bin"}, message="files")
    data.commit(project, {}, files={"a/x.txt": b"two", "big": None}, message="changed")
    assert data.read_file(project, "a/x.txt") == b"two"
    assert data.read_file(project, "a/x.txt", at=first.id) == b"one"
    assert data.file_path(project, "big", at=first.id).stat().st_size == 100_000
    assert sorted(data.files(project)) == ["a/x.txt"]
    with pytest.raises(data.NoSuchFile) as missing:
        data.read_file(project, "a/x.tx")
    assert "'a/x.txt'" in missing.value.fix


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../b", "a//b", "./a", "a\\b", "a/"])
def test_a_path_that_climbs_out_is_refused(project: Project, path: str) -> None:
    with pytest.raises(data.BadPath):
        data.commit(project, {}, files={path: b"x"}, message="bad")
    assert project.ledger.size() == 0


STEPS = st.tuples(
    st.sampled_from(["main", "side"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["append", "append", "overwrite"]),
)


@given(st.lists(STEPS, max_size=6))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_merge_loses_no_row_or_refuses(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, Literal["append", "overwrite"]]]
) -> None:
    root = tmp_path_factory.mktemp("merge")
    (root / "bucle.toml").write_text('[project]\nname = "m"\n')
    project = Project.open(root, clock=SimulatedClock(datetime(2013, 1, 1, tzinfo=UTC)))
    data.commit(project, {"a": rows(0), "b": rows(0)}, message="start")
    data.create_branch(project, "side")
    touched = {"main": set[str](), "side": set[str]()}
    replaced = set[str]()
    for number, (branch, table, mode) in enumerate(steps, start=1):
        data.commit(project, {table: rows(number)}, branch=branch, mode=mode, message="step")
        touched[branch].add(table)
        if mode == "overwrite":
            replaced.add(table)
    sides = {side: _content(project, side) for side in touched}
    both = touched["main"] & touched["side"]
    if both & (replaced | {"c"}):
        with pytest.raises(data.Conflict):
            data.merge(project, "side", message="merge")
        assert _content(project, "main") == sides["main"]
    else:
        data.merge(project, "side", message="merge")
        found = _content(project, "main")
        for table in found:
            here, there = sides["main"].get(table, set()), sides["side"].get(table, set())
            only = "main" if table in touched["main"] else "side" if table in touched["side"] else "main"
            assert found[table] == (here | there if table in both else sides[only][table])
    project.close()


def _content(project: Project, branch: str) -> dict[str, set[int]]:
    return {table: set(data.scan(project, table, at=branch)["x"]) for table in data.tables(project, at=branch)}
