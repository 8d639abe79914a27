"""A local folder, looked at: what is in it, and which of it was read before and has not changed since.

What was read is remembered beside the packs: a file with the same length, inode and times as when it was read has the
digest it had. A file that was changed just before it was looked at may be changed again within one tick of the file
system's clock, so it is not trusted and is read again.
"""

from __future__ import annotations

import os
import posixpath
import stat as modes
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import msgspec
from blake3 import blake3

from bucle.ground.core import digest_of
from bucle.ground.project import Project
from bucle.ground.store import write_atomically
from bucle.line.files.errors import BadFile, NoSuchFolder
from bucle.line.files.pack import hexes
from bucle.line.files.packs import Packs, packs_of
from bucle.line.files.path import check_path
from bucle.line.files.seal import hasher_of
from bucle.line.files.tree import FOLDER, LINK, FileEntry

__all__ = [
    "PARTIAL",
    "Folder",
    "Known",
    "below",
    "is_exact",
    "kept_mode",
    "look_at",
    "place_in_tree",
    "points_inside",
    "unreadable",
]

PARTIAL = ".bucle-partial"
"""The ending of a file that a checkout is writing; such files are not looked at."""

_TICK_NS = 20_000_000
"""No file system in use on Linux but FAT tells times coarser than this."""

_READ = 1 << 20
_MAGIC = b"BUCLEFD1"

Stat = tuple[int, int, int, int, int]
"""When it was written, when it was touched at all (ns), bytes, inode, mode."""

Known = tuple[Stat, str, bool]
"""What is remembered of a file: its status when it was read, its digest then, and whether an add or a checkout saw it:
what only a status saw is never removed. Plain tuples: there is one for every file, each time a folder is looked at."""

_DOUBTFUL = (0, 0, 0, 0, 0)


