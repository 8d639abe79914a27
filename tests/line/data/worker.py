"""What the tests of concurrency and crashes run in other processes.

python worker.py commits ROOT URL NAME COUNT    commits COUNT batches to one table, appending to those of others
python worker.py lands ROOT URL NAME COUNT      the same through contracts
python worker.py adds ROOT URL NAME COUNT FOLDER adds a folder COUNT times, with a file more each time
python worker.py victims ROOT                   reads `KEY LINE` from standard input and forks a child for each
                                                that commits under KEY and kills itself at that line of our code;
                                                line 0 lets it live. Answers `STATUS LINES`.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.contracts import ColumnRule, Contract
from bucle.line.data import avro, iceberg
from bucle.line.data import foreign as _loaded  # noqa: F401  pyiceberg, before any fork
from bucle.line.data import staged as _too  # noqa: F401
from bucle.line.data.manifest import pack_statistics
from bucle.line.data.parquet import write_parquet
from bucle.line.data.schema import Column

KEYED = {
    name: Contract(table=name, columns=(ColumnRule(name="key", unique=True), ColumnRule(name="n"))) for name in "ab"
}
LINE = Path(data.__file__).parents[1]
OURS = (str(LINE / "data"), str(LINE / "files"), str(LINE.parent / "ground"))


class Fuse:
    """Counts the lines of our own code that run, and kills the process at one of them."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.count = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line":
            self.count += 1
            if self.count == self.line:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def open_project(root: str, url: str = "") -> Project:
    return Project.open(root, database=url, clock=SimulatedClock(datetime(2013, 1, 1, tzinfo=UTC)), actor="worker")


def batch(key: str) -> dict[str, pl.DataFrame]:
    return {"a": pl.DataFrame({"key": [key], "n": [1]}), "b": pl.DataFrame({"key": [key], "n": [2]})}


def folder_of(project: Project, key: str) -> Path:
    """A folder with a small file, one that is the same for every key, and one in chunks, half of it the same too."""
    folder = project.root / key
    folder.mkdir(exist_ok=True)
    half = random.Random(0).randbytes(3 << 20)
    files = {"small": key.encode(), "same": b"same", "large": half + random.Random(key).randbytes(2 << 20)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write(project: Project, key: str) -> None:
    """A commit of two tables and a file, a landing of two tables, or an Iceberg client's commit, each under its key."""
    if key.startswith("client"):
        as_client(project, key)
    elif key.startswith("land"):
        data.land(project, batch(key), contracts=KEYED, message=key, key=key)
    elif key.startswith("mend"):
        mend(project, key)
    elif key.startswith("add"):
        data.add_files(project, folder_of(project, key), key, message=key, key=key)
    else:
        data.commit(project, batch(key), files={f"{key}.txt": key.encode()}, message=key, key=key)


def mend(project: Project, key: str) -> None:
    """Upsert, delete, alter, compact, expire and sweep a table: what counts is there before and after each."""
    rows = pl.DataFrame({"id": range(40), "v": [0] * 40})
    data.upsert(project, "t", rows, on=["id"], message=key, key=f"{key}/0")
    data.commit(project, {"t": pl.DataFrame({"id": range(40, 45), "v": [9] * 5})}, message=key, key=f"{key}/1")
    data.delete(project, "t", "v = 9", message=key, key=f"{key}/2")
    data.alter(project, "t", [f"add {key.replace('-', '_')} long"], message=key, key=f"{key}/3")
    data.compact(project, "t", message=key, key=f"{key}/4")
    data.expire(project, older_than=timedelta(seconds=-5), keep=1)
    data.sweep(project, older_than=timedelta(seconds=-5))


def as_client(project: Project, key: str) -> None:
    """Append to both tables as an Iceberg client does: its files are there before the catalog hears of them."""
    if not data.table_names(project):
        data.commit(project, batch(key), message=key, key=key)
        return
    changes = [appended(project, table, rows) for table, rows in batch(key).items()]
    data.commit_metadata(project, changes, message=key, key=key)


def appended(project: Project, table: str, rows: pl.DataFrame) -> data.TableChange:
    """What a client asks that appended rows to a table."""
    metadata = data.table_metadata(project, table).metadata
    folder, number = Path(metadata["location"].removeprefix("file://")), iceberg.new_snapshot_id()
    columns = [Column(id=one["id"], name=one["name"], type=one["type"]) for one in metadata["schemas"][0]["fields"]]
    file, where = folder / "data" / f"{number}.parquet", folder / "metadata"
    found = pack_statistics(write_parquet(rows, columns, file))
    name = f"{folder.relative_to(project.state)}/data/{number}.parquet"
    kept = data.DataFile(path=name, digest="", rows=rows.height, size_bytes=file.stat().st_size, statistics=found)
    given = (f"file://{where}/{number}.avro", iceberg.iceberg_schema(columns), iceberg.partition_spec(metadata, 0))
    content, added = avro.new_manifest(
        *given, number, [kept], uri=lambda path: f"file://{project.state}/{path}", holds=avro.DATA
    )
    (where / f"{number}.avro").write_bytes(content)
    before = next(one for one in metadata["snapshots"] if one["snapshot-id"] == metadata["current-snapshot-id"])
    listed = [
        *avro.read_list(avro.LakeIO(project, str(where.relative_to(project.state))), before["manifest-list"]),
        added,
    ]
    sequence, place = metadata["last-sequence-number"] + 1, f"file://{where}/{number}-list.avro"
    content = avro.manifest_list(place, number, before["snapshot-id"], sequence, listed)
    (where / f"{number}-list.avro").write_bytes(content)
    snapshot = {
        "snapshot-id": number,
        "parent-snapshot-id": before["snapshot-id"],
        "sequence-number": sequence,
        "timestamp-ms": 1,
        "manifest-list": place,
        "summary": {"operation": "append"},
    }
    pointed = {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": number}
    required = {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": before["snapshot-id"]}
    added_snapshot = {"action": "add-snapshot", "snapshot": snapshot}
    return data.TableChange(table=table, requirements=(required,), updates=(added_snapshot, pointed))


def many(what: str, root: str, url: str, name: str, count: int) -> None:
    project = open_project(root, url)
    for number in range(count):
        rows = {"t": pl.DataFrame({"key": [f"{name}-{number}"]})}
        if what == "commits":
            data.commit(project, rows, message=f"{name} {number}", key=f"{name}/{number}")
        else:
            contract = Contract(table="t", columns=(ColumnRule(name="key", unique=True),))
            data.land(project, rows, contracts={"t": contract}, message=f"{name} {number}", key=f"{name}/{number}")
    project.close()


def adds(root: str, url: str, name: str, count: int, folder: str) -> None:
    project = open_project(root, url)
    for number in range(count):
        (Path(folder) / f"more-{number}").write_bytes(f"{name} {number}".encode())
        data.add_files(project, folder, name, message=f"{name} {number}")
    project.close()


def victims(root: str) -> None:
    for line in sys.stdin:
        key, at = line.split()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            fuse = Fuse(int(at))
            project = open_project(root)
            sys.settrace(fuse)
            write(project, key)
            sys.settrace(None)
            os.write(writing, str(fuse.count).encode())
            os._exit(0)
        os.close(writing)
        lines = os.read(reading, 32).decode() or "0"
        os.close(reading)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)} {lines}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "victims":
        victims(sys.argv[2])
    elif sys.argv[1] == "adds":
        adds(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6])
    else:
        many(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
