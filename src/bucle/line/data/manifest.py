"""Manifest: the list of everything a table state consists of, kept so that adding a file writes a few kilobytes.

The list of files is cut where the files' digests say, about every 64 files; each piece but the last is a blob of its
own and the last stands in the manifest itself. An append changes the last piece only, however long the list is; equal
lists are cut alike, so that equal content has equal digests. Older versions wrote one JSON object; it is still read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bucle.ground.core import CorruptRecord, Digest, Record, decode, digest_of, digest_of_value
from bucle.ground.keys import cipher_of, is_sealed, key_named, unseal
from bucle.ground.project import Project
from bucle.line.data.schema import Column

__all__ = [
    "DataFile",
    "Head",
    "Manifest",
    "Piece",
    "Run",
    "Statistics",
    "content_digest",
    "keep_head",
    "keep_manifest",
    "keeper",
    "lay",
    "load_head",
    "load_manifest",
    "load_run",
    "longer",
    "pack_statistics",
]

_HEAD, _PART = b"BUCLETM1", b"BUCLETP1"
_ABOUT_HEAD, _ABOUT_PART = "a table's manifest", "a piece of a table's manifest"
_MASK = 63
"""A file whose digest ends in these bits as zeros is the last of its piece."""

_MOST = 256
"""So many files a piece has at most: equal files, whose digests are one, would never end it."""

_PUTS = 8
"""So many blobs are forced to the disk at once."""


class Statistics(msgspec.Struct, frozen=True, array_like=True):
    """What a Parquet file's columns hold, by field id, bounds in Iceberg's single-value form.

    Attributes:
        sizes: bytes on the disk.
        values: how many values, nulls included.
        nulls: how many of them are null.
        nans: how many are not a number; of floating columns only, and only where it was counted.
        lower: at most the least value.
        upper: at least the greatest.
        splits: where its row groups begin.
    """

    sizes: dict[int, int] = {}
    values: dict[int, int] = {}
    nulls: dict[int, int] = {}
    nans: dict[int, int] = {}
    lower: dict[int, bytes] = {}
    upper: dict[int, bytes] = {}
    splits: list[int] = []


class DataFile(Record, frozen=True, gc=False):
    """A Parquet file of a table: of rows, or of the positions of rows that are gone.

    Attributes:
        path: relative to the project's state folder, with `/`.
        digest: of its bytes.
        rows: how many it holds.
        size_bytes: how long it is.
        spec_id: by which of the table's partition specs it was written.
        partition: the partition's values, in the order of that spec's fields.
        statistics: packed `Statistics`; empty when they are to be read from the file.
        of: of a file of deletes: the one data file whose rows it names, '' when it names several's.
        content: of a file of deletes: a digest of which rows of which bytes are gone, wherever they lie.
        key: of an encrypted file: its key, wrapped by the table's.
    """

    path: str
    digest: str
    rows: int
    size_bytes: int
    spec_id: int = 0
    partition: tuple[Any, ...] = ()
    statistics: bytes = b""
    of: str = ""
    content: str = ""
    key: bytes = b""

    @property
    def known(self) -> Statistics:
        """Its statistics; empty ones when it has none."""
        return msgspec.msgpack.decode(self.statistics, type=Statistics) if self.statistics else Statistics()


class Manifest(Record, frozen=True):
    """Everything a table state consists of; kept as a blob, so that its digest vouches for every file.

    Attributes:
        columns: the table's columns.
        data: the data files in the order rows are read.
        metadata: path -> digest of the Iceberg metadata file, manifest list and manifests, and of what else foreign
            clients can ask for: files of snapshots in between, statistics.
        deletes: files that say which rows of which data files are gone.
        by_id: columns were renamed, or a name given anew, so that old files are to be read by field id.
        settings: the digest of what was set beyond rows and columns: properties, partitions, order; '' if nothing.
        gone: how many rows the deletes take away, when that is not the sum of their rows, since two name one row.
        key: the name of the key under which an encrypted table is kept; '' of others.
    """

    columns: tuple[Column, ...]
    data: tuple[DataFile, ...]
    metadata: dict[str, str]
    deletes: tuple[DataFile, ...] = ()
    by_id: bool = False
    settings: str = ""
    gone: int | None = None
    key: str = ""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        gone = sum(file.rows for file in self.deletes) if self.gone is None else self.gone
        return sum(file.rows for file in self.data) - gone

    def files(self) -> dict[str, str]:
        """Path -> digest of every file."""
        return {**{file.path: file.digest for file in (*self.data, *self.deletes)}, **self.metadata}


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a list of files that lies in a blob of its own.

    Attributes:
        blob: the blob's digest.
        content: the digest of the files' digests.
        files: how many.
        rows: how many they hold.
    """

    blob: str
    content: str
    files: int
    rows: int


