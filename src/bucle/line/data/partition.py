"""Partition: which rows lie together in one file, by the values that transforms of columns give.

Source: Apache Iceberg table spec, format version 2, "Partition Transforms".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DecimalType, StructType

from bucle.line.data.iceberg import iceberg_schema
from bucle.line.data.schema import Column

__all__ = ["keys", "parted", "values"]


def parted(
    frame: pl.DataFrame, columns: Sequence[Column], spec: PartitionSpec | None
) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
    """Each partition's values and its rows, in the order they come, partitions as they are first met.

    Args:
        frame: its columns are `columns`.
        spec: None, or one without fields, for a table that is not partitioned.
    """
    if not frame.height:
        return
    if spec is None or not spec.fields:
        yield (), frame
        return
    by = keys(frame, columns, spec)
    parts = frame.hstack(by).partition_by(by.columns, maintain_order=True, include_key=False, as_dict=True)
    for key, part in parts.items():
        yield tuple(str(value) if isinstance(value, Decimal) else value for value in key), part


def keys(frame: pl.DataFrame, columns: Sequence[Column], spec: PartitionSpec) -> pl.DataFrame:
    """The partition values of each row, a column for each field of the spec, as numbers where Iceberg keeps numbers."""
    schema, by_id = iceberg_schema(columns), {column.id: column for column in columns}
    made = list[pl.Series]()
    for place, field in enumerate(spec.fields):
        source = frame[by_id[field.source_id].name]
        if not isinstance(field.transform, IdentityTransform):
            transform = field.transform.pyarrow_transform(schema.find_type(field.source_id))
            found = pl.from_arrow(transform(_plain(source)))
            source = found if isinstance(found, pl.Series) else found.to_series()
        made.append(_physical(source).alias(f"\0partition {place}"))
    return pl.DataFrame(made)


def values(partition: Sequence[Any], kind: StructType) -> list[Any]:
    """Partition values as pyiceberg has them."""
    pairs = zip(partition, kind.fields, strict=True)
    return [
        Decimal(value) if value is not None and isinstance(field.field_type, DecimalType) else value
        for value, field in pairs
    ]


def _plain(source: pl.Series) -> Any:
    arrow = source.to_arrow(compat_level=pl.CompatLevel.oldest())
    narrow = {"large_string": "string", "large_binary": "binary", "time64[ns]": "time64[us]"}.get(str(arrow.type))
    return arrow if narrow is None else arrow.cast(narrow)


def _physical(source: pl.Series) -> pl.Series:
    if isinstance(source.dtype, pl.Time):
        return source.to_physical() // 1000
    return source.to_physical() if source.dtype.is_temporal() else source
