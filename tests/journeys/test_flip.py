"""One byte flipped anywhere, one row edited, one file removed: the audit finds it and names it."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bucle import loop
from bucle.ground.core import BucleError
from bucle.ground.project import Project
from bucle.line import data

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose loop was turned for three weeks."""
    root = tmp_path_factory.mktemp("turned") / "toy"
    shutil.copytree(HERE / "toy", root)
    done = subprocess.run([sys.executable, str(HERE / "toy_loop.py"), str(root)], capture_output=True, check=True)
    assert json.loads(done.stdout)["sound"]
    return root


@pytest.fixture
def copy(turned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(turned, tmp_path / "toy"))


def audit(root: Path) -> loop.Audit:
    project = Project.open(root)
    try:
        return loop.audit(project)
    finally:
        project.close()


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0x40
    file.chmod(0o644)
    file.write_bytes(content)


def blob_files(root: Path) -> Iterator[Path]:
    return (path for path in (root / ".bucle" / "blobs").glob("??/*") if path.is_file())


def test_an_untouched_project_is_sound(turned: Path) -> None:
    assert audit(turned).is_sound


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_byte_in_a_blob_is_named(copy: Path, seed: int) -> None:
    chance = random.Random(seed)
    victim = chance.choice(sorted(blob_files(copy)))
    flip(victim, chance.randrange(victim.stat().st_size))
    name = victim.parent.name + victim.name
    assert any(name[:12] in fault.where or str(victim) in fault.what for fault in audit(copy).faults)


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_byte_in_a_parquet_file_is_named_with_its_table(copy: Path, seed: int) -> None:
    chance = random.Random(seed)
    victim = chance.choice(sorted((copy / ".bucle").rglob("*.parquet")))
    flip(victim, chance.randrange(victim.stat().st_size))
    found = audit(copy).faults
    assert any(victim.name in fault.where + fault.what for fault in found), found


def test_a_flipped_letter_in_any_event_or_row_is_named(copy: Path) -> None:
    project = Project.open(copy)
    tables = {change.table for event in project.ledger.events() for change in event.state}
    project.close()
    edits: list[tuple[str, Callable[[sqlite3.Connection], None]]] = [
        ("event 11", lambda c: c.execute("UPDATE events SET reason = 'nothing happened' WHERE seq = 11")),
        ("event 5", lambda c: c.execute("DELETE FROM events WHERE seq = 5")),
        *((table, lambda c, table=table: tamper(c, table)) for table in sorted(tables)),
    ]
    for where, edit in edits:
        fresh = Path(shutil.copytree(copy, copy.parent / f"edited-{where.replace(' ', '-')}"))
        with sqlite3.connect(fresh / ".bucle" / "bucle.db") as connection:
            edit(connection)
        found = audit(fresh).faults
        assert found, where
        assert where in found[0].where, (where, found)


def tamper(connection: sqlite3.Connection, table: str) -> None:
    """Change one text of one row, as somebody with a database client would."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    keys = {column[1] for column in columns if column[5]}
    texts = [column[1] for column in columns if column[2] == "TEXT" and column[1] not in keys]
    numbers = [column[1] for column in columns if column[2] != "TEXT" and column[1] not in keys]
    rowid = connection.execute(f"SELECT rowid FROM {table} LIMIT 1").fetchone()[0]
    if texts:
        connection.execute(f"UPDATE {table} SET {texts[0]} = {texts[0]} || 'x' WHERE rowid = ?", (rowid,))
    else:
        connection.execute(f"UPDATE {table} SET {numbers[0]} = {numbers[0]} + 1 WHERE rowid = ?", (rowid,))


def test_flipped_bytes_in_the_database_file_are_found(copy: Path) -> None:
    """In the pages themselves, tables and indexes; only the names SQLite gives its own indexes hold nothing of ours."""
    with sqlite3.connect(copy / ".bucle" / "bucle.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database = copy / ".bucle" / "bucle.db"
    whole = database.read_bytes()
    texts = (found.start() for found in re.finditer(rb"loop/|model|toy/1|toy/2|blob/", whole))
    places = [at for at in texts if b"sqlite_autoindex" not in whole[at - 45 : at]]
    for at in random.Random(7).sample(places, 12):
        database.write_bytes(whole)
        for extra in ("bucle.db-wal", "bucle.db-shm"):
            (copy / ".bucle" / extra).unlink(missing_ok=True)
        flip(database, at)
        assert audit_or_error(copy), at


def audit_or_error(root: Path) -> bool:
    try:
        return not audit(root).is_sound
    except BucleError:
        return True


def test_a_table_file_removed_is_named(copy: Path) -> None:
    project = Project.open(copy)
    tables = data.tables(project)
    project.close()
    victim = sorted((copy / ".bucle" / "lake").rglob("*.parquet"))[0]
    victim.unlink()
    found = audit(copy).faults
    assert any(victim.name in fault.where + fault.what for fault in found)
    assert any(any(table in fault.where + fault.what for table in tables) for fault in found)
