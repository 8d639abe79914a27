"""Datum: what one call of a step gets: files of the tree, named by path and content."""

from __future__ import annotations

from pathlib import Path

from bucle.ground.core import Digest, Record, digest_of_value
from bucle.ground.project import Project
from bucle.line.datums.errors import NoDatum
from bucle.line.files import FileEntry, content_path, fetched, pieces_of

__all__ = ["Datum", "Part"]


class Part(Record, frozen=True):
    """What a datum has of one pattern.

    Attributes:
        name: the path, or the beginning of paths, that the pattern matched.
        files: path -> the file's digest, size and mode.
    """

    name: str
    files: dict[str, FileEntry]


class Datum(Record, frozen=True):
    """The files of one call. Equal paths with equal contents are an equal datum, whatever commit they come from.

    Attributes:
        name: for people: what was matched, joined by ` + `.
        parts: one for each pattern, in their order.
    """

    name: str
    parts: tuple[Part, ...]

    @property
    def key(self) -> Digest:
        """The digest of paths and contents."""
        return digest_of_value(self)

    @property
    def files(self) -> dict[str, FileEntry]:
        """All its files by path."""
        return {path: entry for part in self.parts for path, entry in part.files.items()}

    def read(self, project: Project, path: str = "") -> bytes:
        """A file's bytes, verified.

        Args:
            project: the open project that the step gets.
            path: which file; may be left out of a datum of one.
        Raises:
            NoDatum: the datum has no such file, or several and none was named.
            PinMoved: it was imported by URL, and what that names has changed.
            BlobCorrupt, PackDamaged: its bytes were changed on the disk.
        """
        return b"".join(pieces_of(project, self._digest(project, path)))

    def local(self, project: Project, path: str = "") -> Path:
        """A local file with the bytes, to be read and never changed; arguments and errors as for `read`."""
        return content_path(project, self._digest(project, path))

    def _digest(self, project: Project, path: str) -> str:
        files = self.files
        named = path or (next(iter(files)) if len(files) == 1 else "")
        if named not in files:
            raise NoDatum(
                f"The datum {self.name!r} has no file {path!r}." if path else f"Which file of the datum {self.name!r}?",
                why=f"It has {', '.join(list(files)[:5])}{' and more' if len(files) > 5 else ''}.",
                fix="Name one of its `files`.",
                at=path,
            )
        return fetched(project, {named: files[named]})[named].digest
