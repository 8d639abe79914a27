"""Storage: what all versions of each table, and of the file tree, take on the disk beside a full copy of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bucle.ground.core import Record
from bucle.ground.keys import KeyDestroyed
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.commit import Commit
from bucle.line.data.manifest import DataFile, Run, load_head, load_run
from bucle.line.files import PIN, load_part, packs_of, parts_of

__all__ = ["Storage", "storage"]


class Storage(Record, frozen=True):
    """What all kept versions of one thing take.

    Attributes:
        kind: `table`, or `files` for the whole file tree.
        name: the table's; '' for the file tree.
        versions: how many different states kept commits have of it.
        files: how many files these have, each counted in each.
        copies_bytes: what a full copy of each version would take.
        kept_bytes: what they take: a table's files once each; of the file tree, packs, files in no pack, and lists.
    """

    kind: str
    name: str
    versions: int
    files: int
    copies_bytes: int
    kept_bytes: int

    @property
    def ratio(self) -> float:
        """How many times full copies would take what is stored; 1 when there is nothing."""
        return self.copies_bytes / self.kept_bytes if self.kept_bytes else 1.0


def storage(project: Project) -> list[Storage]:
    """What the tables take, the largest first, and at last the file tree if there is one.

    Commits whose data was given up do not count, nor tables whose keys were destroyed. Lists of files, which are small
    beside the data, do not count either. Branches share what they have in common.

    Raises:
        BlobMissing, BlobCorrupt: a list of files is damaged.
        KeyMissing: one is encrypted, and its key not at hand.
    Cost: one read of every piece of every list, however many versions share it.
    """
    with project.database.reading() as connection:
        commits = store.kept_commits(connection)
    tables = [_of_table(project, name, manifests) for name, manifests in _manifests(commits).items()]
    trees = {commit.files for commit in commits if commit.files}
    found = sorted(tables, key=lambda one: (-one.kept_bytes, one.name))
    return [*found, _of_files(project, trees)] if trees else found


def _manifests(commits: list[Commit]) -> dict[str, set[str]]:
    found = defaultdict[str, set[str]](set)
    for commit in commits:
        for state in commit.tables.values():
            found[state.name].add(state.manifest)
    return found


def _of_table(project: Project, name: str, manifests: set[str]) -> Storage:
    sizes, pieces, total = dict[str, int](), dict[str, _Sum](), _Sum(0, 0)
    for digest in manifests:
        try:
            head = load_head(project, digest)
        except KeyDestroyed:
            continue
        for run in (head.data, head.deletes):
            for piece in run.pieces:
                if piece.blob not in pieces:
                    pieces[piece.blob] = _noted(sizes, load_run(project, Run((piece,))))
                total = total.more(pieces[piece.blob])
            total = total.more(_noted(sizes, run.tail))
    return Storage(
        kind="table",
        name=name,
        versions=len(manifests),
        files=total.files,
        copies_bytes=total.size_bytes,
        kept_bytes=sum(sizes.values()),
    )


def _of_files(project: Project, trees: set[str]) -> Storage:
    sizes, parts, total = dict[str, int](), dict[str, _Sum](), _Sum(0, 0)
    for tree in trees:
        for part in parts_of(project, tree):
            if part not in parts:
                # The bytes of a pin lie elsewhere.
                entries = [entry for entry in load_part(project, part).values() if entry.mode != PIN]
                sizes |= {entry.digest: entry.size_bytes for entry in entries}
                parts[part] = _Sum(len(entries), sum(entry.size_bytes for entry in entries))
            total = total.more(parts[part])
    return Storage(
        kind="files",
        name="",
        versions=len(trees),
        files=total.files,
        copies_bytes=total.size_bytes,
        kept_bytes=_kept(project, sizes) + sum(len(project.blobs.get(one)) for one in trees | set(parts)),
    )


def _kept(project: Project, sizes: Mapping[str, int]) -> int:
    """What packs and the contents that are in none take."""
    packs = packs_of(project)
    packs.refresh()
    packed = sum(packs.path(name).stat().st_size for name in packs.names() if packs.path(name).exists())
    return packed + sum(size for digest, size in sizes.items() if not packs.has(digest))


def _noted(sizes: dict[str, int], files: Sequence[DataFile]) -> _Sum:
    """How many files these are and how long; their lengths are noted by path."""
    sizes |= {file.path: file.size_bytes for file in files}
    return _Sum(len(files), sum(file.size_bytes for file in files))


class _Sum(NamedTuple):
    files: int
    size_bytes: int

    def more(self, other: _Sum) -> _Sum:
        return _Sum(self.files + other.files, self.size_bytes + other.size_bytes)
