from datetime import timedelta

import polars as pl
import pyarrow as pa
import pytest

from bucle.ground.core import BadName, SimulatedClock, UserError
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import data

FLIGHTS = pl.DataFrame({"id": [1, 2, 3], "carrier": ["UA", "AA", None], "delay": [1.5, None, -2.0]})


def test_what_is_committed_is_what_is_read(project: Project) -> None:
    made = data.commit(project, {"flights": FLIGHTS}, message="first")
    assert data.scan(project, "flights").equals(FLIGHTS)
    assert data.resolve(project, "main") == made
    assert made.tables["flights"].rows == 3


def test_a_commit_is_one_event_with_its_state_and_lineage(any_project: Project) -> None:
    first = data.commit(any_project, {"flights": FLIGHTS}, message="first")
    second = data.commit(any_project, {"flights": FLIGHTS}, message="second")
    events = any_project.ledger.events(kinds=["data.*"])
    assert [event.subject for event in events] == ["branch/main", "branch/main"]
    assert events[1].data["commit"] == second.id
    assert events[1].data["tables"]["flights"]["rows_added"] == 3
    edges = any_project.ledger.lineage(f"table/flights@{second.id}")
    assert {(edge.source, edge.kind) for edge in edges} == {
        (f"commit/{second.id}", "holds"),
        (f"commit/{first.id}", "followed_by"),
    }
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_appends_follow_each_other_and_every_commit_can_still_be_read(any_project: Project) -> None:
    commits = [data.commit(any_project, {"t": pl.DataFrame({"x": [i]})}, message=str(i)) for i in range(4)]
    assert [data.scan(any_project, "t", at=made.id)["x"].to_list() for made in commits] == [
        list(range(i + 1)) for i in range(4)
    ]
    assert [made.id for made in data.log(any_project)] == [made.id for made in reversed(commits)]
    assert [made.id for made in data.log(any_project, limit=2)] == [commits[3].id, commits[2].id]


def test_several_tables_become_visible_in_one_step(project: Project) -> None:
    made = data.commit(project, {"a": FLIGHTS, "b": FLIGHTS.head(1)}, message="both")
    assert data.tables(project) == ["a", "b"]
    assert {name: state.rows for name, state in made.tables.items()} == {"a": 3, "b": 1}
    assert len(data.log(project)) == 1


def test_overwriting_leaves_the_old_rows_readable_at_their_commit(project: Project) -> None:
    before = data.commit(project, {"t": FLIGHTS}, message="old")
    data.commit(project, {"t": FLIGHTS.head(1)}, message="new", mode="overwrite")
    assert data.scan(project, "t").height == 1
    assert data.scan(project, "t", at=before.id).equals(FLIGHTS)


def test_the_same_history_has_the_same_commit_ids(project: Project, clock: SimulatedClock) -> None:
    data.create_branch(project, "twin")
    ids = []
    for branch in ("main", "twin"):
        data.commit(project, {"t": FLIGHTS}, branch=branch, message="one")
        ids.append(data.commit(project, {"t": FLIGHTS}, branch=branch, message="two").id)
    assert ids[0] == ids[1]
    clock.advance(timedelta(seconds=1))
    assert data.commit(project, {"t": FLIGHTS}, message="two").id != ids[0]


def test_a_key_makes_a_commit_happen_once(any_project: Project) -> None:
    first = data.commit(any_project, {"t": FLIGHTS}, message="x", key="load/1")
    again = data.commit(any_project, {"t": FLIGHTS}, message="x", key="load/1")
    assert again == first
    assert data.scan(any_project, "t").height == 3
    assert any_project.ledger.size() == 1


def test_what_also_writes_is_kept_with_the_commit_or_not_at_all(any_project: Project) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        data.commit(any_project, {"t": FLIGHTS}, message="x", also=fail)
    assert data.log(any_project) == []
    data.commit(any_project, {"t": FLIGHTS}, message="x", also=lambda tx: tx.edge("segment/1", "table/t", "moved_to"))
    assert [edge.source for edge in any_project.ledger.edges_of(["table/t"], upstream=True)] == ["segment/1"]


