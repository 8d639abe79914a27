"""Encrypted tables: everything works on them, and nothing of their values is on the disk."""

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from bucle.ground import keys
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import data, query
from bucle.line.data.lake import load_manifest
from bucle.line.sources.pulled import Desk, spool
from bucle.line.sources.run import spool_place
from bucle.line.sources.source import Source

SECRETS = [f"Zx9secret{number:04d}q" for number in range(60)]
NUMBER = 7_305_186_442_019_991


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bucle.toml").write_text(
        f'[project]\nname = "test"\n[data.encryption]\ntables = ["secret*"]\nkeyring = "{tmp_path}/ring/keyring"\n'
    )
    return folder


@pytest.fixture
def project(project: Project) -> Project:
    keys.make_keyring(project)
    return project


def rows(begin: int, end: int) -> pl.DataFrame:
    numbers = range(begin, end)
    return pl.DataFrame({"id": list(numbers), "who": [SECRETS[n] for n in numbers], "n": [NUMBER + n for n in numbers]})


def same(project: Project, expected: pl.DataFrame, at: str = "main") -> None:
    assert data.scan(project, "secrets", at=at).sort("id").equals(expected.sort("id"))


def leaks(folder: Path) -> list[str]:
    """The files below a folder that hold a known value, as text or as a number."""
    marks = [b"Zx9secret"] + [(NUMBER + n).to_bytes(8, "little") for n in range(60)]
    marks += [str(NUMBER)[:14].encode()]
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [str(file) for file in files if any(mark in file.read_bytes() for mark in marks)]


def test_every_way_to_write_and_read_and_no_value_on_the_disk(project: Project) -> None:
    data.commit(project, {"secrets": rows(0, 20)}, message="a")
    data.commit(project, {"secrets": rows(20, 40)}, message="b")
    same(project, rows(0, 40))
    data.delete(project, "secrets", "id < 5", message="c")
    data.delete(project, "secrets", "id = 25 OR id = 7", message="d")
    left = rows(0, 40).filter((pl.col("id") >= 5) & ~pl.col("id").is_in([7, 25]))
    same(project, left)
    changed = rows(30, 50).with_columns(n=pl.lit(1))
    data.upsert(project, "secrets", changed, on=["id"], message="e")
    left = pl.concat([left.filter(pl.col("id") < 30), changed.cast({"n": pl.Int64})])
    same(project, left)
    data.alter(project, "secrets", ["rename who name", "add note string"])
    assert data.scan(project, "secrets").columns == ["id", "name", "n", "note"]
    data.alter(project, "secrets", ["rename name who", "drop note"])
    data.compact(project, "secrets")
    same(project, left)
    assert data.snapshot(project, "secrets").files == 1
    assert data.scan(project, "secrets", where=pl.col("id") == 31, columns=["who"]).item() == SECRETS[31]
    data.commit(project, {"secrets": rows(50, 60)}, mode="overwrite", message="f")
    same(project, rows(50, 60))
    assert leaks(project.root) == []
    assert data.verify_files(project) == []
    data.sweep(project)
    assert not verify_log(project.database, project.ledger._anchor).faults


def test_partitions_branches_and_merges(project: Project) -> None:
    data.make_table(project, "secrets", rows(0, 1), partition_by=["who"])
    data.commit(project, {"secrets": rows(0, 4)}, message="a")
    data.create_branch(project, "dev")
    data.commit(project, {"secrets": rows(4, 6)}, branch="dev", message="b")
    data.commit(project, {"secrets": rows(6, 8)}, message="c")
    data.merge(project, "dev", message="m")
    same(project, rows(0, 8))
    data.overwrite_partitions(project, "secrets", rows(3, 4), message="d")
    same(project, rows(0, 8))
    data.delete(project, "secrets", "id = 2", message="e")
    data.revert(project, "main", message="r")
    same(project, rows(0, 8))
    assert leaks(project.root) == []


def test_other_tables_stay_plain_and_open_to_other_engines(project: Project) -> None:
    data.commit(project, {"open": rows(0, 3), "secrets": rows(0, 3)}, message="a")
    assert data.table_metadata(project, "open").location
    assert data.plan(project, "open").is_plain
    assert not data.plan(project, "open").is_encrypted
    assert data.plan(project, "secrets").is_encrypted
    with pytest.raises(data.TableEncrypted):
        data.table_metadata(project, "secrets")
    with pytest.raises(data.TableEncrypted):
        data.draft_table(project, "secret2", {"schema": {"type": "struct", "fields": []}})


