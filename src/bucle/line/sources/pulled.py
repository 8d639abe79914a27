"""Pulled: what one look at a source gives; and the spool it is written to before anything lands.

What is read is first written to Parquet files of its own. So a source is read once, what lands is exactly what was
read, however often a commit is built again, and rows that are more than memory pass through in parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from bucle.ground.project import Project
from bucle.line.data import TypeMismatch
from bucle.line.sources.errors import SourceFailed
from bucle.line.sources.source import Source

__all__ = ["Desk", "Part", "Pulled", "failed", "greatest", "kept", "need_column", "spool"]

Part = pl.LazyFrame | pl.DataFrame


@dataclass(frozen=True)
class Desk:
    """Where a run works.

    Attributes:
        project: the project.
        source: what is run.
        before: its cursor; empty before the first run.
        folder: for files that are thrown away afterwards.
    """

    project: Project
    source: Source
    before: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Pulled:
    """What one look at a source gives.

    Attributes:
        parts: the rows; reading them may fail.
        after: the cursor once those rows have landed, told from the spooled rows.
    """

    parts: Iterable[Part]
    after: Callable[[pl.LazyFrame], dict[str, Any]]


def spool(desk: Desk, parts: Iterable[Part], beat: Callable[[], object]) -> pl.LazyFrame | None:
    """Write rows to files, part by part; None when there are none.

    Args:
        beat: called between parts: this process is alive.
    Raises:
        SourceFailed: a part cannot be read.
        TypeMismatch: one column has types in several parts that do not go together.
    """
    written = list[Path]()
    # Nobody but this call ever reads these files: what the rows become may be encrypted, so they are as well.
    key = os.urandom(32)
    sealed, opened = pl.ParquetEncryptionProperties(footer_key=key), pl.ParquetDecryptionProperties(footer_key=key)
    with told(desk.source):
        for number, part in enumerate(parts):
            beat()
            path = desk.folder / f"{number:08d}.parquet"
            part.lazy().sink_parquet(path, compression="lz4", encryption=sealed)
            written.append(path)
    if not written:
        return None
    try:
        rows = pl.concat(
            [pl.scan_parquet(path, glob=False, decryption=opened) for path in written], how="diagonal_relaxed"
        )
        rows.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise TypeMismatch(
            f"What source {desk.source.name!r} gives has different types in one column: {_first_line(error)}.",
            why="Rows of one table have the same columns of the same types.",
            fix="Say the types in the source's `options: {schema: {column: type}}`, or mend the files.",
        ) from error
    return rows


def greatest(column: str, rows: pl.LazyFrame, before: Any) -> Any:
    """The greatest value of a column, as JSON keeps it; `before` when there is none.

    Raises:
        SourceFailed: there is no such column.
    """
    need_column(column, rows.collect_schema().names())
    value = rows.select(pl.col(column).max()).collect().item()
    return before if value is None else kept(value)


def kept(value: Any) -> Any:
    """A cursor's value as JSON keeps it."""
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def need_column(cursor: str, columns: Sequence[str]) -> None:
    """Refuse rows without their cursor. Raises SourceFailed."""
    if cursor not in columns:
        raise SourceFailed(
            f"The rows have no column {cursor!r}, which is the cursor.",
            why="What is new could not be told from what has landed.",
            fix=f"Name one of: {', '.join(columns)}.",
            at=cursor,
        )


@contextmanager
def told(source: Source) -> Iterator[None]:
    """What cannot be read is told as the source's failure, without what its address may hold."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise failed(source, _first_line(error)) from error


def failed(source: Source, what: str) -> SourceFailed:
    """The error for a source that cannot be read."""
    return SourceFailed(
        f"Source {source.name!r} cannot be read: {what}.",
        why="Nothing of it has landed; its cursor stands where it stood.",
        fix="Mend it and run it again: what had landed is not read twice.",
        at=source.name,
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
