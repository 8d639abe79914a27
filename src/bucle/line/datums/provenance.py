"""Provenance: which datum a file was made of."""

from __future__ import annotations

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.datums.errors import NoDatum
from bucle.line.datums.index import EVENT, Index, index_of
from bucle.line.files import find_entry

__all__ = ["Origin", "origin_of"]


class Origin(Record, frozen=True):
    """What a file was made of.

    Attributes:
        path: the file.
        name: of `[datums.NAME]`.
        datum: the datum's name.
        inputs: path -> digest of the files it was made of.
        commit: the commit where these were gone over.
        execution: that asked the step.
    """

    path: str
    name: str
    datum: str
    inputs: dict[str, str]
    commit: str
    execution: str


def origin_of(project: Project, path: str, at: str = "main") -> Origin:
    """The datum that gave a file as it is at a commit.

    Raises:
        NoSuchFile, NoSuchCommit: there is no such file.
        NoDatum: no run on record gave it.
    Cost: the indexes of the runs, the newest first, until one has it.
    """
    entry = find_entry(project, data.resolve(project, at).files, path)
    if entry is None:
        data.file_path(project, path, at)  # says which are there
    else:
        for event in project.ledger.events(kinds=[EVENT], newest_first=True):
            into, found = event.data["into"], index_of(project, event.data["index"])
            if path.startswith(f"{into}/") and (origin := _origin(found, event.data["name"], path, into, entry.digest)):
                return origin
    raise NoDatum(
        f"{path!r} was made of no datum.",
        why="No run on record gave a file of that path with these bytes.",
        fix="See who brought it: bucle data annotate",
        at=path,
    )


def _origin(index: Index, name: str, path: str, into: str, digest: str) -> Origin | None:
    within = path.removeprefix(f"{into}/")
    for made in index.made.values():
        if made.outputs.get(within) == digest:
            return Origin(
                path=path,
                name=name,
                datum=made.datum,
                inputs=made.inputs,
                commit=index.commit,
                execution=made.execution,
            )
    return None
