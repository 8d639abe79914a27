"""Trees changed at some paths: byte for byte what laying them out anew gives, and little of them is read or written."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.ground.core import encode
from bucle.ground.project import Project
from bucle.line.files import (
    FileEntry,
    change_kept,
    find_entries,
    find_entry,
    keep_tree,
    load_below,
    load_tree,
    parts_of,
    tree,
    unshared,
)

PATHS = [f"{folder}{number:02d}" for folder in ("", "a/", "a/b/", "a0", "b/", "ñ/", "z/") for number in range(12)]
ENTRIES = st.builds(lambda number: FileEntry(digest=f"{number:064x}", size_bytes=number), st.integers(0, 2))
TREES = st.dictionaries(st.sampled_from(PATHS), ENTRIES)
CHANGES = st.dictionaries(st.sampled_from(PATHS), st.none() | ENTRIES, max_size=12)
WRONG = FileEntry(digest="f" * 64, size_bytes=1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root: Path = tmp_path_factory.mktemp("trees")
    (root / "bucle.toml").write_text('[project]\nname = "trees"\n')
    project = Project.open(root, actor="ana")
    with patch.object(tree, "_MASK", 7):  # blobs of eight paths, so that small trees have many
        yield project
    project.close()


def changed(whole: dict[str, FileEntry], changes: dict[str, FileEntry | None]) -> dict[str, FileEntry]:
    return {path: entry for path, entry in {**whole, **changes}.items() if entry is not None}


@settings(max_examples=200, deadline=None)
@given(TREES, st.lists(CHANGES, min_size=1, max_size=3))
def test_a_change_gives_the_tree_that_laying_it_out_anew_gives(
    kept: Project, whole: dict[str, FileEntry], edits: list[dict[str, FileEntry | None]]
) -> None:
    digest = keep_tree(kept, whole)
    for changes in edits:
        whole = changed(whole, changes)
        digest = change_kept(kept, digest, changes)
        assert digest == keep_tree(kept, whole)
        assert list(load_tree(kept, digest).items()) == sorted(whole.items())


@pytest.mark.parametrize("which", ["first", "last", "begins", "every", "before", "after", "nothing"])
def test_changes_at_the_ends_and_at_the_beginnings_of_blobs(kept: Project, which: str) -> None:
    entry = FileEntry(digest="0" * 64, size_bytes=1)
    whole = dict.fromkeys(PATHS, entry)
    digest, order = keep_tree(kept, whole), sorted(whole)
    assert len(parts_of(kept, digest)) > 5
    changes: dict[str, FileEntry | None] = {
        "first": {order[0]: None},
        "last": {order[-1]: None},
        "begins": dict.fromkeys(path for path in PATHS if tree.begins_part(path)),
        "every": dict.fromkeys(PATHS),
        "before": {"\x01": WRONG},
        "after": {"\U0010ffff": WRONG},
        "nothing": {"not/there": None},
    }[which]
    after = change_kept(kept, digest, changes)
    assert after == keep_tree(kept, changed(whole, changes))
    assert (after == "") == (which == "every")
    back = {path: whole.get(path) for path in changes}
    assert change_kept(kept, after, back) == digest


@settings(max_examples=60, deadline=None)
@given(TREES, CHANGES, st.sampled_from(["", "a", "a/", "a/b/", "b/", "none/", "zz"]))
def test_looking_into_a_tree_finds_what_loading_it_finds(
    kept: Project, whole: dict[str, FileEntry], changes: dict[str, FileEntry | None], prefix: str
) -> None:
    digest = keep_tree(kept, whole)
    below = {path: entry for path, entry in sorted(whole.items()) if path.startswith(prefix)}
    assert list(load_below(kept, digest, prefix).items()) == list(below.items())
    assert find_entries(kept, digest, PATHS) == whole
    assert [find_entry(kept, digest, path) for path in PATHS[:20]] == [whole.get(path) for path in PATHS[:20]]
    after = change_kept(kept, digest, changes)
    left, right = unshared(kept, digest, after)
    other = changed(whole, changes)
    differing = {path for path in {*whole, *other} if whole.get(path) != other.get(path)}
    assert differing <= {*left, *right}
    assert {path: left.get(path) for path in differing} == {path: whole.get(path) for path in differing}
    assert {path: right.get(path) for path in differing} == {path: other.get(path) for path in differing}


def test_a_change_reads_and_writes_few_blobs(kept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = FileEntry(digest="0" * 64, size_bytes=1)
    whole = {f"images/{number:04d}": entry for number in range(4000)}
    digest = keep_tree(kept, whole)
    assert len(parts_of(kept, digest)) > 400
    touched, blobs = list[str](), type(kept.blobs)
    get, put = blobs.get, blobs.put
    monkeypatch.setattr(blobs, "get", lambda self, one: touched.append("get") or get(self, one))
    monkeypatch.setattr(blobs, "put", lambda self, data: touched.append("put") or put(self, data))
    change_kept(kept, digest, {"images/2000x": WRONG, "images/2001": None})
    assert touched.count("get") <= 16
    assert touched.count("put") <= 4


def test_a_tree_of_an_older_version_is_changed_too(kept: Project) -> None:
    entry = FileEntry(digest="0" * 64, size_bytes=1)
    old = kept.blobs.put(encode({"a": entry, "b": entry}))
    assert change_kept(kept, old, {"a": entry}) == old
    after = change_kept(kept, old, {"a": None, "c": entry})
    assert after == keep_tree(kept, {"b": entry, "c": entry})
    assert change_kept(kept, old, {"a": None, "b": None}) == ""
