"""A remote that lies: a pull from it writes nowhere else, changes no content that is here, and says what is wrong."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3

from bucle.ground.core import BucleError, CorruptRecord, SimulatedClock
from bucle.ground.project import Project
from bucle.ground.store import DiskFull
from bucle.line import data, files
from bucle.line.files.far import FarPacks

EVIL, GOOD = b"evil" * 300, b"good" * 300
Claim = tuple[bytes, bytes]


def name_of(content: bytes) -> str:
    return blake3(content).hexdigest()


def raw(*contents: bytes) -> bytes:
    return b"".join(blake3(one).digest() for one in contents)


@pytest.fixture
def eva(tmp_path: Path, clock: SimulatedClock, migrated_file: Path) -> Iterator[Project]:
    root = tmp_path / "eva"
    (root / ".bucle").mkdir(parents=True)
    (root / "bucle.toml").write_text('[project]\nname = "eva"\n')
    shutil.copy(migrated_file, root / ".bucle" / "bucle.db")
    opened = Project.open(root, clock=clock, actor="eva")
    yield opened
    opened.close()


class Liar:
    """A folder remote made by hand; what its names vouch for is what its maker wrote."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for kind in ("packs", "trees", "heads"):
            (root / kind).mkdir(parents=True)

    def pack(self, *contents: bytes, told: object = None, says: tuple[Claim, ...] = (), sealed: Any = ()) -> None:
        columns = [raw(*contents), [len(one) for one in contents], list(says), list(sealed)]
        told = msgspec.msgpack.encode(columns if told is None else told)
        whole = b"".join(contents) + told + len(told).to_bytes(8, "big") + b"BUCLEPK1"
        (self.root / "packs" / f"{name_of(told)}.pack").write_bytes(whole)
        (self.root / "packs" / f"{name_of(told)}.list").write_bytes(told)

    def tree(self, path: str = "a", content: bytes = EVIL, size: int | None = None, mode: int = 0o644) -> None:
        sizes = [len(content) if size is None else size]
        self.head(b"BUCLETR1" + msgspec.msgpack.encode([[path], raw(content), sizes, [mode]]))

    def head(self, tree: bytes) -> None:
        (self.root / "trees" / name_of(tree)).write_bytes(tree)
        head = {"branch": "main", "commit": "c" * 64, "files": name_of(tree), "at": "2020-01-01T00:00:00Z"}
        head |= {"author": "mallory", "message": "m", "history": [name_of(tree)]}
        (self.root / "heads" / "main.json").write_text(json.dumps(head))


@pytest.fixture
def liar(tmp_path: Path) -> Liar:
    return Liar(tmp_path / "far")


def pull(project: Project, liar: Liar) -> None:
    data.pull(project, str(liar.root))


PATHS = ["../../x", "/etc/x", "a/../../x", "a//b", "", "a\0b", "a\\b", ".", "a/"]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out(eva: Project, liar: Liar, tmp_path: Path, path: str) -> None:
    liar.pack(EVIL)
    liar.tree(path)
    with pytest.raises(files.BadPath):
        pull(eva, liar)
    assert data.log(eva) == []


def test_a_checkout_of_a_tree_that_climbs_out_writes_nothing(eva: Project, tmp_path: Path) -> None:
    # Of a project whose tree was pulled before paths were looked at.
    entry = data.commit(eva, {}, files={"a": EVIL}, message="m")
    climbing = files.keep_tree(eva, {"../../x": files.load_tree(eva, entry.files)["a"]})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bucle.line.data.publish.change_tree", lambda *_: climbing)
        data.commit(eva, {}, files={"b": b"1"}, message="m")
    with pytest.raises(files.BadPath):
        data.checkout(eva, tmp_path / "in" / "there" / "out", "")
    assert not (tmp_path / "in" / "x").exists()


@pytest.mark.parametrize(("mode", "size"), [(0o4777, 1), (-1, 1), (1 << 40, 1), (0o010644, 1), (0o644, -5)])
def test_no_entry_is_what_no_file_is(eva: Project, liar: Liar, mode: int, size: int) -> None:
    liar.pack(EVIL)
    liar.tree(mode=mode, size=size)
    with pytest.raises(CorruptRecord):
        pull(eva, liar)


