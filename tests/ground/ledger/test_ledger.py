from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from bucle.ground.core import SimulatedClock
from bucle.ground.governance.tables import APPROVALS
from bucle.ground.ledger import AlreadyDone, Edge, LogReport, RowMissing
from bucle.ground.ledger.event import Event, entry_of
from bucle.ground.ledger.tables import EVENTS
from bucle.ground.project import Project

Verify = Callable[[Project], LogReport]
ROW: dict[str, Any] = {
    "subject": "model/x@1",
    "digest": "aa",
    "principal": "eva",
    "at": datetime(2013, 1, 1, tzinfo=UTC),
    "reason": "",
}
KEY = {name: ROW[name] for name in ("subject", "digest", "principal")}


def rows(project: Project) -> list[Any]:
    with project.database.reading() as connection:
        return list(connection.execute(sa.select(APPROVALS)).all())


def test_state_edges_and_event_are_kept_together(any_project: Project, verify: Verify) -> None:
    with any_project.ledger.transaction(
        "test.made", subject="model/x@1", actor="ana", reason="why not", data={"a": 1}
    ) as transaction:
        transaction.insert(APPROVALS, ROW)
        transaction.edge("run/1", "model/x@1", "produced")
        transaction.data["b"] = [2]
    (event,) = any_project.ledger.events()
    assert (event.seq, event.kind, event.subject, event.actor, event.reason) == (
        0, "test.made", "model/x@1", "ana", "why not",
    )  # fmt: skip
    assert event.data == {"a": 1, "b": [2]}
    assert [(change.table, change.key) for change in event.state] == [("approvals", '["model/x@1","aa","eva"]')]
    assert any_project.ledger.edges_of(["model/x@1"], upstream=True) == [
        Edge(source="run/1", target="model/x@1", kind="produced")
    ]
    assert verify(any_project).faults == ()


class Broken(Exception):
    """What interrupts a block."""


def test_a_block_that_fails_keeps_nothing(any_project: Project, verify: Verify) -> None:
    def fail() -> None:
        with any_project.ledger.transaction("test.made", subject="a/b", actor="ana", key="k") as transaction:
            transaction.insert(APPROVALS, ROW)
            transaction.edge("a/b", "c/d", "made")
            raise Broken

    with pytest.raises(Broken):
        fail()
    assert (any_project.ledger.size(), rows(any_project), any_project.ledger.find("k")) == (0, [], None)
    assert any_project.ledger.edges_of(["a/b"], upstream=False) == []
    assert verify(any_project).faults == ()
    any_project.ledger.record("test.made", subject="a/b", actor="ana", key="k")
    assert any_project.ledger.size() == 1


def test_data_that_json_cannot_hold_keeps_nothing(any_project: Project) -> None:
    def fail() -> None:
        with any_project.ledger.transaction("test.made", subject="a/b", actor="ana", data={"x": object()}) as tx:
            tx.insert(APPROVALS, ROW)

    with pytest.raises(TypeError):
        fail()
    assert (any_project.ledger.size(), rows(any_project)) == (0, [])


def test_a_key_is_used_once(any_project: Project) -> None:
    any_project.ledger.record("test.made", subject="a/b", actor="ana", key="k", data={"n": 1})
    ran = []

    def again() -> None:
        with any_project.ledger.transaction("test.made", subject="a/b", actor="ana", key="k") as transaction:
            ran.append(transaction)

    with pytest.raises(AlreadyDone):
        again()
    assert ran == []
    found = any_project.ledger.find("k")
    assert found is not None
    assert found.data == {"n": 1}
    assert any_project.ledger.find("other") is None


def test_the_same_key_inside_its_own_failed_block_is_free_again(any_project: Project) -> None:
    for _ in range(2):
        any_project.ledger.record("test.made", subject="a/b", actor="ana")
    assert any_project.ledger.size() == 2


