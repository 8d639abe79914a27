"""The catalog's verbs on both databases: what Iceberg clients do is a commit as any other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import data

SCHEMA = {"type": "struct", "fields": [{"id": 7, "name": "n", "type": "long", "required": False}]}
ROWS = pl.DataFrame({"n": [1, 2]})


def setting(table: str, name: str, value: str = "1") -> data.TableChange:
    update = {"action": "set-properties", "updates": {name: value}}
    return data.TableChange(table=table, requirements=(), updates=(update,))


def properties(project: Project, table: str) -> dict[str, Any]:
    return dict(data.table_metadata(project, table).metadata["properties"])


def test_changes_made_at_once_are_all_there(any_project: Project) -> None:
    for table in ("a", "b"):
        data.create_table(any_project, table, {"schema": SCHEMA}, message="made")
    work = [("ab"[n % 2], f"p{n}") for n in range(12)]

    def change(one: tuple[str, str]) -> None:
        data.commit_metadata(any_project, [setting(*one)], message="set")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, work))
    for table, name in work:
        assert properties(any_project, table)[name] == "1"
    assert len(data.log(any_project)) == 2 + len(work)
    assert data.verify_files(any_project) == []


def test_a_second_call_with_a_key_gives_the_first_commit(any_project: Project) -> None:
    data.create_table(any_project, "a", {"schema": SCHEMA}, message="made")
    first = data.commit_metadata(any_project, [setting("a", "p")], message="set", key="k")
    assert data.commit_metadata(any_project, [setting("a", "q")], message="set", key="k") == first
    assert "q" not in properties(any_project, "a")


def test_one_commit_over_two_tables_fails_as_a_whole(any_project: Project) -> None:
    data.commit(any_project, {"a": ROWS}, message="rows")
    head = data.resolve(any_project).id
    with pytest.raises(data.NoSuchTable):
        data.commit_metadata(any_project, [setting("a", "p"), setting("no", "p")], message="set")
    assert data.resolve(any_project).id == head
    assert "p" not in properties(any_project, "a")


def test_rows_go_into_a_table_that_was_made_empty(any_project: Project) -> None:
    made = data.create_table(any_project, "a", {"schema": SCHEMA}, message="made")
    assert data.scan(any_project, "a").schema == {"n": pl.Int64}
    data.commit(any_project, {"a": ROWS}, message="rows")
    assert data.scan(any_project, "a").equals(ROWS)
    assert data.table_metadata(any_project, "a").metadata["table-uuid"] == made.metadata["table-uuid"]


def test_what_was_set_stays_when_rows_are_replaced(any_project: Project) -> None:
    data.commit(any_project, {"a": ROWS}, message="rows")
    data.commit_metadata(any_project, [setting("a", "owner", "ana")], message="set")
    data.commit(any_project, {"a": ROWS}, message="again", mode="overwrite")
    assert properties(any_project, "a")["owner"] == "ana"


def test_setting_something_is_a_change_that_a_merge_brings_over(any_project: Project) -> None:
    data.commit(any_project, {"a": ROWS, "b": ROWS}, message="rows")
    data.create_branch(any_project, "dev")
    data.commit_metadata(any_project, [setting("a", "owner", "ana")], branch="dev", message="set")
    data.commit(any_project, {"b": ROWS}, message="other rows")
    assert [one.table for one in data.diff(any_project, "main", "dev")] == ["a", "b"]
    data.merge(any_project, "dev", message="both")
    assert properties(any_project, "a")["owner"] == "ana"
    assert data.scan(any_project, "b").height == 4


def test_a_dropped_table_can_be_read_where_it_was(any_project: Project) -> None:
    first = data.commit(any_project, {"a": ROWS}, message="rows")
    data.drop_table(any_project, "a", message="dropped")
    assert data.tables(any_project) == []
    data.sweep(any_project, older_than=timedelta(0))
    assert data.scan(any_project, "a", at=first.id).equals(ROWS)
    with pytest.raises(data.NoSuchTable):
        data.drop_table(any_project, "a", message="again")


def test_a_renamed_table_keeps_its_rows_and_takes_no_name_in_use(any_project: Project) -> None:
    data.commit(any_project, {"a": ROWS, "b": ROWS}, message="rows")
    with pytest.raises(data.TableExists):
        data.rename_table(any_project, "a", "b", message="no")
    data.rename_table(any_project, "a", "sales.c", message="renamed")
    assert data.tables(any_project) == ["b", "sales.c"]
    data.commit(any_project, {"sales.c": ROWS}, message="more")
    assert data.scan(any_project, "sales.c").height == 4
    assert data.namespaces(any_project) == ["default", "sales"]


@pytest.mark.parametrize("kind", ["uuid", "fixed[16]", "timestamp_ns", "nothing"])
def test_types_that_are_not_kept_are_refused(any_project: Project, kind: str) -> None:
    fields = [{"id": 1, "name": "n", "type": kind, "required": False}]
    with pytest.raises(data.BadMetadata):
        data.create_table(any_project, "a", {"schema": {"type": "struct", "fields": fields}}, message="made")
    assert data.table_names(any_project) == []


@given(st.lists(st.text("ab.", max_size=4), min_size=1, max_size=3), st.text("ab.", max_size=4))
def test_no_two_tables_of_a_client_share_a_name_of_ours(levels: list[str], name: str) -> None:
    joined = data.join_name(levels, name)
    if joined is not None:
        assert data.split_name(joined) == (tuple(levels), name)


@given(st.text("ab.", max_size=8) | st.sampled_from(["default", "default.a", "a.default"]))
def test_a_name_that_can_be_split_is_joined_again(name: str) -> None:
    parted = data.split_name(name)
    if parted is not None:
        assert data.join_name(*parted) == name
