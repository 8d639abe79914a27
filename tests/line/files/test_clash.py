"""No tree has a file below a file, whatever is put and removed together."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line.files import FOLDER, BadPath, FileEntry, change_kept, keep_tree, load_tree, tree, without_clash

PATHS = ["a", "a-b", "a/b", "a/b/c", "a/b/d", "a0", "b", "b/a", "b/a/a", "c/a", "c", "ñ/a", "ñ"]
FILE = st.just(FileEntry(digest="1" * 64, size_bytes=1))
FOLDERS = st.just(FileEntry(digest="2" * 64, size_bytes=0, mode=FOLDER))
CHANGES = st.dictionaries(st.sampled_from(PATHS), st.none() | FILE | FOLDERS, max_size=6)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root: Path = tmp_path_factory.mktemp("trees")
    (root / "bucle.toml").write_text('[project]\nname = "trees"\n')
    project = Project.open(root, actor="ana")
    with patch.object(tree, "_MASK", 1):  # blobs of two paths, so that small trees have many
        yield project
    project.close()


def below_a_file(whole: dict[str, FileEntry]) -> bool:
    return any(path.startswith(f"{above}/") for above, one in whole.items() if one.mode != FOLDER for path in whole)


def plain(whole: dict[str, FileEntry]) -> dict[str, FileEntry]:
    """Without the empty folders that are not empty."""
    return {
        path: one
        for path, one in whole.items()
        if one.mode != FOLDER or not any(other.startswith(f"{path}/") for other in whole)
    }


@settings(max_examples=400, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=5))
def test_changes_are_refused_when_they_clash_and_only_then(
    kept: Project, edits: list[dict[str, FileEntry | None]]
) -> None:
    whole, digest = dict[str, FileEntry](), keep_tree(kept, {})
    for changes in edits:
        wanted = plain({path: one for path, one in {**whole, **changes}.items() if one is not None})
        if below_a_file(wanted):
            with pytest.raises(BadPath):
                without_clash(kept, digest, changes)
        else:
            whole, digest = wanted, change_kept(kept, digest, without_clash(kept, digest, changes))
            assert load_tree(kept, digest) == whole
