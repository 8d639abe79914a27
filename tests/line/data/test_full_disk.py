"""A full disk in the middle of a change: told, and nothing half there."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from bucle.ground.project import Project
from bucle.line import data

WRITER = """
import errno, json, os, sys
import numpy as np, polars as pl
from bucle.ground.core import BucleError
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.data import parquet

left = [int(sys.argv[2])]

class Full:
    '''A file on a disk with so many bytes left.'''
    def __init__(self, file):
        self._file = file
    def write(self, content):
        left[0] -= len(content)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(content)

sink = parquet._Sink.__init__
parquet._Sink.__init__ = lambda self, file: sink(self, Full(file))
project = Project.open(sys.argv[1])
rows = pl.DataFrame({"id": np.random.default_rng(1).integers(0, 2**60, 50_000)})
told = []
for change in (
    lambda: data.commit(project, {"t": rows}, message="rows"),
    lambda: data.upsert(project, "t", rows.head(10), on=["id"], message="some"),
    lambda: data.compact(project, "t"),
):
    try:
        change()
    except BucleError as error:
        told.append(error.code)
print(json.dumps(told))
"""


DIRECT = """
import sys
from pathlib import Path
import numpy as np, polars as pl
from bucle.line.data.parquet import write_parquet
from bucle.line.data.schema import Column

rows = pl.DataFrame({"id": np.random.default_rng(1).integers(0, 2**60, int(sys.argv[1]))})
try:
    write_parquet(rows, (Column(id=1, name="id", type="long"),), Path(sys.argv[2]))
except OSError as error:
    print(error.errno)
"""


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
@pytest.mark.parametrize("rows", [10, 1_000_000])
def test_a_write_that_fails_does_not_end_the_process(tmp_path: Path, rows: int) -> None:
    (tmp_path / "direct.py").write_text(DIRECT)
    full = tmp_path / "full"
    full.symlink_to("/dev/full")  # a writer that removes what it could not write removes the link
    command = [sys.executable, str(tmp_path / "direct.py"), str(rows), str(full)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, str(errno.ENOSPC)), done.stderr[-500:]


@pytest.mark.parametrize("left", [0, 3, 100_000, 399_000])
def test_a_table_on_a_full_disk_stays_as_it_was(project: Project, tmp_path: Path, left: int) -> None:
    # Arrow ends the whole process where a file it writes fails, so another process tries.
    data.commit(project, {"t": pl.DataFrame({"id": [1, 2]})}, message="two")
    data.commit(project, {"t": pl.DataFrame({"id": [3]})}, message="one")
    head = data.resolve(project).id
    (tmp_path / "writer.py").write_text(WRITER)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "writer.py"), str(project.root), str(left)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == ["BU0205"] * 3
    assert data.resolve(project).id == head
    assert data.scan(project, "t").height == 3
    assert data.verify_files(project) == []
