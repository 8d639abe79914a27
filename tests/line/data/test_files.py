"""Folders of files: what is added comes back bit for bit, each content is kept once, and nothing local is lost."""

import errno
import io
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyfastcdc import FastCDC

from bucle.ground.core import digest_of, encode
from bucle.ground.project import Project
from bucle.ground.store import BlobMissing, DiskFull
from bucle.line import data
from bucle.line.data import store
from bucle.line.data.commit import make_commit
from bucle.line.files.chunks import LARGE_BYTES, Filler, _cut, _split, filling
from bucle.line.files.folder import Folder
from bucle.line.files.pack import PackWriter
from bucle.line.files.packs import packs_of
from bucle.line.files.tree import keep_tree, load_tree, parts_of

WORKER = str(Path(__file__).with_name("worker.py"))


def noise(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


NAMES = st.one_of(
    st.sampled_from(
        ["a", "b c", "ñandú", "データ", "e\u0301", "é", "x" * 255, "ü" * 127, "-rf", "a\nb", ".hidden", "~", "'"]
    ),
    st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
        lambda name: name not in (".", "..") and len(name.encode()) <= 255
    ),
)
CONTENTS = st.one_of(
    st.binary(max_size=200),
    st.builds(noise, st.integers(0, 5), st.integers(LARGE_BYTES - 1, 3 << 20)),
)
TREES = st.recursive(CONTENTS, lambda inner: st.dictionaries(NAMES, inner, max_size=5), max_leaves=8)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    folder.mkdir(exist_ok=True)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def flat(tree: object, prefix: str = "") -> dict[str, bytes]:
    if isinstance(tree, bytes):
        return {prefix.rstrip("/"): tree} if prefix else {}
    assert isinstance(tree, dict)
    return {path: content for name, inner in tree.items() for path, content in flat(inner, f"{prefix}{name}/").items()}


def kept_bytes(project: Project) -> int:
    return sum(path.stat().st_size for path in (project.state / "files" / "packs").glob("*.pack"))


@given(tree=TREES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_folder_comes_back_bit_for_bit(project: Project, tmp_path: Path, tree: object) -> None:
    files = flat(tree)
    folder, other = tmp_path / "folder", tmp_path / "other"
    for old in (folder, other):
        shutil.rmtree(old, ignore_errors=True)
    write(folder, {**files, "always": b"there"})
    made = data.add_files(project, folder, "x")
    assert {p: digest_of(c) for p, c in read(folder).items()} == {
        p.removeprefix("x/"): entry.digest for p, entry in data.files(project).items()
    }
    data.checkout(project, other, "x", at=made.id)
    assert read(other) == read(folder)
    assert data.status(project, other, "x").unchanged == len(files) + 1
    for path in files:
        assert data.read_file(project, f"x/{path}") == files[path]
        assert data.file_path(project, f"x/{path}").read_bytes() == files[path]
    assert data.verify_files(project) == []


def test_equal_contents_are_kept_once(project: Project, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    folder = write(tmp_path / "f", {f"{n}": content for n in range(50)})
    data.add_files(project, folder)
    assert kept_bytes(project) < 110_000
    data.add_files(project, folder, "again", branch="main")
    assert kept_bytes(project) < 110_000


def test_one_byte_changed_in_a_large_file_keeps_a_few_chunks(project: Project, tmp_path: Path) -> None:
    content = bytearray(random.Random(1).randbytes(40 << 20))
    folder = write(tmp_path / "f", {"big": bytes(content)})
    data.add_files(project, folder)
    before = kept_bytes(project)
    content[20 << 20] ^= 1
    (folder / "big").write_bytes(content)
    data.add_files(project, folder)
    assert kept_bytes(project) - before < 8 << 20
    content[5 << 20 : 5 << 20] = b"ten bytes!"
    (folder / "big").write_bytes(content)
    before = kept_bytes(project)
    data.add_files(project, folder)
    assert kept_bytes(project) - before < 8 << 20
    assert data.read_file(project, "f/big") == bytes(content)


def test_large_files_are_cut_in_the_same_places_whatever_the_block() -> None:
    content = random.Random(2).randbytes((33 << 20) + 12345)
    whole = [chunk.length for chunk in FastCDC(1 << 20, min_size=1 << 20, max_size=4 << 20).cut_buf(content)]
    pieces = [bytes(piece) for some in _cut(io.BytesIO(content)) for piece in _split(*some)]
    assert [len(piece) for piece in pieces] == whole
    assert b"".join(pieces) == content


def test_status_tells_new_changed_and_deleted(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"same": b"1", "edited": b"2", "gone": b"3", "run": b"4"})
    made = data.add_files(project, folder)
    assert data.status(project, folder) == data.FolderStatus(
        commit=made.id, new=(), changed=(), deleted=(), unchanged=4
    )
    (folder / "edited").write_bytes(b"9")  # the same length, maybe within one tick of the clock
    (folder / "gone").unlink()
    (folder / "run").chmod(0o755)
    (folder / "sub").mkdir()
    (folder / "sub" / "new").write_bytes(b"")
    expected = data.FolderStatus(
        commit=made.id, new=("sub/new",), changed=("edited", "run"), deleted=("gone",), unchanged=1
    )
    assert data.status(project, folder) == expected
    assert data.status(project, folder) == expected


def test_an_edit_within_a_tick_of_the_clock_is_seen(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"0"})
    for number in range(1, 100):
        (folder / "a").write_bytes(str(number % 10).encode())
        data.status(project, folder, at="main") if number > 1 else data.add_files(project, folder)
        (folder / "a").write_bytes(str((number + 1) % 10).encode())
        data.add_files(project, folder)
        assert data.read_file(project, "f/a") == str((number + 1) % 10).encode()


