"""Checkout: files of the tree written to a local folder."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.errors import LocalChanges, NoSuchFile
from bucle.line.files import (
    FOLDER,
    LINK,
    PARTIAL,
    BadFile,
    BadPath,
    FileEntry,
    Folder,
    Known,
    check_path,
    content_path,
    fetched,
    is_encrypted,
    is_exact,
    is_kept,
    load_below,
    load_tree,
    pieces_of,
    place_in_tree,
    points_inside,
    room_for,
)

__all__ = ["Checkout", "checkout", "write_content"]

_AT_ONCE = 4
_BATCH = 256
"""So many files are written one after another by one of several threads."""

_RUN = uuid.uuid4().hex[:12]
_NAME_BYTES = 255
"""So long may the name of a file or folder be, on all file systems in use."""

_COUNT = itertools.count()
"""Names that no other process and no other thread uses."""


class Checkout(Record, frozen=True):
    """What a checkout did; paths are those within the folder, in order.

    Attributes:
        commit: what was checked out.
        written: files that came or got another content.
        removed: files an earlier checkout or add knew, and this commit does not have.
        left: such files that stay, since they were changed and are kept nowhere.
        unchanged: how many were as they should be.
    """

    commit: str
    written: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]
    unchanged: int


@dataclass
class _Plan:
    same: list[str] = field(default_factory=list)
    write: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    in_way: list[str] = field(default_factory=list)


def checkout(
    project: Project,
    folder: Path | str,
    path: str | None = None,
    *,
    at: str = MAIN,
    force: bool = False,
    link: bool = False,
) -> Checkout:
    """Write the files below a path of the tree to a local folder.

    Each file appears whole or not at all. A file that the commit does not have is removed if an earlier checkout or add
    knew it and it was not changed since; files of others are never touched.

    Args:
        folder: the local folder; it is made when it is not there.
        path: where in the tree; the folder's name unless given, '' for the tree itself.
        at: a branch or commit.
        force: write over files whose content is kept nowhere.
        link: make files second names of the project's own copies, read-only: no room is taken twice, and whoever makes
            one writable and edits it damages the copy (which is noticed and mended). Files that may be run are copied.
    Raises:
        NoSuchFile: the tree has nothing below the path.
        LocalChanges: a file that is kept nowhere would be written over; then nothing was touched.
        BadFile: the folder holds a symbolic link, through which a file could land elsewhere, or the tree has one that
            points out of it.
        BadPath: a path cannot be a file's here; then nothing was touched.
        PinMoved: a file was imported by URL, and what that names has changed; then nothing was touched.
        DiskFull: there is no room; files written before it stay, all whole.
        PackDamaged, BlobCorrupt: a content was changed on the disk; files written before it stay, all whole.
    Cost: one status a file, one read and write of every file that differs.
    """
    place = place_in_tree(Path(folder), path)
    commit = resolve(project, at)
    tree = load_below(project, commit.files, place)
    target = fetched(project, {path[len(place) :]: entry for path, entry in tree.items()})
    if place and not target:
        raise _nothing_there(place, at, len(load_tree(project, commit.files)))
    _check(target)
    _points_inside(project, target)
    looked = Folder(project, Path(folder), exact=True)
    if not is_exact(target.values()):
        looked.only_files()
    plan = _plan(project, looked, target)
    if (plan.lost or plan.in_way) and not force:
        raise _would_lose([*plan.lost, *plan.in_way], looked.root)
    with room_for(f"the files in {looked.root}"):
        _carry_out(project, looked, target, plan, link=link)
    return Checkout(
        commit=commit.id,
        written=tuple(sorted(plan.write)),
        removed=tuple(sorted(plan.remove)),
        left=tuple(sorted(plan.left)),
        unchanged=len(plan.same),
    )


def write_content(project: Project, entry: FileEntry, target: str, *, link: bool = False) -> None:
    """Write a content under a new name and then name it `target`: whoever looks sees the old file or the whole new one.

    Args:
        link: make it a second, read-only name of the project's own copy, where both lie on one file system.
    Raises:
        PackDamaged, BlobCorrupt, BlobMissing: the content is damaged; the old file stands.
        OSError: there is no room, or the folder cannot be written to.
    """
    if entry.mode == FOLDER:
        if os.path.islink(target) or os.path.isfile(target):  # noqa: PTH113, PTH114
            os.unlink(target)  # noqa: PTH108
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
        return
    # Not the target's name with an ending: that one may have 255 bytes already.
    partial = f"{target.rpartition('/')[0]}/.{_RUN}{os.getpid():x}-{next(_COUNT):x}{PARTIAL}"
    try:
        if entry.mode == LINK:
            os.symlink(os.fsdecode(b"".join(pieces_of(project, entry.digest))), partial)  # noqa: PTH211
        elif not (link and not entry.mode & 0o100 and _linked(project, entry, partial)):
            _copied(project, entry, partial)
        _put_in_place(partial, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108
        raise


def _check(target: Mapping[str, FileEntry]) -> None:
    """Refuse a tree through which a file could land outside of the folder; one that came from elsewhere might be so."""
    for within in target:
        check_path(within)
        _check_length(within)
        for parent in PurePosixPath(within).parents:
            above = target.get(str(parent))
            if above is not None and above.mode != FOLDER:
                raise BadPath(
                    f"{within!r} lies below {str(parent)!r}, which is no folder.",
                    why="Two branches were merged that made it a file and a folder, or the tree was made by hand.",
                    fix="Remove one of the two: data.commit(project, {}, files={PATH: None}, message=…).",
                    at=within,
                )


def _check_length(within: str) -> None:
    """Refuse a name that no file system takes; a tree does, as buckets do."""
    if len(within) > _NAME_BYTES // 4 and any(len(part.encode()) > _NAME_BYTES for part in within.split("/")):
        raise BadPath(
            f"{within[:80]!r}… has a name of more than {_NAME_BYTES} bytes.",
            why="No file or folder can be called so.",
            fix="Read it as data.read_file(project, PATH) or over S3, or give it a shorter name in the tree.",
            at=within[:200],
        )


def _points_inside(project: Project, target: Mapping[str, FileEntry]) -> None:
    for within, entry in target.items():
        if entry.mode == LINK:
            told = os.fsdecode(b"".join(pieces_of(project, entry.digest)))
            if not points_inside(within, told):
                raise BadFile(
                    f"The symbolic link {within!r} points out of the folder, to {told!r}.",
                    why="Whoever writes through it would write elsewhere.",
                    fix="Remove it from the tree.",
                    at=within,
                )


def _copied(project: Project, entry: FileEntry, partial: str) -> None:
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode & 0o777 | 0o066)
    try:
        for piece in pieces_of(project, entry.digest):
            written = os.write(handle, piece)
            if written < len(piece):
                rest = memoryview(piece)[written:]
                while rest:
                    rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def _linked(project: Project, entry: FileEntry, partial: str) -> bool:
    if is_encrypted(project, entry.digest):
        return False
    copy = content_path(project, entry.digest)
    copy.chmod(0o444)
    try:
        os.link(copy, partial)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            return False
        raise
    return True


def _put_in_place(partial: str, target: str) -> None:
    try:
        os.replace(partial, target)  # noqa: PTH105  a Path a file would double the cost
    except IsADirectoryError:
        for folder, _, _ in os.walk(target, topdown=False):
            os.rmdir(folder)  # noqa: PTH106  only folders without files go
        os.replace(partial, target)  # noqa: PTH105


def _plan(project: Project, looked: Folder, target: Mapping[str, FileEntry]) -> _Plan:
    plan = _Plan()
    for within, entry in target.items():
        if within not in looked.found:
            plan.write.append(within)
            continue
        digest = looked.digest(within, entry.digest)
        if digest == entry.digest and looked.mode(within) == entry.mode:
            plan.same.append(within)
            continue
        plan.write.append(within)
        if digest and digest != entry.digest and not is_kept(project, digest):
            plan.lost.append(within)
    others = looked.found.keys() - target.keys()
    for within in others:
        known = looked.known.get(within)
        if known is not None and known[2]:
            is_same = looked.digest(within, known[1]) == known[1] and is_kept(project, known[1])
            (plan.remove if is_same else plan.left).append(within)
    plan.in_way += _in_the_way(others - set(plan.remove), plan.write)
    plan.left = [within for within in plan.left if within not in plan.in_way]
    return plan


def _in_the_way(stay: Iterable[str], write: Iterable[str]) -> list[str]:
    """Files that stay where a folder is needed, or below where a file is."""
    above = {str(parent) for within in write for parent in PurePosixPath(within).parents}
    wanted = set(write)
    return [one for one in stay if one in above or any(str(p) in wanted for p in PurePosixPath(one).parents)]


def _carry_out(project: Project, looked: Folder, target: Mapping[str, FileEntry], plan: _Plan, *, link: bool) -> None:
    known: dict[str, Known] = {within: (*looked.known[within][:2], True) for within in plan.same}
    known |= {within: looked.known[within] for within in plan.left if within in looked.known}
    # What is in the way goes first: through a symbolic link a file would land elsewhere.
    plan.remove += plan.in_way
    for within in plan.remove:
        if looked.mode(within) == FOLDER:
            with contextlib.suppress(OSError):
                Path(looked.full(within)).rmdir()
        else:
            Path(looked.full(within)).unlink(missing_ok=True)
    _remove_empty(looked.root, plan.remove)
    looked.root.mkdir(parents=True, exist_ok=True)

    def write(batch: list[str]) -> dict[str, Known]:
        made, done = set[str](), dict[str, Known]()
        for within in batch:
            full = looked.full(within)
            folder = full.rpartition("/")[0]
            if folder not in made:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                made.add(folder)
            write_content(project, target[within], full, link=link)
            got = os.lstat(full)
            stat = (got.st_mtime_ns, got.st_ctime_ns, got.st_size, got.st_ino, got.st_mode)
            done[within] = (stat, target[within].digest, True)
        return done

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            batches = [plan.write[begin : begin + _BATCH] for begin in range(0, len(plan.write), _BATCH)]
            for done in pool.map(write, batches):
                known.update(done)
    finally:
        looked.remember(known, now_ns=time.time_ns())


def _remove_empty(root: Path, gone: Iterable[str]) -> None:
    folders = {parent for within in gone for parent in PurePosixPath(within).parents if parent.parts}
    for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        with contextlib.suppress(OSError):
            (root / folder).rmdir()


def _nothing_there(place: str, at: str, count: int) -> NoSuchFile:
    return NoSuchFile(
        f"There are no files below {place!r} at {at!r}.",
        why=f"The tree has {count} files, elsewhere.",
        fix="See them: bucle data files. Name the place with path=… or --path.",
        at=place,
    )


def _would_lose(lost: list[str], root: Path) -> LocalChanges:
    named = ", ".join(map(repr, sorted(lost)[:3])) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
    return LocalChanges(
        f"In {root} a checkout would write over {named}.",
        why="Their content is kept nowhere else.",
        fix="Add them first (bucle data add-files), move them away, or write over them with --force.",
        at=str(root),
    )
