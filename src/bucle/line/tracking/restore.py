"""Restore: the code a run ran, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from bucle.ground.core import NotFound
from bucle.ground.project import Project
from bucle.line.tracking.code import Code, place_of_code, restore_code
from bucle.line.tracking.errors import FolderTaken
from bucle.line.tracking.run import Run

__all__ = ["restored"]

_MARK = ".bucle-code"
"""Names what a folder was restored from, so that the same is not done twice."""


def restored(project: Project, run: Run, folder: Path) -> Path:
    """The code of a run, the changes that were not committed included.

    Args:
        folder: does not exist yet, is empty, or holds the code of the same run; it gets the whole repository.
    Returns:
        The project's own folder in there.
    Raises:
        NotFound: no commit is on record of the run.
        FolderTaken: something else lies in the folder.
        GitFailed: the commit is not in this repository, or the changes do not apply to it.
    """
    if not run.code_commit:
        raise NotFound(
            f"No commit is on record of run {run.id}.",
            why="It ran outside of any git repository.",
            fix="Put the project under git; the source of a single step is kept: bucle run --code STEP",
            at=run.id,
        )
    code = Code(commit=run.code_commit, diff=project.blobs.get(run.code_diff) if run.code_diff else b"")
    name, mark = f"{run.code_commit} {run.code_diff}", folder / _MARK
    if mark.is_file() and mark.read_text() == name:
        return folder / place_of_code(project.root)
    try:
        own = restore_code(project.root, code, folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise FolderTaken(
            f"{folder} holds something else.",
            why="What lies there would be mixed with the code of the run.",
            fix="Name a folder that does not exist yet.",
            at=str(folder),
        ) from error
    mark.write_text(name)
    return own