def test_an_unchanged_folder_is_not_read_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "f", {"a": b"1"})
    time.sleep(0.05)  # past the file system's tick
    made = data.add_files(project, folder)
    monkeypatch.setattr(Filler, "put_path", None)
    monkeypatch.setattr(Folder, "_read", None)
    assert data.add_files(project, folder).id == made.id
    assert data.status(project, folder).unchanged == 1
    assert data.checkout(project, folder).unchanged == 1


def test_what_goes_from_the_folder_goes_from_the_tree_and_nothing_else(project: Project, tmp_path: Path) -> None:
    data.commit(project, {}, files={"other": b"stays", "f/old": b"goes"}, message="1")
    data.add_files(project, write(tmp_path / "f", {"new": b"comes"}), message="mirror")
    assert sorted(data.files(project)) == ["f/new", "other"]
    assert data.log(project)[0].message == "mirror"


def test_a_checkout_follows_the_commits_and_leaves_strangers_alone(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"1", "sub/b": b"2"})
    first = data.add_files(project, folder)
    shutil.rmtree(folder / "sub")
    write(folder, {"a": b"changed", "c": b"3"})
    second = data.add_files(project, folder)
    write(folder, {"mine": b"a stranger"})
    done = data.checkout(project, folder, at=first.id)
    assert (done.written, done.removed, done.left) == (("a", "sub/b"), ("c",), ())
    assert read(folder) == {"a": b"1", "sub/b": b"2", "mine": b"a stranger"}
    data.checkout(project, folder, at=second.id)
    assert read(folder) == {"a": b"changed", "c": b"3", "mine": b"a stranger"}
    assert not (folder / "sub").exists()