@dataclass(frozen=True)
class Run:
    """A list of files: pieces kept elsewhere, and the last files themselves."""

    pieces: tuple[Piece, ...] = ()
    tail: tuple[DataFile, ...] = ()

    @property
    def rows(self) -> int:
        """How many the files hold."""
        return sum(piece.rows for piece in self.pieces) + sum(file.rows for file in self.tail)

    @property
    def files(self) -> int:
        """How many there are."""
        return sum(piece.files for piece in self.pieces) + len(self.tail)

    def content(self) -> list[str]:
        """What names the list: equal for equal contents in equal order."""
        return [*(piece.content for piece in self.pieces), *map(_content, self.tail)]


@dataclass(frozen=True)
class Head:
    """A manifest whose long lists have not been loaded; the attributes are those of `Manifest`."""

    columns: tuple[Column, ...]
    data: Run
    metadata: Mapping[str, str]
    deletes: Run = Run()
    by_id: bool = False
    settings: str = ""
    gone: int | None = None
    key: str = ""

    @property
    def rows(self) -> int:
        """How many rows the table has."""
        return self.data.rows - (self.deletes.rows if self.gone is None else self.gone)

    def digest(self) -> Digest:
        """The name of the table's content: its columns and its data files' bytes in order, not where they lie."""
        content: dict[str, object] = {"columns": self.columns, "data": self.data.content()}
        if self.deletes.files:
            content["deletes"] = self.deletes.content()
        if self.settings:
            content["settings"] = self.settings
        return digest_of_value(content)


class _Columnar(msgspec.Struct, frozen=True, array_like=True):
    """Files by columns; digests of 32 bytes one after another."""

    paths: list[str]
    digests: bytes
    rows: list[int]
    sizes: list[int]
    specs: list[int]
    partitions: list[list[Any]]
    statistics: list[bytes]
    of: list[str]
    contents: list[str]
    keys: list[bytes] = []


class _Laid(msgspec.Struct, frozen=True, array_like=True):
    """A head as it is kept."""

    columns: list[tuple[int, str, Any]]
    metadata: dict[str, str]
    data: list[Piece]
    data_tail: _Columnar
    deletes: list[Piece]
    deletes_tail: _Columnar
    by_id: bool
    settings: str
    gone: int | None


def pack_statistics(found: Statistics) -> bytes:
    """Statistics as a `DataFile` carries them."""
    return msgspec.msgpack.encode(found)


def content_digest(manifest: Manifest) -> Digest:
    """The name of a table's content; see `Head.digest`."""
    return lay(manifest, _digest_only).digest()


def keep_manifest(project: Project, manifest: Manifest) -> Digest:
    """Keep a manifest as blobs."""
    return keep_head(project, lay(manifest, keeper(project, manifest.key)))


def load_manifest(project: Project, digest: str) -> Manifest:
    """A manifest, verified.

    Raises:
        BlobMissing: it is not there.
        BlobCorrupt, SealBroken: it was changed.
        KeyDestroyed, KeyMissing: it is encrypted, and its key is gone or not at hand.
    """
    head = load_head(project, digest)
    return Manifest(
        columns=head.columns,
        data=load_run(project, head.data),
        metadata=dict(head.metadata),
        deletes=load_run(project, head.deletes),
        by_id=head.by_id,
        settings=head.settings,
        gone=head.gone,
        key=head.key,
    )


Put = Callable[[Sequence[bytes]], list[Digest]]
"""Keeps blobs and returns their digests."""


def keeper(project: Project, key: str = "") -> Put:
    """Keeps blobs in the project's store, side by side; with the name of a table's key, encrypted."""
    cipher = cipher_of(project, key) if key else None

    def put(blobs: Sequence[bytes]) -> list[Digest]:
        if cipher is not None:
            blobs = [cipher.seal(blob, _ABOUT_PART) for blob in blobs]
        if len(blobs) < 2:
            return [project.blobs.put(blob) for blob in blobs]
        with ThreadPoolExecutor(_PUTS) as pool:
            return list(pool.map(project.blobs.put, blobs))

    return put


def lay(manifest: Manifest, put: Put) -> Head:
    """A manifest cut into pieces."""
    return Head(
        columns=manifest.columns,
        data=longer(Run(), manifest.data, put),
        metadata=manifest.metadata,
        deletes=longer(Run(), manifest.deletes, put),
        by_id=manifest.by_id,
        settings=manifest.settings,
        gone=manifest.gone,
        key=manifest.key,
    )


