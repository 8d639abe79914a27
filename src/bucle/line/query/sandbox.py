"""Sandbox: a DuckDB of its own for each query, that sees the tables it was given and nothing else.

It has no file system and no network but the planned files, loads no extension, changes no setting once it is closed,
writes nothing to the disk, and is stopped when its time is over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import duckdb
import pyarrow as pa

from bucle.ground.core import BucleError
from bucle.line.data import LakeDamaged
from bucle.line.query.answer import Limits
from bucle.line.query.errors import BadQuery, QueryNotAllowed, QueryTimeout, QueryTooLarge

__all__ = ["CATALOG", "HOME", "close_doors", "late", "literal", "open_engine", "quoted", "run", "too_large", "watched"]

CATALOG = "the lake"
HOME = f'"{CATALOG}"."no namespace"'
"""Where tables without a namespace are: under a name that no namespace of a table has."""

BATCH = 65_536


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as a literal of SQL: views take no bound values."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def open_engine(limits: Limits) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine with room for views."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{limits.memory_mb}MB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
        **({"threads": limits.threads} if limits.threads else {}),
    }
    engine = duckdb.connect(":memory:", config=settings)
    try:
        engine.execute(f"ATTACH ':memory:' AS {quoted(CATALOG)}")
        engine.execute(f"CREATE SCHEMA {HOME}")
        engine.execute(f"USE {HOME}")
        engine.execute("SET TimeZone = 'UTC'")
        yield engine
    finally:
        with suppress(duckdb.Error):
            engine.close()


def close_doors(engine: duckdb.DuckDBPyConnection, files: Iterable[str]) -> None:
    """From here on the engine opens these files and nothing else, and changes no setting."""
    engine.execute(f"SET allowed_paths = [{', '.join(literal(path) for path in files)}]")
    engine.execute("SET enable_external_access = false")
    engine.execute("SET lock_configuration = true")


@contextmanager
def watched(engine: duckdb.DuckDBPyConnection, limits: Limits) -> Iterator[None]:
    """The clock runs until the block ends, and the engine's errors become ours.

    Raises:
        BadQuery, QueryNotAllowed, QueryTooLarge, QueryTimeout: see there.
        LakeDamaged: a data file cannot be read.
    """
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        engine.interrupt()

    clock = threading.Timer(limits.timeout_s, stop)
    clock.daemon = True
    clock.start()
    try:
        yield
    except duckdb.Error as error:
        raise _explained(error, limits, is_late=is_late.is_set()) from error
    except MemoryError as error:
        raise too_large(limits) from error
    except (pa.ArrowException, OSError) as error:
        raise _explained_late(error, limits, is_late=is_late.is_set()) from error
    finally:
        clock.cancel()


def run(engine: duckdb.DuckDBPyConnection, text: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema and batches of a statement's rows."""
    # Of the relation, not of the connection: newer versions copy the rows of the latter.
    reader = engine.sql(text).to_arrow_reader(BATCH)
    return reader.schema, iter(reader)


def _explained(error: duckdb.Error, limits: Limits, *, is_late: bool) -> BucleError:
    if isinstance(error, duckdb.InterruptException) and is_late:
        return late(limits)
    if isinstance(error, duckdb.OutOfMemoryException):
        return too_large(limits)
    if isinstance(error, duckdb.PermissionException):
        return QueryNotAllowed(
            f"The query reaches out of the tables: {_first_line(error)}.",
            why="It may only read tables.",
            fix="Name them.",
        )
    if isinstance(error, duckdb.IOException):
        return LakeDamaged(
            f"A data file cannot be read: {_first_line(error)}.",
            why="The table needs it.",
            fix="Name every damaged file with `bucle data verify`, and restore them from a backup.",
        )
    return BadQuery(f"The query fails: {_first_line(error)}.", why="Nothing was changed.", fix="Mend the text.")


def _explained_late(error: Exception, limits: Limits, *, is_late: bool) -> BucleError:
    """An error that came while rows were handed over: Arrow says it in its own words."""
    text = str(error)
    if is_late and "INTERRUPT" in text.upper():
        return late(limits)
    if "Out of Memory" in text:
        return too_large(limits)
    return BadQuery(f"The query fails: {_first_line(error)}.", why="Nothing was changed.", fix="Mend the text.")


def too_large(limits: Limits) -> QueryTooLarge:
    """The error of a query that needs more memory than it may have."""
    return QueryTooLarge(
        f"The query needs more than {limits.memory_mb} MB.",
        why="It would take the memory of what else runs here; nothing is written to the disk for it.",
        fix="Ask for fewer rows or columns, group earlier, or allow more: --memory-mb N",
    )


def late(limits: Limits) -> QueryTimeout:
    """The error of a query that took longer than it may."""
    return QueryTimeout(
        f"The query was stopped after {limits.timeout_s:g} s.",
        why="It would keep others waiting.",
        fix="Ask for less, or allow more: --timeout-s N",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
