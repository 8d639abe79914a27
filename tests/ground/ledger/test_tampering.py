"""Whoever changes the past behind the ledger's back is found, and the first bad place is named."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bucle.ground.core import SimulatedClock, decode, encode
from bucle.ground.ledger import Anchor, LogReport, verify_log
from bucle.ground.ledger.event import Edge, entry_of
from bucle.ground.ledger.ledger import event_of_row
from bucle.ground.ledger.merkle import Frontier, leaf_hash
from bucle.ground.ledger.tables import EDGES, EVENTS, HEAD
from bucle.ground.project import Project
from bucle.ground.store import METADATA, Database

Verify = Callable[[Project], LogReport]
Fill = Callable[[Project], Project]


def run(project: Project, *statements: str) -> None:
    with project.database.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


CHANGES: list[tuple[list[str], str]] = [
    (["UPDATE events SET actor = 'mallory' WHERE seq = 4"], "event 4"),
    (["UPDATE events SET at = at + 1 WHERE seq = 0"], "event 0"),
    (["UPDATE events SET kind = 'governance.refused' WHERE seq = 11"], "event 11"),
    (["UPDATE events SET subject = 'x' WHERE seq = 5"], "event 5"),
    (["UPDATE events SET reason = 'bad' WHERE seq = 5"], "event 5"),
    (["UPDATE events SET key = NULL WHERE seq = 10"], "event 10"),
    (["UPDATE events SET data = '{\"digest\":\"d0\"}' WHERE seq = 3"], "event 3"),
    (["UPDATE events SET data = '{' WHERE seq = 3"], "event 3"),
    (["UPDATE events SET data = '' WHERE seq = 3"], "event 3"),
    (["UPDATE events SET state = '[]' WHERE seq = 2"], "event 2"),
    (["UPDATE events SET state = '[[1,2]]' WHERE seq = 2"], "event 2"),
    (["UPDATE events SET leaf = root WHERE seq = 6"], "event 6"),
    (["UPDATE events SET root = leaf WHERE seq = 6"], "event 6"),
    (["DELETE FROM events WHERE seq = 0"], "event 0"),
    (["DELETE FROM events WHERE seq = 6"], "event 6"),
    (["DELETE FROM events WHERE seq = 11"], "event 11"),
    (["DELETE FROM events WHERE seq >= 8"], "event 8"),
    (["DELETE FROM events"], "event 0"),
    (["UPDATE events SET seq = 99 WHERE seq = 11"], "event 11"),
    (
        ["UPDATE events SET seq = -1 WHERE seq = 3", "UPDATE events SET seq = 3 WHERE seq = 4",
         "UPDATE events SET seq = 4 WHERE seq = -1"],
        "event 3",
    ),
    (["UPDATE edges SET source = 'commit/b' WHERE source = 'commit/a'"], "event 10"),
    (["UPDATE edges SET kind = 'judged' WHERE source = 'commit/a'"], "event 10"),
    (["DELETE FROM edges WHERE source = 'commit/a'"], "event 10"),
    (["INSERT INTO edges VALUES (4, 'a', 'b', 'c')"], "event 4"),
    (["INSERT INTO edges VALUES (77, 'a', 'b', 'c')"], "edges of event 77"),
    (["UPDATE edges SET seq = 9 WHERE source = 'commit/a'"], "event 9"),
    (["UPDATE ledger_head SET size = 11"], "ledger head"),
    (["UPDATE ledger_head SET size = 13"], "event 12"),
    (["UPDATE ledger_head SET peaks = '[]'"], "ledger head"),
    (["DELETE FROM ledger_head"], "ledger head"),
    (["UPDATE alembic_version SET version_num = '0001'"], "schema version"),
    (["UPDATE approvals SET reason = 'forged' WHERE digest = 'd3'"],
     'row approvals ["model/flights@3","d3","eva"]'),
    (["UPDATE approvals SET digest = 'zz' WHERE digest = 'd3'"],
     'row approvals ["model/flights@3","zz","eva"]'),
    (["DELETE FROM approvals WHERE digest = 'd0'"], 'row approvals ["model/flights@0","d0","eva"]'),
    (["INSERT INTO approvals VALUES ('model/flights@9', 'd9', 'eva', 1356998400000000, 'good')"],
     'row approvals ["model/flights@9","d9","eva"]'),
    (["INSERT INTO approvals VALUES ('model/x@1', 'd', 'eva', 0, 'good')"],
     'row approvals ["model/x@1","d","eva"]'),
]  # fmt: skip
"""What somebody may do with raw SQL, and the first bad place."""

TABLES = [*(table for table in METADATA.sorted_tables if table.name in {"events", "edges", "ledger_head", "approvals"})]
VERSION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.Text))


@pytest.mark.parametrize(("statements", "where"), CHANGES)
def test_a_change_with_raw_sql_is_found_and_the_first_bad_place_is_named(
    project: Project, fill: Fill, verify: Verify, statements: list[str], where: str
) -> None:
    fill(project)
    assert verify(project).faults == ()
    run(project, *statements)
    assert verify(project).faults[0].where == where


def test_the_same_changes_are_found_on_postgresql(
    root: Path, clock: SimulatedClock, postgres_url: str, fill: Fill, verify: Verify
) -> None:
    project = fill(Project.open(root, clock=clock, database=postgres_url, actor="ana"))
    tables = [*TABLES, VERSION]
    with project.database.reading() as connection:
        before = {table.name: connection.execute(sa.select(table)).mappings().all() for table in tables}
    for statements, where in CHANGES:
        run(project, *statements)
        assert verify(project).faults[0].where == where, statements
        with project.database.writing() as connection:
            for table in tables:
                connection.execute(sa.delete(table))
                connection.execute(sa.insert(table), [dict(row) for row in before[table.name]])
        assert verify(project).faults == ()
    project.close()


def test_an_event_added_by_hand_is_found(any_project: Project, fill: Fill, verify: Verify) -> None:
    fill(any_project)
    run(any_project, "INSERT INTO events SELECT 12, at, actor, kind, subject, reason, NULL, data, state, leaf, root "
        "FROM events WHERE seq = 11")  # fmt: skip
    assert verify(any_project).faults[0].where == "event 12"


def test_a_report_of_a_whole_log_says_what_it_read(any_project: Project, fill: Fill, verify: Verify) -> None:
    fill(any_project)
    report = verify(any_project)
    assert (report.size, report.rows, report.faults) == (12, 9, ())
    assert report.root == any_project.ledger.events(newest_first=True, limit=1)[0].root


def test_an_empty_ledger_verifies(any_project: Project, verify: Verify) -> None:
    report = verify(any_project)
    assert (report.size, report.rows, report.faults) == (0, 0, ())


def forge(project: Project, seq: int, **changes: Any) -> None:
    """What somebody does who can write the database and knows this code: change an event and recompute all hashes."""
    with project.database.writing() as connection:
        if changes:
            connection.execute(sa.update(EVENTS).where(EVENTS.c.seq == seq).values(**changes))
        edges = connection.execute(sa.select(EDGES)).all()
        frontier = Frontier()
        for row in connection.execute(sa.select(EVENTS).order_by(EVENTS.c.seq)).all():
            mine = [Edge(source=e.source, target=e.target, kind=e.kind) for e in edges if e.seq == row.seq]
            leaf = leaf_hash(entry_of(event_of_row(row), mine))
            frontier.append(leaf)
            hashes = {"leaf": leaf.hex(), "root": frontier.root().hex()}
            connection.execute(sa.update(EVENTS).where(EVENTS.c.seq == row.seq).values(**hashes))
        peaks = encode([peak.hex() for peak in frontier.peaks]).decode()
        connection.execute(sa.update(HEAD).values(size=frontier.size, peaks=peaks))


@pytest.mark.parametrize("seq", [0, 5, 11])
def test_a_log_rewritten_with_all_its_hashes_contradicts_the_anchor(
    any_project: Project, fill: Fill, verify: Verify, seq: int
) -> None:
    fill(any_project)
    forge(any_project, seq, actor="mallory")
    fault = verify(any_project).faults[0]
    assert fault.where == f"event {seq}"
    assert "anchor" in fault.what
    # Without the anchor nobody could tell: that is what it is for.
    nowhere = Anchor(any_project.root / "no.anchor")
    assert verify_log(any_project.database, nowhere).faults == ()


def test_a_log_cut_short_with_its_head_contradicts_the_anchor(any_project: Project, fill: Fill, verify: Verify) -> None:
    fill(any_project)
    run(any_project, "DELETE FROM events WHERE seq = 11", "DELETE FROM edges WHERE seq = 11")
    forge(any_project, 0)
    assert verify(any_project).faults[0].where == "event 11"


def test_the_ledger_goes_on_writing_on_a_log_that_was_changed_and_the_change_stays_found(
    any_project: Project, fill: Fill, verify: Verify
) -> None:
    fill(any_project)
    run(any_project, "UPDATE events SET actor = 'mallory' WHERE seq = 4")
    any_project.ledger.record("test.later", subject="a/b", actor="ana")
    assert verify(any_project).faults[0].where == "event 4"


def test_an_anchor_with_holes_says_what_it_knows(any_project: Project, fill: Fill, verify: Verify) -> None:
    """A crash between commit and note, or another machine's entries, leave holes."""
    fill(any_project)
    anchor = any_project.state / "ledger.anchor"
    data = bytearray(anchor.read_bytes())
    data[32 * 3 : 32 * 5] = bytes(64)
    anchor.write_bytes(data)
    assert verify(any_project).faults == ()
    forge(any_project, 3, actor="mallory")
    assert verify(any_project).faults[0].where == "event 5"


