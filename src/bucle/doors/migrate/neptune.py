"""What neptune-exporter wrote, Parquet and files, in our nouns: a row is an attribute of a run or a point."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bucle.doors.migrate.errors import BadSource, UnknownSchema
from bucle.doors.migrate.found import FoundFile, FoundLoggedModel, FoundModel, FoundRun, FoundTrace
from bucle.ground.core import digest_of
from bucle.ground.ledger import Fault
from bucle.line.tracking import Experiment, Status, WholeRun, gather_curves

__all__ = ["NeptuneExport"]

NEEDED = ("project_id", "run_id", "attribute_path", "attribute_type")
_VALUES = {
    "float": "float_value",
    "int": "int_value",
    "string": "string_value",
    "bool": "bool_value",
    "datetime": "datetime_value",
    "string_set": "string_set_value",
}
_PART = re.compile(r"(?:(?P<run>.*)_)?part_(?P<number>\d+)\.parquet")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FINEST = 6
"""Decimals of a step."""

NOTE = "mlflow.note.content"


class NeptuneExport:
    """A source: a folder that neptune-exporter wrote.

    Args:
        folder: the exported data, one folder a project; or the folder that holds it as `data`, beside `files`.
        files: the exported files, when they are somewhere else.
    Raises:
        BadSource: it is no such folder.
        UnknownSchema: its Parquet files have other columns.
    Source: the schema in the README of https://github.com/neptune-ai/neptune-exporter
    """

    kind = "neptune"

    def __init__(self, folder: Path, files: Path | None = None) -> None:
        self._data = folder / "data" if (folder / "data").is_dir() else folder
        self._files = (files or self._data.parent / "files").resolve()
        self.address = str(self._data.resolve())
        self._left: dict[str, int] = {}
        self._faults = list[Fault]()
        self._parts = _parts(self._data)

    def close(self) -> None:
        """Nothing is held."""

    def experiments(self) -> list[Experiment]:
        """See `Source.experiments`: a project is an experiment. Cost: the project's column of every file."""
        names = {name for parts in self._parts for part in parts for name in self._projects_of(part)}
        return [
            Experiment(
                id=name, name=name, lifecycle="active", artifact_location="", created_at=_EPOCH, updated_at=_EPOCH
            )
            for name in sorted(names)
        ]

    def runs(self) -> Iterator[FoundRun]:
        """See `Source.runs`. Cost: one run's rows in memory."""
        for parts in self._parts:
            found: dict[tuple[str, str], _Rows] = {}
            for part in parts:
                for row in self._rows_of(part):
                    found.setdefault((row["project_id"], row["run_id"]), _Rows()).take(row)
            for (project, run), rows in sorted(found.items()):
                yield self._run(project, run, rows)

    def logged_models(self) -> Iterator[FoundLoggedModel]:
        """None: the export has none."""
        return iter(())

    def models(self) -> Iterator[FoundModel]:
        """None: the export has none."""
        return iter(())

    def traces(self) -> Iterator[FoundTrace]:
        """None: the export has none."""
        return iter(())

    def left(self) -> dict[str, int]:
        """See `Source.left`."""
        unfinished = sum(1 for _ in self._data.glob("*/*.parquet.tmp"))
        return {**self._left, **({"parts the exporter did not finish": unfinished} if unfinished else {})}

    def faults(self) -> list[Fault]:
        """See `Source.faults`."""
        return self._faults

    def _projects_of(self, part: Path) -> set[str]:
        try:
            return set(pq.read_table(part, columns=["project_id"]).column(0).to_pylist())
        except (pa.ArrowException, OSError):
            return set()  # told when its rows are wanted

    def _rows_of(self, part: Path) -> Iterator[dict[str, Any]]:
        """The rows of a file, a portion at a time; what can be read of a damaged one."""
        try:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(batch_size=20_000):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            told = " ".join(str(error).split())
            self._faults.append(Fault(where=f"{part.parent.name}/{part.name}", what=f"cannot be read: {told}"))

    def _run(self, project: str, run: str, rows: _Rows) -> FoundRun:
        about = rows.about
        began = _instant(about.get("sys/creation_time")) or _millis(min(rows.instants, default=0))
        ended = _instant(about.get("sys/modification_time")) or _millis(max(rows.instants, default=0))
        scale = _scale(rows.steps)
        told = {key: _text(value) for key, value in about.items() if key.startswith("sys/") and key not in _USED}
        tags = {**{str(tag): "true" for tag in about.get("sys/tags") or ()}, "neptune.run_id": run, **told}
        tags |= {NOTE: str(about["sys/description"])} if about.get("sys/description") else {}
        tags |= {"neptune.step_multiplier": str(scale)} if scale > 1 else {}
        is_trashed = bool(about.get("sys/trashed"))
        whole = WholeRun(
            id=digest_of(f"neptune/{project}/{run}".encode())[:32],
            experiment_id=project,
            name=str(about.get("sys/name") or about.get("sys/custom_run_id") or run),
            status=_status(about),
            lifecycle="deleted" if is_trashed else "active",
            deleted_at=ended if is_trashed else None,
            actor=str(about.get("sys/owner") or ""),
            started_at=began,
            ended_at=max(ended, began),
            params={key: _text(value) for key, value in about.items() if not key.startswith("sys/")},
            tags=tags,
            curves=gather_curves(rows.keys, [int(step * scale) for step in rows.steps], rows.instants, rows.values),
        )
        return FoundRun(whole, lambda: self._files_of(rows))

    def _files_of(self, rows: _Rows) -> Iterator[FoundFile]:
        for path, step, where in rows.files:
            name = path if step is None else f"{path}/step_{step.normalize():f}"
            found = (self._files / where).resolve()
            if not found.is_relative_to(self._files):
                self._count("files outside of the export")
            elif found.is_dir():
                for file in sorted(one for one in found.rglob("*") if one.is_file() and not one.is_symlink()):
                    yield FoundFile(f"{name}/{file.relative_to(found).as_posix()}", file)
            elif found.is_file():
                yield FoundFile(name if step is None else f"{name}{found.suffix}", found)
            else:
                self._count("files that are not in the export")
        for path, lines in rows.series.items():
            yield FoundFile(f"series/{path}.jsonl", ("\n".join(lines) + "\n").encode())

    def _count(self, told: str) -> None:
        self._left[told] = self._left.get(told, 0) + 1


