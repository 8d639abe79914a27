"""Notes: when files of the tree were last changed, and what the clients that put them said of them.

A tree knows contents only. What a client says of a file is noted by path and content, in the step that commits it, and
found at any commit that has them. Of files that came another way, the history says which commit brought them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from threading import Lock

from sqlalchemy.engine import Connection

from bucle.ground.core import Record, decode, encode
from bucle.ground.project import Project
from bucle.line.data import store
from bucle.line.data.commit import Commit
from bucle.line.files import FileEntry, blobs_between, entries_at

__all__ = ["FileNote", "changed_at", "put_notes"]

_FURTHEST = 200
"""So many commits are looked through for the one that brought a file; if it is older, it counts as of the last one."""

_HEADS, _KNOWN = 16, 20_000
"""Of so many heads, so many files each are remembered with the commit that brought them."""


class FileNote(Record, frozen=True):
    """What is known of a file besides its bytes.

    Attributes:
        at: when the path was last given this content.
        told: what the client that put it said of it, e.g. `content-type`.
    """

    at: datetime
    told: dict[str, str]


def changed_at(project: Project, commit: Commit, entries: Mapping[str, FileEntry]) -> dict[str, FileNote]:
    """What is known of files of a commit, in their order.

    Args:
        entries: as the commit has them.
    Cost: one query; of files that no client has put, a look at the commits since, once.
    """
    with project.database.reading() as connection:
        rows = list(store.file_notes(connection, entries))
    found = {
        row.path: FileNote(at=row.at, told=decode(row.told.encode(), dict[str, str], what="file note"))
        for row in rows
        if row.digest == entries[row.path].digest
    }
    others = {path: entry for path, entry in entries.items() if path not in found}
    brought = _brought_at(project, commit, others) if others else {}
    return {path: found[path] if path in found else FileNote(brought[path], {}) for path in entries}


def put_notes(
    connection: Connection, notes: Iterable[tuple[str, FileEntry, Mapping[str, str]]], *, at: datetime
) -> None:
    """Note what was said of files; of one path and content, the last is kept."""
    rows = {
        (path, entry.digest): {"path": path, "digest": entry.digest, "at": at, "told": encode(dict(told)).decode()}
        for path, entry, told in notes
    }
    store.put_file_notes(connection, list(rows.values()))


def _brought_at(project: Project, head: Commit, entries: Mapping[str, FileEntry]) -> dict[str, datetime]:
    """When each file came to be as it is, along the first parents."""
    memory, found, left, commit = project.keep(_Memory, _Memory), dict[str, datetime](), dict(entries), head
    first, last = min(entries), max(entries)
    with project.database.reading() as connection:
        for _ in range(_FURTHEST):
            _settle(left, found, memory.brought(commit, left))
            parent = store.commit_of(connection, commit.parents[0]) if commit.parents and left else None
            if parent is None:
                break
            if blobs_between(project, parent.files, first, last) != blobs_between(project, commit.files, first, last):
                before = entries_at(project, parent.files, left)
                _settle(left, found, {path: commit.at for path, entry in left.items() if before.get(path) != entry})
            commit = parent
    found |= dict.fromkeys(left, commit.at)
    memory.keep(head, entries, found)
    return found


def _settle(left: dict[str, FileEntry], found: dict[str, datetime], known: Mapping[str, datetime]) -> None:
    found.update(known)
    for path in known:
        del left[path]


class _Memory:
    """Which commit brought a file, as it was found going back from a head: whoever comes back to that head is done."""

    def __init__(self) -> None:
        self._heads = OrderedDict[str, dict[tuple[str, str], datetime]]()
        self._lock = Lock()

    def brought(self, commit: Commit, entries: Mapping[str, FileEntry]) -> dict[str, datetime]:
        """Those of these files of which it is known, as seen from this commit, when they were brought."""
        known = self._heads.get(commit.id)
        if known is None:
            return {}
        found = ((path, known.get((path, entry.digest))) for path, entry in entries.items())
        return {path: at for path, at in found if at is not None}

    def keep(self, head: Commit, entries: Mapping[str, FileEntry], found: Mapping[str, datetime]) -> None:
        """Remember it."""
        with self._lock:
            known = self._heads.setdefault(head.id, {})
            known.update({(path, entry.digest): found[path] for path, entry in entries.items()})
            while len(self._heads) > _HEADS:
                self._heads.popitem(last=False)
            if len(known) > _KNOWN:
                known.clear()

    def close(self) -> None:
        """Forget it."""
        self._heads.clear()
