"""Files as a broken or hostile client leaves them: named in a manifest, and not what the manifest says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.typedef import Record

from bucle.line import data
from doors.conftest import Site
from doors.iceberg.conftest import Connect, flights

TABLE = "/iceberg/v1/main/namespaces/default/tables/flights"
Entry = dict[str, Any]
Change = Callable[[Entry, Path], Entry]


def offered(lake: Site, change: Change) -> tuple[int, str]:
    """A commit that appends one file, as `change` has it listed; the answer's status and what it says."""
    found = lake.json(TABLE)["metadata"]
    folder = Path(found["location"].removeprefix("file://"))
    file = folder / "data" / "theirs.parquet"
    flights(2).write_parquet(file)
    entry: Entry = {
        "content": DataFileContent.DATA,
        "file_path": f"file://{file}",
        "file_format": FileFormat.PARQUET,
        "partition": Record(),
        "record_count": 2,
        "file_size_in_bytes": file.stat().st_size,
    }
    listed = DataFile.from_args(**change(entry, file))
    where, io, schema = f"file://{folder}/metadata", PyArrowFileIO(), Schema.model_validate(found["schemas"][0])
    output = io.new_output(f"{where}/theirs.avro")
    with write_manifest(2, UNPARTITIONED_PARTITION_SPEC, schema, output, 77, "deflate") as manifest:
        manifest.add_entry(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=77, data_file=listed))
    with write_manifest_list(2, io.new_output(f"{where}/list.avro"), 77, None, 2, "deflate") as listing:
        listing.add_manifests([manifest.to_manifest_file()])
    snapshot = {
        "snapshot-id": 77,
        "sequence-number": 2,
        "timestamp-ms": 1,
        "manifest-list": f"{where}/list.avro",
        "summary": {"operation": "append"},
    }
    pointed = {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 77}
    updates = [{"action": "add-snapshot", "snapshot": snapshot}, pointed]
    answer = lake.client.post(TABLE, json={"requirements": [], "updates": updates})
    return answer.status_code, answer.text


def test_a_file_as_it_should_be_is_taken(lake: Site) -> None:
    status, said = offered(lake, lambda entry, _: entry)
    assert status == 200, said
    assert data.scan(lake.project, "flights").height == 2


def elsewhere(entry: Entry, file: Path) -> Entry:
    other = file.parents[4] / "theirs.parquet"
    other.write_bytes(file.read_bytes())
    return {**entry, "file_path": f"file://{other}"}


def linked(entry: Entry, file: Path) -> Entry:
    other = file.parents[4] / "secret.parquet"
    file.rename(other)
    file.symlink_to(other)
    return entry


def torn(entry: Entry, file: Path) -> Entry:
    file.write_bytes(file.read_bytes()[:-20])
    return {**entry, "file_size_in_bytes": file.stat().st_size}


def shorter(entry: Entry, file: Path) -> Entry:
    return {**entry, "file_size_in_bytes": entry["file_size_in_bytes"] + 1}


def more_rows(entry: Entry, file: Path) -> Entry:
    return {**entry, "record_count": 3}


def missing(entry: Entry, file: Path) -> Entry:
    file.unlink()
    return entry


def by_equality(entry: Entry, file: Path) -> Entry:
    return {**entry, "content": DataFileContent.EQUALITY_DELETES}


def of_avro(entry: Entry, file: Path) -> Entry:
    return {**entry, "file_format": FileFormat.AVRO}


@pytest.mark.parametrize(
    "change", [elsewhere, linked, torn, shorter, more_rows, missing, by_equality, of_avro], ids=lambda one: one.__name__
)
def test_a_file_that_is_not_as_listed_is_refused_and_nothing_changes(lake: Site, change: Change) -> None:
    head = data.resolve(lake.project).id
    status, said = offered(lake, change)
    assert (status, "BadRequestException" in said) == (400, True), said
    assert data.resolve(lake.project).id == head
    assert data.scan(lake.project, "flights").height == 3


def test_bytes_that_change_afterwards_are_found(lake: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    table.append(flights(2, 10).to_arrow(compat_level=pl.CompatLevel.oldest()))
    newest = max((lake.project.state / "lake").glob("*/data/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[::-1])
    assert [fault.where for fault in data.verify_files(lake.project)] == [
        f"file {newest.relative_to(lake.project.state).as_posix()}"
    ]
