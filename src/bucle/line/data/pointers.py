"""Where the tables of a commit stand, in parts that commits share.

A lake of ten thousand tables whose commit changes one would otherwise write ten thousand pointers. Where one part ends
and the next begins follows from the names alone, as in the file tree, so equal maps have equal parts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from zlib import crc32

from bucle.ground.core import decode, digest_of, encode
from bucle.line.data.commit import TableState
from bucle.line.data.errors import LakeDamaged

__all__ = ["Pointers", "cut", "join"]

Pointers = dict[str, TableState]

_MASK = 63
"""A name whose checksum ends in these bits as zeros begins a new part."""

_REMEMBERED = 2048
"""So many parts are kept decoded; they never change, since their digest names them."""


def cut(tables: Mapping[str, TableState]) -> dict[str, bytes]:
    """Digest -> JSON of every part of a map, in the order of the names."""
    return {digest_of(part): part for part in map(encode, _runs(tables))}


def join(parts: Sequence[str], load: Callable[[Iterable[str]], Mapping[str, str]]) -> Pointers:
    """The map whose parts these are.

    Args:
        parts: their digests.
        load: digest -> JSON of those asked for.
    Raises:
        LakeDamaged: a part is not there, or was changed.
    """
    missing = [digest for digest in parts if digest not in _known]
    if missing:
        found = load(missing)
        for digest in missing:
            _known.put(digest, _read(digest, found.get(digest)))
    joined = Pointers()
    for digest in parts:
        part = _known.get(digest)
        joined.update(_read(digest, load([digest]).get(digest)) if part is None else part)
    return joined


def _runs(tables: Mapping[str, TableState]) -> Iterator[Pointers]:
    run = Pointers()
    for name in sorted(tables):
        if run and not crc32(name.encode()) & _MASK:
            yield run
            run = Pointers()
        run[name] = tables[name]
    if run:
        yield run


def _read(digest: str, part: str | None) -> Pointers:
    if part is None or digest_of(part.encode()) != digest:
        raise LakeDamaged(
            f"The list of tables {digest[:12]} {'is missing' if part is None else 'was changed'}.",
            why="A commit cannot be read without it.",
            fix="See what else is damaged with `bucle audit verify`, and restore the database from a backup.",
            at=digest,
        )
    return decode(part, Pointers, what="list of tables")


class _Known:
    """The parts read last."""

    def __init__(self) -> None:
        self._parts = OrderedDict[str, Pointers]()
        self._lock = Lock()

    def __contains__(self, digest: str) -> bool:
        return digest in self._parts

    def get(self, digest: str) -> Pointers | None:
        with self._lock:
            part = self._parts.get(digest)
            if part is not None:
                self._parts.move_to_end(digest)
            return part

    def put(self, digest: str, part: Pointers) -> None:
        with self._lock:
            self._parts[digest] = part
            while len(self._parts) > _REMEMBERED:
                self._parts.popitem(last=False)


_known = _Known()