def test_contents_added_again_elsewhere_are_not_kept_twice_and_the_commit_says_so(
    project: Project, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", {"x": b"1", "y": noise(1, LARGE_BYTES + 5)})
    data.add_files(project, folder)
    packs = set((project.state / "files" / "packs").iterdir())
    write(folder, {"z": b"3"})
    assert data.add_files(project, folder, "b").message == "3 files kept, 2 contents kept already"
    (came,) = set((project.state / "files" / "packs").iterdir()) - packs
    assert came.stat().st_size < 200
    assert data.add_files(project, folder, "c").message == "3 files kept, 3 contents kept already"


def test_a_name_that_no_file_can_have_is_told_before_anything_is_written(project: Project, tmp_path: Path) -> None:
    data.commit(project, {}, files={"d/a": b"1", "d/" + "ñ" * 128: b"2"}, message="as a bucket takes it")
    with pytest.raises(data.BadPath, match="255 bytes"):
        data.checkout(project, tmp_path / "d")
    assert not (tmp_path / "d" / "a").exists()


def test_a_checkout_never_loses_an_edit(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"1", "b": b"1"})
    first = data.add_files(project, folder)
    write(folder, {"a": b"2", "c": b"2"})
    data.add_files(project, folder)
    write(folder, {"a": b"edited", "c": b"edited too"})
    with pytest.raises(data.LocalChanges, match="'a'"):
        data.checkout(project, folder, at=first.id)
    assert read(folder) == {"a": b"edited", "b": b"1", "c": b"edited too"}
    done = data.checkout(project, folder, at=first.id, force=True)
    assert (done.written, done.left) == (("a",), ("c",))
    assert read(folder) == {"a": b"1", "b": b"1", "c": b"edited too"}


def test_files_and_folders_may_change_places(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"x": b"a file"})
    first = data.add_files(project, folder)
    (folder / "x").unlink()
    write(folder, {"x/y": b"in a folder"})
    second = data.add_files(project, folder)
    data.checkout(project, folder, at=first.id)
    assert read(folder) == {"x": b"a file"}
    (folder / "x").unlink()
    (folder / "x" / "empty").mkdir(parents=True)
    data.checkout(project, folder, at=first.id)
    data.checkout(project, folder, at=second.id)
    write(folder, {"x/mine": b"1"})
    with pytest.raises(data.LocalChanges, match="x/mine"):
        data.checkout(project, folder, at=first.id)


def test_the_right_to_run_is_kept(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"run": b"#!/bin/sh\n", "text": b""})
    (folder / "run").chmod(0o755)
    data.add_files(project, folder)
    data.checkout(project, tmp_path / "g", "f")
    assert os.access(tmp_path / "g" / "run", os.X_OK)
    assert (tmp_path / "g" / "text").stat().st_mode & 0o111 == 0


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_what_is_no_file_is_refused_by_name(project: Project, tmp_path: Path, make: object) -> None:
    folder = write(tmp_path / "f", {"a": b"1", "sub/b": b"2"})
    make(folder / "sub" / "odd")  # type: ignore[operator]
    with pytest.raises(data.BadFile, match="sub/odd"):
        data.add_files(project, folder)
    data.add_files(project, write(tmp_path / "good", {"a": b"1"}), "x")
    with pytest.raises(data.BadFile, match="sub/odd"):
        data.checkout(project, folder, "x")


@pytest.mark.parametrize("name", [b"back\\slash", b"not utf-8 \xff"])
def test_names_that_cannot_stand_in_a_tree_are_refused(project: Project, tmp_path: Path, name: bytes) -> None:
    folder = write(tmp_path / "f", {"a": b"1"})
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x")
    with pytest.raises(data.BadPath):
        data.add_files(project, folder)
    assert data.log(project) == []


def test_a_folder_that_is_not_there_is_a_plain_error(project: Project, tmp_path: Path) -> None:
    with pytest.raises(data.NoSuchFolder, match="nowhere"):
        data.add_files(project, tmp_path / "nowhere")
    with pytest.raises(data.EmptyCommit):
        data.add_files(project, write(tmp_path / "empty", {}))
    write(tmp_path / "f", {"a": b"1"})
    data.add_files(project, tmp_path / "f")
    with pytest.raises(data.NoSuchFile, match="'g/'"):
        data.checkout(project, tmp_path / "g")


def test_the_project_itself_can_be_added_without_its_state(project: Project) -> None:
    write(project.root, {"images/1.png": b"png"})
    data.add_files(project, project.root, "")
    assert sorted(data.files(project)) == ["bucle.toml", "images/1.png"]


