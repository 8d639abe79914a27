"""Remotes: folders and buckets to which a project's files are pushed, by name."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bucle.ground.core import Record, S3Section, StoreSection, check_name, decode, encode, suggest
from bucle.ground.project import Project
from bucle.ground.store import open_objects, write_atomically
from bucle.line.data.errors import BadRemote, NoSuchRemote
from bucle.line.files import FarPacks

__all__ = ["Remote", "add_remote", "open_remote", "remotes", "remove_remote", "s3_of"]


class Remote(Record, frozen=True):
    """A place that files are pushed to.

    Attributes:
        name: how it is called here.
        url: `s3://bucket/prefix` or a folder.
    """

    name: str
    url: str


def remotes(project: Project) -> list[Remote]:
    """Every remote of the project by name."""
    try:
        return decode(_file(project).read_bytes(), list[Remote], what="list of remotes")
    except FileNotFoundError:
        return []


def add_remote(project: Project, name: str, url: str) -> Remote:
    """Give a place a name; one that had the name before is forgotten. Nothing is asked or written there.

    Buckets are reached as `[store.s3]` of bucle.toml says; the address never holds a secret.

    Raises:
        BadName: the name cannot be used.
        BadRemote: the address holds a password.
        UserError: it is neither a bucket nor a path.
    """
    check_name(name, "remote name")
    if "://" in url and "@" in url:
        raise BadRemote(
            "The address of a remote holds a name or password before an '@'.",
            why="It is kept in the project and printed.",
            fix="Put them into the environment variables that [store.s3] key_env and secret_env name.",
        )
    place = url if "://" in url else str((project.root / Path(url).expanduser()).resolve())
    open_objects(place, s3_of(project))
    made = Remote(name=name, url=place)
    with _changing(project):
        kept = [one for one in remotes(project) if one.name != name]
        write_atomically(_file(project), encode(sorted([*kept, made], key=lambda one: one.name)))
    return made


def remove_remote(project: Project, name: str) -> None:
    """Forget a remote; what lies there stays.

    Raises:
        NoSuchRemote: there is none of that name.
    """
    _find(project, name)
    with _changing(project):
        write_atomically(_file(project), encode([one for one in remotes(project) if one.name != name]))


def open_remote(project: Project, name: str) -> FarPacks:
    """What lies at a remote, by its name or, when none has that name, by its address.

    Raises:
        NoSuchRemote: it is neither.
    """
    known = name if "://" in name or "/" in name else _find(project, name).url
    return FarPacks(open_objects(known, s3_of(project)), project.state / "files" / "lists")


def _find(project: Project, name: str) -> Remote:
    known = {one.name: one for one in remotes(project)}
    if name not in known:
        raise NoSuchRemote(
            f"There is no remote {name!r}.",
            why=f"There are {len(known)} remotes.",
            fix=suggest(name, known) or f"Name its place: bucle data remote add {name} s3://bucket/prefix",
            at=name,
        )
    return known[name]


def s3_of(project: Project) -> S3Section:
    """How buckets are reached."""
    return project.config.section("store", StoreSection).s3


def _file(project: Project) -> Path:
    return project.state / "files" / "remotes.json"


@contextmanager
def _changing(project: Project) -> Iterator[None]:
    file = _file(project)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
