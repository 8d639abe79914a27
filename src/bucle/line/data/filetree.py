"""The file tree: images, documents, anything that is no table, under the same commits as the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bucle.ground.core import Record, decode, encode, suggest
from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.errors import BadPath, NoSuchFile

__all__ = [
    "FileEntry",
    "Tree",
    "change_tree",
    "file_path",
    "files",
    "keep_files",
    "keep_tree",
    "load_tree",
    "read_file",
]


class FileEntry(Record, frozen=True):
    """A file of the tree.

    Attributes:
        digest: of its bytes; the blob that holds them.
        size_bytes: how long it is.
    """

    digest: str
    size_bytes: int


Tree = dict[str, FileEntry]


def files(project: Project, at: str = MAIN) -> Tree:
    """Path -> entry of every file at a commit, by path."""
    return load_tree(project, resolve(project, at).files)


def read_file(project: Project, path: str, at: str = MAIN) -> bytes:
    """A file's bytes at a commit, verified.

    Raises:
        NoSuchFile: the commit has none of that path.
        BlobCorrupt: the bytes were changed on the disk.
    """
    return project.blobs.get(_entry(project, path, at).digest)


def file_path(project: Project, path: str, at: str = MAIN) -> Path:
    """A local file with the verified bytes, to be read and never changed; errors as for `read_file`."""
    return project.blobs.path(_entry(project, path, at).digest)


def keep_files(project: Project, given: Mapping[str, bytes | Path | None]) -> dict[str, FileEntry | None]:
    """Keep the bytes of files as blobs; None marks a file to be removed.

    Raises:
        BadPath: a path cannot stand in a tree.
    """
    kept = dict[str, FileEntry | None]()
    for path, content in given.items():
        _check_path(path)
        if content is None:
            kept[path] = None
        elif isinstance(content, Path):
            size_bytes = content.stat().st_size
            digest = project.blobs.put_file(content) if size_bytes else project.blobs.put(b"")
            kept[path] = FileEntry(digest=digest, size_bytes=size_bytes)
        else:
            kept[path] = FileEntry(digest=project.blobs.put(content), size_bytes=len(content))
    return kept


def change_tree(tree: Mapping[str, FileEntry], changes: Mapping[str, FileEntry | None]) -> Tree:
    """The tree with files added, replaced and removed."""
    merged = {**tree, **changes}
    return {path: entry for path, entry in sorted(merged.items()) if entry is not None}


def keep_tree(project: Project, tree: Mapping[str, FileEntry]) -> str:
    """Keep a tree as a blob; '' for an empty one."""
    return project.blobs.put(encode(tree)) if tree else ""


def load_tree(project: Project, digest: str) -> Tree:
    """The tree of a commit."""
    return decode(project.blobs.get(digest), Tree, what="file tree") if digest else {}


def _entry(project: Project, path: str, at: str) -> FileEntry:
    tree = files(project, at)
    if path not in tree:
        raise NoSuchFile(
            f"There is no file {path!r} at {at!r}.",
            why=f"The tree has {len(tree)} files.",
            fix=suggest(path, tree) or "See them: bucle data files",
            at=path,
        )
    return tree[path]


def _check_path(path: str) -> None:
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadPath(
            f"{path!r} cannot stand in a file tree.",
            why="A path is relative, with '/' between its parts, and never climbs out.",
            fix="Write it like 'images/0001.png'.",
            at=path,
        )
