"""Foreign: what another engine wrote into a table's folder, checked, hashed and taken into our own list of files.

No path that a client names is used before it is known to be an ordinary file inside the table's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFileContent, FileFormat, ManifestEntryStatus, ManifestFile

from bucle.line.data import avro, iceberg
from bucle.line.data.lake import Shelf
from bucle.line.data.manifest import DataFile, Manifest, Statistics, pack_statistics
from bucle.line.data.parquet import DELETED_PATH
from bucle.line.data.positions import gone_of
from bucle.line.data.schema import Column, check_type, gave_names_anew
from bucle.line.data.updates import Json, bad_metadata

__all__ = ["Seen", "TakeIn", "columns_of", "relative"]


class Seen(dict[str, tuple[str, int]]):
    """Path -> digest and size of the files hashed already, so that a lost race does not read them again."""


def relative(shelf: Shelf, folder: str, location: str) -> str:
    """A file's path relative to the state folder.

    Args:
        folder: the table's folder; the file must lie in it.
        location: as the client names it: a `file:` URI or a path.
    Raises:
        BadMetadata: it lies elsewhere, is a link out of the folder, or is no file.
    """
    path = _local(location)
    root = (shelf.state / folder).as_posix()
    parts = PurePosixPath(path).parts
    if not path.startswith(f"{root}/") or ".." in parts or "\0" in path:
        raise bad_metadata(f"The file {location[:300]!r} is not in the table's own folder {root}.")
    target = shelf.state / path.removeprefix(f"{shelf.state.as_posix()}/")
    if not target.is_file() or not target.resolve().is_relative_to((shelf.state / folder).resolve()):
        raise bad_metadata(f"There is no file {location[:300]!r}.")
    return target.relative_to(shelf.state).as_posix()


def _local(location: str) -> str:
    """The path that a location names; '' when it is on another machine or kind of store."""
    if location.startswith("/"):
        return location
    try:
        split = urlsplit(location)
    except ValueError:
        return ""
    is_here = split.scheme == "file" and split.netloc in ("", "localhost") and not split.query and not split.fragment
    # Our own paths need no escapes; one that has any names another file to who decodes it.
    return split.path if is_here and unquote(split.path) == split.path else ""


def columns_of(metadata: Json) -> tuple[Column, ...]:
    """The columns of a table's current schema.

    Raises:
        BadMetadata: one has a type that cannot be read here.
    """
    schema = _schema(metadata, metadata["current-schema-id"])
    columns = tuple(Column(id=one["id"], name=one["name"], type=one["type"]) for one in schema["fields"])
    for column in columns:
        if not check_type(column.type):
            raise bad_metadata(f"Column {column.name!r} has a type that is not kept here: {column.type!r}.")
    return columns


@dataclass
class TakeIn:
    """Takes a table's metadata in.

    Attributes:
        shelf: forces the files to the disk.
        folder: the table's folder.
        known: the table's list of files so far; what stands there is not read again.
        seen: files hashed for an earlier try.
    """

    shelf: Shelf
    folder: str
    known: Manifest | None
    seen: Seen
    _metadata: dict[str, str] = field(default_factory=dict)

    def manifest(self, before: Json | None, after: Json) -> Manifest:
        """The list of files of a table as `after` has it.

        Raises:
            BadMetadata: a file is not in the table's folder, is damaged, or is of a kind that is not read here.
        """
        current = _snapshot(after, after.get("current-snapshot-id"))
        old = {one["snapshot-id"] for one in before["snapshots"]} if before else set()
        for snapshot in after["snapshots"]:
            if snapshot["snapshot-id"] not in old and snapshot != current:
                self._between(snapshot)
        for listed in ("statistics", "partition-statistics"):
            for one in after.get(listed, []):
                self._keep(one["statistics-path"])
        live = self._live(before, after, current) if current else {}
        data = tuple(file for file, is_data in live.values() if is_data)
        deletes = tuple(file for file, is_data in live.values() if not is_data)
        return Manifest(
            columns=columns_of(after),
            data=data,
            metadata=self._metadata,
            deletes=deletes,
            gone=self._gone(data, deletes),
            by_id=gave_names_anew(after),
            settings=iceberg.settings_of(after),
        )

    def _gone(self, data: tuple[DataFile, ...], deletes: tuple[DataFile, ...]) -> int | None:
        """How many rows are gone; two files of deletes may name one row, or rows of a file that went."""
        known = self.known
        if known and known.data == data and known.deletes == deletes:
            return known.gone
        try:
            return gone_of(self.shelf.project, data, deletes) if deletes else None
        except (pl.exceptions.PolarsError, OSError) as error:
            raise bad_metadata(f"A file of deletes cannot be read: {str(error).splitlines()[0]}.") from error

    def _live(self, before: Json | None, after: Json, current: Json) -> dict[str, tuple[DataFile, bool]]:
        """Path -> file, and whether it holds rows, in the order rows are read: known ones first, as they stood."""
        manifests = self._list(current)
        names = {one.manifest_path for one in manifests}
        old = _snapshot(before, before.get("current-snapshot-id")) if before else None
        had = {one.manifest_path for one in avro.read_list(self._io(), old["manifest-list"])} if old else set()
        known = self._known()
        if had <= names:
            # Nothing went: only what is new needs to be read.
            fresh = names - had
            added = {path: file for m in manifests if m.manifest_path in fresh for path, file in self._entries(m)}
            return {**known, **added}
        found = {path: file for manifest in manifests for path, file in self._entries(manifest)}
        kept = {path: file for path, file in known.items() if path in found}
        return {**kept, **found}

    def _known(self) -> dict[str, tuple[DataFile, bool]]:
        if self.known is None:
            return {}
        data = {file.path: (file, True) for file in self.known.data}
        return {**data, **{file.path: (file, False) for file in self.known.deletes}}

    def _between(self, snapshot: Json) -> None:
        """Keep the files of a snapshot that is not the current one: a client may travel there."""
        for manifest in self._list(snapshot):
            for path, (file, _) in self._entries(manifest):
                self._metadata[path] = file.digest

    def _list(self, snapshot: Json | None) -> list[ManifestFile]:
        """The manifests of a snapshot; they and their list are kept."""
        if snapshot is None:
            return []
        location = snapshot.get("manifest-list")
        if not isinstance(location, str):
            raise bad_metadata("A snapshot has no manifest-list.")
        self._keep(location)
        manifests = self._read(lambda: avro.read_list(self._io(), location), location)
        for manifest in manifests:
            self._keep(manifest.manifest_path)
        return manifests

    def _entries(self, manifest: ManifestFile) -> Iterator[tuple[str, tuple[DataFile, bool]]]:
        """The live files of a manifest."""
        known = self._known()
        entries = self._read(
            lambda: manifest.fetch_manifest_entry(self._io(), discard_deleted=True), manifest.manifest_path
        )
        for entry in entries:
            file = entry.data_file
            if entry.status == ManifestEntryStatus.DELETED:
                continue
            if file.content == DataFileContent.EQUALITY_DELETES:
                raise bad_metadata("Files of equality deletes are not read here; write position deletes.")
            if file.file_format != FileFormat.PARQUET:
                raise bad_metadata(f"Files of format {file.file_format} are not read here; write Parquet.")
            path = relative(self.shelf, self.folder, file.file_path)
            is_data = file.content == DataFileContent.DATA
            yield path, known.get(path) or (self._data_file(path, file), is_data)

    def _data_file(self, path: str, file: Any) -> DataFile:
        digest, size_bytes = self._digest(path)
        if size_bytes != file.file_size_in_bytes:
            raise bad_metadata(f"The file {path} has {size_bytes} bytes, not {file.file_size_in_bytes} as listed.")
        try:
            rows = pq.read_metadata(self.shelf.state / path).num_rows
        except (pa.ArrowException, OSError) as error:
            raise bad_metadata(f"The file {path} is no whole Parquet file.") from error
        if rows != file.record_count:
            raise bad_metadata(f"The file {path} has {rows} rows, not {file.record_count} as listed.")
        return DataFile(
            path=path,
            digest=digest,
            rows=rows,
            size_bytes=size_bytes,
            spec_id=file.spec_id or 0,
            partition=tuple(str(one) if isinstance(one, Decimal) else one for one in file.partition),
            statistics=_statistics(file),
            of=self._of(file),
        )

    def _of(self, file: Any) -> str:
        """The one data file that a file of deletes is about; '' when there may be several."""
        if file.content == DataFileContent.DATA:
            return ""
        lower, upper = ((bounds or {}).get(DELETED_PATH) for bounds in (file.lower_bounds, file.upper_bounds))
        if lower is None or lower != upper:
            return ""
        return relative(self.shelf, self.folder, lower.decode(errors="replace"))

    def _keep(self, location: str) -> None:
        named = location.removeprefix(f"file://{self.shelf.state.as_posix()}/")
        if self.known and named in self.known.metadata:
            # It was looked at when it was taken in; a hundred look-ups on the disk are spared.
            self._metadata[named] = self.known.metadata[named]
            return
        path = relative(self.shelf, self.folder, location)
        if path not in self._metadata:
            self._metadata[path] = self._digest(path)[0]

    def _digest(self, path: str) -> tuple[str, int]:
        found = self.seen.get(path)
        if found is None:
            found = self.seen[path] = self.shelf.adopt(path)
        return found

    def _io(self) -> avro.LakeIO:
        return avro.LakeIO(self.shelf.project, f"{self.folder}/metadata")

    def _read(self, read: Any, location: str) -> list[Any]:
        """Read an Avro file; it lies in `metadata` itself, where it is looked up by name."""
        path = PurePosixPath(relative(self.shelf, self.folder, location))
        if path.parent.as_posix() != f"{self.folder}/metadata":
            raise bad_metadata(f"The file {path} must lie in {self.folder}/metadata itself.")
        try:
            return list(read())
        except Exception as error:  # what a damaged Avro file makes pyiceberg raise is anything
            raise bad_metadata(f"The file {path} cannot be read as Iceberg metadata: {error}.") from error


def _snapshot(metadata: Json | None, snapshot_id: int | None) -> Json | None:
    listed = metadata["snapshots"] if metadata else []
    return next((one for one in listed if one["snapshot-id"] == snapshot_id), None)


def _schema(metadata: Json, schema_id: int) -> Json:
    found: Json = next(one for one in metadata["schemas"] if one["schema-id"] == schema_id)
    return found


def _statistics(file: Any) -> bytes:
    if file.content != DataFileContent.DATA:
        return b""
    return pack_statistics(
        Statistics(
            sizes=dict(file.column_sizes or {}),
            values=dict(file.value_counts or {}),
            nulls=dict(file.null_value_counts or {}),
            # What another engine counted as not a number is taken for its own business: a bound may miss them.
            nans={},
            lower=dict(file.lower_bounds or {}),
            upper=dict(file.upper_bounds or {}),
            splits=list(file.split_offsets or ()),
        )
    )
