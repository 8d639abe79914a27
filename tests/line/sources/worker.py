"""What the tests of sources run in other processes.

python worker.py runs ROOT URL COUNT   runs source `s` COUNT times; another's turn is tried again
python worker.py victims ROOT URL      reads a LINE from standard input and forks a child for each that runs source `s`
                                       and kills itself at that line of our code; 0 lets it live. Answers `STATUS LINES`
python worker.py memory ROOT           runs source `small`, then `s`, and prints by how many MB the peak grew
"""

from __future__ import annotations

import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data, sources
from bucle.line.data import staged as _loaded  # noqa: F401  pyiceberg, before any fork

sys.path.insert(0, str(Path(__file__).parents[2]))

from line.data.worker import Fuse

pl.Series([1]).sum()


def open_project(root: str, url: str) -> Project:
    return Project.open(root, database=url, clock=SimulatedClock(datetime(2013, 1, 1, tzinfo=UTC)), actor="worker")


def runs(root: str, url: str, count: int) -> None:
    project = open_project(root, url)
    for _ in range(count):
        while True:
            try:
                sources.run(project, "s")
                break
            except sources.SourceBusy:
                continue
    project.close()


def victims(root: str, url: str) -> None:
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            fuse = Fuse(int(line))
            sys.settrace(fuse)
            project = open_project(root, url)
            try:
                sources.run(project, "s")
            finally:
                sys.settrace(None)
                os.write(writer, str(fuse.count).encode())
            project.close()
            os._exit(0)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        lines = int(os.read(reader, 20) or 0)
        os.close(reader)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)} {lines}\n")
        sys.stdout.flush()


def memory(root: str) -> None:
    project = open_project(root, "")
    sources.run(project, "small")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sources.run(project, "s")
    sys.stdout.write(str((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10))
    assert data.snapshot(project, "t").rows > 0
    project.close()


if __name__ == "__main__":
    what, root, *rest = sys.argv[1:]
    if what == "runs":
        runs(root, rest[0], int(rest[1]))
    elif what == "victims":
        victims(root, rest[0])
    else:
        memory(root)
