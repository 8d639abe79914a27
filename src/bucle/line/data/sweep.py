"""Sweep: remove what commits and landings that never came to be left behind."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import INGEST
from bucle.line.data.branches import branches, delete_branch
from bucle.line.data.lake import load_manifest

__all__ = ["Sweep", "sweep"]


class Sweep(Record, frozen=True):
    """What a sweep removed.

    Attributes:
        branches: branches of landings that were never finished.
        files: how many files.
        size_bytes: how long they were together.
    """

    branches: tuple[str, ...]
    files: int
    size_bytes: int


def sweep(project: Project, *, older_than: timedelta = timedelta(days=1)) -> Sweep:
    """Remove the branches of landings that a crash cut short, and the lake's files that no commit names.

    Args:
        older_than: what is younger stays, since a commit under way may be about to name it.
    Raises:
        BlobMissing, BlobCorrupt: a table's list of files is damaged; then no file is removed.
    Cost: a look at every manifest and every file of the lake.
    """
    dropped = _drop_landings(project, older_than)
    with project.database.reading() as connection:
        commits = store.every_commit(connection)
    manifests = {state.manifest for commit in commits for state in commit.tables.values()}
    needed = {path for digest in manifests for path in load_manifest(project, digest).files()}
    gone, size_bytes = 0, 0
    for path in _older_files(project, older_than):
        if path.relative_to(project.state).as_posix() not in needed:
            gone, size_bytes = gone + 1, size_bytes + path.stat().st_size
            path.unlink()
    return Sweep(branches=dropped, files=gone, size_bytes=size_bytes)


def _drop_landings(project: Project, older_than: timedelta) -> tuple[str, ...]:
    latest = project.clock.now() - older_than
    old = [b.name for b in branches(project) if b.name.startswith(INGEST) and b.at is not None and b.at <= latest]
    for name in old:
        delete_branch(project, name)
    return tuple(old)


def _older_files(project: Project, older_than: timedelta) -> list[Path]:
    # The age of a file is the machine's business, whatever the project's clock simulates.
    latest = time.time() - older_than.total_seconds()
    found = [path for path in (project.state / "lake").glob("*/*/*") if path.is_file()]
    return [path for path in found if path.stat().st_mtime <= latest]
