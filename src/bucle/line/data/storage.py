"""Storage: what the files of all commits would take as copies, and what they take."""

from __future__ import annotations

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.files import load_tree, packs_of, parts_of

__all__ = ["Storage", "storage"]


class Storage(Record, frozen=True):
    """What files take.

    Attributes:
        commits: commits with different files.
        files: how many files these have, each counted in each.
        copies_bytes: what a copy of the files of each commit would take.
        contents_bytes: what the different contents are together.
        kept_bytes: what packs, blobs of files in no pack, and trees take.
        ratio: `copies_bytes` over `kept_bytes`; 0 when nothing is kept.
    """

    commits: int
    files: int
    copies_bytes: int
    contents_bytes: int
    kept_bytes: int
    ratio: float


def storage(project: Project) -> Storage:
    """What the files of every commit take, and would take as copies.

    Raises:
        BlobMissing, BlobCorrupt: a tree is damaged.
    Cost: a look at every tree and every pack.
    """
    with project.database.reading() as connection:
        trees = {commit.files for commit in store.every_commit(connection)} - {""}
    files, copies, sizes, parts = 0, 0, dict[str, int](), set[str]()
    for tree in trees:
        entries = load_tree(project, tree).values()
        files += len(entries)
        copies += sum(entry.size_bytes for entry in entries)
        sizes |= {entry.digest: entry.size_bytes for entry in entries}
        parts |= {tree, *parts_of(project, tree)}
    packs = packs_of(project)
    packs.refresh()
    kept = sum(packs.path(name).stat().st_size for name in packs.names() if packs.path(name).exists())
    kept += sum(size for digest, size in sizes.items() if not packs.has(digest))
    kept += sum(len(project.blobs.get(part)) for part in parts)
    return Storage(
        commits=len(trees),
        files=files,
        copies_bytes=copies,
        contents_bytes=sum(sizes.values()),
        kept_bytes=kept,
        ratio=round(copies / kept, 3) if kept else 0.0,
    )
