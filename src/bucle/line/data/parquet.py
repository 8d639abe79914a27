"""Parquet: rows and positions of deleted rows as Iceberg wants them on the disk, and what their footers say.

Source: Apache Iceberg table spec, format version 2, "Parquet" (field ids) and "Position Delete Files".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    MetricsMode,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)

from bucle.line.data.iceberg import iceberg_schema, schema_of
from bucle.line.data.manifest import Statistics
from bucle.line.data.schema import Column, schema_json

__all__ = ["DELETED_PATH", "DELETED_POS", "arrow_schema", "footer_statistics", "write_parquet", "write_positions"]

ROW_GROUP = 250_000

_SHORT, _LOOK = 10_000, 256
"""A file with fewer rows is short. Of a longer one, so many values of a column tell whether they repeat."""

_NUMBERS = frozenset({"int", "long", "float", "double", "date", "time", "timestamp", "timestamptz"})

_UNTOLD = MetricsMode(MetricModeTypes.NONE)

DELETED_PATH, DELETED_POS = 2147483546, 2147483545
"""The field ids that Iceberg reserves for the columns of position deletes."""

_POSITIONS = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": str(DELETED_PATH)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(DELETED_POS)}),
    ]
)


def write_parquet(frame: pl.DataFrame, columns: Sequence[Column], target: Path, *, key: bytes = b"") -> Statistics:
    """Write a frame as a Parquet file with field ids and return Iceberg's statistics of it.

    Chunks are cut by content, so that a file with a few rows more shares most of its bytes with the one before. A short
    file is compressed lightly: zstd would make it a sixth smaller for several times the work, and does so when it is
    compacted.

    Args:
        key: 32 bytes; footer and columns are encrypted with it. Source: Parquet Modular Encryption, AES_GCM_V1,
            uniform, encrypted footer, no prefix of additional data (DuckDB knows none).
    """
    arrow = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    arrow = arrow.cast(arrow_schema(columns))
    collected, nans = list[Any](), _nans(frame, columns)
    with _sink(target) as sink:
        pq.write_table(
            arrow,
            sink,
            compression="snappy" if arrow.num_rows < _SHORT else "zstd",
            row_group_size=ROW_GROUP,
            use_content_defined_chunking=True,
            use_dictionary=_repeating(arrow, columns),
            write_statistics=_bounded(columns, nans),
            store_decimal_as_integer=True,
            metadata_collector=collected,
            encryption_properties=_encryption(key),
        )
    return _statistics(
        collected[0], columns, nans, {c.id: frame[c.name].null_count() for c in columns if nans.get(c.id)}
    )


def footer_statistics(path: Path, columns: Sequence[Column]) -> Statistics:
    """The statistics of a file that somebody else wrote. Raises OSError, pa.ArrowException: it cannot be read."""
    metadata = pq.read_metadata(path)
    # A column that the file lacks, or has under another name, has no statistics.
    found = {metadata.schema.column(place).path for place in range(metadata.num_columns)}
    whole = [column for column in columns if set(parquet_path_to_id_mapping(iceberg_schema([column]))) <= found]
    known = set(parquet_path_to_id_mapping(iceberg_schema(whole)))
    return _statistics(metadata, whole, {}, {}) if known == found else Statistics()


def write_positions(location: str, positions: np.ndarray, target: Path, *, key: bytes = b"") -> None:
    """Write the positions of deleted rows of one data file.

    Args:
        location: the data file, as its manifest names it.
        positions: int64[n], rising.
        key: as for `write_parquet`.
    """
    path = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(positions), np.int32)), pa.array([location]))
    table = pa.table([path.cast(pa.string()), pa.array(positions, pa.int64())], schema=_POSITIONS)
    encoding = {"pos": "DELTA_BINARY_PACKED"}
    with _sink(target) as sink:
        pq.write_table(
            table,
            sink,
            compression="zstd",
            column_encoding=encoding,
            use_dictionary=["file_path"],
            encryption_properties=_encryption(key),
        )


class _Sink:
    """A file for Arrow to write, which ends the process where a write fails (a full disk): so none does.

    Attributes:
        failed: the first failure; what comes after it is thrown away.
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failed: OSError | None = None

    def write(self, content: Any) -> int:
        if self.failed is None:
            try:
                self._file.write(content)
            except OSError as error:
                self.failed = error
        return len(content)

    def flush(self) -> None:
        """Whoever opened the file does."""


@contextmanager
def _sink(target: Path) -> Iterator[_Sink]:
    """Raises OSError at the end: the file could not be written."""
    with target.open("wb", buffering=1 << 20) as file:
        sink = _Sink(file)
        yield sink
        if sink.failed is not None:
            raise sink.failed


