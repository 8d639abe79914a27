"""Usage: what every version of a table, and of the file tree, costs on the disk beside a full copy of each."""

from __future__ import annotations

from collections import defaultdict

from bucle.ground.core import Record
from bucle.ground.keys import KeyDestroyed
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.commit import Commit
from bucle.line.data.manifest import Run, load_head, load_run
from bucle.line.files import PIN, load_part, packs_of, parts_of

__all__ = ["Usage", "usage"]


class Usage(Record, frozen=True):
    """What all kept versions of one thing take.

    Attributes:
        kind: `table`, or `files` for the whole file tree.
        name: the table's; '' for the file tree.
        versions: how many different states kept commits have of it.
        copies_bytes: what a full copy of each version would take.
        stored_bytes: what they take, each data file, content or chunk once.
    """

    kind: str
    name: str
    versions: int
    copies_bytes: int
    stored_bytes: int

    @property
    def ratio(self) -> float:
        """How many times full copies would take what is stored; 1 when there is nothing."""
        return self.copies_bytes / self.stored_bytes if self.stored_bytes else 1.0


def usage(project: Project) -> list[Usage]:
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
    found = sorted(tables, key=lambda one: (-one.stored_bytes, one.name))
    return [*found, _of_files(project, trees)] if trees else found


def _manifests(commits: list[Commit]) -> dict[str, set[str]]:
    found = defaultdict[str, set[str]](set)
    for commit in commits:
        for state in commit.tables.values():
            found[state.name].add(state.manifest)
    return found


def _of_table(project: Project, name: str, manifests: set[str]) -> Usage:
    sizes, pieces, copies = dict[str, int](), dict[str, int](), 0
    for digest in manifests:
        try:
            head = load_head(project, digest)
        except KeyDestroyed:
            continue
        for run in (head.data, head.deletes):
            for piece in run.pieces:
                if piece.blob not in pieces:
                    pieces[piece.blob] = _noted(sizes, project, Run((piece,)))
                copies += pieces[piece.blob]
            copies += _noted(sizes, project, Run(tail=run.tail))
    return Usage(
        kind="table", name=name, versions=len(manifests), copies_bytes=copies, stored_bytes=sum(sizes.values())
    )


def _noted(sizes: dict[str, int], project: Project, run: Run) -> int:
    """How long a list's files are, noted by path."""
    files = load_run(project, run)
    sizes.update({file.path: file.size_bytes for file in files})
    return sum(file.size_bytes for file in files)


def _of_files(project: Project, trees: set[str]) -> Usage:
    packs, parts, copies, contents = packs_of(project), dict[str, int](), 0, dict[str, int]()
    packs.refresh()
    for tree in trees:
        for part in parts_of(project, tree):
            if part not in parts:
                entries = [entry for entry in load_part(project, part).values() if entry.mode != PIN]
                contents.update({entry.digest: entry.size_bytes for entry in entries})
                parts[part] = sum(entry.size_bytes for entry in entries)
            copies += parts[part]
    stored = dict[str, int]()
    for digest, size_bytes in contents.items():
        for piece in packs.parts(digest):
            stored[piece] = packs.listed.places[piece][2] if piece in packs.listed.places else size_bytes
    return Usage(kind="files", name="", versions=len(trees), copies_bytes=copies, stored_bytes=sum(stored.values()))
