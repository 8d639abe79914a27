"""Formats: a file of rows as a frame, lazily where it can be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from bucle.ground.core import suggest
from bucle.line.sources.errors import SourceInvalid
from bucle.line.sources.pulled import Part
from bucle.line.sources.source import Source

__all__ = ["format_of", "read_file"]

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xls": "excel",
    ".ods": "excel",
}
_TYPES: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "string": pl.String(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
}
_LOOKED_AT = 100_000
"""Rows from which the types of a text file are told."""


def format_of(source: Source, name: str) -> str:
    """How a file is written.

    Raises:
        SourceInvalid: neither the source nor the name says so.
    """
    told = source.format or {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "excel": "excel"}.get(source.kind)
    found = told or _ENDINGS.get(PurePosixPath(name).suffix.lower())
    if found is None:
        raise SourceInvalid(
            f"It is not clear how {PurePosixPath(name).name!r} is written.",
            why=f"Its name ends in none of {', '.join(_ENDINGS)}.",
            fix=f"Write `format: csv` in sources/{source.name}.yaml.",
            at=source.name,
        )
    return found


def read_file(source: Source, path: Path, name: str) -> Part:
    """The rows of a file; what cannot be read is told when they are taken."""
    options, kind = source.options, format_of(source, name)
    if kind == "csv":
        separator = str(options.get("separator", "\t" if name.endswith(".tsv") else ","))
        return pl.scan_csv(
            path,
            separator=separator,
            try_parse_dates=True,
            infer_schema_length=_LOOKED_AT,
            schema_overrides=_schema(options.get("schema", {}), source),
            glob=False,
        )
    if kind == "jsonl":
        return pl.scan_ndjson(path, infer_schema_length=_LOOKED_AT)
    if kind == "json":
        return pl.read_json(path, infer_schema_length=None)
    if kind == "parquet":
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    sheet = options.get("sheet")
    by_name = {"sheet_name": str(sheet)} if isinstance(sheet, str) else {"sheet_id": int(sheet or 1)}
    return pl.read_excel(path, engine="calamine", **by_name)


def _schema(given: Mapping[str, Any], source: Source) -> dict[str, pl.DataType]:
    for column, name in given.items():
        if name not in _TYPES:
            raise SourceInvalid(
                f"Column {column!r} of source {source.name!r} cannot be of type {name!r}.",
                why=f"It may be: {', '.join(_TYPES)}.",
                fix=suggest(str(name), _TYPES) or "Use one of these.",
                at=source.name,
            )
    return {column: _TYPES[name] for column, name in given.items()}