def _encryption(key: bytes) -> Any:
    if not key:
        return None
    from pyarrow.parquet.encryption import create_encryption_properties  # noqa: PLC0415

    return create_encryption_properties(footer_key=key, encryption_algorithm="AES_GCM_V1")


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The columns as Arrow has them, with field ids."""
    return _arrow_schema(msgspec.json.encode(columns))


@lru_cache(256)
def _arrow_schema(text: bytes) -> pa.Schema:
    columns = msgspec.json.decode(text, type=tuple[Column, ...])
    plain = pl.DataFrame(schema={column.name: column.dtype for column in columns})
    return _with_ids(plain.to_arrow(compat_level=pl.CompatLevel.oldest()).schema, columns)


def _with_ids(schema: pa.Schema, columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([_with_field_id(f, c.id, c.type) for f, c in zip(schema, columns, strict=True)])


def _with_field_id(field: pa.Field, field_id: int, kind: Any) -> pa.Field:
    """The Arrow field with the ids Iceberg finds columns by, nested ones too."""
    made = pa.field(field.name, _with_inner_ids(field.type, kind), nullable=True)
    return made.with_metadata({"PARQUET:field_id": str(field_id)})


def _with_inner_ids(arrow: pa.DataType, kind: Any) -> pa.DataType:
    if isinstance(kind, str):
        return pa.time64("us") if kind == "time" else arrow
    if kind["type"] == "list":
        element = _with_field_id(arrow.value_field.with_name("element"), kind["element-id"], kind["element"])
        return pa.large_list(element)
    return pa.struct([_with_field_id(arrow.field(i), f["id"], f["type"]) for i, f in enumerate(kind["fields"])])


def _statistics(metadata: Any, columns: Sequence[Column], nans: dict[int, int], nulls: dict[int, int]) -> Statistics:
    """What Iceberg wants to know of a file.

    Args:
        nans: column -> how many NaN it has.
        nulls: column -> how many nulls it has, of those of which the file itself says nothing.
    """
    plan, paths = _plan(_text(columns))
    plan = {**plan, **{field: replace(plan[field], mode=_UNTOLD) for field in nulls}}
    found = data_file_statistics_from_parquet_metadata(metadata, plan, paths).to_serialized_dict()
    return Statistics(
        sizes=found["column_sizes"],
        values={**found["value_counts"], **dict.fromkeys(nulls, metadata.num_rows)},
        nulls={**found["null_value_counts"], **nulls},
        nans=nans,
        lower=found["lower_bounds"],
        upper=found["upper_bounds"],
        splits=list(found["split_offsets"] or ()),
    )


def _text(columns: Sequence[Column]) -> bytes:
    return msgspec.json.encode(schema_json(columns, 0))


@lru_cache(256)
def _plan(schema: bytes) -> tuple[Any, dict[str, int]]:
    """What is to be counted of each column, and which path of the file is which column."""
    made = schema_of(schema)
    return compute_statistics_plan(made, {}), parquet_path_to_id_mapping(made)


def _repeating(table: pa.Table, columns: Sequence[Column]) -> list[str]:
    """The paths of the columns for which a dictionary is worth trying: not numbers that hardly ever come twice.

    In a short file it is not worth finding out.
    """
    numbers = {column.name for column in columns if isinstance(column.type, str) and column.type in _NUMBERS}
    if table.num_rows >= _SHORT:
        looked = table.select(sorted(numbers)).take(np.arange(_LOOK) * (table.num_rows // _LOOK))
        numbers = {name for name in numbers if pc.count_distinct(looked[name]).as_py() > _LOOK // 2}
    return [path for path in _plan(_text(columns))[1] if path not in numbers]


def _bounded(columns: Sequence[Column], nans: Mapping[int, int]) -> bool | list[str]:
    """The paths whose bounds are written: all, but of columns with NaN.

    Bounds leave NaN out, and DuckDB, to which it is greater than any number, takes them for the whole.
    """
    some = {column.name for column in columns if nans.get(column.id)}
    return [path for path in _plan(_text(columns))[1] if path not in some] if some else True


def _nans(frame: pl.DataFrame, columns: Sequence[Column]) -> dict[int, int]:
    counts = dict[int, int]()
    for column in columns:
        if column.type in ("float", "double"):
            values = frame[column.name]
            # NumPy has nulls as NaN.
            counts[column.id] = int(np.isnan(values.to_numpy()).sum()) - values.null_count()
    return counts
