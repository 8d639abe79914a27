"""Export: every run that fits a search, and every point of a run, written page by page however many there are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bucle.doors.ui import store
from bucle.doors.ui.columns import SCOPES, column_of
from bucle.doors.ui.view import plain_cell
from bucle.ground.core import encode, from_micros
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Run

__all__ = ["FORMATS", "Pages", "points_csv", "runs_in"]

AT_ONCE = 500
"""Runs held in memory at once."""

PIECE = 1 << 16

Pages = Callable[[Sequence[str]], Iterator[Sequence[Run]]]
"""What to read of each run -> the runs, page by page. Can be called again."""

FACTS: Mapping[str, Callable[[Run], Any]] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name,
    "experiment": lambda run: run.experiment,
    "status": lambda run: run.status,
    "started_at": lambda run: run.started_at,
    "ended_at": lambda run: run.ended_at,
    "duration_s": lambda run: (run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
    "actor": lambda run: run.actor,
    "code_commit": lambda run: run.code_commit,
    "seed": lambda run: run.seed,
}
"""What every run has, as columns."""


def runs_in(kind: str, project: Project, pages: Pages, chosen: Sequence[str]) -> Iterator[bytes]:
    """Runs as a file, in pieces.

    Args:
        kind: one of `FORMATS`.
        pages: the runs.
        chosen: columns, e.g. `metrics.auc`; every parameter, metric and tag when empty.
    Cost: the runs are read twice when no columns are chosen, so that the first line can name them all.
    """
    return _WRITERS[kind](project, pages, chosen)


def points_csv(project: Project, run: str, keys: Sequence[str]) -> Iterator[bytes]:
    """Every point of a run's metrics: metric, step, instant, value. One curve is held in memory at once.

    Args:
        keys: only of these; of all when empty.
    """
    yield _line(("metric", "step", "at", "value"))
    for name in keys or [summary.key for summary in tracking.summaries(project, run)]:
        steps, at, values = tracking.points(project, run, name)
        for start in range(0, len(steps), PIECE):
            end = start + PIECE
            columns = (steps[start:end].tolist(), at[start:end].tolist(), values[start:end].tolist())
            rows = zip(*columns, strict=True)
            key = plain_cell(name)
            yield b"".join(_line((key, step, from_micros(when * 1000), value)) for step, when, value in rows)


def _csv(project: Project, pages: Pages, chosen: Sequence[str]) -> Iterator[bytes]:
    names = _names(project, pages, chosen)
    yield _line((*FACTS, *names))
    for page in pages(_read(chosen)):
        yield b"".join(_line([plain_cell(value) for value in _values(run, names)]) for run in page)


def _jsonl(project: Project, pages: Pages, chosen: Sequence[str]) -> Iterator[bytes]:
    for page in pages(_read(chosen)):
        yield b"".join(encode(run) + b"\n" for run in page)


def _parquet(project: Project, pages: Pages, chosen: Sequence[str]) -> Iterator[bytes]:
    """Row groups go to a file of their own first: the end of a Parquet file names its beginnings."""
    # Nothing else of a server needs it, and it is 60 MB of memory.
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = _names(project, pages, chosen)
    instant = pa.timestamp("us", tz="UTC")
    kinds = {"started_at": instant, "ended_at": instant, "duration_s": pa.float64(), "seed": pa.int64()}
    fields = [(name, kinds.get(name, pa.string())) for name in FACTS]
    fields += [(name, pa.float64() if name.startswith("metrics.") else pa.string()) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.parquet"
        with pq.ParquetWriter(path, pa.schema(fields), compression="zstd") as writer:
            for page in pages(_read(chosen)):
                rows = [_values(run, names) for run in page]
                columns = [[row[place] for row in rows] for place in range(len(fields))]
                arrays = [pa.array(values, kind) for values, (_, kind) in zip(columns, fields, strict=True)]
                writer.write_table(pa.table(arrays, schema=pa.schema(fields)))
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


_WRITERS: Mapping[str, Callable[[Project, Pages, Sequence[str]], Iterator[bytes]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
}

FORMATS: Mapping[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
"""Ending of a file -> its media type."""


def _read(chosen: Sequence[str]) -> Sequence[str]:
    return chosen or SCOPES


def _names(project: Project, pages: Pages, chosen: Sequence[str]) -> list[str]:
    """The columns behind the facts: those chosen, or all that one of the runs has."""
    if chosen:
        return [column.name for name in chosen if (column := column_of(name)) and column.scope]
    found: dict[str, dict[str, None]] = {scope: {} for scope in SCOPES}
    for page in pages(()):
        with store.cells(project, [run.id for run in page]) as cells:
            found["metrics"].update(dict.fromkeys(cells.metrics(AT_ONCE)))
            for scope in ("params", "tags"):
                found[scope].update(dict.fromkeys(one.key for one in cells.texts(scope)))
    return [f"{scope}.{key}" for scope, keys in found.items() for key in sorted(keys)]


def _values(run: Run, names: Sequence[str]) -> list[Any]:
    held: Mapping[str, Mapping[str, Any]] = {"metrics": run.metrics, "params": run.params, "tags": run.tags}
    values = [fact(run) for fact in FACTS.values()]
    for name in names:
        scope, _, key = name.partition(".")
        values.append(held[scope].get(key))
    return values


def _line(values: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(_written(value) for value in values)
    return text.getvalue().encode()


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
