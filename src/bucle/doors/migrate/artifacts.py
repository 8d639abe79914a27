"""Where MLflow's artifacts lie on this machine."""

from __future__ import annotations

import os
import stat
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from bucle.doors.migrate.found import FoundFile

__all__ = ["Artifacts"]


class Artifacts:
    """Finds the folder behind an artifact address.

    Args:
        below: a folder with the artifacts of a server, or a copy of a bucket or of another machine's folder; None when
            addresses are right as they are.
        base: what relative addresses start from.

    Attributes:
        links: symbolic links that were left out, since they may lead anywhere.
        elsewhere: folders that are not on this machine.
        strange: folders that do not bear the name of their owner, and were left: an address in somebody's database must
            not fetch any folder of this machine.
    """

    def __init__(self, below: Path | None, base: Path) -> None:
        self._below = below
        self._base = base
        self.links = 0
        self.elsewhere = 0
        self.strange = 0

    def files_of(self, address: str, owner: str) -> Callable[[], Iterator[FoundFile]]:
        """The files below an address, looked for when they are wanted.

        Args:
            owner: the id of the run or model they belong to, which MLflow makes a part of the path.
        """
        return lambda: self._walk(address, owner)

    def folder_of(self, address: str) -> Path | None:
        """The folder behind an address; None when it is not here."""
        if not address:
            return None
        scheme, path = _split(address)
        if scheme in ("", "file"):
            found = os.path.join(self._base, path)  # noqa: PTH118  asked once a run, and a Path takes ten times as long
            if os.path.isdir(found):  # noqa: PTH112
                return Path(found)
        return self._under(path) if self._below is not None else None

    def _under(self, path: str) -> Path | None:
        """The folder below the given one whose path ends alike, the longest such path first."""
        if self._below is None:
            return None
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for start in range(max(len(parts) - 1, 0)):
            found = self._below.joinpath(*parts[start:])
            if found.is_dir():
                return found
        return None

    def _walk(self, address: str, owner: str) -> Iterator[FoundFile]:
        folder = self.folder_of(address)
        if folder is not None and owner not in folder.parts:
            self.strange += 1
            return
        if folder is None:
            self.elsewhere += bool(address) and not _is_empty_by_nature(address)
            return
        for here, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                file = Path(here) / name
                if stat.S_ISREG(file.lstat().st_mode):
                    yield FoundFile(file.relative_to(folder).as_posix(), file)
                else:
                    self.links += 1


def _split(address: str) -> tuple[str, str]:
    """Scheme and path; a path has no scheme."""
    if "://" not in address and not address.startswith(("file:", "mlflow-artifacts:", "dbfs:")):
        return "", address
    parsed = urllib.parse.urlsplit(address)
    return parsed.scheme, urllib.parse.unquote(parsed.path)


def _is_empty_by_nature(address: str) -> bool:
    """A local folder is made with its first file: when it is not there, there may never have been one."""
    scheme, path = _split(address)
    if scheme not in ("", "file"):
        return False
    for _ in range(3):
        path = os.path.dirname(path)  # noqa: PTH120
        if os.path.isdir(path):  # noqa: PTH112
            return True
    return False