def test_rows_can_be_changed_put_and_deleted(any_project: Project, verify: Verify) -> None:
    ledger = any_project.ledger
    with ledger.transaction("test.made", subject="a/b", actor="ana") as transaction:
        transaction.put(APPROVALS, ROW)
        transaction.put(APPROVALS, {**ROW, "reason": "second"})
        transaction.update(APPROVALS, KEY, {"reason": "third"})
    assert [row.reason for row in rows(any_project)] == ["third"]
    assert len(ledger.events()[0].state) == 1
    assert verify(any_project).rows == 1
    with ledger.transaction("test.removed", subject="a/b", actor="ana") as transaction:
        transaction.delete(APPROVALS, KEY)
    assert rows(any_project) == []
    assert verify(any_project).faults == ()
    with ledger.transaction("test.returned", subject="a/b", actor="ana") as transaction:
        transaction.insert(APPROVALS, ROW)
    assert verify(any_project).faults == ()


@pytest.mark.parametrize("verb", ["update", "delete"])
def test_a_row_that_is_not_there_is_an_error_and_keeps_nothing(any_project: Project, verb: str) -> None:
    def change() -> None:
        with any_project.ledger.transaction("test.changed", subject="a/b", actor="ana") as transaction:
            transaction.insert(APPROVALS, {**ROW, "digest": "other"})
            transaction.update(APPROVALS, KEY, {"reason": "x"}) if verb == "update" else transaction.delete(
                APPROVALS, KEY
            )

    with pytest.raises(RowMissing):
        change()
    assert (any_project.ledger.size(), rows(any_project)) == (0, [])


def test_a_row_moved_to_another_key_verifies(any_project: Project, verify: Verify) -> None:
    with any_project.ledger.transaction("test.made", subject="a/b", actor="ana") as transaction:
        transaction.insert(APPROVALS, ROW)
    with any_project.ledger.transaction("test.moved", subject="a/b", actor="ana") as transaction:
        transaction.update(APPROVALS, KEY, {"digest": "bb"})
    assert verify(any_project).faults == ()


def test_a_put_of_a_row_that_has_only_a_key_changes_nothing(any_project: Project) -> None:
    with any_project.ledger.transaction("test.made", subject="a/b", actor="ana") as transaction:
        transaction.put(APPROVALS, ROW)
        transaction.put(APPROVALS, KEY)
    assert len(rows(any_project)) == 1


def test_events_are_found_by_kind_subject_and_place(any_project: Project, clock: SimulatedClock) -> None:
    for number in range(6):
        kind = ("data.committed", "data.refused", "database.moved")[number % 3]
        any_project.ledger.record(kind, subject=f"table/{number % 2}", actor="ana")
        clock.advance(timedelta(days=1))
    seqs = lambda **filters: [event.seq for event in any_project.ledger.events(**filters)]  # noqa: E731
    assert seqs() == [0, 1, 2, 3, 4, 5]
    assert seqs(kinds=["data.*"]) == [0, 1, 3, 4]
    assert seqs(kinds=["data.refused", "database.moved"]) == [1, 2, 4, 5]
    assert seqs(subject="table/1") == [1, 3, 5]
    assert seqs(after=2, limit=2) == [3, 4]
    assert seqs(newest_first=True, limit=2) == [5, 4]
    assert [event.at.day for event in any_project.ledger.events()] == [1, 2, 3, 4, 5, 6]


def test_a_wildcard_takes_percent_and_underscore_literally(any_project: Project) -> None:
    any_project.ledger.record("dataXmade", subject="a/b", actor="ana")
    assert any_project.ledger.events(kinds=["data_*"]) == []
    assert any_project.ledger.events(kinds=["%*"]) == []


