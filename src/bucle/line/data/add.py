"""Add: a local folder becomes part of the file tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import head_of
from bucle.line.data.commit import Commit
from bucle.line.data.errors import EmptyCommit
from bucle.line.data.publish import Change, Move, build, done_before, publish
from bucle.line.files import (
    PIN,
    FileEntry,
    Filler,
    Folder,
    Seals,
    Tree,
    filling,
    known_pins,
    load_below,
    look_at,
    packs_of,
    place_in_tree,
    unreadable,
)

__all__ = ["add_files", "changes_to", "publish_files"]


def add_files(
    project: Project,
    folder: Path | str,
    path: str | None = None,
    *,
    branch: str = MAIN,
    message: str = "",
    key: str | None = None,
    exact: bool = False,
) -> Commit:
    """Make the tree below a path what a local folder holds: files that came, changed or went, in one commit.

    Files under 1 MB are kept whole, longer ones as chunks cut where their content says; each content once. Of the mode
    only is kept whether the owner may run it.

    Args:
        folder: the local folder. `.bucle` in it is left out.
        path: where in the tree; the folder's name unless given, '' for the tree itself.
        branch: where it becomes visible.
        message: why, for people; says what was added, and how much of it was kept already, unless given.
        key: an idempotency key; a second call with it gives the first one's commit.
        exact: keep symbolic links within the folder as links, and empty folders.
    Returns:
        The branch's head: a new commit, or the present one when nothing has changed.
    Raises:
        NoSuchFolder, NoSuchBranch: one of them is not there.
        BadFile: it holds a symbolic link (with `exact`: one that points out of it), a device, or what cannot be read;
            then nothing is kept.
        BadPath: a name has a backslash or is no UTF-8, or a file would lie below a file.
        BadDataset: a file is a table's record and cannot be understood.
        EmptyCommit: there are no files, and the branch has no commit.
        DiskFull: there is no room.
    Cost: one status a file, and one read of every file that is new or changed since the folder was last looked at.
    """
    done = done_before(project, key)
    if done is not None:
        return done
    place = place_in_tree(Path(folder), path)
    looked = look_at(project, Path(folder), exact=exact)
    packs, head = packs_of(project), head_of(project, branch)
    with packs.held():
        tree = load_below(project, head.files if head else "", place)
        base = {path[len(place) :]: entry for path, entry in tree.items()}
        with filling(packs) as filler:
            entries = _keep(project, looked, base, filler, place)
            filler.settle()
        changes = changes_to(entries, base, place)
        again = sum(entry is not None and not filler.is_new(entry.digest) for entry in changes.values())
        made = publish_files(project, changes, head, branch=branch, message=message, key=key, again=again)
    known = {within: (looked.found[within], entry.digest, True) for within, entry in entries.items()}
    is_alone = (head is not None and made.id == head.id) or made.parents == ((head.id,) if head else ())
    # Unless somebody else's commit came between, the tree below the path is now just what the folder holds.
    looked.remember(known, now_ns=looked.looked_at_ns, same_as=f"{made.files} {place}" if is_alone else "")
    return made


def _keep(project: Project, looked: Folder, base: Mapping[str, FileEntry], filler: Filler, place: str) -> Tree:
    """Put every content that is not kept yet into packs. A file that has gone since is left out.

    One that is to be encrypted and is kept plain, or the other way round, counts as not kept.
    """
    seals = Seals(project)
    entries, pinned = Tree(), known_pins(project, {path: entry for path, entry in base.items() if entry.mode == PIN})
    for within, stat in looked.found.items():
        special, mode, cipher = looked.special(within), looked.mode(within), seals.of(place + within)
        if special is not None:
            told = filler.put_bytes(special, cipher)
            entries[within] = FileEntry(digest=told, size_bytes=len(special), mode=mode)
            continue
        if within in pinned and looked.digest(within) == pinned[within].digest:
            entries[within] = base[within]  # imported by URL, and as it was fetched
            continue
        digest, size, old = looked.digest_known(within), stat[2], base.get(within)
        if digest and packs_of(project).key_of(digest) != (cipher.name if cipher else ""):
            digest = ""
        is_old = bool(digest) and old is not None and old.digest == digest
        if not digest or not (filler.knows(digest) or (is_old and project.blobs.has(digest))):
            full = looked.full(within)
            try:
                digest, size = filler.put_path(full, size, cipher)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.filename != full:
                    raise
                raise unreadable(within, error) from error
        entries[within] = FileEntry(digest=digest, size_bytes=size, mode=mode)
    return entries


def changes_to(entries: Tree, base: Mapping[str, FileEntry], place: str) -> dict[str, FileEntry | None]:
    """What differs from the base: only what it had can go, so that what others add meanwhile stays."""
    changed = dict[str, FileEntry | None]()
    for within, entry in entries.items():
        if base.get(within) != entry:
            changed[place + within] = entry
    for within in base.keys() - entries.keys():
        changed[place + within] = None
    return changed


def publish_files(
    project: Project,
    changes: dict[str, FileEntry | None],
    head: Commit | None,
    *,
    branch: str,
    message: str,
    key: str | None,
    again: int = 0,
) -> Commit:
    """A branch's head with files changed; the present one when there is nothing to change.

    Args:
        again: of how many files that came the content was kept already, and is not kept twice.
    Raises:
        EmptyCommit: there is nothing to change, and the branch has no commit.
    """
    if not changes:
        if head is None:
            raise EmptyCommit(
                "There are no files to add.", why="There is nothing to make visible.", fix="Name a folder with files."
            )
        return head
    gone = sum(entry is None for entry in changes.values())
    told = {"kept": len(changes) - gone, "removed": gone, "kept already": again}
    change = Change(tables={}, mode="append", files=changes, message=message or _told(told))
    move = Move(
        branch=branch,
        build=lambda present: build(project, change, present),
        describe=lambda _: {"tables": {}, "files": told},
        kind="data.committed",
        message=change.message,
        key=key,
    )
    return publish(project, move)


def _told(told: Mapping[str, int]) -> str:
    whole = {"kept already": "contents"}
    return ", ".join(f"{count} {whole.get(what, 'files')} {what}" for what, count in told.items() if count)
