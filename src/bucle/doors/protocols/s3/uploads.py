"""Uploads: objects that come in parts. Each part lies in packs once it is acknowledged; what is noted here is which.

    .bucle/s3/ID/upload         what it will be
                 part-00001     a part: its content
                 done           what it became

So an upload goes on after the server is started again, and to complete it writes no byte twice.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from bucle.doors.protocols.s3.errors import S3Error
from bucle.ground.core import Record, decode, encode
from bucle.ground.project import Project
from bucle.ground.store import write_atomically
from bucle.line.files import FileEntry, packs_of

__all__ = ["ABANDONED_S", "Upload", "Uploads"]

ABANDONED_S = 24 * 3600.0
"""An upload to which no part came for so long is given up; a sweep of packs leaves what is younger as well."""

_FRESH_S = 3600.0
_ID = re.compile(r"[0-9a-f]{32}")
R = TypeVar("R", bound=Record)


class Upload(Record, frozen=True):
    """What an upload will be.

    Attributes:
        key: branch and path.
        principal: whose it is; nobody else's parts are taken.
        told: what is said of the object.
        at: when it was begun, as clients are shown it.
    """

    key: str
    principal: str
    told: dict[str, str]
    at: str


class Uploads:
    """The uploads of a project.

    Args:
        project: that keeps them.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._folder = project.state / "s3"

    def begin(self, upload: Upload) -> str:
        """Note a new one; its id. Those that were abandoned are swept away."""
        self.sweep()
        name = uuid.uuid4().hex
        write_atomically(self._folder / name / "upload", encode(upload))
        return name

    def find(self, name: str, key: str, principal: str) -> Upload:
        """One by its id. Raises S3Error: there is none, or it is of another object or principal."""
        found = self._read(name, "upload", Upload) if _ID.fullmatch(name) else None
        if found is None or (found.key, found.principal) != (key, principal):
            raise _gone()
        return found

    def keep_part(self, name: str, number: int, entry: FileEntry) -> None:
        """Note a part; another of that number is replaced. Parts of long ago are kept from sweeps."""
        told = self._folder / name / "upload"
        try:
            is_old = told.stat().st_mtime < time.time() - _FRESH_S
        except FileNotFoundError as error:
            raise _gone() from error
        if is_old:
            packs = packs_of(self._project)
            for one in self.parts(name).values():
                packs.freshen(packs.needed_for(one.digest))
            told.touch()
        write_atomically(self._folder / name / f"part-{number:05d}", encode(entry))

    def parts(self, name: str) -> dict[int, FileEntry]:
        """The parts that came, by number."""
        found = sorted((self._folder / name).glob("part-?????"))
        try:
            return {int(file.name[-5:]): decode(file.read_bytes(), FileEntry, what="part") for file in found}
        except FileNotFoundError as error:  # completed or aborted at this moment
            raise _gone() from error

    def end(self, name: str, made: FileEntry) -> None:
        """Note what it became: who did not hear so, and asks again, is told."""
        write_atomically(self._folder / name / "done", encode(made))
        for file in (self._folder / name).glob("part-?????"):
            file.unlink(missing_ok=True)

    def ended(self, name: str) -> FileEntry | None:
        """What it became; None as long as it is under way."""
        return self._read(name, "done", FileEntry)

    def forget(self, name: str) -> None:
        """Throw it away; the parts' contents go with the next sweep of packs."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def under_way(self) -> Iterator[tuple[str, Upload]]:
        """Every one that is not ended, by key and id."""
        found = [(one.name, self._read(one.name, "upload", Upload)) for one in self._folders()]
        known = [(name, upload) for name, upload in found if upload is not None and self.ended(name) is None]
        yield from sorted(known, key=lambda one: (one[1].key, one[0]))

    def sweep(self) -> None:
        """Throw away those that nobody goes on with."""
        latest = time.time() - ABANDONED_S
        for folder in self._folders():
            if max((file.stat().st_mtime for file in (folder, *folder.glob("*"))), default=0.0) < latest:
                self.forget(folder.name)

    def _folders(self) -> list[Path]:
        return [one for one in self._folder.glob("*") if _ID.fullmatch(one.name)]

    def _read(self, name: str, file: str, kind: type[R]) -> R | None:
        try:
            return decode((self._folder / name / file).read_bytes(), kind, what="upload")
        except FileNotFoundError:
            return None


def _gone() -> S3Error:
    return S3Error(404, "NoSuchUpload", "The upload does not exist: it was completed, aborted, or abandoned.")