def test_lineage_walks_both_ways_and_survives_a_circle(any_project: Project) -> None:
    with any_project.ledger.transaction("test.joined", subject="a/1", actor="ana") as transaction:
        for source, target in (("a/1", "b/1"), ("b/1", "c/1"), ("c/1", "a/1"), ("x/1", "c/1")):
            transaction.edge(source, target, "made")
    up = {(edge.source, edge.target) for edge in any_project.ledger.lineage("c/1")}
    assert up == {("a/1", "b/1"), ("b/1", "c/1"), ("c/1", "a/1"), ("x/1", "c/1")}
    down = {(edge.source, edge.target) for edge in any_project.ledger.lineage("x/1", upstream=False, depth=1)}
    assert down == {("x/1", "c/1")}
    assert any_project.ledger.edges_of([], upstream=True) == []


def test_the_same_edge_in_two_events_is_one_line_of_lineage(any_project: Project) -> None:
    for _ in range(2):
        with any_project.ledger.transaction("test.joined", subject="a/1", actor="ana") as transaction:
            transaction.edge("a/1", "b/1", "made")
    assert len(any_project.ledger.lineage("b/1")) == 1


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=8)


@given(TEXT, TEXT, TEXT, TEXT)
def test_two_different_events_never_have_the_same_entry(a: str, b: str, c: str, d: str) -> None:
    def entry(subject: str, reason: str, source: str, target: str) -> bytes:
        event = Event(
            seq=0, at=ROW["at"], actor="x", kind="y", subject=subject, reason=reason, key=None, data={}, state=(),
            leaf="", root="",
        )  # fmt: skip
        return entry_of(event, [Edge(source=source, target=target, kind="z")])

    assert (entry(a, b, c, d) == entry(b, a, d, c)) == ((a, c) == (b, d))


def test_any_text_comes_back_and_verifies(any_project: Project, verify: Verify) -> None:
    awkward = "ñ 日本 \U0001f600 \" ' \\ ; -- \n\t %s :x {}"
    with any_project.ledger.transaction(
        "test.made", subject=awkward, actor=awkward, reason=awkward, key=awkward, data={awkward: awkward}
    ) as transaction:
        transaction.insert(APPROVALS, {**ROW, "reason": awkward})
        transaction.edge(awkward, awkward, awkward)
    (event,) = any_project.ledger.events(subject=awkward)
    assert event.data == {awkward: awkward}
    assert verify(any_project).faults == ()


def test_an_event_added_to_another_write_is_kept_with_it_or_not_at_all(any_project: Project, verify: Verify) -> None:
    ledger = any_project.ledger

    def note(connection: Connection, *, fails: bool = False) -> int:
        seq = ledger.append(connection, "test.noted", subject="a/b", actor="ana", reason="why", data={"x": 1})
        if fails:
            raise Broken
        return seq

    assert [any_project.database.grouped(note) for _ in range(2)] == [0, 1]
    with pytest.raises(Broken):
        any_project.database.grouped(partial(note, fails=True))
    with ledger.transaction("test.made", subject="c/d", actor="ana", first=note) as transaction:
        assert transaction.seq == 3
    assert [(event.kind, event.data) for event in ledger.events()] == [
        ("test.noted", {"x": 1}), ("test.noted", {"x": 1}), ("test.noted", {"x": 1}), ("test.made", {}),
    ]  # fmt: skip
    with any_project.database.reading() as connection:
        assert ledger.newest(connection, "test.noted", ["a/b", "c/d"]) == {"a/b": 2}
    assert verify(any_project).faults == ()


def test_an_event_added_to_another_write_is_covered_by_the_next_root(any_project: Project, verify: Verify) -> None:
    added = partial(any_project.ledger.append, kind="test.noted", subject="a/b", actor="ana")
    any_project.database.grouped(added)
    any_project.ledger.record("test.made", subject="c/d", actor="ana")
    assert [root is None for root in any_project.anchor.roots()] == [True, False]
    with any_project.database.writing() as connection:
        connection.execute(sa.update(EVENTS).where(EVENTS.c.seq == 0).values(actor="eve"))
    assert [fault.where for fault in verify(any_project).faults] == ["event 0"]