@pytest.mark.parametrize("damage", [0, 32 * 11 + 31])
def test_a_damaged_anchor_is_found(any_project: Project, fill: Fill, verify: Verify, damage: int) -> None:
    fill(any_project)
    anchor = any_project.state / "ledger.anchor"
    data = bytearray(anchor.read_bytes())
    data[damage] ^= 1
    anchor.write_bytes(data)
    assert verify(any_project).faults[0].where == f"event {damage // 32}"


def content(database: Database) -> dict[str, list[Any]]:
    """Everything the database says, and what indexes would find."""
    with database.reading() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table)).all()))
            for table in METADATA.sorted_tables
            if not table.info.get("volatile")
        }


def settled_copy(project: Project, folder: Path) -> Path:
    """The database as one file, nothing left in the write-ahead log."""
    project.close()
    file = project.state / "bucle.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return Path(shutil.copy(file, folder / "whole.db"))


def look(file: Path, anchor: Path, whole: dict[str, list[Any]]) -> str:
    """`found`, `harmless` (nobody would read anything else), or `missed`."""
    database = Database(f"sqlite:///{file}")
    try:
        if verify_log(database, Anchor(anchor)).faults:
            return "found"
        return "harmless" if content(database) == whole else "missed"
    finally:
        database.close()


def flip(project: Project, tmp_path: Path, times: int, seed: int) -> dict[str, int]:
    anchor = project.state / "ledger.anchor"
    whole_file = settled_copy(project, tmp_path)
    database = Database(f"sqlite:///{whole_file}")
    whole = content(database)
    database.close()
    data, rng, results = whole_file.read_bytes(), random.Random(seed), dict[str, int]()
    assert look(whole_file, anchor, whole) == "harmless"
    for number in range(times):
        damaged = bytearray(data)
        at = rng.randrange(len(data))
        damaged[at] ^= 1 << rng.randrange(8)
        file = tmp_path / f"{number}.db"
        file.write_bytes(damaged)
        result = look(file, anchor, whole)
        assert result != "missed", f"byte {at} of {len(data)}, {sha256(bytes(damaged)).hexdigest()}"
        results[result] = results.get(result, 0) + 1
        for path in tmp_path.glob(f"{number}.db*"):
            path.unlink()
    return results


