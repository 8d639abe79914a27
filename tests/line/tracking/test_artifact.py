"""Artifacts: files in folders, found again byte for byte, and nowhere but below their owner."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import tracking


@pytest.fixture
def owner(any_project: Project) -> str:
    return f"run/{tracking.create_run(any_project, '0').id}"


def test_files_lie_in_folders(any_project: Project, owner: str, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    tracking.put_artifact(any_project, owner, "model/weights.bin", tmp_path / "big")
    tracking.put_artifact(any_project, owner, "model/deep/er/a b.txt", b"hello")
    tracking.put_artifact(any_project, owner, "Model.md", b"# a!")
    assert [(one.path, one.is_dir, one.size) for one in tracking.list_artifacts(any_project, owner)] == [
        ("Model.md", False, 4),
        ("model", True, None),
    ]
    assert [one.path for one in tracking.list_artifacts(any_project, owner, "model")] == [
        "model/deep",
        "model/weights.bin",
    ]
    assert tracking.list_artifacts(any_project, owner, "Model.md") == []
    assert tracking.get_artifact(any_project, owner, "model/deep/er/a b.txt").read_bytes() == b"hello"
    with pytest.raises(tracking.NoSuchArtifact):
        tracking.get_artifact(any_project, owner, "model")
    assert set(tracking.run_by_id(any_project, owner[4:]).artifacts) == {
        "Model.md",
        "model/weights.bin",
        "model/deep/er/a b.txt",
    }


def test_the_digest_of_a_tree_is_that_of_its_paths_and_bytes(any_project: Project, owner: str) -> None:
    for path, content in (("a/x", b"1"), ("a/y/z", b"2"), ("b/x", b"1"), ("b/y/z", b"2"), ("c/x", b"1")):
        tracking.put_artifact(any_project, owner, path, content)
    one, same, other = (tracking.tree_digest(any_project, owner, folder) for folder in "abc")
    assert one == same != other
    with pytest.raises(tracking.NoSuchArtifact):
        tracking.tree_digest(any_project, owner, "none")


def test_a_file_is_replaced_and_removed(any_project: Project, owner: str) -> None:
    for content in (b"1", b"22"):
        tracking.put_artifact(any_project, owner, "a/x", content)
    tracking.put_artifact(any_project, owner, "a0", b"3")
    tracking.put_artifact(any_project, owner, "a-/x", b"4")
    assert tracking.artifact_info(any_project, owner, "a/x").size == 2
    assert tracking.delete_artifacts(any_project, owner, "a") == 1
    assert [one.path for one in tracking.list_artifacts(any_project, owner)] == ["a-", "a0"]
    assert tracking.delete_artifacts(any_project, owner) == 2


def test_no_file_is_a_folder_as_well(any_project: Project, owner: str) -> None:
    tracking.put_artifact(any_project, owner, "a/b", b"1")
    for path in ("a", "a/b/c"):
        with pytest.raises(tracking.BadArtifactPath):
            tracking.put_artifact(any_project, owner, path, b"2")


BAD = ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "./a", "a\0b", "a\\b", "a\nb", "x" * 1001, "\ud800"]


@pytest.mark.parametrize("path", BAD)
def test_a_path_that_leads_elsewhere_is_refused(project: Project, path: str) -> None:
    owner = f"run/{tracking.create_run(project, '0').id}"
    verbs = [
        lambda: tracking.put_artifact(project, owner, path, b""),
        lambda: tracking.get_artifact(project, owner, path),
    ]
    if path:
        verbs += [
            lambda: tracking.list_artifacts(project, owner, path),
            lambda: tracking.delete_artifacts(project, owner, path),
        ]
    for verb in verbs:
        with pytest.raises(tracking.BadArtifactPath):
            verb()


PARTS = st.text(st.sampled_from("aB0-_ ä%*[?."), min_size=1, max_size=3).filter(lambda part: part not in (".", ".."))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=8, unique=True))
def test_what_is_listed_is_what_a_folder_would_hold(any_project: Project, paths: list[str]) -> None:
    owner = f"run/{tracking.create_run(any_project, '0').id}"
    kept = list[str]()
    for path in paths:
        if not any(one.startswith(f"{path}/") or path.startswith(f"{one}/") for one in kept):
            tracking.put_artifact(any_project, owner, path, path.encode())
            kept.append(path)
    folders = {""} | {"/".join(path.split("/")[:depth]) for path in kept for depth in range(1, path.count("/") + 1)}
    for folder in folders:
        start = f"{folder}/" if folder else ""
        expected = {start + path[len(start) :].split("/")[0] for path in kept if path.startswith(start)}
        assert [one.path for one in tracking.list_artifacts(any_project, owner, folder)] == sorted(expected)
