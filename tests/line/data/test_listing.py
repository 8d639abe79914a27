"""Manifests and their lists as we write them, read by pyiceberg and line by line."""

from __future__ import annotations

import datetime as dt
from typing import Any

import hypothesis.strategies as st
from hypothesis import given
from pyiceberg.manifest import ManifestContent, ManifestEntryStatus, ManifestFile, PartitionFieldSummary
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, LongType, NestedField, StringType

from bucle.line.data import avro
from bucle.line.data.container import read_container
from bucle.line.data.listing import Line, read_lines
from bucle.line.data.manifest import DataFile, Statistics, pack_statistics

longs = st.integers(0, (1 << 63) - 1)
ids = st.integers(1, (1 << 31) - 1)
counts = st.dictionaries(ids, longs, max_size=5)
bounds = st.dictionaries(ids, st.binary(max_size=300), max_size=5)
SCHEMA = Schema(
    NestedField(1, "day", DateType()), NestedField(2, "place", StringType()), NestedField(3, "count", LongType())
)
SPEC = PartitionSpec(
    PartitionField(1, 1000, IdentityTransform(), "day"),
    PartitionField(2, 1001, IdentityTransform(), "place"),
    spec_id=3,
)
PLAIN = PartitionSpec(spec_id=0)
files = st.builds(
    DataFile,
    path=st.text(min_size=1, max_size=40),
    digest=st.just("0" * 64),
    rows=longs,
    size_bytes=longs,
    statistics=st.builds(
        lambda **given: pack_statistics(Statistics(**given)),
        sizes=counts,
        values=counts,
        nulls=counts,
        nans=counts,
        lower=bounds,
        upper=bounds,
        splits=st.lists(longs, max_size=3),
    ),
    key=st.binary(max_size=80),
)


class _Source:
    """A file in memory, by any name."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def new_input(self, location: str) -> Any:
        return avro._Memory(location, self._data)


@given(st.lists(files, min_size=1, max_size=4), longs, st.dates() | st.none(), st.sampled_from([PLAIN, SPEC]))
def test_pyiceberg_reads_the_entries_of_new_files(
    new: list[DataFile], snapshot: int, day: dt.date | None, spec: PartitionSpec
) -> None:
    partition = () if spec is PLAIN else ((None if day is None else (day - dt.date(1970, 1, 1)).days), "Ávila")
    new = [DataFile(**{**{name: getattr(one, name) for name in one.__struct_fields__}, "partition": partition,
                       "spec_id": spec.spec_id}) for one in new]  # fmt: skip
    data, line = avro.new_manifest(
        "file:///m.avro", SCHEMA, spec, snapshot, new, uri=lambda path: f"file:///{path}", holds=ManifestContent.DATA
    )
    entries = read_container("manifest_entry", avro._Memory("file:///m.avro", data))
    for file, entry in zip(new, entries, strict=True):
        found, known = entry.data_file, file.known
        assert (entry.status, entry.snapshot_id, entry.sequence_number) == (ManifestEntryStatus.ADDED, snapshot, None)
        assert (found.file_path, found.record_count, found.file_size_in_bytes) == (
            f"file:///{file.path}",
            file.rows,
            file.size_bytes,
        )
        assert tuple(found.partition) == partition
        assert (found.column_sizes, found.value_counts) == (known.sizes, known.values)
        assert (found.null_value_counts, found.nan_value_counts) == (known.nulls, known.nans)
        assert (found.lower_bounds, found.upper_bounds) == (known.lower, known.upper)
        assert (found.split_offsets or []) == known.splits
        assert (found.key_metadata or b"") == file.key
    assert (line.added_files_count, line.added_rows_count) == (len(new), sum(file.rows for file in new))
    assert line.manifest_length == len(data)


summaries = st.builds(
    PartitionFieldSummary,
    st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
)
manifests = st.builds(
    lambda path, content, numbers, partitions, key: ManifestFile(
        path, numbers[0], numbers[1] % 1000, content, *numbers[2:], partitions, key
    ),
    st.text(min_size=1, max_size=60),
    st.sampled_from(ManifestContent),
    st.lists(st.integers(0, (1 << 31) - 1), min_size=11, max_size=11),
    st.none() | st.lists(summaries, max_size=3),
    st.none() | st.binary(max_size=20),
)


@given(st.lists(manifests, max_size=5), st.lists(manifests, max_size=5))
def test_lines_taken_over_stay_as_they_were(first: list[ManifestFile], more: list[ManifestFile]) -> None:
    """A list written from read lines and new manifests is the list of all of them."""
    lines = read_lines(avro.manifest_list("file:///a.avro", 1, None, 1, first))
    assert lines is not None
    assert [_told(line) for line in lines] == [_told(one) for one in first]
    longer = avro.manifest_list("file:///b.avro", 2, 1, 2, [*lines, *more])
    found = avro.read_list(_Source(longer), "file:///b.avro")  # type: ignore[arg-type]
    assert [one._data[:13] for one in found] == [one._data[:13] for one in (*first, *more)]
    assert [_partitions(one) for one in found] == [_partitions(one) for one in (*first, *more)]
    assert [one.key_metadata for one in found] == [one.key_metadata for one in (*first, *more)]


def _told(one: ManifestFile | Line) -> tuple[Any, ...]:
    return tuple(getattr(one, name) for name in Line.__dataclass_fields__ if name != "raw")


def _partitions(one: ManifestFile) -> list[list[Any]] | None:
    return None if one.partitions is None else [list(summary._data) for summary in one.partitions]
