"""Stream: a file of JSON lines that others append to, here or over HTTP; what is read is told by the place in the file.

A line is taken when its end is there, so that half a line waits for the rest. When the file was put aside and begun
anew, as logs are, the rest of the old one is read first, if it still lies in the folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from bucle.ground.core import encode
from bucle.ground.project import Project
from bucle.line.sources.errors import SourceInvalid
from bucle.line.sources.pulled import Desk, Part, Pulled, failed
from bucle.line.sources.source import Source, load_source

__all__ = ["pull_stream", "push"]

AT_ONCE = 32 << 20
"""Bytes of lines that become rows at once."""


def push(project: Project, name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Append rows to a stream that has no file of its own; its next run lands them.

    They are on the disk when this returns.

    Returns:
        How many bytes the stream has now.
    Raises:
        NoSuchSource: there is no such source.
        SourceInvalid: it is no stream that rows are pushed to.
    """
    source = load_source(project, name)
    if source.kind != "stream" or source.location:
        raise SourceInvalid(
            f"Rows cannot be pushed to source {name!r}.",
            why="It reads from elsewhere." if source.kind != "stream" else f"It reads {source.location}.",
            fix="Make one of kind stream without a location.",
            at=name,
        )
    path = _path(project, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = b"".join(encode(row) + b"\n" for row in rows)
    with path.open("ab") as file:
        # Lines of two who push at once must not mix.
        fcntl.flock(file, fcntl.LOCK_EX)
        _end_line(path, file)
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def pull_stream(desk: Desk) -> Pulled | None:
    """The rows of the lines that were appended since the last look."""
    path = _path(desk.project, desk.source)
    if not path.is_file():
        if desk.source.location:
            raise failed(desk.source, f"there is no file {desk.source.location!r}")
        return None
    before, found = desk.before, path.stat()
    pieces = list[tuple[Path, int, int]]()
    offset = int(before.get("offset", 0))
    if before and (before.get("inode") != found.st_ino or found.st_size < offset):
        aside = _aside(path, int(before["inode"]))
        if aside is not None:
            pieces.append((aside, offset, aside.stat().st_size))
        offset = 0
    end = _last_line_end(path, offset, found.st_size)
    if end > offset:
        pieces.append((path, offset, end))
    if not pieces:
        return None
    return Pulled(
        parts=_lines(desk.source, pieces), after=lambda _: {"inode": found.st_ino, "offset": max(end, offset)}
    )


def _lines(source: Source, pieces: list[tuple[Path, int, int]]) -> Iterator[Part]:
    for path, start, end in pieces:
        with path.open("rb") as file:
            file.seek(start)
            left = end - start
            while left > 0:
                block = b"".join(file.readlines(min(AT_ONCE, left)))[:left]
                left -= len(block)
                yield _rows(source, block)


def _rows(source: Source, block: bytes) -> pl.DataFrame:
    lines = [line for line in block.splitlines() if line.strip()]
    try:
        return pl.DataFrame(
            [msgspec.json.decode(line, type=dict[str, Any]) for line in lines], infer_schema_length=None
        )
    except (msgspec.MsgspecError, pl.exceptions.PolarsError) as error:
        raise failed(source, f"a line is no JSON object, or does not go with the others: {error}") from error


def _path(project: Project, source: Source) -> Path:
    return project.root / source.location if source.location else project.state / "streams" / f"{source.name}.jsonl"


def _last_line_end(path: Path, start: int, end: int) -> int:
    """Where the last whole line ends, at or after `start`."""
    with path.open("rb") as file:
        at = end
        while at > start:
            step = min(1 << 16, at - start)
            file.seek(at - step)
            place = file.read(step).rfind(b"\n")
            if place >= 0:
                return at - step + place + 1
            at -= step
    return start


def _aside(path: Path, inode: int) -> Path | None:
    """The file that had this name before, where logs are put aside: beside it, under its name and something."""
    for other in sorted(path.parent.glob(f"{path.name}*")):
        if other != path and other.stat().st_ino == inode:
            return other
    return None


def _end_line(path: Path, file: Any) -> None:
    """End the line of one who was killed while writing it: such a line is half a row and was never acknowledged."""
    size = path.stat().st_size
    if size and _last_line_end(path, 0, size) != size:
        file.truncate(_last_line_end(path, 0, size))
