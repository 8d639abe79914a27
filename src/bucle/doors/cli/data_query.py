"""`bucle data query`: a question in SQL, its rows printed or written to a file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bucle.doors.cli.arguments import count, pair
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    import pyarrow as pa

    from bucle.line import data
    from bucle.line.query import Answer, Limits, Stream

__all__ = ["EXPORT", "PII", "QUERY"]

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "arrow")
SHOWN = 50
"""Rows that people are shown unless they ask for more."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "sql", help="one SELECT, WITH, DESCRIBE, SUMMARIZE or EXPLAIN; '-' reads it from standard input"
    )
    parser.add_argument(
        "--at", default="main", help="where tables are read: a branch, a commit, or main@2013-03-01T00:00:00Z"
    )
    parser.add_argument("--format", choices=FORMATS, default=None, help="how rows are written (default: by --out)")
    parser.add_argument("--out", default="", metavar="FILE", help="write all rows there instead of printing them")
    parser.add_argument(
        "--limit",
        type=count,
        default=None,
        metavar="N",
        help=f"at most so many (default: {SHOWN} as a table, else all)",
    )
    parser.add_argument("--memory-mb", type=count, default=2048, metavar="N", help="what it may use (default: 2048)")
    parser.add_argument("--timeout-s", type=count, default=300, metavar="N", help="until it is stopped (default: 300)")


