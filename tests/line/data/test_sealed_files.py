"""Encrypted files: everything works on them, and nothing of what they hold is on the disk or at a remote."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from bucle.ground import keys
from bucle.ground.core import digest_of
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.contracts import ColumnRule, Contract, ContractViolated
from bucle.line.files import packs_of
from line.data.secretfiles import MARK, secret

RULES = """[project]
name = "test"
[data.encryption]
files = ["secret/*", "more/*.bin"]
keyring = "{ring}"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bucle.toml").write_text(RULES.format(ring=tmp_path / "ring" / "keyring"))
    return folder


@pytest.fixture
def project(project: Project) -> Project:
    keys.make_keyring(project)
    return project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of every kind one."""
    made = tmp_path / "own" / "secret"
    (made / "sub").mkdir(parents=True)
    (made / "small").write_bytes(secret(1, 4096))
    (made / "sub" / "large").write_bytes(secret(2, 5 << 20))
    (made / "sub" / "again").write_bytes(secret(1, 4096))
    (made / "empty").write_bytes(b"")
    (made / "run").write_bytes(b"#!/bin/sh\n# " + MARK)
    (made / "run").chmod(0o755)
    return made


def read(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def leaks(*folders: Path) -> list[str]:
    """The files below folders that hold the mark of secret contents, or a digest by which one could be guessed."""
    guesses = [digest_of(secret(1, 4096)), digest_of(secret(2, 5 << 20)), digest_of(b"#!/bin/sh\n# " + MARK)]
    marks = [MARK, *(guess.encode() for guess in guesses), *(bytes.fromhex(guess) for guess in guesses)]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert files
    return [str(file) for file in files if any(mark in file.read_bytes() for mark in marks)]


def reopened(project: Project, old: str = "", new: str = "") -> Project:
    """The project as another process opens it, with other settings."""
    settings = project.root / "bucle.toml"
    settings.write_text(settings.read_text().replace(old, new))
    return Project.open(project.root, clock=project.clock, actor="eva")


def test_every_way_to_write_and_read_and_nothing_of_it_on_the_disk(
    project: Project, folder: Path, tmp_path: Path
) -> None:
    first = data.add_files(project, folder)
    assert data.add_files(project, folder).id == first.id
    assert data.status(project, folder).unchanged == 5
    data.checkout(project, tmp_path / "out", "secret")
    assert read(tmp_path / "out") == read(folder)
    assert (tmp_path / "out" / "run").stat().st_mode & 0o100
    assert data.status(project, tmp_path / "out", "secret").unchanged == 5
    data.commit(project, {}, files={"secret/one": MARK + b"1", "more/x.bin": MARK, "plain": b"p"}, message="more")
    assert data.read_file(project, "secret/one") == MARK + b"1"
    assert data.read_file(project, "more/x.bin") == MARK
    assert data.read_file(project, "secret/sub/large") == secret(2, 5 << 20)
    assert [one.path for one in data.diff_files(project, first.id, "main")] == ["more/x.bin", "plain", "secret/one"]
    (folder / "small").write_bytes(MARK * 9)
    assert data.status(project, folder).changed == ("small",)
    data.create_branch(project, "side")
    data.add_files(project, folder, "secret", branch="side")
    data.commit(project, {}, files={"secret/two": MARK * 2}, message="here")
    data.merge(project, "side", message="both")
    assert data.read_file(project, "secret/small") == MARK * 9
    assert data.verify_files(project) == []
    assert data.storage(project)[-1].files
    data.sweep(project, older_than=timedelta(seconds=-5))
    data.checkout(project, tmp_path / "again", "secret", link=True)
    assert (tmp_path / "again" / "small").read_bytes() == MARK * 9
    assert leaks(project.root) == []


def test_links_and_the_memory_of_folders_tell_nothing_either(project: Project, folder: Path) -> None:
    (folder / "to").symlink_to("sub/" + MARK.decode())
    data.add_files(project, folder, exact=True)
    assert data.status(project, folder).unchanged == 6
    (folder / "small").write_bytes(secret(1, 8192))
    assert data.status(project, folder).changed == ("small",)
    assert data.status(project, folder).changed == ("small",)
    (folder / "new").write_bytes(secret(2, 5 << 20))
    assert data.status(project, folder).new == ("new",)
    assert leaks(project.root) == []
    assert digest_of(secret(1, 8192)) not in str(
        [one.read_bytes().hex() for one in (project.state / "files" / "folders").iterdir()]
    )


def test_equal_contents_are_kept_once_and_a_change_costs_a_chunk(project: Project, folder: Path) -> None:
    data.add_files(project, folder)
    tree = data.files(project)
    assert tree["secret/small"].digest == tree["secret/sub/again"].digest != digest_of(secret(1, 4096))

    def kept() -> int:
        return sum(pack.stat().st_size for pack in (project.state / "files" / "packs").glob("*.pack"))

    before = kept()
    assert before < (5 << 20) + 20_000
    content = bytearray(secret(2, 5 << 20))
    content[3 << 20] ^= 1
    (folder / "sub" / "large").write_bytes(content)
    data.add_files(project, folder)
    assert kept() - before < 4 << 20
    assert data.read_file(project, "secret/sub/large") == content


def test_without_the_key_one_error_and_what_needs_none_goes_on(project: Project, folder: Path, tmp_path: Path) -> None:
    time.sleep(0.05)  # what was written within a tick of the clock would be read again, which takes the key
    data.add_files(project, folder)
    data.commit(project, {}, files={"plain/a": b"p"}, message="plain")
    (tmp_path / "ring" / "keyring").rename(tmp_path / "ring" / "elsewhere")
    with closing(reopened(project)) as again:
        for call in (
            lambda: data.read_file(again, "secret/small"),
            lambda: data.checkout(again, tmp_path / "out", "secret"),
            lambda: data.commit(again, {}, files={"secret/x": b"1"}, message="x"),
        ):
            with pytest.raises(keys.KeyMissing):
                call()
        assert read(tmp_path / "out") == {}
        assert data.read_file(again, "plain/a") == b"p"
        assert data.status(again, folder).unchanged == 5
        (folder / "small").write_bytes(b"edited")
        with pytest.raises(keys.KeyMissing):
            data.status(again, folder)
        assert data.verify_files(again) == []
        data.sweep(again, older_than=timedelta(seconds=-5))
        data.add_remote(again, "origin", str(tmp_path / "remote"))
        data.push(again)
    assert leaks(project.root, tmp_path / "remote") == []


def test_rotation_writes_no_pack_and_a_destroyed_key_erases(project: Project, folder: Path, tmp_path: Path) -> None:
    data.add_files(project, folder)
    data.commit(project, {}, files={"more/x.bin": MARK}, message="another key")
    packs = read(project.state / "files" / "packs")
    keys.make_keyring(project)
    assert {one.table for one in keys.rotate(project)} == {"files:secret/*", "files:more/*.bin"}
    assert read(project.state / "files" / "packs") == packs
    with closing(reopened(project)) as again:
        assert data.read_file(again, "secret/small") == secret(1, 4096)
        data.destroy_key(again, "files:secret/*", reason="asked to forget")
        for _ in range(2):
            with pytest.raises(keys.KeyDestroyed, match="files:secret"):
                data.read_file(again, "secret/small")
            with pytest.raises(keys.KeyDestroyed):
                data.checkout(again, tmp_path / "out", "secret")
        assert data.read_file(again, "more/x.bin") == MARK
        assert data.verify_files(again) == []
        made = data.add_files(again, folder)
        assert data.read_file(again, "secret/small") == secret(1, 4096)
        data.commit(again, {}, files={"secret/small": None}, message="away")
        with pytest.raises(keys.KeyDestroyed):
            data.read_file(again, "secret/small", at=made.parents[0])
    with closing(reopened(project)) as later, pytest.raises(keys.KeyDestroyed):
        data.read_file(later, "secret/small", at=made.parents[0])


def test_a_remote_gets_sealed_bytes_and_gives_them_back(project: Project, folder: Path, tmp_path: Path) -> None:
    data.add_remote(project, "origin", str(tmp_path / "remote"))
    data.add_files(project, folder)
    data.push(project)
    content = bytearray(secret(2, 5 << 20))
    content[3 << 20] ^= 1
    (folder / "sub" / "large").write_bytes(content)
    (folder / "filler").write_bytes(random.Random(5).randbytes(900_000))
    data.add_files(project, folder)
    data.commit(project, {}, files={"secret/filler": None, "secret/one": MARK}, message="most of a pack is needless")
    data.push(project)
    assert leaks(tmp_path / "remote") == []
    for pack in (project.state / "files" / "packs").glob("*.pack"):
        pack.unlink()
    with closing(reopened(project)) as again:
        data.pull(again)
        data.checkout(again, tmp_path / "out", "secret")
        assert read(tmp_path / "out") == {**{k: v for k, v in read(folder).items() if k != "filler"}, "one": MARK}
        assert data.verify_files(again) == []
    other = tmp_path / "other"
    other.mkdir()
    (other / "bucle.toml").write_text('[project]\nname = "other"\n')
    with closing(Project.open(other, clock=project.clock, actor="eva")) as foreign:
        data.add_remote(foreign, "origin", str(tmp_path / "remote"))
        data.pull(foreign)
        with pytest.raises(keys.KeyMissing, match="no key"):
            data.read_file(foreign, "secret/small")
    assert leaks(project.root, other) == []


def test_a_setting_that_changes_takes_hold_with_the_next_add(project: Project, folder: Path, tmp_path: Path) -> None:
    with closing(reopened(project, "secret/*", "none/*")) as plain:
        first = data.add_files(plain, folder)
        assert leaks(plain.root)
    with closing(reopened(project, "none/*", "secret/*")) as sealed:
        assert data.status(sealed, folder).unchanged == 5
        second = data.add_files(sealed, folder)
        assert data.status(sealed, folder).unchanged == 5
        assert {one.change for one in data.diff_files(sealed, first.id, second.id)} == {"changed"}
        assert all(packs_of(sealed).key_of(one.digest) for one in data.files(sealed).values())
        data.checkout(sealed, folder, at=first.id)
        data.checkout(sealed, folder, at=second.id)
        data.expire(sealed, older_than=timedelta(seconds=-5), keep=1)
        data.sweep(sealed, older_than=timedelta(seconds=-5))
        assert leaks(sealed.state / "files") == []  # the plain commit's tree still names contents by their digests
        assert data.read_file(sealed, "secret/small") == secret(1, 4096)
    with closing(reopened(project, "secret/*", "none/*")) as plain:
        assert data.status(plain, folder).unchanged == 5
        data.add_files(plain, folder)
        assert data.files(plain)["secret/small"].digest == digest_of(secret(1, 4096))


def test_a_sweep_moves_sealed_bytes_as_they_are(project: Project, folder: Path) -> None:
    data.add_files(project, folder)
    (folder / "sub" / "large").unlink()
    data.add_files(project, folder)
    data.expire(project, older_than=timedelta(seconds=-5), keep=1)
    assert data.sweep(project, older_than=timedelta(seconds=-5)).size_bytes > 4 << 20
    with closing(reopened(project)) as again:
        assert data.verify_files(again) == []
        assert data.read_file(again, "secret/sub/again") == secret(1, 4096)
        assert data.status(again, folder).unchanged == 4
    assert leaks(project.root) == []


def test_everything_of_the_tree_may_be_encrypted(project: Project) -> None:
    with closing(reopened(project, "secret/*", "*")) as sealed:
        rows = pl.DataFrame({"id": [1, 2]})
        rule = Contract(table="t", columns=(ColumnRule(name="id", maximum=5),))
        data.land(sealed, {"t": rows}, contracts={"t": rule}, message="first")
        with pytest.raises(ContractViolated):
            data.land(sealed, {"t": rows + 10}, contracts={"t": rule}, message="second")
        data.create_namespace(sealed, "sales", {"about": MARK.decode()}, message="made")
        assert data.namespace_properties(sealed, "sales") == {"about": MARK.decode()}
        assert all(packs_of(sealed).key_of(one.digest) for one in data.files(sealed).values())
        assert data.read_file(sealed, ".iceberg/namespaces/sales.json")


def test_what_would_lay_down_plain_bytes_is_refused(project: Project, folder: Path, tmp_path: Path) -> None:
    data.add_files(project, folder)
    with pytest.raises(keys.KeysOff, match="no file of it"):
        data.file_path(project, "secret/small")
    with pytest.raises(keys.KeysOff, match="is to be encrypted"):
        data.import_url(project, str(folder / "small"), "secret/pinned")
    dvc = tmp_path / "dvc"
    (dvc / ".dvc").mkdir(parents=True)
    (dvc / ".dvc" / "config").write_text("")
    (dvc / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(keys.KeysOff, match="DVC"):
        data.import_dvc(project, dvc, "secret")
    assert leaks(project.root) == []


@pytest.mark.parametrize("at", [3, 20, 90, 1 << 20])
def test_a_flipped_byte_of_a_sealed_content_is_found(project: Project, folder: Path, at: int) -> None:
    data.add_files(project, folder)
    (pack,) = (project.state / "files" / "packs").glob("*.pack")
    raw = bytearray(pack.read_bytes())
    raw[at] ^= 1
    pack.write_bytes(raw)
    (fault,) = data.verify_files(project)
    assert "file secret/" in fault.what
    with closing(reopened(project)) as again, pytest.raises(data.PackDamaged):
        data.checkout(again, folder.parent / "out", "secret")


def test_a_sealed_content_opens_under_its_own_key_only(project: Project) -> None:
    one, other = keys.cipher_for(project, "files:a"), keys.cipher_for(project, "files:b")
    for content in (b"", b"x", os.urandom(3000)):
        sealed = one.seal_content(content)
        assert sealed == one.seal_content(content) != other.seal_content(content)
        assert one.open_content(sealed) == content
        assert one.open_content(memoryview(sealed)) == content
        with pytest.raises(keys.SealBroken):
            other.open_content(sealed)
        for place in {0, 8, 30, 60, len(sealed) - 1}:
            with pytest.raises(keys.SealBroken):
                one.open_content(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])
        with pytest.raises(keys.SealBroken):
            one.open_content(sealed[:50])
        with pytest.raises(keys.SealBroken):
            one.open_content(sealed[:-1])


def test_killed_at_any_moment_nothing_is_left_in_plain_text(project: Project, folder: Path, tmp_path: Path) -> None:
    worker = str(Path(__file__).with_name("secretfiles.py"))
    words = [sys.executable, worker, str(project.root), str(folder), str(tmp_path / "out")]
    begun = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert begun.stdout is not None
    assert begun.stdout.readline() == "1\n"
    packs = project.state / "files" / "packs"
    while begun.poll() is None and not list(packs.glob("*.partial")):
        pass
    begun.kill()
    begun.wait()
    begun.stdout.close()
    assert begun.returncode == -signal.SIGKILL
    assert leaks(project.root, tmp_path / "out-remote") == []
    assert data.read_file(project, "secret/one").startswith(MARK)
    assert data.verify_files(project) == []
