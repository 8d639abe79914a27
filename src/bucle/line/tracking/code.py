"""The code a run ran: the git commit and every change that was not committed yet, kept and restored."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from bucle.ground.core import Record
from bucle.line.tracking.errors import GitFailed

__all__ = ["Code", "WorkingTree", "code_of", "place_of_code", "restore_code", "working_tree"]

LARGEST = 1 << 20
"""Bytes; a larger file that git does not know is taken for data, not code."""


class Code(Record, frozen=True):
    """What the working tree held.

    Attributes:
        commit: of HEAD; empty without git.
        diff: what `git apply` needs on top of it, binary files and files unknown to git included; empty when clean.
    """

    commit: str
    diff: bytes


class WorkingTree(Record, frozen=True):
    """A folder beside what git has of it.

    Attributes:
        commit: of HEAD.
        tracked: the files git knows, relative to the folder.
        changed: those of them that are otherwise than in HEAD, or not in it.
    """

    commit: str
    tracked: frozenset[str]
    changed: frozenset[str]

    def lacks(self, file: str) -> str:
        """Why the commit does not hold a file as it is; '' when it does."""
        return "changed since the commit" if file in self.changed else "" if file in self.tracked else "not in git"


def working_tree(root: Path) -> WorkingTree | None:
    """What git has of a folder; None without git, without a commit, or where git ignores the folder.

    Cost: four git processes.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if commit is None or _git(root, "check-ignore", "--quiet", str(root)) is not None:
        return None
    tracked = _must(root, {}, "ls-files", "-z", "--", ".")
    changed = _must(root, {}, "diff", "--name-only", "-z", "--relative", "--no-ext-diff", "HEAD", "--", ".")
    return WorkingTree(commit=commit.decode().strip(), tracked=_names(tracked), changed=_names(changed))


def _names(listed: bytes) -> frozenset[str]:
    return frozenset(os.fsdecode(name) for name in listed.split(b"\0") if name)


def code_of(root: Path) -> Code:
    """The code in a folder now. The repository itself, its index and its objects, is left as it is.

    Args:
        root: a project's folder; files git ignores, and Bucle's own state, do not count.
    Returns:
        Empty code when git is not installed, the folder is in no repository, or git ignores it.
    Raises:
        GitFailed: there is a repository, but its changes cannot be read.
    Cost: half a dozen git processes, some 30 ms; hashing of the changed files.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if commit is None or _git(root, "check-ignore", "--quiet", str(root)) is not None:
        return Code(commit="", diff=b"")
    with tempfile.TemporaryDirectory(prefix="bucle-git-") as folder:
        return Code(commit=commit.decode().strip(), diff=_diff(root, Path(folder)))


def restore_code(root: Path, code: Code, folder: Path) -> Path:
    """Put the code of a commit, with the changes on top of it, into a folder of its own.

    Args:
        root: a project's folder, in the repository that has the commit.
        code: as `code_of` gave it.
        folder: does not exist yet, or is empty; it gets the repository's files. Submodules stay empty folders.
    Returns:
        The project's own folder in there.
    Raises:
        GitFailed: the commit is not in this repository, or the changes do not apply; the folder is left as it was.
        FileExistsError: the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(folder)
    own = place_of_code(root)
    top = Path(os.fsdecode(_must(root, {}, "rev-parse", "--show-toplevel").rstrip(b"\n")))
    packed = _must(top, {}, "archive", "--format=tar", code.commit)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bucle-code-", dir=folder.parent) as scratch:
        draft = Path(scratch) / "code"
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(draft, filter="data")
        if code.diff:
            # Not to be taken for a part of a repository around it, whose rules would leave files out.
            apart = {"GIT_CEILING_DIRECTORIES": str(Path(scratch).resolve())}
            _must(draft, apart, "apply", "--whitespace=nowarn", "--binary", "-", given=code.diff)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    return folder / own


def place_of_code(root: Path) -> Path:
    """Where in its repository a folder stands, relative to the top.

    Raises:
        GitFailed: it is in none.
    """
    return Path(os.fsdecode(_must(root, {}, "rev-parse", "--show-prefix").rstrip(b"\n")))


def _diff(root: Path, scratch: Path) -> bytes:
    """The changes against HEAD, told by an index and an object store of our own."""
    objects, index = (_path(root, name) for name in ("objects", "index"))
    if index.exists():
        shutil.copy(index, scratch / "index")
    (scratch / "objects").mkdir()
    own = {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects),
    }
    unknown = _must(root, own, "ls-files", "-z", "--others", "--exclude-standard", "--", ".").split(b"\0")
    ours = [name for name in unknown if name and _is_code(root, os.fsdecode(name))]
    _must(root, own, "add", "--update", "--", ".")
    if ours:
        _must(root, own, "add", "--pathspec-from-file=-", "--pathspec-file-nul", given=b"\0".join(ours))
    return _must(root, own, "diff", "--cached", "--binary", "--no-color", "--no-ext-diff", "HEAD", "--", ".")


def _is_code(root: Path, name: str) -> bool:
    file = root / name
    return not name.startswith(".bucle/") and file.is_file() and file.stat().st_size <= LARGEST


def _path(root: Path, name: str) -> Path:
    return root / os.fsdecode(_must(root, {}, "rev-parse", "--git-path", name).strip())


def _must(root: Path, variables: dict[str, str], *arguments: str, given: bytes = b"") -> bytes:
    answer = _run(root, variables, arguments, given)
    if answer is None or answer.returncode != 0:
        reason = "git is gone" if answer is None else answer.stderr.decode(errors="replace").strip()
        raise GitFailed(
            f"git {arguments[0]} fails in {root}: {reason}.",
            why="A run keeps the code it ran, the changes not committed included.",
            fix=f"Mend it until this works: git -C {root} status",
        )
    return answer.stdout


def _git(root: Path, *arguments: str) -> bytes | None:
    """What a git command says, or None when it fails."""
    answer = _run(root, {}, arguments, b"")
    return None if answer is None or answer.returncode != 0 else answer.stdout


def _run(
    root: Path, variables: dict[str, str], arguments: tuple[str, ...], given: bytes
) -> subprocess.CompletedProcess[bytes] | None:
    program = shutil.which("git")
    if program is None:
        return None
    # A hook or a rebase sets GIT_DIR and the like, which would point git elsewhere.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = [program, "-C", str(root), "-c", "core.fsmonitor=false", *arguments]
    return subprocess.run(command, env={**clean, **variables}, input=given, capture_output=True, check=False)  # noqa: S603
