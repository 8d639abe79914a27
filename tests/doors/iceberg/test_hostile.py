"""Files as a broken or hostile client leaves them: named in a manifest, and not what the manifest says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFileContent, FileFormat

from bucle.line import data
from bucle.line.data import avro, iceberg
from bucle.line.data.container import read_container
from bucle.line.data.manifest import pack_statistics
from bucle.line.data.parquet import write_parquet
from bucle.line.data.schema import Column
from doors.conftest import Site
from doors.iceberg.conftest import Connect, flights

TABLE = "/iceberg/v1/main/namespaces/default/tables/flights"
Spoil = Callable[[Path], object]


def offered(lake: Site, change: Callable[[dict[str, Any], Path], dict[str, Any]]) -> tuple[int, str]:
    """A commit that appends one file, as `change` has it listed; the answer's status and what it says."""
    found = lake.json(TABLE)["metadata"]
    folder = Path(found["location"].removeprefix("file://"))
    columns = [Column(id=f["id"], name=f["name"], type=f["type"]) for f in found["schemas"][0]["fields"]]
    file = folder / "data" / "theirs.parquet"
    found_in = pack_statistics(write_parquet(flights(2), columns, file))
    entry = change({"location": f"file://{file}", "size_bytes": file.stat().st_size, "rows": 2}, file)
    kept = data.DataFile(path="", digest="", rows=entry["rows"], size_bytes=entry["size_bytes"], statistics=found_in)
    where = f"file://{folder}/metadata"
    given = (f"{where}/theirs.avro", iceberg.iceberg_schema(columns), iceberg.partition_spec(found, 0), 77)
    manifest, _ = avro.new_manifest(*given, [kept], uri=lambda _: str(entry["location"]), holds=avro.DATA)
    (folder / "metadata" / "theirs.avro").write_bytes(manifest)
    (listed,) = read_container("manifest_entry", PyArrowFileIO().new_input(given[0]))
    for place, value in entry.get("fields", {}).items():
        listed.data_file[place] = value
    manifest, known = avro.manifest(*given, [listed])
    (folder / "metadata" / "theirs.avro").write_bytes(manifest)
    content = avro.manifest_list(f"{where}/list.avro", 77, None, 2, [known])
    (folder / "metadata" / "list.avro").write_bytes(content)
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


def elsewhere(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    other = file.parents[4] / "theirs.parquet"
    other.write_bytes(file.read_bytes())
    return {**entry, "location": f"file://{other}"}


def linked(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    other = file.parents[4] / "secret.parquet"
    file.rename(other)
    file.symlink_to(other)
    return entry


def torn(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    file.write_bytes(file.read_bytes()[:-20])
    return {**entry, "size_bytes": file.stat().st_size}


def shorter(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    return {**entry, "size_bytes": entry["size_bytes"] + 1}


def more_rows(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    return {**entry, "rows": 3}


def missing(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    file.unlink()
    return entry


def by_equality(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    return {**entry, "fields": {0: DataFileContent.EQUALITY_DELETES}}


def of_avro(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    return {**entry, "fields": {2: FileFormat.AVRO}}


@pytest.mark.parametrize(
    "change", [elsewhere, linked, torn, shorter, more_rows, missing, by_equality, of_avro], ids=lambda one: one.__name__
)
def test_a_file_that_is_not_as_listed_is_refused_and_nothing_changes(
    lake: Site, change: Callable[[dict[str, Any], Path], dict[str, Any]]
) -> None:
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
