"""Columns: how Polars types are kept in Iceberg, and how a table's columns may grow.

Source: Apache Iceberg table spec v2, "Schemas and Data Types", "Schema Evolution" and appendix C (JSON form of types).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from bucle.ground.core import Record
from bucle.line.contracts import TYPE_NAMES
from bucle.line.data.batches import Batches
from bucle.line.data.errors import TypeMismatch, TypeNotKept

__all__ = [
    "Column",
    "check_type",
    "evolve",
    "fit",
    "gave_names_anew",
    "ids_of",
    "last_id",
    "numbered_type",
    "parse_type",
    "replace_columns",
    "schema_json",
    "storage_type",
    "type_name",
    "widen",
]

_PRIMITIVE: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "date": pl.Date(),
    "time": pl.Time(),
    "timestamp": pl.Datetime("us"),
    "timestamptz": pl.Datetime("us", "UTC"),
    "string": pl.String(),
    "binary": pl.Binary(),
}
_WIDER = {("int", "long"): "long", ("float", "double"): "double"}
_FITS = {("int", "long"), ("float", "double"), ("int", "double")}
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")

IcebergType = str | dict[str, Any]
"""A type in Iceberg's JSON form: a word, or a list or struct with field ids."""


class Column(Record, frozen=True):
    """A column of a table.

    Attributes:
        id: Iceberg's field id: it stays when the column is renamed or widened.
        name: what the column is called.
        type: Iceberg's type: `long`, `timestamptz`, …, or its JSON form for lists and structs.
    """

    id: int
    name: str
    type: Any

    @property
    def dtype(self) -> pl.DataType:
        """The Polars type it is read as."""
        return _dtype(self.type)


class _Ids:
    """Hands out field ids in order."""

    def __init__(self, last: int) -> None:
        self.last = last

    def next(self) -> int:
        self.last += 1
        return self.last


def storage_type(dtype: pl.DataType, column: str) -> IcebergType:
    """The Iceberg type that keeps a Polars type; nested fields have no ids yet.

    Raises:
        TypeNotKept: there is none.
    """
    if isinstance(dtype, pl.Datetime):
        return "timestamp" if dtype.time_zone is None else "timestamptz"
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision or 38}, {dtype.scale})"
    if isinstance(dtype, pl.List | pl.Array):
        inner = storage_type(_instance(dtype.inner), column)
        return {"type": "list", "element-id": 0, "element": inner, "element-required": False}
    if isinstance(dtype, pl.Struct):
        fields = [
            {"id": 0, "name": f.name, "required": False, "type": storage_type(_instance(f.dtype), column)}
            for f in dtype.fields
        ]
        return {"type": "struct", "fields": fields}
    name = TYPE_NAMES.get(type(dtype))
    if name is None:
        raise TypeNotKept(
            f"Column {column!r} has type {dtype}, which an Iceberg table does not hold.",
            why="What cannot be kept exactly is refused rather than changed.",
            fix=f"Cast it first, e.g. pl.col({column!r}).cast({_advice(dtype)}).",
            at=column,
        )
    return name


def evolve(columns: Sequence[Column], frame: pl.DataFrame | Batches, *, last: int) -> tuple[Column, ...]:
    """The columns of a table after rows of this frame are appended.

    A new column is added, a narrower number widened, an absent column stays and reads as null in the new rows.

    Args:
        columns: what the table has.
        last: the greatest field id ever given in the table.
    Raises:
        TypeMismatch: a column cannot take the frame's values.
        TypeNotKept: a new column has a type Iceberg does not hold.
    """
    ids = _Ids(last)
    grown = {column.name: column for column in columns}
    for name, dtype in frame.schema.items():
        known = grown.get(name)
        if known is None:
            grown[name] = Column(id=ids.next(), name=name, type=_with_ids(storage_type(dtype, name), ids))
        elif dtype != pl.Null:
            grown[name] = Column(id=known.id, name=name, type=widen(known, storage_type(dtype, name)))
    return tuple(grown.values())