def _query(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import query

    kind = options.format or _by_ending(options.out)
    text = sys.stdin.read() if options.sql == "-" else options.sql
    rows = options.limit or (SHOWN if kind == "table" and not options.out else None)
    limits = query.Limits(rows=rows, memory_mb=options.memory_mb, timeout_s=options.timeout_s)
    with terminal.project() as project:
        if options.out or (kind != "table" and not terminal.as_json):
            with query.stream(project, text, at=options.at, limits=limits) as opened:
                _write(opened, kind, options.out, limits, terminal)
            return
        answer = query.sql(project, text, at=options.at, limits=limits)
    _print(answer, terminal)


def _print(answer: Answer, terminal: Terminal) -> None:
    found = {"columns": answer.columns, "rows": answer.rows(), "commits": answer.commits, "masked": answer.masked,
             "is_cut": answer.is_cut}  # fmt: skip
    terminal.show(found, told=found["rows"])
    if answer.is_cut:
        terminal.say(f"There are more rows than these {answer.table.num_rows}: --limit N, or --out FILE for all.")
    for table, columns in answer.masked.items():
        terminal.say(f"{table}: masked for you: {', '.join(columns)}")


def _by_ending(out: str) -> str:
    from bucle.doors.cli.errors import BadUsage

    ending = Path(out).suffix.lower().removeprefix(".")
    known = {"ndjson": "jsonl", "feather": "arrow", "ipc": "arrow", **{one: one for one in FORMATS[1:]}}
    if out and ending not in known:
        raise BadUsage(f"{out} ends in none of {', '.join(FORMATS[1:])}.", fix="Say which it is: --format csv")
    return known[ending] if out else "table"


def _write(opened: Stream, kind: str, out: str, limits: Limits, terminal: Terminal) -> None:
    """Write the rows batch by batch; a file appears whole under its name or not at all."""
    from bucle.doors.cli.errors import BadUsage

    if kind == "table":
        raise BadUsage("A table is for eyes.", fix="--format csv")
    batches = _cut(opened.batches, limits.rows)
    if not out:
        _WRITERS[kind](sys.stdout.buffer, opened.schema, batches)
        return
    path = Path(out)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            rows = _WRITERS[kind](file, opened.schema, batches)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    terminal.show({"out": str(path), "rows": rows, "commits": opened.bound.commits, "masked": opened.bound.masked})


def _cut(batches: Iterator[pa.RecordBatch], rows: int | None) -> Iterator[pa.RecordBatch]:
    left = rows
    for batch in batches:
        if left is not None and batch.num_rows >= left:
            yield batch.slice(0, left)
            return
        left = None if left is None else left - batch.num_rows
        yield batch


def _csv(file: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    import polars as pl

    from bucle.doors.cli.errors import BadRows

    rows = 0
    frame = pl.DataFrame(schema.empty_table())
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    if nested:
        raise BadRows(
            f"The columns {', '.join(nested)} hold lists or structs.",
            why="CSV has no way to write them.",
            fix=f"Write another format, or ask for to_json({nested[0]}).",
        )
    file.write(frame.write_csv().encode())
    for batch in batches:
        rows += batch.num_rows
        file.write(pl.DataFrame(batch).write_csv(include_header=False).encode())
    return rows


def _jsonl(file: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    from bucle.ground.core import encode

    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for row in batch.to_pylist():
            file.write(encode(row) + b"\n")
    return rows


def _json(file: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    from bucle.ground.core import encode

    rows = 0
    file.write(b"[")
    for batch in batches:
        for row in batch.to_pylist():
            file.write((b",\n" if rows else b"\n") + encode(row))
            rows += 1
    file.write(b"\n]\n")
    return rows


def _parquet(file: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch)
    return rows


def _arrow(file: IO[bytes], schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    import pyarrow as pa

    rows = 0
    with pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch)
    return rows


_WRITERS: dict[str, Callable[[IO[bytes], Any, Iterator[Any]], int]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "arrow": _arrow,
}


def _export_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument("path", help="the folder of a Delta table, or a file")
    parser.add_argument("--to", choices=("delta", "parquet", "csv"), default="parquet", help="(default: parquet)")
    parser.add_argument("--at", default="main", help="a branch, a commit, or main@2013-03-01 (default: main)")
    parser.add_argument("--force", action="store_true", help="replace what stands there; Delta gets a new version")


def _export(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import sources

    with terminal.project() as project:
        made = sources.export(
            project, options.table, options.path, to=options.to, at=options.at, overwrite=options.force
        )
    terminal.show(made)


EXPORT = Verb(
    "export",
    "write a table for other tools: Delta, Parquet or CSV",
    _export,
    _export_arguments,
    "bucle data export samples samples.parquet",
)


def _pii_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument(
        "--tag", action="append", type=pair, default=[], metavar="COLUMN=KIND[:MASK]",
        help="email, phone, card, iban, name, address, id, birth, other; redact, hash, partial, null, generalise",
    )  # fmt: skip
    parser.add_argument("--untag", action="append", default=[], metavar="COLUMN", help="take a tag off")
    parser.add_argument("--accept", action="store_true", help="tag all that is proposed")
    parser.add_argument("--at", default="main", help="which branch (default: main)")


def _pii(options: Namespace, terminal: Terminal) -> None:
    """Show what is tagged and what seems to be personal; tag what is named."""
    from bucle.line import data

    with terminal.project() as project:
        found = data.find_pii(project, options.table, at=options.at)
        tags: dict[str, data.ColumnTag | None] = dict.fromkeys(options.untag)
        if options.accept:
            tags |= {one.column: one.tag for one in found if not one.tagged}
        tags |= {column: _tag(text) for column, text in options.tag}
        if tags:
            data.tag_columns(project, options.table, tags, branch=options.at)
            found = data.find_pii(project, options.table, at=options.at)
        tagged = data.pii_tags(project, options.table, at=options.at)
    open_ones = [one for one in found if not one.tagged]
    rows = [{"column": name, "kind": tag.kind, "mask": tag.mask, "tagged": "yes"} for name, tag in tagged.items()]
    rows += [
        {"column": one.column, "kind": one.tag.kind, "mask": one.tag.mask, "tagged": "proposed"} for one in open_ones
    ]
    terminal.show({"tags": tagged, "proposed": open_ones}, told=rows)
    if open_ones:
        terminal.next(f"bucle data pii {options.table} --accept")


def _tag(text: str) -> data.ColumnTag:
    import msgspec

    from bucle.doors.cli.errors import BadUsage
    from bucle.line import data

    kind, _, mask = text.partition(":")
    try:
        return msgspec.convert({"kind": kind, **({"mask": mask} if mask else {})}, data.ColumnTag)
    except msgspec.ValidationError as error:
        raise BadUsage(f"{text!r} is no tag: {error}.", fix="Write it like --tag mail=email:hash") from error


PII = Verb(
    "pii",
    "which columns are personal: show, propose, tag",
    _pii,
    _pii_arguments,
    "bucle data pii samples",
)

QUERY = Verb(
    "query",
    "ask in SQL, at any commit; it only reads",
    _query,
    _arguments,
    'bucle data query "SELECT count(*) AS rows FROM samples"',
)