_USED = ("sys/tags", "sys/description", "sys/name", "sys/creation_time", "sys/owner")


class _Rows:
    """What the rows of one run say.

    Attributes:
        about: attribute -> value, of those that have one.
        keys, steps, instants, values: of the points of series of numbers.
        files: path, step or None, place in the export.
        series: path -> lines of JSON, of texts and histograms.
    """

    def __init__(self) -> None:
        self.about = dict[str, Any]()
        self.keys = list[str]()
        self.steps = list[Decimal]()
        self.instants = list[int]()
        self.values = list[float]()
        self.files = list[tuple[str, Decimal | None, str]]()
        self.series = dict[str, list[str]]()

    def take(self, row: Mapping[str, Any]) -> None:
        """One more row; of a kind nobody knows, nothing."""
        kind, path = row["attribute_type"], row["attribute_path"]
        step = row.get("step")
        if kind in _VALUES:
            self.about[path] = row.get(_VALUES[kind])
        elif kind == "float_series" and row.get("float_value") is not None:
            self.keys.append(path)
            self.steps.append(Decimal(0) if step is None else Decimal(step))
            self.instants.append(_to_millis(row.get("timestamp")))
            self.values.append(row["float_value"])
        elif kind in ("string_series", "histogram_series"):
            value = row.get("string_value" if kind == "string_series" else "histogram_value")
            line = {
                "step": None if step is None else float(step),
                "at": _to_millis(row.get("timestamp")),
                "value": value,
            }
            self.series.setdefault(path, []).append(json.dumps(line, ensure_ascii=False))
        elif row.get("file_value"):
            where = row["file_value"].get("path")
            if where:
                self.files.append((path, None if step is None or kind == "file" else Decimal(step), where))


def _parts(data: Path) -> list[list[Path]]:
    """The files of each run, in the order they were written. Older exports have no run in a file's name."""
    by_run: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    for file in sorted(data.glob("*/*.parquet")) or sorted(data.glob("*.parquet")):
        if named := _PART.fullmatch(file.name):
            by_run.setdefault((file.parent.name, named["run"] or ""), []).append((int(named["number"]), file))
    if not by_run:
        raise BadSource(
            f"There is no export of Neptune in {data}." if data.is_dir() else f"There is no folder {data}.",
            why="It has a folder a project with files `…_part_0.parquet`.",
            fix="Export first: neptune-exporter export -p WORKSPACE/PROJECT; then name what you gave as --data-path.",
            at=str(data),
        )
    first = next(iter(by_run.values()))[0][1]
    _check_columns(first)
    return [[file for _, file in sorted(files)] for _, files in sorted(by_run.items())]


def _check_columns(file: Path) -> None:
    try:
        columns = pq.read_schema(file).names
    except (pa.ArrowException, OSError):
        return  # told when its rows are wanted
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise UnknownSchema(
            f"{file.name} has no column {', '.join(missing)}.",
            why=f"It has: {', '.join(columns[:12])}.",
            fix="Name the data of neptune-exporter: a folder a project with Parquet files in it.",
            at=str(file),
        )


def _scale(steps: Sequence[Decimal]) -> int:
    """What makes whole numbers of all steps: the least power of ten."""
    decimals = max((-int(step.normalize().as_tuple().exponent) for step in steps if step), default=0)
    return int(10 ** min(max(decimals, 0), FINEST))


def _status(about: Mapping[str, Any]) -> Status:
    if about.get("sys/failed"):
        return "failed"
    return "running" if str(about.get("sys/state", "")).lower() in ("active", "running") else "finished"


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple | set):
        return ", ".join(sorted(map(str, value)))
    return "" if value is None else str(value)


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _to_millis(value: Any) -> int:
    found = _instant(value)
    return 0 if found is None else round(found.timestamp() * 1000)


def _millis(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1000, tz=UTC)
