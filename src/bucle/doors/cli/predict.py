"""`bucle predict`: ask an endpoint."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    import polars as pl

    from bucle.line.serving import Client, Inference

__all__ = ["VERBS"]

BATCH = 5_000
"""So many rows go in one request; an endpoint takes 100,000 unless told otherwise."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint")
    parser.add_argument("file", metavar="FILE", help="rows: CSV, Parquet, JSON or JSON lines; - reads standard input")
    parser.add_argument("--url", default="", help="an endpoint elsewhere, e.g. http://10.0.0.7:8080")
    parser.add_argument("--id", default="", help="a name for the request (default: the endpoint makes one)")
    parser.add_argument("--key", default="", help="who asks: the same key stays in the same arm")


def _run(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.rows import read_rows, read_stream
    from bucle.doors.cli.serve import running
    from bucle.line import serving

    url = options.url or running(terminal.root(), options.endpoint).url
    rows = read_stream() if options.file == "-" else read_rows([options.file])
    with serving.Client(url) as client:
        asked = _fitted(rows, client.metadata(options.endpoint)["inputs"], terminal)
        told = [row for part in _ask(client, options, asked) for row in part]
    terminal.show(told)
    if told and not options.url:
        terminal.next(f"bucle trace {told[0]['prediction']}")


def _ask(client: Client, options: Namespace, rows: pl.DataFrame) -> list[list[dict[str, Any]]]:
    parts = [rows[start : start + BATCH] for start in range(0, rows.height, BATCH)]
    names = [options.id if number == 0 else f"{options.id}-{number}" for number in range(len(parts))]
    return [
        _rows(client.infer(options.endpoint, part, request_id=name if options.id else "", routing_key=options.key))
        for name, part in zip(names, parts, strict=True)
    ]


def _rows(answer: Inference) -> list[dict[str, Any]]:
    """An answer, one record a row; `prediction` is what `bucle trace` takes."""
    height = max(map(len, answer.outputs.values()), default=0)
    about = {"model": answer.model, "version": answer.version, "arm": answer.arm}
    outputs = [{name: column[row] for name, column in answer.outputs.items()} for row in range(height)]
    return [{"prediction": f"{answer.id}/{row}", **about, **one} for row, one in enumerate(outputs)]


def _fitted(rows: pl.DataFrame, inputs: list[dict[str, Any]], terminal: Terminal) -> pl.DataFrame:
    """The columns the endpoint asks for, as it wants them.

    Raises:
        BadRows: one is missing, or has a value of another kind.
    """
    from bucle.doors.cli.errors import BadRows
    from bucle.ground.core import suggest

    names = [field["name"] for field in inputs]
    for name in names:
        if name not in rows.columns:
            raise BadRows(
                f"The rows have no column {name!r}. {suggest(name, rows.columns)}".rstrip(),
                why=f"The endpoint asks for: {', '.join(names)}.",
                fix="Add the column, empty where a value is not known.",
                at=name,
            )
    if extra := [name for name in rows.columns if name not in names]:
        terminal.say(f"not sent, since nobody asks for it: {', '.join(extra)}")
    return rows.select([_cast(rows[field["name"]], field["datatype"]) for field in inputs])


def _cast(column: pl.Series, datatype: str) -> pl.Series:
    import polars as pl

    from bucle.doors.cli.errors import BadRows

    if column.dtype.is_temporal() and datatype == "BYTES" and isinstance(column.dtype, pl.Datetime):
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    kinds = {"BYTES": pl.String, "BOOL": pl.Boolean, "INT64": pl.Int64, "INT32": pl.Int64}
    try:
        return column.cast(kinds.get(datatype, pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise BadRows(
            f"The column {column.name!r} holds {column.dtype}, the endpoint wants {datatype}.",
            why=str(error).splitlines()[0],
            fix="Mend the column.",
            at=column.name,
        ) from error


VERBS: tuple[Verb, ...] = (Verb("", "ask an endpoint", _run, _arguments, "bucle predict tumours later.csv"),)