def test_only_the_columns_and_rows_asked_for_come_back(project: Project) -> None:
    data.commit(project, {"t": FLIGHTS}, message="x")
    got = data.scan(project, "t", columns=["id"], where=pl.col("carrier") == "UA")
    assert got.to_dict(as_series=False) == {"id": [1]}


def test_a_snapshot_tells_rows_columns_and_digest(project: Project) -> None:
    made = data.commit(project, {"t": FLIGHTS}, message="x")
    seen = data.snapshot(project, "t")
    assert (seen.commit, seen.rows, seen.files) == (made.id, 3, 1)
    assert seen.columns == {"id": "long", "carrier": "string", "delay": "double"}
    assert seen.digest == made.tables["t"].digest


def test_arrow_tables_are_taken_as_they_are(project: Project) -> None:
    data.commit(project, {"t": pa.table({"x": [1, 2]})}, message="x")
    assert data.scan(project, "t")["x"].to_list() == [1, 2]


def test_a_batch_without_rows_makes_a_table_without_rows(project: Project) -> None:
    data.commit(project, {"t": FLIGHTS.clear()}, message="empty")
    assert data.scan(project, "t").equals(FLIGHTS.clear())
    data.commit(project, {"t": FLIGHTS}, message="full")
    data.commit(project, {"t": FLIGHTS.clear()}, message="nothing new")
    assert data.scan(project, "t").equals(FLIGHTS)


def test_a_commit_needs_something_to_make_visible(project: Project) -> None:
    with pytest.raises(data.EmptyCommit):
        data.commit(project, {}, message="x")
    with pytest.raises(BadName):
        data.commit(project, {"no/such": FLIGHTS}, message="x")
    with pytest.raises(data.NoSuchBranch, match="nain"):
        data.commit(project, {"t": FLIGHTS}, branch="nain", message="x")
    assert project.ledger.size() == 0


def test_what_is_not_there_is_named_with_a_near_miss(project: Project) -> None:
    data.commit(project, {"flights": FLIGHTS}, message="x")
    with pytest.raises(data.NoSuchTable) as table:
        data.scan(project, "fligths")
    assert "'flights'" in table.value.fix
    with pytest.raises(data.NoSuchColumn) as column:
        data.scan(project, "flights", columns=["carier"])
    assert "'carrier'" in column.value.fix
    with pytest.raises(data.NoSuchColumn):
        data.scan(project, "flights", where=pl.col("nothing") > 1)
    with pytest.raises(data.NoSuchCommit):
        data.scan(project, "flights", at="mian")


def test_a_commit_is_found_by_prefix_and_by_instant(any_project: Project, clock: SimulatedClock) -> None:
    start = clock.now()
    first = data.commit(any_project, {"t": FLIGHTS}, message="1")
    clock.advance(timedelta(days=31))
    second = data.commit(any_project, {"t": FLIGHTS}, message="2")
    assert data.resolve(any_project, first.id[:12]).id == first.id
    assert data.resolve(any_project, f"main@{(start + timedelta(days=5)).isoformat()}").id == first.id
    assert data.resolve(any_project, f"main@{clock.now().isoformat()}").id == second.id
    assert data.resolve(any_project, f"main@{(start + timedelta(days=5)).date().isoformat()}").id == first.id
    with pytest.raises(UserError, match="time zone"):
        data.resolve(any_project, "main@2013-01-05T12:00:00")
    with pytest.raises(data.NoSuchCommit):
        data.resolve(any_project, "main@2012-01-01T00:00:00Z")
    with pytest.raises(BadName):
        data.resolve(any_project, "main@yesterday")


def test_reading_before_the_first_commit_says_so(project: Project) -> None:
    assert data.log(project) == []
    assert [branch.name for branch in data.branches(project)] == ["main"]
    with pytest.raises(data.NoSuchCommit, match="no commit yet"):
        data.tables(project)
