"""Scanned: the rows of data files as a lazy frame: files that cannot match skipped, deleted rows left out.

Polars reads Iceberg's forms by itself: columns found by field id, files of deletes of one data file each, bounds by
which files are skipped. The parameters for it are those that `polars.scan_iceberg` passes to `scan_parquet`, which bear
an underscore; what they do is tested here against pyiceberg.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from bucle.ground.project import Project
from bucle.line.data.manifest import DataFile, Manifest
from bucle.line.data.schema import Column
from bucle.line.data.sealed import Ciphers

__all__ = ["bounds_of", "read_frame", "rows_in"]

_BOUNDED = {
    "int": "<i4",
    "long": "<i8",
    "date": "<i4",
    "timestamp": "<i8",
    "timestamptz": "<i8",
    "float": "<f4",
    "double": "<f8",
}
"""Iceberg type -> the number its bounds are kept as; strings are their UTF-8."""

_NOTHING = bytes(8)

_CASTS = pl.ScanCastOptions(
    integer_cast="upcast", float_cast="upcast", missing_struct_fields="insert", extra_struct_fields="ignore"
)


class _Bounds(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is needed of `Statistics`; the rest is passed over unread."""

    sizes: msgspec.Raw
    values: msgspec.Raw
    nulls: dict[int, int]
    nans: dict[int, int]
    lower: dict[int, bytes]
    upper: dict[int, bytes]


_DECODER = msgspec.msgpack.Decoder(_Bounds)
_UNKNOWN = _Bounds(msgspec.Raw(), msgspec.Raw(), {}, {}, {}, {})


def read_frame(
    project: Project, manifest: Manifest, *, bounded: Sequence[str] | None = None, **options: Any
) -> pl.LazyFrame:
    """The rows of a manifest's data files in order: old files read as today's columns and types.

    Args:
        project: whose lake it is.
        bounded: the columns whose bounds may rule files out; None for all of them.
        options: more for `scan_parquet`.
    Raises:
        KeyDestroyed, KeyMissing: files are encrypted, and their key is gone or not at hand.
    Cost: reads nothing; files of deletes that name several data files' rows, or are encrypted, are read at once.
    """
    if not manifest.data:
        return pl.LazyFrame(schema={column.name: column.dtype for column in manifest.columns})
    wide = [file for file in manifest.deletes if not file.of]
    if wide:
        return _anti(project, manifest, bounded)
    if any(file.key for file in manifest.data):
        return _decrypted(project, manifest, bounded, options)
    statistics = _statistics(manifest, bounded)
    return _scan(project, manifest, statistics, options)


def rows_in(rows: pl.LazyFrame, manifest: Manifest) -> pl.DataFrame:
    """What was asked of a manifest's rows, in memory.

    Encrypted files are a scan each: the streaming engine takes more than twice what the other takes to read fifty.
    """
    is_many = len(manifest.data) > 1 and any(file.key for file in manifest.data)
    return rows.collect(engine="in-memory" if is_many else "auto")


def _statistics(manifest: Manifest, bounded: Sequence[str] | None) -> pl.DataFrame | None:
    columns = [column for column in manifest.columns if bounded is None or column.name in bounded]
    return bounds_of(manifest, columns) if columns else None


def _scan(
    project: Project, manifest: Manifest, statistics: pl.DataFrame | None, options: Mapping[str, Any]
) -> pl.LazyFrame:
    """The rows of files that Polars reads in one scan."""
    # Text, not paths: a thousand paths take longer to make than to plan.
    root, scoped = project.state.as_posix(), defaultdict[str, list[str]](list)
    for file in manifest.deletes:
        scoped[file.of].append(f"{root}/{file.path}")
    at = {place: scoped[file.path] for place, file in enumerate(manifest.data) if file.path in scoped}
    given: dict[str, Any] = {"_deletion_files": ("iceberg", (at, {}))} if at else {}
    if manifest.by_id:
        given["_column_mapping"] = ("iceberg-column-mapping", _arrow(manifest.columns), None)
    return pl.scan_parquet(
        [f"{root}/{file.path}" for file in manifest.data],
        schema={column.name: column.dtype for column in manifest.columns},
        glob=False,
        hive_partitioning=False,
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=_CASTS,
        _table_statistics=statistics,
        **given,
        **options,
    )


def bounds_of(manifest: Manifest, columns: Sequence[Column]) -> pl.DataFrame | None:
    """What each data file's columns lie between, as Polars skips files by: `x_min`, `x_max`, `x_nc`, and `len`.

    A bound that is not known, or does not hold for every value, is null. None when no file has any.
    """
    known = [_DECODER.decode(file.statistics) if file.statistics else _UNKNOWN for file in manifest.data]
    told = _Told(
        nulls=_by_column([one.nulls for one in known]),
        nans=_by_column([one.nans for one in known]),
        lower=_by_column([one.lower for one in known]),
        upper=_by_column([one.upper for one in known]),
    )
    found = [
        one
        for column in columns
        if isinstance(column.type, str) and column.type in {*_BOUNDED, "string"}
        for one in _bounds(column, told)
    ]
    if not any(series.null_count() < len(series) for series in found):
        return None
    return pl.DataFrame([pl.Series("len", [file.rows for file in manifest.data], pl.UInt32), *found])


@dataclass(frozen=True)
class _Told:
    """What the files say of a column, by its id: of each file a value, or None."""

    nulls: Callable[[int], Sequence[Any]]
    nans: Callable[[int], Sequence[Any]]
    lower: Callable[[int], Sequence[Any]]
    upper: Callable[[int], Sequence[Any]]