def enlarge(project: Project) -> None:
    """Give the log a good part of the file: a page of a table that nobody wrote to holds nothing to find."""
    for _ in range(60):
        project.ledger.record("test.made", subject="a/b", actor="ana", data={"filling": "x" * 3000})


def test_a_flipped_bit_anywhere_in_the_file_is_found_or_changes_nothing_anyone_reads(
    project: Project, fill: Fill, tmp_path: Path
) -> None:
    enlarge(project)
    results = flip(fill(project), tmp_path, times=60, seed=1)
    assert results.get("found", 0) > 5


@pytest.mark.full
def test_thousands_of_flipped_bits_are_found_or_change_nothing_anyone_reads(
    project: Project, fill: Fill, tmp_path: Path
) -> None:
    enlarge(project)
    results = flip(fill(project), tmp_path, times=3000, seed=2)
    assert results["found"] > 500


def test_a_flipped_byte_anywhere_in_an_events_row_is_found(project: Project, fill: Fill, tmp_path: Path) -> None:
    fill(project)
    anchor = project.state / "ledger.anchor"
    data = settled_copy(project, tmp_path).read_bytes()
    start = data.rindex(b"model/flights@7")
    for at in range(start - 40, start + 200, 3):
        damaged = bytearray(data)
        damaged[at] ^= 0x04
        file = tmp_path / f"{at}.db"
        file.write_bytes(damaged)
        database = Database(f"sqlite:///{file}")
        assert verify_log(database, Anchor(anchor)).faults, at
        database.close()


def test_a_table_dropped_is_a_finding_not_a_crash(any_project: Project, fill: Fill, verify: Verify) -> None:
    fill(any_project)
    run(any_project, "DROP TABLE approvals")
    assert verify(any_project).faults


def test_old_logs_stay_readable() -> None:
    """The bytes a hash covers may never change: every old log would stop verifying."""
    entry = (
        b'{"actor":"ana","at":"2013-01-01T00:00:00Z","data":{"a":1.5,"b":[null,"\xc3\xb1"]},'
        b'"edges":[["a/1","b/1","made"]],"key":"k","kind":"test.made","reason":"r","seq":7,'
        b'"state":[["t","[1]","d"],["u","[2]",null]],"subject":"a/1"}'
    )
    row = decode(entry, dict[str, Any])
    from datetime import UTC, datetime

    from bucle.ground.ledger import Event, StateChange

    event = Event(
        seq=7, at=datetime(2013, 1, 1, tzinfo=UTC), actor="ana", kind="test.made", subject="a/1", reason="r", key="k",
        data=row["data"], state=tuple(StateChange(table=t, key=k, digest=d) for t, k, d in row["state"]),
        leaf="", root="",
    )  # fmt: skip
    assert entry_of(event, [Edge(source="a/1", target="b/1", kind="made")]) == entry
