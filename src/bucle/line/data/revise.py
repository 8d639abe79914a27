"""Revise: a new snapshot of a table, given which files it is to consist of.

Appends, overwrites, deletes, compactions and reverts are all the same step: some files go, some come. Rows are written
before; here only Iceberg's metadata is, and what is known of the files is taken from our own list of them.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import pyarrow as pa
from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestFile

from bucle.ground.core import to_micros
from bucle.ground.keys import cipher_of
from bucle.ground.project import Project
from bucle.line.data import avro, iceberg
from bucle.line.data.commit import TableState
from bucle.line.data.lake import Shelf
from bucle.line.data.listing import Line
from bucle.line.data.manifest import DataFile, Head, Run, keeper, load_run, longer, pack_statistics
from bucle.line.data.parquet import footer_statistics
from bucle.line.data.positions import gone_of, scoped
from bucle.line.data.schema import Column, gave_names_anew
from bucle.line.data.sealed import check_all_sealed, cipher_for_table
from bucle.line.data.table import Table, make_state, remember, uri

__all__ = ["Operation", "Revision", "revise"]

Operation = Literal["append", "overwrite", "delete", "replace"]
"""What a snapshot says it does: adds rows; removes and adds; only removes; only lays the same rows differently."""

Listed = ManifestFile | Line
"""A manifest that comes, or one that was listed before."""

TIER = 16
"""So many manifests of a size are merged into one of the next size, so that planning and appending stay short."""


@dataclass(frozen=True)
class Revision:
    """What a table is to consist of.

    Attributes:
        operation: what the snapshot says it does.
        columns: the table's columns.
        added: data files put after `data`.
        data: data files in the order rows are read; None for those there are. Files that another state of the same
            table had may be named again: no row is written.
        deletes: all files of deletes; None for those there are. Those of data files that go, go too.
        key: the name of the key the table is kept under from now on; None for the one it has.
    """

    operation: Operation
    columns: tuple[Column, ...]
    added: Sequence[DataFile] = ()
    data: Sequence[DataFile] | None = None
    deletes: Sequence[DataFile] | None = None
    key: str | None = None


@dataclass(frozen=True)
class _Content:
    """Files of one kind, before and after.

    Attributes:
        holds: whether they are data files or files of deletes.
        run: all of them afterwards.
        fresh: those the table did not have.
        gone: paths of those it has no longer.
        starts_anew: none of those there were stays.
    """

    holds: ManifestContent
    run: Run
    fresh: Sequence[DataFile]
    gone: frozenset[str]
    starts_anew: bool


def revise(project: Project, shelf: Shelf, table: Table, to: Revision) -> TableState:
    """Write the Iceberg metadata of a table that consists of these files, and return its new pointer.

    Cost: an append costs the same however many files the table has; when files go, the manifests are read.
    """
    table = _under_key(project, table, to)
    snapshot_id, metadata = iceberg.new_snapshot_id(), table.metadata
    data = _data(project, table, to)
    deletes = _deletes(project, shelf, table, to, data)
    check_all_sealed(table.name, table.head.key, [*data.fresh, *deletes.fresh])
    writing = _Writing(shelf, table, to.columns, snapshot_id)
    manifests = writing.manifests(data, deletes)
    sequence, parent = int(metadata["last-sequence-number"]) + 1, metadata.get("current-snapshot-id")
    stem = f"{table.folder}/metadata/{sequence:05d}-{iceberg.new_snapshot_id():016x}"
    location = uri(shelf.state, f"{stem}.avro")
    writing.put(f"{stem}.avro", avro.manifest_list(location, snapshot_id, parent, sequence, manifests))
    gone = table.head.gone
    if data.gone or deletes.gone or deletes.fresh:
        listed = _files(project, deletes.run)
        gone = gone_of(project, _files(project, data.run), listed) if listed else None
    head = Head(
        columns=to.columns,
        data=data.run,
        metadata={},
        deletes=deletes.run,
        by_id=table.head.by_id and not data.starts_anew,
        settings=table.head.settings,
        gone=gone,
        key=table.head.key,
    )
    snapshot = {
        "snapshot-id": snapshot_id,
        "sequence-number": sequence,
        "timestamp-ms": max(to_micros(project.clock.now()) // 1000, int(metadata["last-updated-ms"])),
        "manifest-list": location,
        "summary": _summary(to.operation, head, data, deletes),
        **({} if parent is None else {"parent-snapshot-id": parent}),
    }
    after = iceberg.next_metadata(metadata, to.columns, snapshot, location=uri(shelf.state, table.folder))
    after = iceberg.with_key(after, table.head.key)
    writing.put(f"{stem}.metadata.json", msgspec.json.encode(after), plain=True)
    renamed = to.columns != table.columns and not data.starts_anew and gave_names_anew(after)
    head = replace(head, metadata=writing.kept(manifests), by_id=head.by_id or renamed)
    made = make_state(project, table.name, f"{stem}.metadata.json", head)
    remember(project, made, head, after)
    return made


def _under_key(project: Project, table: Table, to: Revision) -> Table:
    """The table under the key it is to be kept under; pieces of the list that were kept under another are not used."""
    if to.key is None or to.key == table.head.key:
        cipher_for_table(project, table.name, table.head.key)
        return table
    held = replace(table.head, key=to.key, data=Run((), table.data), deletes=Run((), table.deletes))
    return replace(table, head=held)


def _data(project: Project, table: Table, to: Revision) -> _Content:
    put = keeper(project, table.head.key)
    if to.data is None:
        run = longer(table.head.data, to.added, put)
        return _Content(avro.DATA, run, to.added, frozenset(), starts_anew=not table.head.data.files)
    after, before = [*to.data, *to.added], {file.path for file in table.data}
    named = {file.path for file in after}
    return _Content(
        holds=avro.DATA,
        run=longer(Run(), after, put),
        fresh=[file for file in after if file.path not in before],
        gone=frozenset(before - named),
        starts_anew=not before & named,
    )


def _deletes(project: Project, shelf: Shelf, table: Table, to: Revision, data: _Content) -> _Content:
    """The files of deletes; written anew where they name rows by where the project was before."""
    known = table.deletes if table.head.deletes.files else ()
    after = known if to.deletes is None else to.deletes
    if data.starts_anew:
        had = {file.path for file in known}
        after = [file for file in after if file.path not in had]
    after = [file for file in after if not file.of or file.of not in data.gone]
    if table.is_moved and after:
        live = {file.path: file for file in _files(project, data.run)}
        after = scoped(shelf, live, after, uri(shelf.state, "").rstrip("/"))
    before, named = {file.path for file in known}, {file.path for file in after}
    return _Content(
        holds=avro.DELETES,
        run=longer(Run(), after, keeper(project, table.head.key)) if after != list(known) else table.head.deletes,
        fresh=[file for file in after if file.path not in before],
        gone=frozenset(before - named),
        starts_anew=not before & named,
    )


def _files(project: Project, run: Run) -> tuple[DataFile, ...]:
    return load_run(project, run)


class _Writing:
    """The Avro files of one snapshot.

    Args:
        shelf: takes them.
        table: the table as it was.
        columns: what it will have.
        snapshot_id: the snapshot.
    """

    def __init__(self, shelf: Shelf, table: Table, columns: Sequence[Column], snapshot_id: int) -> None:
        self._shelf, self._table, self._snapshot_id, self._columns = shelf, table, snapshot_id, columns
        self._schema = iceberg.iceberg_schema(columns)
        self._source = avro.LakeIO(shelf.project, f"{table.folder}/metadata")
        self._cipher = cipher_of(shelf.project, table.head.key) if table.head.key else None
        self._written = dict[str, str]()

    def put(self, path: str, data: bytes, *, plain: bool = False) -> None:
        """Write a metadata file; of an encrypted table encrypted, unless it is to stay plain."""
        if self._cipher is not None and not plain:
            data = self._cipher.seal(data, path)
        self._written[path] = self._shelf.put(path, data)

    def kept(self, manifests: Iterable[Listed]) -> dict[str, str]:
        """Path -> digest of what was written and of the manifests taken over."""
        names = {_name(one.manifest_path) for one in manifests}
        known = self._table.head.metadata.items()
        kept = {p: d for p, d in known if _name(p) in names or not p.endswith((".avro", ".json"))}
        return {**kept, **self._written}

    def manifests(self, *contents: _Content) -> list[Listed]:
        """The manifests of the snapshot: those taken over, without what is gone, and those of new files."""
        listed = self._listed() if not all(content.starts_anew for content in contents) else []
        made = list[Listed]()
        for content in contents:
            mine = [one for one in listed if one.content == content.holds and _is_live(one)]
            kept = [] if content.starts_anew else [self._without(one, content) for one in mine]
            made += self._tiered([*kept, *self._fresh(content)], content.holds)
        return made

    def _listed(self) -> Sequence[Listed]:
        current = self._table.metadata.get("current-snapshot-id")
        if current is None:
            return []
        snapshot = next(one for one in self._table.metadata["snapshots"] if one["snapshot-id"] == current)
        return avro.lines_of(self._source, snapshot["manifest-list"])

    def _without(self, one: Listed, content: _Content) -> Listed:
        """The manifest itself, or one that says which of its files are gone."""
        if not content.gone:
            return one
        entries, gone = self._entries(one), set(map(self._uri, content.gone))
        hit = avro.without(entries, gone, self._snapshot_id)
        return self._manifest(one.partition_spec_id, entries, content.holds) if hit else one

    def _fresh(self, content: _Content) -> list[Listed]:
        by_spec = defaultdict[int, list[DataFile]](list)
        for file in content.fresh:
            by_spec[file.spec_id].append(self._described(file) if content.holds == avro.DATA else file)
        return [self._new(spec_id, files, content.holds) for spec_id, files in by_spec.items()]

    def _uri(self, path: str) -> str:
        return uri(self._shelf.state, path)

    def _described(self, file: DataFile) -> DataFile:
        """With statistics; an older version did not keep them."""
        if not file.statistics:
            with contextlib.suppress(OSError, pa.ArrowException):
                found = footer_statistics(self._shelf.state / file.path, self._columns)
                return msgspec.structs.replace(file, statistics=pack_statistics(found))
        return file

    def _tiered(self, manifests: list[Listed], holds: ManifestContent) -> list[Listed]:
        """The manifests, those of one size merged when there are many; all of them when the project was moved."""
        groups = defaultdict[tuple[int, int], list[Listed]](list)
        for one in manifests:
            size = (one.added_files_count or 0) + (one.existing_files_count or 0)
            tier = 0 if self._table.is_moved else len(f"{size:x}") if size else -1
            groups[one.partition_spec_id, tier].append(one)
        made = list(manifests)
        for (spec_id, tier), group in groups.items():
            old = [one for one in group if one.added_snapshot_id != self._snapshot_id]
            if tier >= 0 and old and (self._table.is_moved or len(group) >= TIER):
                place = made.index(old[0])
                made = [one for one in made if one not in old]
                entries = [entry for one in old for entry in self._entries(one)]
                made.insert(place, self._manifest(spec_id, entries, holds))
        return made

    def _entries(self, one: Listed) -> list[ManifestEntry]:
        return avro.entries_of(self._source, one, move=self._table.mover())

    def _manifest(self, spec_id: int, entries: Sequence[ManifestEntry], holds: ManifestContent) -> Listed:
        path = self._manifest_path()
        given = (self._uri(path), self._schema, self._table.spec(spec_id), self._snapshot_id)
        data, made = avro.manifest(*given, entries, holds=holds)
        self.put(path, data)
        return made

    def _new(self, spec_id: int, files: Sequence[DataFile], holds: ManifestContent) -> Listed:
        path = self._manifest_path()
        given = (self._uri(path), self._schema, self._table.spec(spec_id), self._snapshot_id)
        data, made = avro.new_manifest(*given, files, uri=self._uri, holds=holds)
        self.put(path, data)
        return made

    def _manifest_path(self) -> str:
        return f"{self._table.folder}/metadata/{iceberg.new_snapshot_id():016x}-m.avro"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_live(one: Listed) -> bool:
    return one.added_files_count != 0 or one.existing_files_count != 0


def _summary(operation: Operation, head: Head, data: _Content, deletes: _Content) -> dict[str, str]:
    counts = {
        "added-data-files": len(data.fresh),
        "deleted-data-files": len(data.gone),
        "added-records": sum(file.rows for file in data.fresh),
        "added-delete-files": len(deletes.fresh),
        "removed-delete-files": len(deletes.gone),
        "added-position-deletes": sum(file.rows for file in deletes.fresh),
    }
    totals = {
        "total-data-files": head.data.files,
        "total-records": head.data.rows,
        "total-delete-files": head.deletes.files,
        "total-position-deletes": head.deletes.rows,
        "total-equality-deletes": 0,
    }
    told = {name: str(count) for name, count in counts.items() if count}
    return {"operation": operation, **told, **{name: str(count) for name, count in totals.items()}}
