"""Rows from a file and into one: CSV, Parquet, JSON or JSON lines, told apart by the name's ending."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bucle.doors.cli.errors import BadRows
from bucle.ground.core import NotFound, suggest

__all__ = ["ENDINGS", "check_ending", "read_rows", "read_stream", "write_rows"]

ENDINGS = (".csv", ".parquet", ".json", ".jsonl", ".ndjson")
"""What a file of rows may end in."""


def read_rows(names: Sequence[str]) -> pl.DataFrame:
    """The rows of files, one below the other.

    Raises:
        NotFound: there is no such file.
        BadRows: a file has another ending or cannot be read, or the files' columns differ.
    """
    frames = [_read_file(Path(name)) for name in names]
    try:
        return pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise BadRows(
            f"The files {', '.join(names)} do not go together: {_first_line(error)}.",
            why="The rows of one batch have the same columns of the same types.",
            fix="Add them one by one.",
        ) from error


def read_stream() -> pl.DataFrame:
    """Rows from standard input: a JSON list, an object a line, or CSV.

    Raises:
        BadRows: it is none of these.
    """
    text = sys.stdin.buffer.read()
    start = text.lstrip()[:1]
    read = _json if start == b"[" else pl.read_ndjson if start == b"{" else _csv
    return _read(read, io.BytesIO(text), "standard input")


def check_ending(name: str) -> None:
    """Know that rows can be written to a file of this name.

    Raises:
        BadRows: it ends in something else.
    """
    if Path(name).suffix.lower() not in _WRITERS:
        raise BadRows(
            f"{Path(name).name} ends in {Path(name).suffix or 'nothing'!r}.",
            why=f"A file of rows ends in {', '.join(ENDINGS)}.",
            fix="Name it so, e.g. runs.csv",
            at=name,
        )


def write_rows(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any], name: str) -> int:
    """Write rows to a file, `-` being CSV to standard output; give how many there are.

    Args:
        rows: each a mapping, keys may differ; or columns of equal length.
    Raises:
        BadRows: the name ends in something else, or the file cannot be written.
    """
    frame = pl.DataFrame(rows, infer_schema_length=None, strict=False)
    if name == "-":
        sys.stdout.write(frame.write_csv())
        return frame.height
    check_ending(name)
    try:
        _WRITERS[Path(name).suffix.lower()](frame, Path(name))
    except OSError as error:
        raise BadRows(
            f"{name} cannot be written: {error.strerror or error}.", fix="Name another place.", at=name
        ) from error
    return frame.height


def _read_file(path: Path) -> pl.DataFrame:
    read = _READERS.get(path.suffix.lower())
    if not path.is_file():
        near = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotFound(
            f"There is no file {path}.", why=suggest(path.name, near), fix="Name a file of rows.", at=str(path)
        )
    if read is None:
        raise BadRows(
            f"{path.name} ends in {path.suffix or 'nothing'!r}.",
            why=f"A file of rows ends in {', '.join(ENDINGS)}.",
            fix="Save it as CSV or Parquet.",
            at=str(path),
        )
    return _read(read, io.BytesIO(path.read_bytes()), str(path))


def _read(read: Callable[[io.BytesIO], pl.DataFrame], content: io.BytesIO, name: str) -> pl.DataFrame:
    try:
        return read(content)
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise BadRows(
            f"{name} cannot be read: {_first_line(error)}.",
            why="It is damaged, or not of the kind its name says.",
            fix="Open it and mend it; nothing was taken from it.",
            at=name,
        ) from error


def _csv(content: io.BytesIO) -> pl.DataFrame:
    return pl.read_csv(content, try_parse_dates=True, infer_schema_length=None)


def _json(content: io.BytesIO) -> pl.DataFrame:
    return pl.read_json(content, infer_schema_length=None)


def _parquet(content: io.BytesIO) -> pl.DataFrame:
    return pl.read_parquet(content)


def _lines(content: io.BytesIO) -> pl.DataFrame:
    return pl.read_ndjson(content, infer_schema_length=None)


_READERS = {".csv": _csv, ".parquet": _parquet, ".json": _json, ".jsonl": _lines, ".ndjson": _lines}


_WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".csv": pl.DataFrame.write_csv,
    ".parquet": pl.DataFrame.write_parquet,
    ".json": pl.DataFrame.write_json,
    ".jsonl": pl.DataFrame.write_ndjson,
    ".ndjson": pl.DataFrame.write_ndjson,
}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