@pytest.mark.parametrize(
    "entry",
    [{"digest": "../../../etc/passwd", "size_bytes": 1}, {"digest": "abcd", "size_bytes": 1},
     {"digest": name_of(EVIL), "size_bytes": 10**30}],
    ids=["climbs", "short", "huge"],
)  # fmt: skip
def test_a_tree_of_the_old_form_is_looked_at_as_well(eva: Project, liar: Liar, entry: dict[str, Any]) -> None:
    liar.pack(EVIL)
    liar.head(json.dumps({"a": {**entry, "mode": 0o644}}).encode())
    with pytest.raises(BucleError):
        pull(eva, liar)


LISTS: dict[str, list[Any]] = {
    "negative": [raw(EVIL), [-1], []],
    "huge": [raw(EVIL), [1 << 60], []],
    "beyond": [raw(EVIL), [2**64 - 1], []],
    "more digests": [raw(EVIL) * 2, [len(EVIL)], []],
    "odd digest": [raw(EVIL) + b"abc", [len(EVIL), 0], []],
    "odd file": [raw(EVIL), [len(EVIL)], [(b"abc", b"xyz")]],
}


@pytest.mark.parametrize("told", LISTS.values(), ids=LISTS)
def test_no_list_is_believed_that_could_not_be_ours(eva: Project, liar: Liar, told: list[Any]) -> None:
    liar.pack(EVIL, told=told)
    liar.tree()
    with pytest.raises(files.PackDamaged):
        pull(eva, liar)


@pytest.mark.parametrize("other", [0, 1 << 13], ids=["whole", "loose"])
@pytest.mark.parametrize("chunks", [(EVIL,), (), (EVIL, EVIL)], ids=["one", "none", "two"])
def test_a_file_does_not_consist_of_what_the_remote_says(
    eva: Project, liar: Liar, chunks: tuple[bytes, ...], other: int
) -> None:
    liar.pack(EVIL, *[bytes([1]) * other] * bool(other), says=((raw(GOOD), raw(*chunks)),))
    liar.tree(content=GOOD)
    for _ in range(2):  # nothing of the first try is believed by the second
        with pytest.raises(files.PackDamaged):
            pull(eva, liar)
    assert data.log(eva) == []


def lies(liar: Liar) -> None:
    liar.pack(EVIL, says=((raw(GOOD), raw(EVIL)),))


def says_nothing_of(liar: Liar) -> None:
    liar.pack(EVIL, says=((raw(GOOD), b""),))


def says_encrypted(liar: Liar) -> None:
    liar.pack(EVIL, sealed=[(raw(GOOD), raw(EVIL), b"k" * 32)])


@pytest.mark.parametrize("lie", [lies, says_nothing_of, says_encrypted])
def test_no_content_that_is_or_comes_here_is_changed(
    eva: Project, liar: Liar, tmp_path: Path, lie: Callable[[Liar], None]
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "mine").write_bytes(GOOD)
    data.add_files(eva, tmp_path / "f")
    lie(liar)
    liar.tree()
    with contextlib.suppress(files.PackDamaged):
        data.pull(eva, str(liar.root), into="theirs")
    assert data.read_file(eva, "f/mine") == GOOD


@pytest.mark.parametrize("lie", [lies, says_nothing_of, says_encrypted])
def test_what_is_added_after_a_lie_is_kept(
    eva: Project, liar: Liar, tmp_path: Path, lie: Callable[[Liar], None]
) -> None:
    lie(liar)
    liar.tree()
    with contextlib.suppress(files.PackDamaged):
        pull(eva, liar)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "mine").write_bytes(GOOD)
    data.add_files(eva, tmp_path / "f")
    assert data.read_file(eva, "f/mine") == GOOD


def test_a_pack_that_has_no_end_is_not_fetched_for_ever(eva: Project, liar: Liar) -> None:
    liar.pack(EVIL)
    liar.tree()
    (pack,) = (liar.root / "packs").glob("*.pack")
    pack.unlink()
    pack.symlink_to("/dev/zero")
    with pytest.raises(files.PackDamaged):
        pull(eva, liar)


def test_a_full_disk_is_said_in_our_words(eva: Project, liar: Liar) -> None:
    liar.pack(EVIL)
    liar.tree()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FarPacks, "fetch", full)
        with pytest.raises(DiskFull):
            pull(eva, liar)
    assert data.log(eva) == []
