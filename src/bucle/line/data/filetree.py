"""The file tree: images, documents, anything that is no table, under the same commits as the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bucle.ground.core import suggest
from bucle.ground.project import Project
from bucle.ground.store import LocalBlobs
from bucle.line.data.branch import MAIN
from bucle.line.data.branches import resolve
from bucle.line.data.errors import BadPath, NoSuchFile
from bucle.line.data.packs import packs_of
from bucle.line.data.tree import FileEntry, Tree, load_tree

__all__ = ["check_path", "file_path", "files", "keep_files", "pieces_of", "read_file", "unpacked"]


def files(project: Project, at: str = MAIN) -> Tree:
    """Path -> entry of every file at a commit, by path."""
    return load_tree(project, resolve(project, at).files)


def read_file(project: Project, path: str, at: str = MAIN) -> bytes:
    """A file's bytes at a commit, verified.

    Raises:
        NoSuchFile: the commit has none of that path.
        BlobCorrupt, PackDamaged: the bytes were changed on the disk.
    """
    return b"".join(pieces_of(project, _entry(project, path, at).digest))


def file_path(project: Project, path: str, at: str = MAIN) -> Path:
    """A local file with the verified bytes, to be read and never changed; errors as for `read_file`.

    Cost: for a file in packs the first call writes a copy, which `sweep` may remove a day after its last use.
    """
    digest = _entry(project, path, at).digest
    if not packs_of(project).find(digest):
        return project.blobs.path(digest)
    copies = unpacked(project)
    if not copies.has(digest):
        copies.put(b"".join(pieces_of(project, digest)))
    file = copies.path(digest)
    file.touch()
    return file


def pieces_of(project: Project, digest: str) -> Iterator[bytes]:
    """A content, piece by piece, each verified; errors as for `read_file`."""
    packs = packs_of(project)
    if packs.find(digest):
        yield from packs.read(digest)
    else:
        yield project.blobs.get(digest)


def unpacked(project: Project) -> LocalBlobs:
    """Copies of files that lie in packs, for those who want a path."""
    return LocalBlobs(project.state / "files" / "copies")


def keep_files(project: Project, given: Mapping[str, bytes | Path | None]) -> dict[str, FileEntry | None]:
    """Keep the bytes of files as blobs; None marks a file to be removed.

    Raises:
        BadPath: a path cannot stand in a tree.
    """
    kept = dict[str, FileEntry | None]()
    for path, content in given.items():
        check_path(path)
        if content is None:
            kept[path] = None
        elif isinstance(content, Path):
            size_bytes = content.stat().st_size
            digest = project.blobs.put_file(content) if size_bytes else project.blobs.put(b"")
            kept[path] = FileEntry(digest=digest, size_bytes=size_bytes)
        else:
            kept[path] = FileEntry(digest=project.blobs.put(content), size_bytes=len(content))
    return kept


def check_path(path: str) -> None:
    """Refuse what cannot stand in a tree.

    Raises:
        BadPath: it is absolute, climbs out, has empty parts, a backslash, a null, or is not UTF-8.
    """
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts) or not _is_text(path):
        raise BadPath(
            f"{path!r} cannot stand in a file tree.",
            why="A path is relative, UTF-8, with '/' between its parts, and never climbs out.",
            fix="Write it like 'images/0001.png'.",
            at=path,
        )


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


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