def test_polars_and_duckdb_read_the_files_with_their_keys(project: Project) -> None:
    data.commit(project, {"secrets": rows(0, 20)}, message="a")
    ((path, key),) = data.file_keys(project, "secrets").items()
    decryption = pl.ParquetDecryptionProperties(footer_key=key)

    assert pl.scan_parquet(path, decryption=decryption).collect().equals(rows(0, 20))
    engine = duckdb.connect()
    engine.execute(f"PRAGMA add_parquet_key('k', '{base64.b64encode(key).decode()}')")
    found = engine.sql(f"SELECT max(who) FROM read_parquet('{path}', encryption_config = {{footer_key: 'k'}})")
    assert found.fetchone() == (SECRETS[19],)
    # Without it DuckDB 1.5.5 fails on encrypted files once rows are filtered; docs/encryption.md says so.
    engine.execute("SET disabled_optimizers = 'filter_pushdown,statistics_propagation,join_filter_pushdown'")
    source = f"read_parquet('{path}', encryption_config = {{footer_key: 'k'}})"
    assert engine.sql(f"SELECT count(*) FROM {source} WHERE id BETWEEN 3 AND 5").fetchone() == (3,)
    with pytest.raises(duckdb.Error):
        engine.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
    engine.close()


def test_a_key_of_its_own_for_each_file_and_none_of_them_in_the_project(project: Project) -> None:
    for begin in range(0, 20, 5):
        data.commit(project, {"secrets": rows(begin, begin + 5)}, message="a")
    data.delete(project, "secrets", "id % 5 = 2", message="b")
    found = set(data.file_keys(project, "secrets").values())
    assert len(found) == 4
    assert {len(key) for key in found} == {32}
    for file in project.root.rglob("*"):
        assert not file.is_file() or not any(key in file.read_bytes() for key in found)


def test_a_destroyed_key_erases_every_state_of_the_table(any_project: Project) -> None:
    project = any_project
    keys.make_keyring(project)
    first = data.commit(project, {"secrets": rows(0, 5), "open": rows(0, 5)}, message="a")
    data.commit(project, {"secrets": rows(5, 10)}, message="b")
    data.destroy_key(project, "secrets", reason="asked to forget")
    for at in ("main", first.id):
        with pytest.raises(keys.KeyDestroyed, match="erased"):
            data.scan(project, "secrets", at=at)
    with pytest.raises(keys.KeyDestroyed):
        data.commit(project, {"secrets": rows(0, 1)}, message="c")
    assert data.scan(project, "open").height == 5
    assert data.verify_files(project) == []
    data.sweep(project)
    data.drop_table(project, "secrets", message="erased")
    data.commit(project, {"secrets": rows(10, 12)}, message="anew")
    same(project, rows(10, 12))


def test_commits_are_compared_also_when_a_key_was_destroyed(project: Project) -> None:
    first = data.commit(project, {"secrets": rows(0, 5), "open": rows(0, 5)}, message="a")
    data.destroy_key(project, "secrets", reason="asked to forget")
    data.drop_table(project, "secrets", message="gone")
    last = data.commit(project, {"secrets": rows(0, 3), "open": rows(5, 6)}, message="made anew")
    told = {one.table: one for one in data.diff(project, first.id, last.id)}
    assert (told["open"].rows_before, told["open"].rows_after, told["open"].files_added) == (5, 6, 1)
    secret = told["secrets"]
    assert (secret.change, secret.rows_before, secret.rows_after, secret.files_removed) == ("changed", 5, 3, 0)


def test_rotation_and_reencryption(project: Project) -> None:
    data.commit(project, {"secrets": rows(0, 5)}, message="a")
    data.delete(project, "secrets", "id = 1", message="b")
    before = data.file_keys(project, "secrets")
    keys.make_keyring(project)
    assert len(keys.rotate(project)) == 1
    assert data.file_keys(project, "secrets") == before
    old = data.snapshot(project, "secrets").commit
    data.encrypt(project, "secrets")
    assert not set(data.file_keys(project, "secrets").values()) & set(before.values())
    same(project, rows(0, 5).filter(pl.col("id") != 1))
    same(project, rows(0, 5).filter(pl.col("id") != 1), at=old)
    assert len(keys.keys(project)) == 2
    now = load_manifest(project, data.resolve(project).tables["secrets"].manifest).key
    keys.destroy(project, {one.key for one in keys.keys(project)} - {now}, reason="old")
    same(project, rows(0, 5).filter(pl.col("id") != 1))
    assert leaks(project.root) == []


def test_a_plain_table_that_is_to_be_encrypted_is_refused_until_it_is(project: Project) -> None:
    text = (project.root / "bucle.toml").read_text()
    (project.root / "bucle.toml").write_text('[project]\nname = "t"\n')
    plain = Project.open(project.root)
    data.commit(plain, {"secrets": rows(0, 5)}, message="a")
    plain.close()
    (project.root / "bucle.toml").write_text(text)
    assert data.scan(project, "secrets").height == 5
    for write in (
        lambda: data.commit(project, {"secrets": rows(5, 6)}, message="b"),
        lambda: data.upsert(project, "secrets", rows(5, 6), on=["id"], message="b"),
        lambda: data.delete(project, "secrets", "id = 1", message="b"),
    ):
        with pytest.raises(keys.KeysOff, match="was made without"):
            write()
    data.encrypt(project, "secrets")
    data.commit(project, {"secrets": rows(5, 6)}, message="b")
    same(project, rows(0, 6))
    manifest = load_manifest(project, data.resolve(project).tables["secrets"].manifest)
    assert all(file.key for file in manifest.data)