def replace_columns(columns: Sequence[Column], frame: pl.DataFrame | Batches, *, last: int) -> tuple[Column, ...]:
    """The columns of a table after its rows are replaced by this frame's: what fits keeps its id."""
    ids = _Ids(last)
    known = {column.name: column for column in columns}
    made = list[Column]()
    for name, dtype in frame.schema.items():
        wanted, old = storage_type(dtype, name), known.get(name)
        if old is not None and _bare(old.type) == _bare(wanted):
            made.append(old)
        else:
            made.append(Column(id=ids.next(), name=name, type=_with_ids(wanted, ids)))
    return tuple(made)


def fit(frame: pl.DataFrame, columns: Iterable[Column]) -> pl.DataFrame:
    """The frame with exactly these columns in their kept types; an absent one is all null.

    Raises:
        TypeMismatch: a value does not fit, or an instant is finer than a microsecond.
    """
    _refuse_nanoseconds(frame)
    columns = list(columns)
    if list(frame.schema.items()) == [(column.name, column.dtype) for column in columns]:
        return frame
    wanted = [
        (pl.col(c.name) if c.name in frame.columns else pl.lit(None)).cast(c.dtype).alias(c.name) for c in columns
    ]
    try:
        return frame.select(wanted) if frame.columns else pl.DataFrame(schema={c.name: c.dtype for c in columns})
    except pl.exceptions.InvalidOperationError as error:
        raise TypeMismatch(
            f"A value does not fit its column: {str(error).splitlines()[0]}.",
            why="What cannot be kept exactly is refused rather than changed.",
            fix="Cast the column before the commit.",
        ) from error


def check_type(kind: IcebergType) -> bool:
    """Whether columns of a type that another engine gives can be read and written here."""
    if isinstance(kind, str):
        return kind in _PRIMITIVE or _DECIMAL.fullmatch(kind) is not None
    if kind["type"] == "list":
        return check_type(kind["element"])
    return kind["type"] == "struct" and all(check_type(one["type"]) for one in kind["fields"])


def schema_json(columns: Iterable[Column], schema_id: int) -> dict[str, Any]:
    """The columns as a schema in Iceberg's metadata file."""
    fields = [{"id": c.id, "name": c.name, "required": False, "type": c.type} for c in columns]
    return {"type": "struct", "schema-id": schema_id, "fields": fields}


def last_id(columns: Iterable[Column]) -> int:
    """The greatest field id in use, nested ones included."""
    return max((i for column in columns for i in ids_of(column)), default=0)


def ids_of(column: Column) -> tuple[int, ...]:
    """The field ids of a column, its own first, nested ones after."""
    return (column.id, *_ids_in(column.type))


def type_name(kind: IcebergType) -> str:
    """An Iceberg type on one line: `list<struct<a: long>>`."""
    if isinstance(kind, str):
        return kind
    if kind["type"] == "list":
        return f"list<{type_name(kind['element'])}>"
    inner = (f"{field['name']}: {type_name(field['type'])}" for field in kind["fields"])
    return f"struct<{', '.join(inner)}>"


def gave_names_anew(metadata: Mapping[str, Any]) -> bool:
    """Whether a column ever changed its name, or a name its column: then names do not find old files' values."""
    name_of, id_of = dict[int, str](), dict[str, int]()
    for schema in metadata["schemas"]:
        for path, field_id in _named({"type": "struct", **schema}, ""):
            if name_of.setdefault(field_id, path) != path or id_of.setdefault(path, field_id) != field_id:
                return True
    return False


def _named(kind: Any, above: str) -> Iterator[tuple[str, int]]:
    """Every field of a type with its path and id."""
    if isinstance(kind, str):
        return
    if kind["type"] == "struct":
        for one in kind["fields"]:
            yield f"{above}.{one['name']}", one["id"]
            yield from _named(one["type"], f"{above}.{one['name']}")
    for inner in ("element", "key", "value"):
        if inner in kind:
            yield f"{above}.{inner}", kind[f"{inner}-id"]
            yield from _named(kind[inner], f"{above}.{inner}")