def _by_column(files: Sequence[dict[int, Any]]) -> Callable[[int], Sequence[Any]]:
    """Column id -> the value of each file. Files nearly always know the same columns, and then are turned at once."""
    ids = tuple(files[0])
    if not all(tuple(one) == ids for one in files):
        return lambda column: [one.get(column) for one in files]
    turned = dict(zip(ids, zip(*[one.values() for one in files], strict=True), strict=True))
    nothing = (None,) * len(files)
    return lambda column: turned.get(column, nothing)


def _bounds(column: Column, told: _Told) -> list[pl.Series]:
    nulls = pl.Series(f"{column.name}_nc", told.nulls(column.id), pl.UInt32)
    least, most = told.lower(column.id), told.upper(column.id)
    if column.type in ("float", "double") and any(count != 0 for count in told.nans(column.id)):
        # Not-a-number is greater than every number, and in no bound.
        plain = [count == 0 for count in told.nans(column.id)]
        least, most = ([v if ok else None for v, ok in zip(side, plain, strict=True)] for side in (least, most))
    return [nulls, _series(column, "min", least), _series(column, "max", most)]


def _series(column: Column, side: str, values: Sequence[bytes | None]) -> pl.Series:
    name = f"{column.name}_{side}"
    if column.type == "string":
        return pl.Series(name, [_text(value) for value in values], pl.String)
    import numpy as np  # noqa: PLC0415

    kind = _BOUNDED[column.type]
    whole = int(kind[-1])
    if set(map(len, filter(None, values))) - {whole}:
        # A column that was widened since has shorter bounds in old files.
        values = [_widened(value, column.type, whole) for value in values]
    if all(values):
        return pl.Series(name, np.frombuffer(b"".join(values), kind)).cast(column.dtype)  # type: ignore[arg-type]
    filled = b"".join([value or _NOTHING[:whole] for value in values])
    missing = [place for place, value in enumerate(values) if not value]
    return pl.Series(name, np.frombuffer(filled, kind)).cast(column.dtype).scatter(missing, None)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _widened(value: bytes | None, kind: str, whole: int) -> bytes | None:
    if value is None or len(value) == whole:
        return value
    if kind == "long" and len(value) == 4:
        return int.from_bytes(value, "little", signed=True).to_bytes(8, "little", signed=True)
    return None


def _decrypted(
    project: Project, manifest: Manifest, bounded: Sequence[str] | None, options: dict[str, Any]
) -> pl.LazyFrame:
    """The rows of encrypted files: each has a key of its own, so each is a scan of its own."""
    if manifest.deletes:
        return _anti(project, manifest, bounded, **options)
    ciphers, statistics, parts = Ciphers(project), _statistics(manifest, bounded), list[pl.LazyFrame]()
    for place, file in enumerate(manifest.data):
        told = None if statistics is None else statistics.slice(place, 1)
        given = {**options, "decryption": ciphers.decryption(file)}
        parts.append(_scan(project, _only(manifest, [file]), told, given))
    return parts[0] if len(parts) == 1 else pl.concat(parts)


def _anti(project: Project, manifest: Manifest, bounded: Sequence[str] | None, **options: Any) -> pl.LazyFrame:
    """The rows when files of deletes name rows of several data files, as other engines write them."""
    from bucle.line.data.positions import positions_of  # noqa: PLC0415

    gone = positions_of(project, manifest.deletes)
    parts = list[pl.LazyFrame]()
    for whole, files in _stretches(manifest.data, gone):
        rows = read_frame(project, _only(manifest, files), bounded=bounded if whole else (), **options)
        if not whole:
            rows = rows.with_row_index("\0row").filter(~pl.col("\0row").is_in(gone[files[0].path])).drop("\0row")
        parts.append(rows)
    return pl.concat(parts)


def _stretches(data: Sequence[DataFile], gone: Mapping[str, Any]) -> list[tuple[bool, list[DataFile]]]:
    """Files one after another: those without deletes together, each other one alone."""
    made = list[tuple[bool, list[DataFile]]]()
    for file in data:
        whole = file.path not in gone
        if whole and made and made[-1][0]:
            made[-1][1].append(file)
        else:
            made.append((whole, [file]))
    return made


def _only(manifest: Manifest, files: Sequence[DataFile]) -> Manifest:
    return Manifest(columns=manifest.columns, data=tuple(files), metadata={}, by_id=manifest.by_id)


def _arrow(columns: Sequence[Column]) -> Any:
    """The columns as Arrow has them, with field ids."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.schema([_field(column.name, column.dtype, column.id, column.type) for column in columns])


def _field(name: str, dtype: pl.DataType, field_id: int, kind: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    made = pl.Series([], dtype=dtype).to_arrow(compat_level=pl.CompatLevel.oldest()).type
    if isinstance(kind, dict) and kind["type"] == "list":
        inner = _field("element", dtype.inner, kind["element-id"], kind["element"])  # type: ignore[attr-defined]
        made = pa.large_list(inner)
    elif isinstance(kind, dict):
        fields = zip(dtype.fields, kind["fields"], strict=True)  # type: ignore[attr-defined]
        made = pa.struct([_field(one.name, one.dtype, f["id"], f["type"]) for one, f in fields])
    return pa.field(name, made, metadata={"PARQUET:field_id": str(field_id)})