def test_a_tree_of_the_older_form_is_read_and_grows(project: Project, tmp_path: Path) -> None:
    blob = project.blobs.put(b"old content")
    old = project.blobs.put(encode({"old.txt": {"digest": blob, "size_bytes": 11}}))
    assert load_tree(project, old) == {"old.txt": data.FileEntry(digest=blob, size_bytes=11)}
    made = make_commit((), {}, old, at=project.clock.now(), author="ana", message="old")
    with project.ledger.transaction("data.committed", subject="branch/main", actor="ana", reason="old") as tx:
        store.put_commit(tx, made)
        store.put_branch(tx, "main", made.id, at=project.clock.now(), actor="ana")
    assert data.read_file(project, "old.txt") == b"old content"
    data.add_files(project, write(tmp_path / "f", {"a": b"1"}))
    assert data.read_file(project, "old.txt") == b"old content"
    assert data.read_file(project, "f/a") == b"1"
    data.checkout(project, tmp_path / "all", "")
    assert read(tmp_path / "all") == {"old.txt": b"old content", "f/a": b"1"}
    assert data.verify_files(project) == []


def test_a_change_of_one_path_writes_few_blobs(project: Project) -> None:
    entry = data.FileEntry(digest="0" * 64, size_bytes=1)
    tree = {f"images/{number:06d}.png": entry for number in range(30_000)}
    first = parts_of(project, keep_tree(project, tree))
    assert len(first) > 5
    tree["images/012345x.png"] = entry
    second = keep_tree(project, tree)
    assert len(set(parts_of(project, second)) - set(first)) <= 2
    assert load_tree(project, second) == tree
    del tree["images/012345x.png"]
    assert parts_of(project, keep_tree(project, tree)) == first


def test_a_loss_of_the_memory_costs_no_data(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"1"})
    data.add_files(project, folder)
    for memory in (project.state / "files" / "folders").iterdir():
        memory.write_bytes(b"BUCLEFD1 nonsense")
    assert data.status(project, folder).unchanged == 1
    shutil.rmtree(project.state / "files" / "folders")
    assert data.status(project, folder).unchanged == 1


def test_processes_adding_at_once_lose_nothing(any_project: Project, tmp_path: Path) -> None:
    url = "" if any_project.database.is_sqlite else any_project.database.url
    same = os.urandom(2 << 20)
    for name in ("ana", "eva"):
        write(tmp_path / name, {f"{name}{number}": f"{name}{number}".encode() for number in range(50)} | {"same": same})
    running = [
        subprocess.Popen([sys.executable, WORKER, "adds", str(any_project.root), url, name, "5", str(tmp_path / name)])
        for name in ("ana", "eva")
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert len(data.log(any_project)) == 10
    tree = data.files(any_project)
    assert len(tree) == 2 * (51 + 5)
    assert data.read_file(any_project, "eva/same") == same
    assert data.verify_files(any_project) == []


def test_a_sweep_removes_packs_and_copies_that_no_commit_needs(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"1", "big": os.urandom(3 << 20)})
    data.add_files(project, folder)
    data.file_path(project, "f/big")
    packs = packs_of(project)
    with filling(packs) as filler:
        filler.put(digest_of(b"loose"), b"loose")
        filler.settle()
    (packs.folder / "dead.partial").write_bytes(b"half")
    assert data.sweep(project).files == 0
    assert data.sweep(project, older_than=timedelta(seconds=-5)).files == 3
    assert not packs.find(digest_of(b"loose"))
    assert data.verify_files(project) == []
    data.checkout(project, tmp_path / "again", "f")
    assert read(tmp_path / "again") == read(folder)


@pytest.mark.parametrize("at", [3, 1 << 20, -20])
def test_a_flipped_byte_in_a_pack_is_found_and_named(project: Project, tmp_path: Path, at: int) -> None:
    folder = write(tmp_path / "f", {"a": b"small", "big": random.Random(3).randbytes(5 << 20)})
    data.add_files(project, folder)
    assert data.verify_files(project) == []
    (pack,) = (project.state / "files" / "packs").glob("*.pack")
    raw = bytearray(pack.read_bytes())
    raw[at] ^= 1
    pack.write_bytes(raw)
    faults = data.verify_files(project)
    assert faults
    assert faults[0].where == f"pack {pack.name[:12]}"
    assert any("f/a" in fault.what or "f/big" in fault.what for fault in faults)
    with closing(Project.open(project.root, clock=project.clock)) as again:
        with pytest.raises((data.PackDamaged, BlobMissing)):
            data.checkout(again, tmp_path / "out", "f")
        if at < 0:
            with pytest.raises(data.PackDamaged):
                data.sweep(again, older_than=timedelta(seconds=-5))
            data.add_files(again, folder)
            assert data.checkout(again, tmp_path / "out", "f").commit
    assert not list(tmp_path.rglob("*partial"))


