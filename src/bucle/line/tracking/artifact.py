"""Artifacts: files under the run, logged model or trace they belong to; their bytes are blobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.core import Record, digest_of_value, suggest, to_micros
from bucle.ground.project import Project
from bucle.ground.store import Work
from bucle.line.tracking import store
from bucle.line.tracking.errors import BadArtifactPath, NoSuchArtifact
from bucle.line.tracking.tables import ARTIFACTS
from bucle.line.tracking.writes import open_run, seek_run, unseal

__all__ = [
    "ArtifactInfo",
    "artifact_work",
    "check_path",
    "delete_artifacts",
    "every_artifact",
    "get_artifact",
    "list_artifacts",
    "put_artifact",
    "tree_digest",
]

LONGEST_PATH = 1000
RUN = "run/"


class ArtifactInfo(Record, frozen=True):
    """A file or a folder.

    Attributes:
        path: from its owner's root.
        is_dir: whether it is a folder.
        size: bytes of a file; None for a folder.
        digest: of a file's blob; empty for a folder.
    """

    path: str
    is_dir: bool
    size: int | None = None
    digest: str = ""


def put_artifact(project: Project, owner: str, path: str, content: bytes | Path) -> str:
    """Keep bytes, or a file's content, under a path; what was there before is replaced.

    Args:
        owner: `run/ID`, `logged-model/m-…`, `trace/tr-…`; a run must exist.
        path: relative, with `/` between its parts.
    Returns:
        The digest of the blob.
    Raises:
        BadArtifactPath: the path leads elsewhere, or another file stands in its way.
        NoSuchRun, RunDeleted: there is no run to keep it.
        DiskFull: nothing was kept.
    """
    check_path(path)
    is_file = isinstance(content, Path)
    digest = project.blobs.put_file(content) if isinstance(content, Path) else project.blobs.put(content)
    size = content.stat().st_size if isinstance(content, Path) and is_file else len(content)  # type: ignore[arg-type]
    project.database.grouped(artifact_work(project, owner, {path: (digest, size)}))
    return digest


def artifact_work(
    project: Project, owner: str, files: Mapping[str, tuple[str, int]], *, even_deleted: bool = False
) -> Work[None]:
    """Note files whose blobs are kept already; errors as in `put_artifact`.

    Args:
        files: path -> digest and size in bytes.
        even_deleted: also of a run that is put aside, when it comes from elsewhere with its files.
    """
    seek = seek_run if even_deleted else open_run
    for path in files:
        check_path(path)
    now = to_micros(project.clock.now())

    def work(connection: Connection) -> None:
        run = seek(connection, owner.removeprefix(RUN)) if owner.startswith(RUN) else None
        for path, (digest, size) in files.items():
            _refuse_in_the_way(connection, owner, path)
            row = {"owner": owner, "path": path, "digest": digest, "size": size, "at": now}
            store.PUT_ARTIFACT.run(connection, row)
        if run is not None:
            unseal(project, connection, run, "Files were kept.")

    return work


def list_artifacts(project: Project, owner: str, path: str = "") -> list[ArtifactInfo]:
    """What lies in a folder, by name; a file's path gives nothing.

    Args:
        path: of the folder; empty for the root.
    Raises:
        BadArtifactPath: the path leads elsewhere.
    """
    prefix = f"{check_path(path)}/" if path else ""
    found: dict[str, ArtifactInfo] = {}
    with project.database.reading() as connection:
        for row in _below(connection, owner, prefix):
            name, slash, _ = row.path[len(prefix) :].partition("/")
            here = prefix + name
            found[here] = (
                ArtifactInfo(path=here, is_dir=True)
                if slash
                else ArtifactInfo(path=here, is_dir=False, size=row.size, digest=row.digest)
            )
    return [found[here] for here in sorted(found)]


def every_artifact(project: Project, owner: str) -> list[ArtifactInfo]:
    """Every file of an owner, by path, and no folders."""
    with project.database.reading() as connection:
        rows = _below(connection, owner, "")
    return [ArtifactInfo(path=row.path, is_dir=False, size=row.size, digest=row.digest) for row in rows]


def get_artifact(project: Project, owner: str, path: str) -> Path:
    """A local file with the verified bytes, to be read and never changed.

    Raises:
        NoSuchArtifact: nothing lies there, or a folder.
        BadArtifactPath: the path leads elsewhere.
        BlobMissing, BlobCorrupt: it is not as it was kept.
    """
    return project.blobs.path(artifact_info(project, owner, path).digest)


def artifact_info(project: Project, owner: str, path: str) -> ArtifactInfo:
    """What is known of one file.

    Raises:
        NoSuchArtifact: nothing lies there, or a folder.
        BadArtifactPath: the path leads elsewhere.
    """
    check_path(path)
    query = sa.select(ARTIFACTS).where(ARTIFACTS.c.owner == owner, ARTIFACTS.c.path == path)
    with project.database.reading() as connection:
        row = connection.execute(query).one_or_none()
        near = [] if row else [one.path for one in _below(connection, owner, "")][:1000]
    if row is None:
        raise NoSuchArtifact(
            f"{owner} has no file {path!r}.", fix=suggest(path, near) or "List what there is first.", at=path
        )
    return ArtifactInfo(path=row.path, is_dir=False, size=row.size, digest=row.digest)


def delete_artifacts(project: Project, owner: str, path: str = "") -> int:
    """Remove a file or a folder with all in it; the blobs stay. How many files there were.

    Args:
        path: empty for everything.
    Raises:
        BadArtifactPath: the path leads elsewhere.
        NoSuchRun, RunDeleted: the run cannot be changed.
    """
    if path:
        check_path(path)

    def work(connection: Connection) -> int:
        run = open_run(connection, owner.removeprefix(RUN)) if owner.startswith(RUN) else None
        where = [_within(f"{path}/") | (ARTIFACTS.c.path == path)] if path else []
        gone = connection.execute(sa.delete(ARTIFACTS).where(ARTIFACTS.c.owner == owner, *where)).rowcount
        if run is not None and gone:
            unseal(project, connection, run, "Files were removed.")
        return gone

    return project.database.grouped(work)


def tree_digest(project: Project, owner: str, path: str = "") -> str:
    """The digest of all files in a folder: their paths from it, sizes and digests.

    Raises:
        NoSuchArtifact: there is none.
        BadArtifactPath: the path leads elsewhere.
    """
    prefix = f"{check_path(path)}/" if path else ""
    with project.database.reading() as connection:
        rows = [[row.path[len(prefix) :], row.size, row.digest] for row in _below(connection, owner, prefix)]
    if not rows:
        raise NoSuchArtifact(f"{owner} has no files in {path!r}.", fix="List what there is first.", at=path)
    return digest_of_value(sorted(rows))


def check_path(path: str) -> str:
    """The path itself when it leads to a place below its owner, and nowhere else.

    Raises:
        BadArtifactPath: it is absolute or longer than 1000 characters, or a part of it is empty, `.` or `..`, or holds
            NUL, a backslash or a line break.
    """
    parts = path.split("/")
    is_bad = any(part in ("", ".", "..") for part in parts) or any(mark in path for mark in "\0\\\n\r")
    if is_bad or len(path) > LONGEST_PATH or not _is_text(path):
        raise BadArtifactPath(
            f"{path[:80]!r} is no path of an artifact.",
            why="A path is relative, has '/' between its parts, no '..' and no control characters, 1000 at most.",
            fix="Choose such a path, e.g. 'plots/roc.png'.",
            at=path[:80],
        )
    return path


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(prefix: str) -> sa.ColumnElement[bool]:
    """What begins with a prefix that ends in `/`; the character behind `/` is `0`."""
    return sa.and_(ARTIFACTS.c.path >= prefix, ARTIFACTS.c.path < prefix[:-1] + "0")


def _below(connection: Connection, owner: str, prefix: str) -> Sequence[sa.Row[tuple[object, ...]]]:
    query = sa.select(ARTIFACTS).where(ARTIFACTS.c.owner == owner).order_by(ARTIFACTS.c.path)
    return connection.execute(query.where(_within(prefix)) if prefix else query).all()


def _refuse_in_the_way(connection: Connection, owner: str, path: str) -> None:
    """No file is a folder as well: nowhere could both be written out."""
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    taken = sa.or_(ARTIFACTS.c.path.in_(above), _within(f"{path}/"))
    other = connection.execute(sa.select(ARTIFACTS.c.path).where(ARTIFACTS.c.owner == owner, taken).limit(1)).scalar()
    if other is not None:
        raise BadArtifactPath(
            f"{path!r} cannot be kept beside {other!r}: one would be a file and a folder.",
            why="A tree of files could not hold both.",
            fix="Choose another path.",
            at=path,
        )