def widen(known: Column, given: IcebergType) -> IcebergType:
    """The type that holds a column's values and those of another type.

    Raises:
        TypeMismatch: there is none, or it would change a value.
    """
    old: IcebergType = known.type
    if _bare(old) == _bare(given):
        return old
    if isinstance(old, str) and isinstance(given, str):
        if (given, old) in _FITS:
            return old
        if (old, given) in _WIDER:
            return _WIDER[old, given]
        was, now = _DECIMAL.fullmatch(old), _DECIMAL.fullmatch(given)
        if was and now and was[2] == now[2]:
            return max(old, given, key=lambda kind: int(_DECIMAL.fullmatch(kind)[1]))  # type: ignore[index]
    raise TypeMismatch(
        f"Column {known.name!r} is {type_name(old)} in the table and {type_name(given)} in the batch.",
        why="Old and new rows would mean different things under one name.",
        fix=f"Cast it: pl.col({known.name!r}).cast(pl.{_dtype(old)}), or overwrite the table.",
        at=known.name,
    )


def parse_type(given: Any, column: str) -> IcebergType:
    """The Iceberg type that somebody asks for, by its word or as a Polars type; nested fields have no ids yet.

    Raises:
        TypeNotKept: there is none.
    """
    if not isinstance(given, str):
        return storage_type(_instance(given), column)
    word = given.strip().lower()
    decimal = _DECIMAL.fullmatch(word)
    if decimal and int(decimal[2]) <= int(decimal[1]) <= 38:
        return f"decimal({decimal[1]}, {decimal[2]})"
    if word in _PRIMITIVE:
        return word
    raise TypeNotKept(
        f"{given!r} is no type of a column.",
        why="Iceberg would not know it.",
        fix=f"Take one of: {', '.join(_PRIMITIVE)}, decimal(10, 2); lists and structs as Polars types.",
        at=column,
    )


def numbered_type(kind: IcebergType, field_id: int) -> tuple[IcebergType, int]:
    """A new column's type with ids for its nested fields, after the column's own, and the last id given."""
    ids = _Ids(field_id)
    return _with_ids(kind, ids), ids.last


def _dtype(kind: IcebergType) -> pl.DataType:
    if isinstance(kind, str):
        decimal = _DECIMAL.fullmatch(kind)
        return pl.Decimal(int(decimal[1]), int(decimal[2])) if decimal else _PRIMITIVE[kind]
    if kind["type"] == "list":
        return pl.List(_dtype(kind["element"]))
    return pl.Struct([pl.Field(f["name"], _dtype(f["type"])) for f in kind["fields"]])


def _instance(dtype: Any) -> pl.DataType:
    made = dtype() if isinstance(dtype, type) else dtype
    return made if isinstance(made, pl.DataType) else pl.Null()


def _with_ids(kind: IcebergType, ids: _Ids) -> IcebergType:
    if isinstance(kind, str):
        return kind
    if kind["type"] == "list":
        return {**kind, "element-id": ids.next(), "element": _with_ids(kind["element"], ids)}
    numbered = [(field, ids.next()) for field in kind["fields"]]
    return {**kind, "fields": [{**f, "id": i, "type": _with_ids(f["type"], ids)} for f, i in numbered]}


def _ids_in(kind: IcebergType) -> Iterable[int]:
    if isinstance(kind, str):
        return
    if kind["type"] == "list":
        yield kind["element-id"]
        yield from _ids_in(kind["element"])
        return
    for field in kind["fields"]:
        yield field["id"]
        yield from _ids_in(field["type"])


def _bare(kind: IcebergType) -> Any:
    if isinstance(kind, str):
        return kind
    if kind["type"] == "list":
        return ["list", _bare(kind["element"])]
    return ["struct", [[f["name"], _bare(f["type"])] for f in kind["fields"]]]


def _refuse_nanoseconds(frame: pl.DataFrame) -> None:
    for name, dtype in frame.schema.items():
        if not isinstance(dtype, pl.Time) and not (isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns"):
            continue
        if frame.select((pl.col(name).to_physical() % 1000 != 0).any()).item():
            raise TypeMismatch(
                f"Column {name!r} has values finer than a microsecond.",
                why="Iceberg tables keep microseconds; the rest would be lost.",
                fix=f"Round it first, e.g. pl.col({name!r}).dt.cast_time_unit('us').",
                at=name,
            )


def _advice(dtype: pl.DataType) -> str:
    return "pl.Int64" if isinstance(dtype, pl.Duration) else "pl.String"
