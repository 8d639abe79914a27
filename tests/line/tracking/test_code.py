"""The code of a run: the commit, and a diff that brings back the very files."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from bucle.ground.core import NotFound, SimulatedClock
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking.code import restore_code


def _git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    names = ("-c", "user.name=ana", "-c", "user.email=ana@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *names, *arguments], input=given, capture_output=True, check=True
    ).stdout


@pytest.fixture
def repository(root: Path) -> Path:
    (root / ".gitignore").write_text("ignored.txt\n.bucle/\n")
    (root / "train.py").write_text("rounds = 100\n")
    (root / "old.py").write_text("gone soon\n")
    _git(root, "init", "--quiet")
    _git(root, "add", ".")
    _git(root, "commit", "--quiet", "-m", "first")
    return root


def _change(root: Path) -> None:
    (root / "train.py").write_text("rounds = 200\n")
    (root / "old.py").unlink()
    (root / "new.py").write_text("# ñ\n")
    (root / "with space.bin").write_bytes(bytes(range(256)))
    (root / "ignored.txt").write_text("secret\n")
    (root / "staged.py").write_text("staged\n")
    _git(root, "add", "staged.py")


def test_a_clean_tree_has_a_commit_and_no_diff(repository: Path) -> None:
    code = tracking.code_of(repository)
    assert code.commit == _git(repository, "rev-parse", "HEAD").decode().strip()
    assert code.diff == b""


def test_the_diff_brings_back_the_very_files(repository: Path, tmp_path: Path) -> None:
    _change(repository)
    code = tracking.code_of(repository)
    copy = tmp_path / "copy"
    _git(tmp_path, "clone", "--quiet", str(repository), str(copy))
    _git(copy, "checkout", "--quiet", code.commit)
    _git(copy, "apply", "-", given=code.diff)
    ours = {file.name: file.read_bytes() for file in repository.iterdir() if file.is_file()}
    theirs = {file.name: file.read_bytes() for file in copy.iterdir() if file.is_file()}
    assert theirs == {name: content for name, content in ours.items() if name != "ignored.txt"}


def test_reading_the_code_leaves_the_repository_alone(repository: Path) -> None:
    _change(repository)
    status, objects = _git(repository, "status", "--porcelain"), _git(repository, "count-objects", "-v")
    index = (repository / ".git" / "index").read_bytes()
    tracking.code_of(repository)
    assert (repository / ".git" / "index").read_bytes() == index
    assert _git(repository, "count-objects", "-v") == objects
    assert _git(repository, "status", "--porcelain") == status


def test_a_large_file_that_git_does_not_know_is_no_code(repository: Path) -> None:
    (repository / "data.csv").write_bytes(b"1,2\n" * 500_000)
    assert tracking.code_of(repository).diff == b""


def test_only_the_project_s_own_folder_counts(repository: Path) -> None:
    inner = repository / "inner"
    inner.mkdir()
    (inner / "step.py").write_text("x\n")
    (repository / "train.py").write_text("rounds = 300\n")
    diff = tracking.code_of(inner).diff
    assert b"inner/step.py" in diff
    assert b"train.py" not in diff


def test_without_git_there_is_no_code(root: Path, repository: Path, tmp_path: Path) -> None:
    assert tracking.code_of(tmp_path) == tracking.Code(commit="", diff=b"")
    hidden = repository / "ignored.txt"
    hidden.mkdir()
    assert tracking.code_of(hidden) == tracking.Code(commit="", diff=b"")


def test_a_repository_without_a_commit_has_no_code(root: Path) -> None:
    _git(root, "init", "--quiet")
    assert tracking.code_of(root) == tracking.Code(commit="", diff=b"")


def test_a_hook_s_variables_do_not_lead_astray(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "none"))
    assert tracking.code_of(repository).commit


def test_a_broken_repository_is_told(repository: Path) -> None:
    (repository / "new.py").write_text("x\n")
    (repository / ".git" / "index").write_bytes(b"broken")
    with pytest.raises(tracking.GitFailed, match=r"git .* fails"):
        tracking.code_of(repository)


def test_a_run_keeps_the_commit_and_the_diff(repository: Path, project: Project) -> None:
    (repository / "train.py").write_text("rounds = 200\n")
    with tracking.start(project, "flights") as live:
        pass
    found = tracking.run(project, live.id)
    assert found.code_commit == _git(repository, "rev-parse", "HEAD").decode().strip()
    assert b"+rounds = 200" in project.blobs.get(found.code_diff)


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_the_code_of_a_run_is_restored_with_what_was_not_committed(
    repository: Path, tmp_path: Path, clock: SimulatedClock, where: str
) -> None:
    _change(repository)
    folder = tmp_path / "restored" if where == "outside" else repository / ".bucle" / "code" / "one"
    with closing(Project.open(repository, clock=clock)) as project:
        with tracking.start(project, "e") as live:
            live.log_params({"a": 1})
        run = tracking.run(project, live.id)
        assert tracking.restored(project, run, folder) == folder
        assert tracking.restored(project, run, folder) == folder
        other = repository / "other"
        other.mkdir()
        (other / "mine.txt").write_text("mine\n")
        with pytest.raises(tracking.FolderTaken):
            tracking.restored(project, run, other)
    assert {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")} == {
        file.name: file.read_bytes()
        for file in repository.iterdir()
        if file.is_file() and file.name not in ("ignored.txt", ".gitignore")
    }
    assert (other / "mine.txt").read_text() == "mine\n"


def test_a_run_outside_of_git_has_no_code_to_restore(root: Path, tmp_path: Path, clock: SimulatedClock) -> None:
    with closing(Project.open(root, clock=clock)) as project:
        with tracking.start(project, "e") as live:
            pass
        with pytest.raises(NotFound, match="No commit"):
            tracking.restored(project, tracking.run(project, live.id), tmp_path / "x")


def test_a_commit_that_is_gone_leaves_no_folder(repository: Path, tmp_path: Path) -> None:
    lost = tracking.Code(commit="0" * 40, diff=b"")
    with pytest.raises(tracking.GitFailed):
        restore_code(repository, lost, tmp_path / "x")
    assert not (tmp_path / "x").exists()