def test_a_lost_pack_is_found_and_the_files_are_named(project: Project, tmp_path: Path) -> None:
    data.add_files(project, write(tmp_path / "f", {"a": b"small"}))
    (pack,) = (project.state / "files" / "packs").glob("*.pack")
    pack.unlink()
    (fault,) = data.verify_files(project)
    assert "f/a" in fault.what
    data.add_files(project, tmp_path / "f")
    assert data.verify_files(project) == []


@pytest.mark.parametrize("call", ["fsync", "pwrite"])
def test_a_full_disk_leaves_nothing_behind(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    folder = write(tmp_path / "f", {"a": b"small", "big": noise(9, 3 << 20)})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(DiskFull):
            data.add_files(project, folder)
    assert list((project.state / "files" / "packs").glob("*.p*")) == []
    assert data.log(project) == []
    data.add_files(project, folder)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DiskFull):
            data.checkout(project, tmp_path / "out", "f")
    assert read(tmp_path / "out") == {}


def test_a_folder_found_the_same_is_the_same_until_it_is_touched(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"1", "b": b"2"})
    time.sleep(0.05)
    first = data.add_files(project, folder)
    for _ in range(3):
        assert data.status(project, folder).unchanged == 2
    (folder / "a").write_bytes(b"3")
    assert data.status(project, folder).changed == ("a",)
    second = data.add_files(project, folder)
    assert data.status(project, folder).unchanged == 2
    assert data.status(project, folder, at=first.id).changed == ("a",)
    data.checkout(project, folder, at=first.id)
    assert data.status(project, folder, at=second.id).changed == ("a",)
    assert data.status(project, folder, at=first.id).unchanged == 2


def test_a_large_file_that_changes_while_it_is_read_is_refused(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "f", {"big": noise(4, 9 << 20)})
    put = PackWriter.put

    def meanwhile(self: PackWriter, digest: str, content: bytes | memoryview) -> None:
        with (folder / "big").open("r+b") as file:
            file.write(b"x")
        put(self, digest, content)

    with monkeypatch.context() as patched:
        patched.setattr(PackWriter, "put", meanwhile)
        with pytest.raises(data.BadFile, match="written to"):
            data.add_files(project, folder)
    assert data.log(project) == []
    data.add_files(project, folder)
    assert data.read_file(project, "f/big") == (folder / "big").read_bytes()


def test_what_others_add_below_the_same_path_is_seen_by_the_next_status(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "f", {"a": b"1"})
    time.sleep(0.05)
    settle = Filler.settle

    def meanwhile(self: Filler) -> None:
        settle(self)
        data.commit(project, {}, files={"f/other": b"x"}, message="between")

    with monkeypatch.context() as patched:
        patched.setattr(Filler, "settle", meanwhile)
        data.add_files(project, folder)
    assert data.status(project, folder).deleted == ("other",)
    assert data.add_files(project, folder).id != data.log(project)[1].id
    assert data.status(project, folder).unchanged == 1


def test_a_sweep_writes_anew_what_is_needed_of_packs_that_are_mostly_needless(project: Project, tmp_path: Path) -> None:
    packs = packs_of(project)
    kept = {f"{n}": noise(n, 30_000) for n in range(10)}
    big = write(tmp_path / "b", {"big": noise(50, 5 << 20)}) / "big"
    with filling(packs) as filler:
        for number in range(100, 160):
            filler.put(digest_of(noise(number, 100_000)), noise(number, 100_000))
        for content in kept.values():
            filler.put(digest_of(content), content)
        filler.settle()
    with filling(packs) as filler:
        filler.put_path(str(big), 5 << 20)
        for number in range(200, 300):
            filler.put(digest_of(noise(number, 100_000)), noise(number, 100_000))
        filler.settle()
    data.add_files(project, write(tmp_path / "f", kept))
    data.add_files(project, tmp_path / "b")
    before = kept_bytes(project)
    swept = data.sweep(project, older_than=timedelta(seconds=-5))
    assert swept.files == 2
    assert before - kept_bytes(project) > 14 << 20
    assert abs(swept.size_bytes - (before - kept_bytes(project))) < 20_000
    assert data.verify_files(project) == []
    with closing(Project.open(project.root, clock=project.clock)) as again:
        assert {path: data.read_file(again, f"f/{path}") for path in kept} == kept
        assert data.read_file(again, "b/big") == big.read_bytes()
    assert data.sweep(project, older_than=timedelta(seconds=-5)).files == 0


