"""Sweep: remove what commits and landings that never came to be left behind."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import INGEST
from bucle.line.data.branches import branches, delete_branch
from bucle.line.data.lake import load_manifest
from bucle.line.files import ENDING, load_part, packs_of, parts_of, unpacked

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
    """Remove the branches of landings that a crash cut short, and the lake's files and packs that no commit names.

    Args:
        older_than: what is younger stays, since a commit under way may be about to name it.
    Raises:
        BlobMissing, BlobCorrupt, PackDamaged: a list of files is damaged; then no file is removed.
    Cost: a look at every manifest, every file tree, every file of the lake and the end of every pack.
    """
    dropped = _drop_landings(project, older_than)
    with project.database.reading() as connection:
        commits = store.every_commit(connection)
    manifests = {state.manifest for commit in commits for state in commit.tables.values()}
    needed = {path for digest in manifests for path in load_manifest(project, digest).files()}
    loose = [
        path
        for path in _older(older_than, (project.state / "lake").glob("*/*/*"))
        if path.relative_to(project.state).as_posix() not in needed
    ]
    with packs_of(project).held(alone=True):
        loose += _loose_packs(project, older_than)
        size_bytes = sum(map(_remove, loose))
        packs_of(project).refresh()
    return Sweep(branches=dropped, files=len(loose), size_bytes=size_bytes)


def _loose_packs(project: Project, older_than: timedelta) -> list[Path]:
    """Packs of which no commit needs anything, halves of packs, and copies taken out of packs.

    Nobody adds meanwhile, so what a commit is about to name cannot be taken for loose.
    """
    packs = packs_of(project)
    packs.refresh()
    for error in packs.damaged.values():
        raise error
    with project.database.reading() as connection:
        trees = {commit.files for commit in store.every_commit(connection)}
    parts = {part for tree in trees for part in parts_of(project, tree)}
    digests = {entry.digest for part in parts for entry in load_part(project, part).values()}
    needed = {packs.path(name) for digest in digests for name in packs.needed_for(digest)}
    found = [*packs.folder.glob(f"*{ENDING}"), *packs.folder.glob("*.partial"), *unpacked(project).root.glob("*/*")]
    return [path for path in _older(older_than, found) if path not in needed]


def _remove(path: Path) -> int:
    size_bytes = path.stat().st_size
    path.unlink()
    return size_bytes


def _drop_landings(project: Project, older_than: timedelta) -> tuple[str, ...]:
    latest = project.clock.now() - older_than
    old = [b.name for b in branches(project) if b.name.startswith(INGEST) and b.at is not None and b.at <= latest]
    for name in old:
        delete_branch(project, name)
    return tuple(old)


def _older(older_than: timedelta, found: Iterable[Path]) -> list[Path]:
    # The age of a file is the machine's business, whatever the project's clock simulates.
    latest = time.time() - older_than.total_seconds()
    return [path for path in found if path.is_file() and path.stat().st_mtime <= latest]
