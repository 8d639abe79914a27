"""Status: how a local folder differs from the file tree."""

from __future__ import annotations

from pathlib import Path

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.files import below, is_exact, kept_mode, known_pins, load_below, look_at, place_in_tree

__all__ = ["FolderStatus", "status"]


class FolderStatus(Record, frozen=True):
    """How a folder differs from the tree; paths are those within the folder, in order.

    Attributes:
        commit: what it was compared with.
        new: only in the folder.
        changed: other bytes, or another right to be run.
        deleted: only in the tree.
        unchanged: how many are the same.
    """

    commit: str
    new: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    unchanged: int


def status(project: Project, folder: Path | str, path: str | None = None, *, at: str = MAIN) -> FolderStatus:
    """Compare a local folder with the tree below a path.

    Args:
        folder: the local folder.
        path: where in the tree; the folder's name unless given, '' for the tree itself.
        at: a branch or commit.
    Raises:
        NoSuchFolder, NoSuchBranch, NoSuchCommit: one of them is not there.
        BadFile, BadPath: as for `add_files`.
    Cost: one status a file; only files that may have changed since they were last read are read.
    """
    place = place_in_tree(Path(folder), path)
    commit = resolve(project, at)
    same_as = f"{commit.files} {place}"
    looked = look_at(project, Path(folder), exact=True)
    if looked.is_same_as(same_as):
        return FolderStatus(commit=commit.id, new=(), changed=(), deleted=(), unchanged=len(looked.found))
    tree = known_pins(project, load_below(project, commit.files, place))
    if not is_exact(tree[place + within] for within in below(tree, place)):
        looked.only_files()
    new, changed, same, was_read = list[str](), list[str](), 0, False
    for within, stat in looked.found.items():
        entry = tree.get(place + within)
        if entry is None:
            new.append(within)
            continue
        known = looked.known.get(within)
        digest = known[1] if known is not None and known[0] == stat else ""
        if digest != entry.digest:
            before, digest = digest, looked.digest(within, entry.digest)
            was_read = was_read or digest != before
        if entry.digest != digest or entry.mode != kept_mode(stat[4]):
            changed.append(within)
        else:
            same += 1
    deleted = [within for within in below(tree, place) if within not in looked.found]
    if not (new or changed or deleted):
        left = {within: looked.known[within] for within in looked.found if within in looked.known}
        looked.remember(left, now_ns=looked.looked_at_ns, same_as=same_as)
    elif was_read:
        looked.remember(looked.known, now_ns=looked.looked_at_ns)
    return FolderStatus(
        commit=commit.id,
        new=tuple(sorted(new)),
        changed=tuple(sorted(changed)),
        deleted=tuple(sorted(deleted)),
        unchanged=same,
    )
