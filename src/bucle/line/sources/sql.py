"""A database, read through ADBC: rows come as Arrow and never as Python values."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, cast

import polars as pl
import pyarrow as pa

from bucle.ground.core import ConfigError
from bucle.line.sources.boundary import Boundary
from bucle.line.sources.errors import SourceFailed
from bucle.line.sources.pulled import Desk, Pulled
from bucle.line.sources.source import Connection, filled, load_connection

__all__ = ["ask", "connected", "pull_sql", "quoted"]


def pull_sql(desk: Desk) -> Pulled | None:
    """The rows of a query, or those that have not landed: with a greater cursor than the last, or with the same."""
    source = desk.source
    connection = load_connection(desk.project, source.connection)
    text = filled(source.query).strip().rstrip(";")
    text = text if " " in text else f"SELECT * FROM {'.'.join(quoted(part) for part in text.split('.'))}"  # noqa: S608
    if source.sync == "full":
        return Pulled(parts=ask(connection, text, ()), after=lambda _: {"read": True})
    column, found = quoted(source.cursor), Boundary(source.cursor, desk.before, source.start)
    sign = ">=" if found.is_told else ">"
    where = "" if found.value is None else f" WHERE {column} {sign} {'$1' if connection.kind == 'postgresql' else '?'}"
    newer = f"SELECT * FROM ({text}) AS new{where} ORDER BY {column}"  # noqa: S608  the operator's query; values are bound
    bound = () if found.value is None else (_typed(found.value, _type_of(connection, text, source.cursor)),)
    return Pulled(parts=map(found.passed, ask(connection, newer, bound)), after=lambda _: found.cursor())


def ask(connection: Connection, text: str, values: tuple[Any, ...]) -> Iterator[pl.DataFrame]:
    """The rows of a query, batch by batch; at least one, so that the columns are known.

    Raises:
        SourceFailed: the database does not answer, or refuses.
    """
    with connected(connection) as opened, opened.cursor() as cursor:
        cursor.execute(text, parameters=values or None)
        reader = cursor.fetch_record_batch()
        yield _frame(pa.Table.from_batches([], schema=reader.schema))
        for batch in reader:
            yield _frame(pa.Table.from_batches([batch]))


@contextmanager
def connected(connection: Connection) -> Iterator[Any]:
    """An open connection; the driver's errors as ours, without the address."""
    driver = _driver(connection)
    address = filled(connection.uri)
    if connection.kind == "sqlite":
        address = address.removeprefix("sqlite:///")
    try:
        with driver.connect(address) as opened:
            yield opened
    except driver.Error as error:
        raise SourceFailed(
            f"The database of connection {connection.name!r} fails: {_first_line(error, address)}.",
            why="Nothing of it was taken.",
            fix=f"Look at connections/{connection.name}.yaml and at the query.",
            at=connection.name,
        ) from None


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def _driver(connection: Connection) -> Any:
    if connection.kind == "s3":
        raise SourceFailed(
            f"The connection {connection.name!r} is a bucket, which is not asked in SQL.",
            why="It holds files.",
            fix="Land them with a source of kind s3, or name its tables in a query: bucle data query",
            at=connection.name,
        )
    name = f"adbc_driver_{connection.kind}.dbapi"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"Databases of kind {connection.kind} are read with adbc-driver-{connection.kind}, which is not installed.",
            why="It is an extra.",
            fix="pip install 'bucle[sql]'",
        ) from error


def _frame(table: pa.Table) -> pl.DataFrame:
    """Types that Arrow does not know, as PostgreSQL's numeric, come as the text they are kept as."""
    for number, field in enumerate(table.schema):
        if isinstance(field.type, pa.BaseExtensionType):
            plain = table.column(number).cast(field.type.storage_type)
            table = table.set_column(number, field.name, plain)
    return cast(pl.DataFrame, pl.from_arrow(table))


def _type_of(connection: Connection, text: str, column: str) -> pl.DataType:
    first = next(ask(connection, f"SELECT * FROM ({text}) AS new LIMIT 0", ()))  # noqa: S608  the operator's query
    return first.schema.get(column, pl.String())


def _typed(value: Any, kind: pl.DataType) -> Any:
    """A value as JSON kept it, as the database compares it: an instant is no text."""
    if kind == pl.Date:
        return date.fromisoformat(str(value))
    return datetime.fromisoformat(str(value)) if isinstance(kind, pl.Datetime) else value


def _first_line(error: Exception, address: str) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
    return text.replace(address, "…")