def test_files_may_be_linked_to_and_an_edit_of_one_is_mended(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"first", "run": b"#!"})
    (folder / "run").chmod(0o755)
    made = data.add_files(project, folder)
    for name in ("x", "y"):
        data.checkout(project, tmp_path / name, "f", link=True)
    assert (tmp_path / "x" / "a").stat().st_ino == (tmp_path / "y" / "a").stat().st_ino
    assert (tmp_path / "x" / "run").stat().st_ino != (tmp_path / "y" / "run").stat().st_ino
    assert (tmp_path / "x" / "a").stat().st_mode & 0o222 == 0
    assert data.status(project, tmp_path / "x", "f").unchanged == 2
    (tmp_path / "x" / "a").chmod(0o644)
    (tmp_path / "x" / "a").write_bytes(b"edited")
    assert data.read_file(project, "f/a") == b"first"
    data.checkout(project, tmp_path / "z", "f", link=True)
    assert (tmp_path / "z" / "a").read_bytes() == b"first"
    assert data.add_files(project, folder).id == made.id


def test_links_and_empty_folders_are_kept_when_asked(project: Project, tmp_path: Path) -> None:
    folder = write(tmp_path / "f", {"a": b"1", "sub/b": b"2"})
    (folder / "sub" / "up").symlink_to("../a")
    (folder / "dangling").symlink_to("sub/nothing")
    (folder / "sub" / "empty" / "deep").mkdir(parents=True)
    first = data.add_files(project, folder, exact=True)
    assert data.status(project, folder).unchanged == 5
    data.checkout(project, tmp_path / "g", "f")
    assert str((tmp_path / "g" / "sub" / "up").readlink()) == "../a"
    assert str((tmp_path / "g" / "dangling").readlink()) == "sub/nothing"
    assert (tmp_path / "g" / "sub" / "empty" / "deep").is_dir()
    assert data.status(project, tmp_path / "g", "f").unchanged == 5
    assert data.add_files(project, tmp_path / "g", "f", exact=True).id == first.id
    (folder / "dangling").unlink()
    (folder / "dangling").symlink_to("a")
    (folder / "sub" / "empty" / "deep").rmdir()
    (folder / "sub" / "empty").rmdir()
    assert data.status(project, folder).changed == ("dangling",)
    data.add_files(project, folder, exact=True)
    data.checkout(project, tmp_path / "g", "f")
    assert not (tmp_path / "g" / "sub" / "empty").exists()
    assert (tmp_path / "g" / "dangling").read_bytes() == b"1"
    data.checkout(project, tmp_path / "g", "f", at=first.id)
    assert data.status(project, tmp_path / "g", "f", at=first.id).unchanged == 5
    assert data.verify_files(project) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../out", "sub/../../out", ".."])
def test_links_that_point_out_of_the_folder_are_refused(project: Project, tmp_path: Path, target: str) -> None:
    folder = write(tmp_path / "f", {"a": b"1"})
    (folder / "odd").symlink_to(target)
    with pytest.raises(data.BadFile, match="odd"):
        data.add_files(project, folder, exact=True)
    entry = data.FileEntry(digest=project.blobs.put(target.encode()), size_bytes=len(target), mode=0o120000)
    evil = keep_tree(project, {"f/a": data.FileEntry(digest=project.blobs.put(b"1"), size_bytes=1), "f/odd": entry})
    made = make_commit((), {}, evil, at=project.clock.now(), author="eva", message="evil")
    with project.ledger.transaction("data.committed", subject="branch/main", actor="eva", reason="evil") as tx:
        store.put_commit(tx, made)
    with pytest.raises(data.BadFile, match="odd"):
        data.checkout(project, tmp_path / "out", "f", at=made.id)
    assert not (tmp_path / "out").exists()