def longer(run: Run, files: Iterable[DataFile], put: Put) -> Run:
    """A list with more files at its end. Cost: what is added, and the last piece."""
    closed, tail = list[list[DataFile]](), list(run.tail)
    for file in files:
        tail.append(file)
        if not int(file.digest[-2:] or "1", 16) & _MASK or len(tail) >= _MOST:
            closed.append(tail)
            tail = []
    blobs = put([_PART + msgspec.msgpack.encode(_columnar(piece)) for piece in closed])
    pieces = [
        Piece(
            blob=blob,
            content=digest_of_value([_content(file) for file in piece]),
            files=len(piece),
            rows=sum(file.rows for file in piece),
        )
        for blob, piece in zip(blobs, closed, strict=True)
    ]
    return replace(run, pieces=(*run.pieces, *pieces), tail=tuple(tail))


def keep_head(project: Project, head: Head) -> Digest:
    """Keep a head as a blob; its pieces are kept already."""
    laid = _Laid(
        columns=[(column.id, column.name, column.type) for column in head.columns],
        metadata=dict(sorted(head.metadata.items())),
        data=list(head.data.pieces),
        data_tail=_columnar(head.data.tail),
        deletes=list(head.deletes.pieces),
        deletes_tail=_columnar(head.deletes.tail),
        by_id=head.by_id,
        settings=head.settings,
        gone=head.gone,
    )
    blob = _HEAD + msgspec.msgpack.encode(laid)
    return project.blobs.put(cipher_of(project, head.key).seal(blob, _ABOUT_HEAD) if head.key else blob)


def load_head(project: Project, digest: str) -> Head:
    """A manifest without its long lists; errors as for `load_manifest`."""
    data, key = project.blobs.get(digest), ""
    if is_sealed(data):
        data, key = unseal(project, data, _ABOUT_HEAD), key_named(data)
    if not data.startswith(_HEAD):
        return _whole(decode(data, Manifest, what="table manifest"))
    laid = _decoded(data, _HEAD, _Laid)
    return Head(
        columns=tuple(Column(id=number, name=name, type=kind) for number, name, kind in laid.columns),
        data=Run(tuple(laid.data), _files(laid.data_tail)),
        metadata=laid.metadata,
        deletes=Run(tuple(laid.deletes), _files(laid.deletes_tail)),
        by_id=laid.by_id,
        settings=laid.settings,
        gone=laid.gone,
        key=key,
    )


def load_run(project: Project, run: Run) -> tuple[DataFile, ...]:
    """Every file of a list; errors as for `load_manifest`."""
    found = list[DataFile]()
    for piece in run.pieces:
        data = project.blobs.get(piece.blob)
        if is_sealed(data):
            data = unseal(project, data, _ABOUT_PART)
        found += _files(_decoded(data, _PART, _Columnar))
    return (*found, *run.tail)


def _whole(manifest: Manifest) -> Head:
    """A manifest of an older version: cut by who extends it next."""
    return Head(
        columns=manifest.columns,
        data=Run((), manifest.data),
        metadata=manifest.metadata,
        deletes=Run((), manifest.deletes),
        by_id=manifest.by_id,
        settings=manifest.settings,
        gone=manifest.gone,
        key=manifest.key,
    )


def _content(file: DataFile) -> str:
    return file.content or file.digest


def _digest_only(blobs: Sequence[bytes]) -> list[Digest]:
    return [digest_of(blob) for blob in blobs]


def _columnar(files: Sequence[DataFile]) -> _Columnar:
    return _Columnar(
        paths=[file.path for file in files],
        digests=bytes.fromhex("".join([file.digest for file in files])),
        rows=[file.rows for file in files],
        sizes=[file.size_bytes for file in files],
        specs=[file.spec_id for file in files],
        partitions=[list(file.partition) for file in files],
        statistics=[file.statistics for file in files],
        of=[file.of for file in files],
        contents=[file.content for file in files],
        keys=[file.key for file in files] if any(file.key for file in files) else [],
    )


def _files(part: _Columnar) -> tuple[DataFile, ...]:
    digests, keys = part.digests.hex(), part.keys or [b""] * len(part.paths)
    return tuple(
        [
            DataFile(
                path=path,
                digest=digests[64 * place : 64 * place + 64],
                rows=part.rows[place],
                size_bytes=part.sizes[place],
                spec_id=part.specs[place],
                partition=tuple(part.partitions[place]),
                statistics=part.statistics[place],
                of=part.of[place],
                content=part.contents[place],
                key=keys[place],
            )
            for place, path in enumerate(part.paths)
        ]
    )


def _decoded(data: bytes, magic: bytes, kind: type[Any]) -> Any:
    try:
        if not data.startswith(magic):
            raise msgspec.DecodeError("it has another beginning")
        return msgspec.msgpack.decode(memoryview(data)[len(magic) :], type=kind)
    except msgspec.DecodeError as error:
        raise CorruptRecord(
            f"A table manifest cannot be read: {error}.",
            why="It was written by a newer version.",
            fix="Open the project with the newest version of Bucle.",
        ) from error
