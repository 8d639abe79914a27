"""Files: what a run kept, as a folder to walk through, and each file as far as it can be shown safely.

Nothing a run wrote is ever part of a page of ours: text is escaped, tables are read and written anew, pictures come
from an address whose answers may run nothing. A page or drawing that could bear a script is offered as a download only.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import polars as pl

from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import ArtifactInfo

__all__ = ["Folder", "Preview", "folder", "preview", "raster"]

MOST_TEXT = 64 * 1024
"""Bytes of a file that are shown as text."""

MOST_ROWS, MOST_COLUMNS = 100, 40
"""Cells of a file that are shown as a table."""

MOST_FILES = 500
"""So many entries of a folder are listed."""

PICTURES: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
"""The first bytes of a picture that can bear no script, and its media type."""

TABLES = (".csv", ".tsv", ".parquet")


class Preview(Record, frozen=True):
    """A file as far as it can be shown.

    Attributes:
        path, size_bytes, digest: the file.
        kind: `text`, `table`, `picture`, or `none` for what is only offered as a download.
        text: its beginning.
        columns, rows: its first cells as text.
        total_rows: of the table, where that is known without reading it all.
        is_cut: whether there is more than is shown.
    """

    path: str
    size_bytes: int
    digest: str
    kind: Literal["text", "table", "picture", "none"]
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    total_rows: int | None = None
    is_cut: bool = False


class Folder(Record, frozen=True):
    """A folder of a run's files.

    Attributes:
        path: empty for the outermost.
        entries: folders first; `MOST_FILES` at most.
        total: how many there are.
        pictures: paths of the pictures among them, by their ending.
        file: the file that was asked for; None for a folder.
    """

    path: str
    entries: tuple[ArtifactInfo, ...]
    total: int
    pictures: tuple[str, ...]
    file: Preview | None


def folder(project: Project, owner: str, path: str) -> Folder:
    """A folder, or the folder of a file with the file's preview.

    Args:
        owner: e.g. `run/4f1c…`.
        path: within it; a file, a folder, or empty.
    Raises:
        NoSuchArtifact: nothing is there.
        BadArtifactPath: no file can be called so.
    """
    entries, place, shown = tracking.list_artifacts(project, owner, path), path, None
    if path and not entries:
        parent = str(PurePosixPath(path).parent)
        place, shown = "" if parent == "." else parent, preview(project, owner, path)
        entries = tracking.list_artifacts(project, owner, place)
    ordered = sorted(entries, key=lambda one: (not one.is_dir, one.path))
    pictures = [one.path for one in ordered if one.path.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp"))]
    return Folder(
        path=place, entries=tuple(ordered[:MOST_FILES]), total=len(ordered), pictures=tuple(pictures[:24]), file=shown
    )


def preview(project: Project, owner: str, path: str) -> Preview:
    """A file as far as it can be shown.

    Raises:
        NoSuchArtifact, BadArtifactPath: there is no such file.
    Cost: a read of its first 64 KiB, or of a table's first rows.
    """
    file = tracking.get_artifact(project, owner, path)
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(MOST_TEXT)
    facts: dict[str, Any] = {"path": path, "size_bytes": size, "digest": file.name, "is_cut": size > len(head)}
    if raster(head):
        return Preview(**{**facts, "is_cut": False}, kind="picture")
    for ending, read in _READERS.items():
        if path.lower().endswith(ending) and (found := _table(read, file, head)) is not None:
            return Preview(**{**facts, **found}, kind="table")
    if b"\x00" in head:
        return Preview(**facts, kind="none")
    return Preview(**facts, kind="text", text=_pretty(path, head, whole=size <= len(head)))


def raster(head: bytes) -> str:
    """The media type of a picture that can bear no script, by its first bytes; empty for anything else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in PICTURES.items() if head.startswith(magic)), "")


def _pretty(path: str, head: bytes, *, whole: bool) -> str:
    text = head.decode("utf-8", errors="replace")
    if not whole or not path.lower().endswith(".json"):
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _table(read: Callable[[Path, bytes], dict[str, Any] | None], file: Path, head: bytes) -> dict[str, Any] | None:
    try:
        return read(file, head)
    except (pl.exceptions.PolarsError, csv.Error, ValueError, RecursionError, OSError):
        return None


def _csv(file: Path, head: bytes, delimiter: str = ",") -> dict[str, Any] | None:
    text = head.decode("utf-8-sig", errors="replace")
    whole = len(head) < MOST_TEXT
    lines = list(csv.reader(io.StringIO(text if whole else text.rpartition("\n")[0]), delimiter=delimiter))
    if len(lines) < 2 or len(lines[0]) < 2:
        return None
    rows = [tuple(row[:MOST_COLUMNS]) for row in lines[1 : MOST_ROWS + 1]]
    cut = not whole or len(lines) > MOST_ROWS + 1 or len(lines[0]) > MOST_COLUMNS
    total = len(lines) - 1 if whole else None
    return {"columns": tuple(lines[0][:MOST_COLUMNS]), "rows": tuple(rows), "total_rows": total, "is_cut": cut}


def _tsv(file: Path, head: bytes) -> dict[str, Any] | None:
    return _csv(file, head, "\t")


def _parquet(file: Path, head: bytes) -> dict[str, Any] | None:
    scan = pl.scan_parquet(file)
    total = scan.select(pl.len()).collect().item()
    names = scan.collect_schema().names()
    frame = scan.select(names[:MOST_COLUMNS]).head(MOST_ROWS).collect()
    rows = tuple(tuple(_cell(value) for value in row) for row in frame.rows())
    cut = total > MOST_ROWS or len(names) > MOST_COLUMNS
    return {"columns": tuple(frame.columns), "rows": rows, "total_rows": total, "is_cut": cut}


def _split_json(file: Path, head: bytes) -> dict[str, Any] | None:
    """The table of `mlflow.log_table`: columns and data apart."""
    if len(head) >= MOST_TEXT:
        return None
    found = json.loads(head)
    if not isinstance(found, dict) or set(found) - {"columns", "data", "index"} or "data" not in found:
        return None
    columns, data = found.get("columns", []), found["data"]
    if not isinstance(columns, list) or not all(isinstance(row, list) for row in data):
        return None
    rows = tuple(tuple(_cell(value) for value in row[:MOST_COLUMNS]) for row in data[:MOST_ROWS])
    names = tuple(str(name) for name in columns[:MOST_COLUMNS])
    return {"columns": names, "rows": rows, "total_rows": len(data), "is_cut": len(data) > MOST_ROWS}


_READERS: Mapping[str, Callable[[Path, bytes], dict[str, Any] | None]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".json": _split_json,
}
"""Endings of files that hold tables, and what reads them."""


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"