def test_a_file_below_a_link_cannot_be_checked_out(project: Project, tmp_path: Path) -> None:
    one = data.FileEntry(digest=project.blobs.put(b"1"), size_bytes=1)
    link = data.FileEntry(digest=project.blobs.put(b"real"), size_bytes=4, mode=0o120000)
    evil = keep_tree(project, {"f/real/x": one, "f/x": link, "f/x/y": one})
    made = make_commit((), {}, evil, at=project.clock.now(), author="eva", message="evil")
    with project.ledger.transaction("data.committed", subject="branch/main", actor="eva", reason="evil") as tx:
        store.put_commit(tx, made)
    with pytest.raises(data.BadPath, match="x/y"):
        data.checkout(project, tmp_path / "out", "f", at=made.id)


def test_versions_take_what_differs(project: Project, tmp_path: Path) -> None:
    assert data.storage(project) == []
    content = bytearray(noise(60, 12 << 20))
    folder = write(tmp_path / "f", {"big": bytes(content), "small": b"1"})
    for place in range(4):
        content[place << 20] ^= 1
        (folder / "big").write_bytes(content)
        data.add_files(project, folder)
    (found,) = data.storage(project)
    assert (found.versions, found.files) == (4, 8)
    assert found.copies_bytes == 4 * ((12 << 20) + 1)
    assert found.ratio > 1.5


@pytest.mark.parametrize(("first", "then"), [("x", "x/y"), ("x/y", "x"), ("x/y/z", "x"), ("a/x", "a/x/y/z")])
def test_a_file_is_never_also_a_folder(project: Project, tmp_path: Path, first: str, then: str) -> None:
    with pytest.raises(data.BadPath):
        data.commit(project, {}, files={first: b"1", then: b"2"}, message="both")
    data.create_branch(project, "dev")
    data.commit(project, {}, files={first: b"1"}, message="one")
    data.commit(project, {}, files={then: b"2"}, branch="dev", message="the other")
    with pytest.raises(data.BadPath):
        data.commit(project, {}, files={then: b"2"}, message="on top")
    with pytest.raises(data.BadPath):
        data.merge(project, "dev", message="both")
    local = tmp_path / "local" / then
    local.parent.mkdir(parents=True)
    local.write_bytes(b"2")
    data.add_files(project, tmp_path / "local", "")  # the folder as it is: the other goes
    assert list(data.files(project)) == [then]
    data.commit(project, {}, files={then: None, first: b"3"}, message="they change places")
    assert list(data.files(project)) == [first]


@pytest.mark.parametrize("force", [False, True])
def test_a_checkout_never_writes_through_a_link_that_is_in_its_way(
    project: Project, tmp_path: Path, force: bool
) -> None:
    source, outside, target = tmp_path / "f", tmp_path / "outside", tmp_path / "target"
    for folder in (source / "sub", outside, target):
        folder.mkdir(parents=True)
    (source / "sub" / "a").write_text("ours")
    (source / "link").symlink_to("sub")
    (outside / "a").write_text("precious")
    (target / "sub").symlink_to(outside)
    data.add_files(project, source, exact=True)
    if force:
        data.checkout(project, target, "f", force=True)
        assert (target / "sub" / "a").read_text() == "ours"
        assert not (target / "sub").is_symlink()
    else:
        with pytest.raises(data.LocalChanges):
            data.checkout(project, target, "f")
    assert (outside / "a").read_text() == "precious"


def test_a_file_in_the_way_of_a_folder_goes_when_forced(project: Project, tmp_path: Path) -> None:
    source, target = tmp_path / "f", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a").write_text("ours")
    target.mkdir()
    (target / "sub").write_text("mine")
    data.add_files(project, source)
    with pytest.raises(data.LocalChanges):
        data.checkout(project, target, "f")
    data.checkout(project, target, "f", force=True)
    assert (target / "sub" / "a").read_text() == "ours"
