"""Types of columns by Iceberg's words: what a contract calls a Polars type."""

from __future__ import annotations

from typing import Any

import polars as pl

__all__ = ["TYPE_NAMES", "accepts", "type_of"]

TYPE_NAMES: dict[type[pl.DataType], str] = {
    pl.Boolean: "boolean",
    pl.Int8: "int",
    pl.Int16: "int",
    pl.Int32: "int",
    pl.UInt8: "int",
    pl.UInt16: "int",
    pl.Int64: "long",
    pl.UInt32: "long",
    pl.UInt64: "long",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.Date: "date",
    pl.Time: "time",
    pl.String: "string",
    pl.Categorical: "string",
    pl.Enum: "string",
    pl.Binary: "binary",
}
"""The types that need no parameters."""

_WIDER = {("int", "long"), ("float", "double"), ("int", "double"), ("long", "double")}


def type_of(dtype: pl.DataType) -> str:
    """Iceberg's word for a Polars type; '' for one of nothing but nulls, Polars' own word where Iceberg has none.

    Example:
        >>> type_of(pl.Int16()), type_of(pl.List(pl.String())), type_of(pl.Datetime("us", "UTC"))
        ('int', 'list<string>', 'timestamptz')
    """
    if dtype == pl.Null:
        return ""
    if isinstance(dtype, pl.Datetime):
        return "timestamp" if dtype.time_zone is None else "timestamptz"
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision or 38}, {dtype.scale})"
    if isinstance(dtype, pl.List | pl.Array):
        return f"list<{type_of(_instance(dtype.inner))}>"
    if isinstance(dtype, pl.Struct):
        inner = (f"{field.name}: {type_of(_instance(field.dtype))}" for field in dtype.fields)
        return f"struct<{', '.join(inner)}>"
    return TYPE_NAMES.get(type(dtype), str(dtype))


def accepts(wanted: str, found: str) -> bool:
    """Whether a column of one type may stand where a contract names another: the same, or a narrower number."""
    return not wanted or found in (wanted, "") or (found, wanted) in _WIDER


def _instance(dtype: Any) -> pl.DataType:
    made = dtype() if isinstance(dtype, type) else dtype
    return made if isinstance(made, pl.DataType) else pl.Null()
