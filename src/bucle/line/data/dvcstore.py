"""Contents that DVC keeps, found by MD5: in its cache, in the workspace, in its remotes; and written for it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bucle.ground.core import StoreSection
from bucle.ground.project import Project
from bucle.ground.store import Objects, open_objects
from bucle.line.data.dvcfile import DvcRemote, DvcWorkspace

__all__ = ["DvcStore", "md5_of", "name_of", "remote_of"]

_READ = 1 << 20


def md5_of(path: Path, *, is_legacy: bool = False) -> str:
    """The MD5 of a file's bytes; as DVC 2 took it, of text after each CR LF in a piece read was made LF."""
    with path.open("rb") as file:
        if not is_legacy or not _is_text(file.read(512)):
            file.seek(0)
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        file.seek(0)
        hashed = hashlib.md5(usedforsecurity=False)
        while data := file.read(_READ):
            hashed.update(data.replace(b"\r\n", b"\n"))
        return hashed.hexdigest()


def hashed(folder: Path, *, is_legacy: bool = False) -> dict[str, str]:
    """Path -> MD5 of the files in a folder; see `md5_of`."""
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    return {one.relative_to(folder).as_posix(): md5_of(one, is_legacy=is_legacy) for one in files}


def md5_of_list(listed: bytes) -> str:
    """What DVC calls a folder by, from the list of its files."""
    return hashlib.md5(listed, usedforsecurity=False).hexdigest() + ".dir"


def name_of(md5: str, *, is_legacy: bool = False) -> str:
    """Where DVC files a content, in its cache and in remotes; DVC 2 did so elsewhere than DVC 3."""
    return f"{'' if is_legacy else 'files/md5/'}{md5[:2]}/{md5[2:]}"


def remote_of(project: Project, remote: DvcRemote) -> Objects | None:
    """A remote of DVC's; None when it speaks what we do not."""
    s3 = project.config.section("store", StoreSection).s3
    if remote.endpoint or remote.region:
        s3 = msgspec.structs.replace(s3, endpoint=remote.endpoint, region=remote.region or s3.region)
    is_known = remote.url.startswith("s3://") or "://" not in remote.url
    return open_objects(remote.url, s3) if is_known else None


class DvcStore:
    """What a DVC project has, by MD5; of DVC 2 and of DVC 3.

    Args:
        project: whose settings say how to reach buckets; what is fetched lies in its folder for a moment.
        found: the DVC project.
    """

    def __init__(self, project: Project, found: DvcWorkspace) -> None:
        self._cache = Path(found.cache)
        self._remotes = [one for one in (remote_of(project, remote) for remote in found.remotes) if one is not None]
        self._folder = project.state / "files" / "dvc"

    @contextmanager
    def file(self, md5: str, *, beside: Path | None = None, is_legacy: bool = False) -> Iterator[Path | None]:
        """A file with these bytes, compared; None when nobody has them.

        Args:
            md5: of the bytes.
            beside: where the workspace has them, if nobody changed them.
            is_legacy: whether line ends were made one before the MD5 was taken.
        """
        plain = md5.removesuffix(".dir")
        for path in (*(self._cache / name for name in _names(md5)), beside):
            if path is not None and path.is_file() and _is(path, plain, is_legacy=is_legacy):
                yield path
                return
        for remote in self._remotes:
            fetched = self._fetch(remote, md5)
            try:
                if fetched is not None and _is(fetched, plain, is_legacy=is_legacy):
                    yield fetched
                    return
            finally:
                if fetched is not None:
                    fetched.unlink(missing_ok=True)
        yield None

    def _fetch(self, remote: Objects, md5: str) -> Path | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{uuid.uuid4().hex}.partial"
        for name in _names(md5):
            try:
                with target.open("wb") as out:
                    for data in remote.stream(name):
                        out.write(data)
            except FileNotFoundError:
                target.unlink(missing_ok=True)
                continue
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            return target
        return None


def _names(md5: str) -> tuple[str, str]:
    return name_of(md5), name_of(md5, is_legacy=True)


def _is(path: Path, md5: str, *, is_legacy: bool) -> bool:
    return md5_of(path) == md5 or (is_legacy and md5_of(path, is_legacy=True) == md5)


def _is_text(begin: bytes) -> bool:
    """What DVC 2 took for text."""
    odd = begin.translate(None, bytes(range(32, 127)) + b"\n\r\t\f\b")
    return b"\0" not in begin and len(odd) <= 0.3 * len(begin)
