"""The file tree: images, documents, anything that is no table, under the same commits as the tables."""

from __future__ import annotations

from pathlib import Path

from bucle.ground.core import suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.errors import NoSuchFile
from bucle.line.files import FileEntry, Tree, content_path, fetched, find_entry, load_tree, pieces_of

__all__ = ["file_path", "files", "is_own", "read_file"]

_OWN = (".contracts", ".datasets", ".iceberg", ".pii")


def files(project: Project, at: str = MAIN) -> Tree:
    """Path -> entry of every file at a commit, by path."""
    return load_tree(project, resolve(project, at).files)


def is_own(path: str) -> bool:
    """Whether a path of the tree is one that the lake keeps for itself: contracts, records, views, tags of columns."""
    return path.partition("/")[0] in _OWN


def read_file(project: Project, path: str, at: str = MAIN) -> bytes:
    """A file's bytes at a commit, verified.

    Raises:
        NoSuchFile: the commit has none of that path.
        BlobCorrupt, PackDamaged: the bytes were changed on the disk.
        PinMoved: the file was imported by URL, and what that names has changed.
    """
    return b"".join(pieces_of(project, _content(project, path, at)))


def file_path(project: Project, path: str, at: str = MAIN) -> Path:
    """A local file with the verified bytes, to be read and never changed; errors as for `read_file`.

    Cost: for a file in packs the first call writes a copy, which `sweep` may remove a day after its last use.
    """
    return content_path(project, _content(project, path, at))


def _content(project: Project, path: str, at: str) -> str:
    """The digest of a file's bytes, fetched first when they lie elsewhere."""
    return fetched(project, {path: _entry(project, path, at)})[path].digest


def _entry(project: Project, path: str, at: str) -> FileEntry:
    commit = resolve(project, at)
    entry = find_entry(project, commit.files, path)
    if entry is None:
        tree = load_tree(project, commit.files)
        raise NoSuchFile(
            f"There is no file {path!r} at {at!r}.",
            why=f"The tree has {len(tree)} files.",
            fix=suggest(path, tree) or "See them: bucle data files",
            at=path,
        )
    return entry
