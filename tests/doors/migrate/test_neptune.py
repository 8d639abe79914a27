"""Moving in from Neptune. The export is written here by the schema that neptune-exporter documents, not by Neptune."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bucle.doors.migrate import BadSource, NeptuneExport, UnknownSchema
from bucle.ground.project import Project
from bucle.line import tracking
from doors.migrate.conftest import Carry

FLOATS = pa.list_(pa.float64())
SCHEMA = pa.schema(
    [
        ("project_id", pa.string()),
        ("run_id", pa.string()),
        ("attribute_path", pa.string()),
        ("attribute_type", pa.string()),
        ("step", pa.decimal128(18, 6)),
        ("timestamp", pa.timestamp("ms", tz="UTC")),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("string_value", pa.string()),
        ("bool_value", pa.bool_()),
        ("datetime_value", pa.timestamp("ms", tz="UTC")),
        ("string_set_value", pa.list_(pa.string())),
        ("file_value", pa.struct([("path", pa.string())])),
        ("histogram_value", pa.struct([("type", pa.string()), ("edges", FLOATS), ("values", FLOATS)])),
    ]
)  # fmt: skip
PROJECT = "team/digits"
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def row(path: str, kind: str, *, run: str = "DIG-1", **values: Any) -> dict[str, Any]:
    given = dict.fromkeys(SCHEMA.names)
    return {**given, "project_id": PROJECT, "run_id": run, "attribute_path": path, "attribute_type": kind, **values}


def rows_of(run: str) -> list[dict[str, Any]]:
    points = [
        row("metrics/loss", "float_series", step=Decimal(number) / 2, timestamp=NOON, float_value=1 / (number + 1))
        for number in range(6)
    ]
    return [
        {**one, "run_id": run}
        for one in (
            row("sys/name", "string", string_value="quiet-fox"),
            row("sys/creation_time", "datetime", datetime_value=NOON),
            row("sys/modification_time", "datetime", datetime_value=NOON.replace(hour=13)),
            row("sys/owner", "string", string_value="ana"),
            row("sys/tags", "string_set", string_set_value=["baseline", "cnn"]),
            row("sys/failed", "bool", bool_value=run == "DIG-2"),
            row("sys/trashed", "bool", bool_value=False),
            row("parameters/lr", "float", float_value=0.01),
            row("parameters/layers", "int", int_value=3),
            row("parameters/when", "datetime", datetime_value=NOON),
            *points,
            row("metrics/acc", "float_series", step=Decimal(3), timestamp=NOON, float_value=float("nan")),
            row("logs/out", "string_series", step=Decimal(1), timestamp=NOON, string_value="hello"),
            row("hist/w", "histogram_series", step=Decimal(1), timestamp=NOON,
                histogram_value={"type": "COUNTING", "edges": [0.0, 1.0], "values": [3.0]}),
            row("model/weights.bin", "file", file_value={"path": "team_digits/DIG-1/weights.bin"}),
            row("images/seen", "file_series", step=Decimal(2), file_value={"path": "team_digits/DIG-1/seen_2.png"}),
            row("source", "file_set", file_value={"path": "team_digits/DIG-1/source"}),
        )
    ]  # fmt: skip


@pytest.fixture
def export(tmp_path: Path) -> Path:
    data, files = tmp_path / "exports" / "data" / "team_digits-0a", tmp_path / "exports" / "files" / "team_digits/DIG-1"
    data.mkdir(parents=True)
    (files / "source" / "lib").mkdir(parents=True)
    (files / "weights.bin").write_bytes(b"weights")
    (files / "seen_2.png").write_bytes(b"png")
    (files / "source" / "train.py").write_text("train()")
    (files / "source" / "lib" / "a.py").write_text("a()")
    for run in ("DIG-1", "DIG-2"):
        rows = rows_of(run)
        for part, some in enumerate((rows[:9], rows[9:])):
            pq.write_table(
                pa.Table.from_pylist(some, SCHEMA), data / f"{run}-1b_part_{part}.parquet", compression="snappy"
            )
    return tmp_path / "exports"


def test_a_run_comes_with_parameters_series_and_files(project: Project, export: Path, carry: Carry) -> None:
    report = carry(NeptuneExport(export))
    assert report.is_sound
    assert (report.runs, report.points) == (2, 14)
    found = {run.tags["neptune.run_id"]: run for run in tracking.runs(project)}
    run = found["DIG-1"]
    assert (run.name, run.experiment, run.actor, run.status) == ("quiet-fox", PROJECT, "ana", "finished")
    assert found["DIG-2"].status == "failed"
    assert (run.started_at, run.ended_at) == (NOON, NOON.replace(hour=13))
    assert run.params == {"parameters/lr": "0.01", "parameters/layers": "3", "parameters/when": NOON.isoformat()}
    assert (run.tags["baseline"], run.tags["neptune.step_multiplier"]) == ("true", "10")
    (whole,) = tracking.whole_runs(project, [run.id])
    assert whole.curves["metrics/loss"].steps.tolist() == [0, 5, 10, 15, 20, 25]
    assert set(run.artifacts) == {
        "model/weights.bin",
        "images/seen/step_2.png",
        "source/train.py",
        "source/lib/a.py",
        "series/logs/out.jsonl",
        "series/hist/w.jsonl",
    }
    said = tracking.get_artifact(project, f"run/{run.id}", "series/logs/out.jsonl").read_text()
    assert json.loads(said)["value"] == "hello"


def test_moving_in_twice_changes_nothing(project: Project, export: Path, carry: Carry) -> None:
    carry(NeptuneExport(export))
    again = carry(NeptuneExport(export / "data"))
    assert (again.new_runs, again.is_sound, len(tracking.runs(project))) == (0, True, 2)


def test_a_file_outside_of_the_export_is_left(project: Project, export: Path, carry: Carry) -> None:
    secret = export.parent / "secret"
    secret.write_text("mine")
    rows = [row("leak", "file", run="DIG-3", file_value={"path": "../../secret"})]
    rows += [row("gone", "file", run="DIG-3", file_value={"path": "not/there"})]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), export / "data" / "team_digits-0a" / "DIG-3-1b_part_0.parquet")
    report = carry(NeptuneExport(export))
    assert report.left == {"files outside of the export": 1, "files that are not in the export": 1}


def test_a_damaged_part_is_told_and_the_other_runs_come(project: Project, export: Path, carry: Carry) -> None:
    part = export / "data" / "team_digits-0a" / "DIG-1-1b_part_1.parquet"
    part.write_bytes(part.read_bytes()[:-30])
    (part.with_name("DIG-9_part_0.parquet.tmp")).write_bytes(b"")
    report = carry(NeptuneExport(export))
    assert [fault.where for fault in report.faults] == ["team_digits-0a/DIG-1-1b_part_1.parquet"]
    assert report.runs == 2
    assert report.left["parts the exporter did not finish"] == 1


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="no export"):
        NeptuneExport(tmp_path)
    with pytest.raises(BadSource, match="no folder"):
        NeptuneExport(tmp_path / "nothing")
    (tmp_path / "p").mkdir()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "p" / "part_0.parquet")
    with pytest.raises(UnknownSchema, match="project_id"):
        NeptuneExport(tmp_path)
