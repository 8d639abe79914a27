"""Sweep: remove what commits and landings that never came to be left behind."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bucle.ground.core import Record, instant_before
from bucle.ground.keys import KeyDestroyed
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.branch import INGEST
from bucle.line.data.branches import branches, delete_branch
from bucle.line.data.commit import Commit
from bucle.line.data.manifest import Piece, Run, load_head, load_run
from bucle.line.files import ENDING, filling, load_part, packs_of, parts_of, unpacked

__all__ = ["Sweep", "sweep"]

_LAKE = "lake/files"
"""What the event of a sweep is about."""


class Sweep(Record, frozen=True):
    """What a sweep removed.

    Attributes:
        branches: branches of landings that were never finished.
        files: how many files.
        size_bytes: how much room that gave back.
    """

    branches: tuple[str, ...]
    files: int
    size_bytes: int


def sweep(project: Project, *, older_than: timedelta = timedelta(days=1)) -> Sweep:
    """Remove the branches of landings that a crash cut short, and the lake's files and packs that no commit needs.

    A commit whose data was given up (`expire`) needs none, once it has been so for `older_than`; nor does one
    whose tables' keys were destroyed.

    What clients noted of files that no commit has any more is forgotten as well.

    What commits need of packs that are mostly needless is written to new packs, and those are removed as well. Packs
    that lie in a bucket stay there; only their copies here go.

    Args:
        older_than: what is younger stays, since a commit under way may be about to name it.
    Raises:
        BlobMissing, BlobCorrupt, PackDamaged: a list of files is damaged; then no file is removed.
        KeyMissing: a list of files is encrypted, and its key not at hand; then no file is removed either.
    Cost: a look at every manifest, every file tree, every file of the lake and the end of every pack.
    """
    dropped = _drop_landings(project, older_than)
    known = _needed(project, older_than, set())
    old = list(_older(older_than, (project.state / "lake").glob("*/*/*")))
    loose = [path for path in old if path.relative_to(project.state).as_posix() not in known.files]
    with (
        packs_of(project).held(alone=True),
        project.ledger.transaction("data.swept", subject=_LAKE, actor=project.actor) as transaction,
    ):
        # No branch moves here: what was committed since the look above is looked at before anything is removed.
        since = _needed(project, older_than, known.manifests)
        loose = [path for path in loose if path.relative_to(project.state).as_posix() not in since.files]
        digests = _contents(project, older_than)
        found, needed_of = _loose_packs(project, digests, older_than)
        moved, written = _repack(project, needed_of, older_than)
        loose += [*found, *moved]
        size_bytes = sum(map(_remove, loose)) - written
        packs_of(project).refresh()
        latest = instant_before(project.clock.now(), older_than)
        store.drop_file_notes(transaction.connection, digests, before=latest)
        transaction.data.update(files=len(loose), size_bytes=size_bytes)
    return Sweep(branches=dropped, files=len(loose), size_bytes=size_bytes)


@dataclass(frozen=True)
class _Needed:
    """What commits need: manifests, and the files these name."""

    manifests: set[str]
    files: set[str]


def _needed(project: Project, older_than: timedelta, known: set[str]) -> _Needed:
    """What every commit needs, but for manifests that are known.

    A commit that expired a moment ago counts: one under way may be built on what it held.
    """
    manifests = {state.manifest for commit in _kept(project, older_than) for state in commit.tables.values()} - known
    files, pieces = set[str](), set[Piece]()
    for digest in manifests:
        try:
            head = load_head(project, digest)
        except KeyDestroyed:
            # Nobody can read its files any more.
            continue
        files.update(head.metadata)
        for run in (head.data, head.deletes):
            files.update(file.path for file in run.tail)
            pieces.update(run.pieces)
    # States share most pieces of their lists: each is read once.
    for piece in pieces:
        with suppress(KeyDestroyed):
            files.update(file.path for file in load_run(project, Run(pieces=(piece,))))
    return _Needed(manifests, files)


def _kept(project: Project, older_than: timedelta) -> list[Commit]:
    with project.database.reading() as connection:
        return store.kept_commits(connection, expired_after=instant_before(project.clock.now(), older_than))


def _contents(project: Project, older_than: timedelta) -> set[str]:
    """The digests of every file of every tree that is needed."""
    trees = {commit.files for commit in _kept(project, older_than)}
    parts = {part for tree in trees for part in parts_of(project, tree)}
    return {entry.digest for part in parts for entry in load_part(project, part).values()}


def _loose_packs(
    project: Project, digests: Iterable[str], older_than: timedelta
) -> tuple[list[Path], dict[str, set[str]]]:
    """Packs of which no commit needs anything, halves of packs, and copies taken out of packs; and pack -> the files
    for which it is needed.

    Nobody adds meanwhile, so what a commit is about to name cannot be taken for loose.
    """
    packs = packs_of(project)
    packs.refresh()
    for error in packs.damaged.values():
        raise error
    needed = defaultdict[str, set[str]](set)
    for digest in digests:
        for name in packs.needed_for(digest):
            needed[name].add(digest)
    paths = {packs.path(name) for name in needed}
    found = [*packs.folder.glob(f"*{ENDING}"), *packs.folder.glob("*.partial"), *unpacked(project).root.glob("*/*")]
    return [path for path in _older(older_than, found) if path not in paths], needed


def _repack(project: Project, needed: dict[str, set[str]], older_than: timedelta) -> tuple[list[Path], int]:
    """Write what is needed of packs that are mostly needless to new ones; those packs, and how much was written."""
    packs = packs_of(project)
    if packs.far is not None:
        return [], 0
    old, written = list[Path](), 0
    with filling(packs) as filler:
        for path in _older(older_than, map(packs.path, sorted(needed))):
            name = path.name.removesuffix(ENDING)
            live = {part for digest in needed[name] for part in packs.parts(digest)}
            live = {part for part in live if packs.listed.places[part][0] == name}
            size = sum(packs.listed.places[part][2] for part in live)
            if 2 * size >= path.stat().st_size:
                continue
            for part in sorted(live, key=lambda one: packs.listed.places[one][1]):
                filler.move(part, packs.piece(part))
            for digest in sorted(needed[name]):
                if digest in packs.listed.files and packs.listed.files[digest][0] == name:
                    filler.move_file(digest, packs.parts(digest), packs.key_of(digest))
            old.append(path)
            written += size
        filler.settle()
    return old, written


def _remove(path: Path) -> int:
    size_bytes = path.stat().st_size
    path.unlink(missing_ok=True)
    return size_bytes


def _drop_landings(project: Project, older_than: timedelta) -> tuple[str, ...]:
    latest = instant_before(project.clock.now(), older_than)
    old = [b.name for b in branches(project) if b.name.startswith(INGEST) and b.at is not None and b.at <= latest]
    for name in old:
        delete_branch(project, name)
    return tuple(old)


def _older(older_than: timedelta, found: Iterable[Path]) -> list[Path]:
    # The age of a file is the machine's business, whatever the project's clock simulates.
    latest = time.time() - older_than.total_seconds()
    return [path for path in found if path.is_file() and path.stat().st_mtime <= latest]