class _Memory(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a folder, by columns; `same_as` is the tree it was found to be the same as, and where."""

    paths: list[str]
    written: list[int]
    touched: list[int]
    sizes: list[int]
    inodes: list[int]
    modes: list[int]
    digests: bytes
    ours: bytes
    same_as: str = ""

    def stats(self) -> Iterator[Stat]:
        """The status of each file when it was read."""
        return zip(self.written, self.touched, self.sizes, self.inodes, self.modes, strict=False)

    def known(self) -> dict[str, Known]:
        """All of it, by path."""
        each = zip(self.stats(), hexes(self.digests), map(bool, self.ours), strict=False)
        return dict(zip(self.paths, each, strict=False))


class Folder:
    """A folder as it was found.

    Args:
        project: whose memory of the folder is used.
        root: the folder; it need not be there.
        exact: symbolic links and empty folders are found as well.
    Attributes:
        root: its full path.
        found: path within it, with `/` -> status.
        looked_at_ns: when.
    """

    def __init__(self, project: Project, root: Path, *, exact: bool = False) -> None:
        self.root = root.resolve()
        self._exact = exact
        self.looked_at_ns = time.time_ns()
        self._project = project
        self._state = str(project.state)
        where = os.path.relpath(self.root, project.root)
        self._file = project.state / "files" / "folders" / digest_of(where.encode(errors="surrogateescape"))[:32]
        self.found = self._scan() if self.root.is_dir() else dict[str, Stat]()
        self._memory = _recall(self._file)

    @cached_property
    def known(self) -> dict[str, Known]:
        """What is remembered of it."""
        return self._memory.known()

    @cached_property
    def _packs(self) -> Packs:
        """What is kept, as of the first file that has to be read."""
        packs = packs_of(self._project)
        packs.refresh()
        return packs

    def is_same_as(self, tree: str) -> bool:
        """Whether nothing was touched since the folder was remembered to be the same as this."""
        memory = self._memory
        return memory.same_as == tree and dict(zip(memory.paths, memory.stats(), strict=False)) == self.found

    def digest_known(self, path: str) -> str:
        """The digest of a file that was found, when it can be told without reading; '' otherwise."""
        known = self.known.get(path)
        return known[1] if known is not None and known[0] == self.found[path] else ""

    def mode(self, path: str) -> int:
        """The mode that a tree gives to what was found there."""
        return kept_mode(self.found[path][4])

    def only_files(self) -> None:
        """Forget the empty folders that were found.

        Raises:
            BadFile: there is a symbolic link.
        """
        for path, stat in list(self.found.items()):
            kind = modes.S_IFMT(stat[4])
            if kind == modes.S_IFLNK:
                raise _no_file(path)
            if kind == modes.S_IFDIR:
                del self.found[path]

    def special(self, path: str) -> bytes | None:
        """What is kept of a symbolic link or an empty folder; None of a file.

        Raises:
            BadFile: the link points out of the folder.
        """
        kind = modes.S_IFMT(self.found[path][4])
        if kind == modes.S_IFDIR:
            return b""
        if kind != modes.S_IFLNK:
            return None
        target = os.readlink(self.full(path))  # noqa: PTH115  a Path would change what it says
        if not points_inside(path, target):
            raise _points_out(path, target)
        return os.fsencode(target)

    def digest(self, path: str, like: str = "") -> str:
        """The digest of a file that was found; '' when it has gone. It is read only if it may have changed.

        Args:
            path: the file.
            like: a digest of the tree with which it is to be compared; when that is of an encrypted content, what comes
                is the name that the same key gives, and no hash of plain bytes is made or remembered.
        Raises:
            BadFile: it cannot be read.
            KeyMissing, KeyDestroyed: the key is not at hand.
        """
        digest = self.digest_known(path)
        if digest not in ("", like) and self._packs.key_of(digest) != self._packs.key_of(like):
            digest = ""
        if not digest:
            found, known = self.found[path], self.known.get(path)
            special, whole = self.special(path), hasher_of(self._project, self._packs.key_of(like))
            digest = self._read(path, found[2], whole) if special is None else whole.update(special).hexdigest()
            if digest:
                self.known[path] = (found, digest, known is not None and known[2] and known[1] == digest)
        return digest

    def full(self, path: str) -> str:
        """The full path of a file in it."""
        return f"{self.root}/{path}"

    def remember(self, known: Mapping[str, Known], *, now_ns: int, same_as: str = "") -> None:
        """Keep what is known of it; a loss of this memory costs time, never data.

        Args:
            known: path -> what is known.
            now_ns: when the files had the status that is known of them.
            same_as: what `is_same_as` is to be true of, as long as nothing is touched.
        """
        latest = now_ns - _TICK_NS
        stats = [stat if stat[1] < latest else _DOUBTFUL for stat, _, _ in known.values()]
        columns = [[stat[place] for stat in stats] for place in range(5)]
        memory = _Memory(
            paths=list(known),
            written=columns[0],
            touched=columns[1],
            sizes=columns[2],
            inodes=columns[3],
            modes=columns[4],
            digests=bytes.fromhex("".join([digest for _, digest, _ in known.values()])),
            ours=bytes([is_ours for _, _, is_ours in known.values()]),
            same_as=same_as,
        )
        write_atomically(self._file, _MAGIC + msgspec.msgpack.encode(memory))

    def _read(self, path: str, size: int, whole: blake3) -> str:
        full = self.full(path)
        try:
            if size >= _READ:
                return whole.update_mmap(full).hexdigest()
            with open(full, "rb", buffering=0) as file:  # noqa: PTH123  a Path a file would double the cost
                return whole.update(file.read()).hexdigest()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise unreadable(path, error) from error

    def _scan(self) -> dict[str, Stat]:
        found, todo = dict[str, Stat](), [("", str(self.root))]
        while todo:
            prefix, folder = todo.pop()
            count = len(found) + len(todo)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) or (self._exact and entry.is_symlink()):
                        try:
                            got = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                        found[prefix + entry.name] = (
                            got.st_mtime_ns,
                            got.st_ctime_ns,
                            got.st_size,
                            got.st_ino,
                            got.st_mode,
                        )
                    elif not entry.is_dir(follow_symlinks=False):
                        raise _no_file(prefix + entry.name)
                    elif entry.path != self._state:
                        todo.append((f"{prefix}{entry.name}/", entry.path))
            if self._exact and prefix and len(found) + len(todo) == count:
                got = os.stat(folder)  # noqa: PTH116
                found[prefix[:-1]] = (got.st_mtime_ns, got.st_ctime_ns, 0, got.st_ino, got.st_mode)
        names = "/".join(found)
        return found if names.isascii() and "\\" not in names and PARTIAL not in names else _checked(found)


def look_at(project: Project, root: Path, *, exact: bool = False) -> Folder:
    """A folder as it is now.

    Raises:
        NoSuchFolder: there is none.
        BadFile: it holds something that is neither file nor folder.
        BadPath: a name cannot stand in a tree.
    Cost: one status a file.
    """
    if not root.is_dir():
        raise NoSuchFolder(
            f"There is no folder {str(root)!r}.",
            why="Its files are to be compared with those of the tree.",
            fix="Name a folder that is there.",
            at=str(root),
        )
    return Folder(project, root, exact=exact)


def kept_mode(st_mode: int) -> int:
    """The mode that a tree gives to what has this mode on the disk."""
    kind = modes.S_IFMT(st_mode)
    if kind == modes.S_IFREG:
        return 0o755 if st_mode & modes.S_IXUSR else 0o644
    return LINK if kind == modes.S_IFLNK else FOLDER


def points_inside(path: str, target: str) -> bool:
    """Whether a symbolic link at a path within a folder points to something within it."""
    if posixpath.isabs(target) or not target or "\0" in target:
        return False
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return whole != ".." and not whole.startswith("../")


def is_exact(tree: Iterable[FileEntry]) -> bool:
    """Whether there are symbolic links or empty folders among these."""
    return any(entry.mode in (LINK, FOLDER) for entry in tree)


def place_in_tree(root: Path, path: str | None) -> str:
    """Where a folder's files stand in the tree: `path`, or the folder's own name. '' is the tree itself.

    Raises:
        BadPath: it cannot stand in a tree.
    """
    place = root.resolve().name if path is None else path.rstrip("/")
    if place:
        check_path(place)
    return f"{place}/" if place else ""


def below(tree: Mapping[str, object], prefix: str) -> list[str]:
    """The paths of a tree below a prefix, without it."""
    return [path[len(prefix) :] for path in tree if path.startswith(prefix)]


def unreadable(path: str, error: OSError) -> BadFile:
    """The error for a file that cannot be read."""
    return BadFile(
        f"{path!r} cannot be read: {error.strerror}.",
        why="All of a folder is kept, or nothing.",
        fix="Give yourself the right to read it, or move it out of the folder.",
        at=path,
    )


def _recall(file: Path) -> _Memory:
    """What was remembered; nothing when there is no memory or it is damaged."""
    try:
        data = file.read_bytes()
        return msgspec.msgpack.decode(memoryview(data)[len(_MAGIC) :], type=_Memory)
    except (OSError, msgspec.DecodeError):
        return _Memory([], [], [], [], [], [], b"", b"")


def _checked(found: dict[str, Stat]) -> dict[str, Stat]:
    left = {path: stat for path, stat in found.items() if not path.endswith(PARTIAL)}
    for path in left:
        check_path(path)
    return left


def _points_out(path: str, target: str) -> BadFile:
    return BadFile(
        f"The symbolic link {path!r} points out of the folder, to {target!r}.",
        why="Elsewhere that is another thing, or nothing.",
        fix="Put the file itself in its place, or move it out of the folder.",
        at=path,
    )


def _no_file(path: str) -> BadFile:
    return BadFile(
        f"{path!r} is neither a file nor a folder.",
        why="What a symbolic link points to may change, or be missing elsewhere; neither links nor devices are kept.",
        fix="Put the file itself in its place, move it out of the folder, or keep links as links (--exact).",
        at=path,
    )