def test_without_the_keyring_nothing_is_read_and_nothing_swept(project: Project, tmp_path: Path) -> None:
    data.commit(project, {"secrets": rows(0, 5)}, message="a")
    ring = tmp_path / "ring" / "keyring"
    ring.rename(tmp_path / "away")
    fresh = Project.open(project.root)
    for read in (lambda: data.scan(fresh, "secrets"), lambda: data.sweep(fresh)):
        with pytest.raises(keys.KeyMissing):
            read()
    fresh.close()


def test_a_changed_byte_of_a_data_file_is_told(project: Project) -> None:
    data.commit(project, {"secrets": rows(0, 20)}, message="a")
    (path,) = data.file_keys(project, "secrets")
    whole = Path(path).read_bytes()
    # The last eight bytes are the footer's length and the mark; the first four the mark.
    for place in range(4, len(whole) - 8, 41):
        Path(path).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = data.scan(project, "secrets")
        except data.LakeDamaged:
            continue
        # Parts that are not read when all rows are: indices of pages. They are told by their digest.
        assert found.equals(rows(0, 20)), place
        assert data.verify_files(project)


def test_killed_at_any_moment_nothing_is_left_in_plain_text(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = tmp_path / "tmp"
    spill.mkdir()
    monkeypatch.setenv("TMPDIR", str(spill))
    monkeypatch.setenv("POLARS_TEMP_DIR", str(spill))
    worker = str(Path(__file__).with_name("secretive.py"))
    begun = subprocess.Popen([sys.executable, worker, str(project.root)], stdout=subprocess.PIPE, text=True)
    assert begun.stdout is not None
    rounds = [begun.stdout.readline() for _ in range(2)]
    # The third round is under way: the next files and events of the ledger.
    ledger = project.ledger.size()
    while begun.poll() is None and project.ledger.size() < ledger + 4:
        pass
    begun.kill()
    begun.wait()
    begun.stdout.close()
    assert rounds == ["1\n", "2\n"]
    assert begun.returncode == -signal.SIGKILL
    assert leaks(project.root) == leaks(spill) == []
    assert data.scan(project, "secrets")["who"].str.starts_with("Zx9secret").all()
    assert any(event.kind == "data.refused" for event in project.ledger.events())


def test_polars_may_not_put_rows_on_the_disk_when_memory_is_short(project: Project, tmp_path: Path) -> None:
    """Polars reads its settings when it is loaded, so this runs in a process of its own."""
    data.commit(project, {"secrets": rows(0, 20)}, message="a")
    script = (
        "import sys, polars as pl\n"
        "from bucle.ground.project import Project\n"
        "from bucle.line import data\n"
        "data.scan(Project.open(sys.argv[1]), 'secrets')\n"
        "rows = pl.select(s=pl.int_range(300_000).cast(pl.String))\n"
        "rows.lazy().sort('s').group_by('s').agg(pl.len()).collect(engine='streaming')\n"
    )
    for more, said in (({}, "disk budget"), ({"POLARS_OOC_DISK_BUDGET_MB": "1000"}, "")):
        told = {"POLARS_OOC_MEMORY_BUDGET_MB": "1", "POLARS_OOC_SPILL_DIR": str(tmp_path / "spill"), **more}
        given = [sys.executable, "-c", script, str(project.root)]
        done = subprocess.run(given, env={**os.environ, **told}, capture_output=True, text=True, check=False)
        assert said in done.stderr
        assert bool(done.returncode) == bool(said)


def test_rows_from_a_source_wait_encrypted(project: Project, tmp_path: Path) -> None:
    """What waits to land lies in a folder of the project, which a crash leaves behind."""
    desk = Desk(project, Source(name="s", kind="csv", table="secrets", location="x.csv"), {}, tmp_path)
    spooled = spool(desk, [rows(0, 10), rows(10, 20).lazy()], lambda: None)
    assert spooled is not None
    assert spooled.collect().equals(rows(0, 20))
    assert list(tmp_path.glob("*.parquet"))
    assert leaks(tmp_path) == []


def test_copies_of_what_a_source_gives_lie_in_memory(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, plain = (Source(name="s", kind="http", table=table, location="http://x") for table in ("secrets", "open"))
    assert spool_place(project, secret) == Path("/dev/shm")
    assert spool_place(project, plain) == project.state / "spool"
    monkeypatch.setattr(sys.modules["bucle.line.sources.run"], "_IN_MEMORY", tmp_path / "none")
    with pytest.raises(keys.KeysOff, match="plain copy"):
        spool_place(project, secret)


def test_queries_read_encrypted_tables(project: Project) -> None:
    for begin in (0, 10):
        data.commit(project, {"secrets": rows(begin, begin + 10)}, message="a")
    question = "SELECT who, n FROM secrets WHERE id BETWEEN 8 AND 11 ORDER BY id"
    expected = rows(8, 12).select("who", "n")
    assert pl.DataFrame(query.sql(project, question).table).equals(expected)
    data.delete(project, "secrets", "id = 9", message="b")
    assert query.sql(project, question).table.num_rows == 3
    assert leaks(project.root) == []
