"""Tags, picks, reverts, bisections, annotations: finding and mending what happened."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import data


def rows(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"x": list(values)})


def values(project: Project, table: str = "t", at: str = "main") -> list[int]:
    return data.scan(project, table, at=at)["x"].to_list()


# --- tags


def test_a_tag_stays_while_its_branch_moves_on(any_project: Project) -> None:
    first = data.commit(any_project, {"t": rows(1)}, message="start")
    made = data.create_tag(any_project, "trained-on", message="the model of March")
    data.commit(any_project, {"t": rows(2)}, message="more")
    assert made.commit == first.id
    assert values(any_project, at="trained-on") == [1]
    assert [one.name for one in data.tags(any_project)] == ["trained-on"]
    data.create_branch(any_project, "again", "trained-on")
    assert values(any_project, at="again") == [1]
    data.delete_tag(any_project, "trained-on")
    with pytest.raises(data.NoSuchCommit, match="no tag"):
        data.resolve(any_project, "trained-on")
    assert values(any_project, at=first.id) == [1]


def test_a_name_is_a_tags_or_a_branchs(project: Project) -> None:
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_tag(project, "v1")
    data.create_branch(project, "trial")
    for name in ("v1", "trial", "main"):
        with pytest.raises(data.TagExists):
            data.create_tag(project, name)
    with pytest.raises(data.BranchExists):
        data.create_branch(project, "v1")
    with pytest.raises(data.NoSuchTag, match="trial"):
        data.delete_tag(project, "trial")


# --- a lake of many tables


def test_commits_share_what_they_have_in_common(any_project: Project) -> None:
    names = [f"t{place:03d}" for place in range(300)]
    data.commit(any_project, {name: rows(1) for name in names}, message="many")
    first = _parts(any_project)
    data.commit(any_project, {names[7]: rows(2)}, message="one")
    assert len(first) > 1
    assert len(_parts(any_project) - first) == 1
    assert data.tables(any_project) == names
    assert values(any_project, names[7]) == [1, 2]


def _parts(project: Project) -> set[str]:
    from bucle.line.data.tables import TABLE_PARTS

    with project.database.reading() as connection:
        return {row.digest for row in connection.execute(TABLE_PARTS.select())}


# --- pick and revert


def test_a_cherry_pick_takes_one_commit_and_not_those_before(any_project: Project) -> None:
    data.commit(any_project, {"t": rows(1)}, message="start")
    data.create_branch(any_project, "trial")
    data.commit(any_project, {"t": rows(2)}, branch="trial", message="not this")
    wanted = data.commit(any_project, {"t": rows(3)}, branch="trial", message="this", files={"a": b"1"})
    data.commit(any_project, {"t": rows(9)}, message="meanwhile")
    made = data.cherry_pick(any_project, wanted.id)
    assert values(any_project) == [1, 9, 3]
    assert list(data.files(any_project)) == ["a"]
    assert (made.message, len(made.parents)) == ("this", 1)
    with pytest.raises(data.EmptyCommit):
        data.cherry_pick(any_project, data.log(any_project)[1].id)


def test_two_columns_that_bear_one_field_id_are_not_put_together(project: Project) -> None:
    """Each side gave the next id to a column of its own: engines that read by id would take one for the other."""
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "side")
    data.commit(project, {"t": pl.DataFrame({"x": [2], "a": [20]})}, branch="side", message="a comes")
    more = data.commit(project, {"t": pl.DataFrame({"x": [3], "a": [30]})}, branch="side", message="more")
    data.commit(project, {"t": pl.DataFrame({"x": [4], "b": [40]})}, message="b comes")
    head = data.head_of(project, "main")
    with pytest.raises(data.Conflict):
        data.cherry_pick(project, more.id)
    data.alter(project, "t", ["drop a"], branch="side")
    with pytest.raises(data.Conflict):
        data.merge(project, "side", message="its files still hold a's values under b's id")
    assert data.head_of(project, "main") == head


def test_a_column_that_was_renamed_once_keeps_nobody_from_merging(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": [1], "old": [10]})}, message="start")
    data.alter(project, "t", ["rename old new"])
    data.create_branch(project, "side")
    ours = data.commit(project, {"t": pl.DataFrame({"x": [2], "new": [20]})}, message="ours")
    data.commit(project, {"t": pl.DataFrame({"x": [3], "new": [30]})}, branch="side", message="theirs")
    data.merge(project, "side", message="both")
    assert data.scan(project, "t").rows() == [(1, 10), (2, 20), (3, 30)]
    data.revert(project, ours.id)
    assert data.scan(project, "t").rows() == [(1, 10), (3, 30)]


def test_rows_written_under_another_name_keep_their_values_through_a_merge(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": [1], "a": [10]})}, message="start")
    data.create_branch(project, "side")
    data.alter(project, "t", ["rename a b"], branch="side")
    data.commit(project, {"t": pl.DataFrame({"x": [2], "b": [20]})}, branch="side", message="as b")
    data.alter(project, "t", ["rename b a"], branch="side")
    data.commit(project, {"t": pl.DataFrame({"x": [3], "a": [30]})}, message="ours")
    data.merge(project, "side", message="both")
    assert data.scan(project, "t").rows() == [(1, 10), (3, 30), (2, 20)]


def test_a_picked_row_brings_its_column_unless_it_was_dropped_here(project: Project) -> None:
    data.commit(project, {"t": rows(1)}, message="start")
    for name in ("side", "dropped"):
        data.create_branch(project, name)
    data.commit(project, {"t": pl.DataFrame({"x": [2], "a": [20]})}, branch="side", message="a comes")
    more = data.commit(project, {"t": pl.DataFrame({"x": [3], "a": [30]})}, branch="side", message="more")
    data.cherry_pick(project, more.id)
    assert data.scan(project, "t").rows() == [(1, None), (3, 30)]
    data.merge(project, "side", "dropped", message="a comes here too")
    data.alter(project, "t", ["drop a"], branch="dropped")
    data.commit(project, {"t": rows(4)}, branch="dropped", message="on")
    again = data.commit(project, {"t": pl.DataFrame({"x": [5], "a": [50]})}, branch="side", message="again")
    data.cherry_pick(project, again.id, "dropped")
    assert data.scan(project, "t", at="dropped").rows() == [(1,), (2,), (3,), (4,), (5,)]
    data.commit(project, {"t": pl.DataFrame({"x": [6], "c": [60]})}, message="c comes")
    assert data.table_metadata(project, "t").metadata["last-column-id"] == 3


def test_rows_that_were_parted_in_another_way_are_not_put_together(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": [1], "r": ["a"], "s": ["p"]})}, message="start")
    data.create_branch(project, "side")
    data.alter(project, "t", ["partition by r"], branch="side")
    more = data.commit(project, {"t": pl.DataFrame({"x": [2], "r": ["b"], "s": ["q"]})}, branch="side", message="more")
    with pytest.raises(data.Conflict):
        data.cherry_pick(project, more.id)
    data.alter(project, "t", ["partition by s"])
    with pytest.raises(data.Conflict):
        data.cherry_pick(project, more.id)
    with pytest.raises(data.Conflict):
        data.merge(project, "side", message="one number, two ways")


def test_a_revert_undoes_one_commit_and_keeps_the_others(any_project: Project) -> None:
    data.commit(any_project, {"t": rows(1), "u": rows(1)}, message="start")
    wrong = data.commit(any_project, {"t": rows(7)}, mode="overwrite", message="wrong", files={"a": b"1"})
    data.commit(any_project, {"u": rows(2)}, message="meanwhile")
    made = data.revert(any_project, wrong.id)
    assert values(any_project) == [1]
    assert values(any_project, "u") == [1, 2]
    assert data.files(any_project) == {}
    assert made.message == "revert: wrong"
    with pytest.raises(data.EmptyCommit):
        data.revert(any_project, wrong.id)
    data.revert(any_project, made.id)
    assert values(any_project) == [7]


def test_a_branch_is_restored_to_the_very_digests_of_a_commit_and_goes_on_from_there(any_project: Project) -> None:
    good = data.commit(any_project, {"t": rows(1), "u": rows(1)}, files={"a": b"1"}, message="good")
    data.commit(any_project, {"t": rows(7)}, mode="overwrite", message="wrong", files={"a": b"2", "b": b"3"})
    data.commit(any_project, {"u": rows(2), "v": rows(3)}, message="more")
    one = data.restore(any_project, good.id, tables=["t"], key="k")
    assert data.restore(any_project, good.id, tables=["t"], key="k") == one
    assert (values(any_project), values(any_project, "u"), set(data.files(any_project))) == ([1], [1, 2], {"a", "b"})
    made = data.restore(any_project, good.id)
    assert (made.tables, made.files, made.message) == (good.tables, good.files, "restore: good")
    with pytest.raises(data.EmptyCommit):
        data.restore(any_project, good.id)
    with pytest.raises(data.NoSuchTable, match="has no table 'tt'"):
        data.restore(any_project, good.id, tables=["tt"])
    data.commit(any_project, {"t": rows(9)}, message="on")
    assert values(any_project) == [1, 9]
    assert len(data.log(any_project)) == 6
    assert data.verify_files(any_project) == []


def test_a_revert_takes_out_the_rows_that_came_and_leaves_those_added_since(any_project: Project) -> None:
    data.commit(any_project, {"t": rows(1)}, message="start")
    wrong = data.commit(any_project, {"t": rows(7, 8)}, message="wrong batch")
    data.commit(any_project, {"t": rows(2)}, message="since")
    data.revert(any_project, wrong.id)
    assert values(any_project) == [1, 2]
    with pytest.raises((data.Conflict, data.EmptyCommit)):
        data.revert(any_project, wrong.id)
    data.cherry_pick(any_project, wrong.id)
    assert values(any_project) == [1, 2, 7, 8]


def test_a_revert_of_what_was_changed_since_is_a_conflict(project: Project) -> None:
    data.commit(project, {"t": rows(1)}, message="start")
    wrong = data.commit(project, {"t": rows(2)}, mode="overwrite", message="wrong")
    after = data.commit(project, {"t": rows(3)}, mode="overwrite", message="since")
    with pytest.raises(data.Conflict, match="'t'"):
        data.revert(project, wrong.id)
    assert data.resolve(project).id == after.id


def test_the_first_commit_can_be_reverted(project: Project) -> None:
    first = data.commit(project, {"t": rows(1)}, message="start")
    data.revert(project, first.id)
    assert data.tables(project) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=6), st.data())
def test_a_revert_and_its_revert_change_nothing(
    project: Project, steps: list[tuple[str, int]], draw: st.DataObject
) -> None:
    branch = f"b{len(data.branches(project))}"
    data.create_branch(project, branch)
    made = [
        data.commit(project, {name: rows(value)}, branch=branch, mode="overwrite", message=name)
        for name, value in steps
    ]
    before = _content(project, branch)
    one = draw.draw(st.sampled_from(made))
    try:
        undone = data.revert(project, one.id, branch)
    except (data.Conflict, data.EmptyCommit):
        assert _content(project, branch) == before
        return
    data.revert(project, undone.id, branch)
    assert _content(project, branch) == before


def _content(project: Project, branch: str) -> dict[str, str]:
    return {name: state.digest for name, state in data.resolve(project, branch).tables.items()}


# --- bisect


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_bisection_finds_the_first_bad_commit(project: Project, draw: st.DataObject) -> None:
    branch = f"b{len(data.branches(project))}"
    data.create_branch(project, branch)
    count = draw.draw(st.integers(2, 12), label="commits")
    made = [data.commit(project, {"t": rows(place)}, branch=branch, message=str(place)) for place in range(count)]
    broken = draw.draw(st.integers(1, count - 1), label="first bad")
    dumb = draw.draw(st.sets(st.integers(1, count - 2)) if count > 2 else st.just(set()), label="not to be judged")
    place = {commit.id: at for at, commit in enumerate(made)}

    def judge(commit: data.Commit) -> bool | None:
        at = place[commit.id]
        return None if at in dumb else at < broken

    found = data.bisect(project, made[0].id, made[-1].id, judge)
    assert made[broken].id in {one.id for one in found.suspects}
    if not dumb:
        assert [one.id for one in found.suspects] == [made[broken].id]
        assert len(found.judged) <= count.bit_length() + 1
    assert all(place[one.id] in dumb | {broken} or place[one.id] > broken for one in found.suspects)


def test_a_bisection_goes_into_what_was_merged(project: Project) -> None:
    good = data.commit(project, {"a": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"b": rows(1)}, branch="trial", message="fine")
    broken = data.commit(project, {"b": rows(-1)}, branch="trial", message="broken")
    data.commit(project, {"a": rows(2)}, message="here")
    bad = data.merge(project, "trial", message="both")
    found = data.bisect(
        project, good.id, bad.id, lambda one: "b" not in one.tables or -1 not in values(project, "b", one.id)
    )
    assert [one.message for one in found.suspects] == ["broken"]
    assert found.suspects[0].id == broken.id


def test_between_strangers_there_is_nothing_to_bisect(project: Project) -> None:
    first = data.commit(project, {"a": rows(1)}, message="start")
    second = data.commit(project, {"a": rows(2)}, message="more")
    for good, bad in ((second.id, first.id), (first.id, first.id)):
        with pytest.raises(data.BadBisection):
            data.bisect(project, good, bad, lambda _: True)


# --- annotate


def test_each_row_knows_the_commit_that_brought_it(any_project: Project) -> None:
    first = data.commit(any_project, {"t": rows(1, 2)}, message="start")
    data.create_branch(any_project, "trial")
    there = data.commit(any_project, {"t": rows(3)}, branch="trial", message="there")
    here = data.commit(any_project, {"t": rows(4)}, message="here")
    data.merge(any_project, "trial", message="both")
    told = data.annotate_rows(any_project, "t")
    origin = dict(zip(told["x"].to_list(), told["_commit"].to_list(), strict=True))
    assert origin == {1: first.id, 2: first.id, 3: there.id, 4: here.id}
    assert [one.message for one in data.annotate(any_project, "t")] == ["start", "here", "there"]
    assert data.annotate_rows(any_project, "t", where=pl.col("x") == 3)["_message"].to_list() == ["there"]
    data.delete(any_project, "t", "x = 1", message="gone")
    told = data.annotate_rows(any_project, "t")
    assert dict(zip(told["x"].to_list(), told["_commit"].to_list(), strict=True)) == {
        2: first.id,
        3: there.id,
        4: here.id,
    }


def test_a_long_history_is_annotated_piece_by_piece(project: Project) -> None:
    """So many files that their list is kept in pieces, some of which go in a compaction."""
    made = [data.commit(project, {"t": rows(number)}, message=str(number)) for number in range(150)]
    assert [one.commit for one in data.annotate(project, "t")] == [commit.id for commit in made]
    compacted = data.compact(project, "t")
    last = data.commit(project, {"t": rows(150)}, message="last")
    assert compacted is not None
    assert [one.commit for one in data.annotate(project, "t")] == [compacted.id, last.id]
    assert data.annotate_rows(project, "t")["_message"].to_list()[-1] == "last"


def test_each_file_knows_the_commit_that_gave_it_its_content(project: Project) -> None:
    first = data.commit(project, {}, files={"a/x": b"1", "b": b"1"}, message="start")
    second = data.commit(project, {}, files={"a/x": b"2"}, message="new a")
    third = data.commit(project, {}, files={"c": b"1"}, message="c")
    told = {one.name: one.commit for one in data.annotate_files(project)}
    assert told == {"a/x": second.id, "b": first.id, "c": third.id}
    assert [one.name for one in data.annotate_files(project, "a")] == ["a/x"]


def test_files_that_came_went_moved_and_changed(project: Project) -> None:
    first = data.commit(project, {}, files={"a": b"1", "b": b"2", "c": b"3"}, message="start")
    data.commit(project, {}, files={"a": None, "d": b"1", "b": b"22", "e": b"5"}, message="more")
    found = {one.path: (one.change, one.path_before) for one in data.diff_files(project, first.id, "main")}
    assert found == {"b": ("changed", ""), "d": ("renamed", "a"), "e": ("added", "")}
    assert data.diff_files(project, "main", "main") == []
