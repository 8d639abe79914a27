"""A project whose module holds steps that leave a line in a side file each time they really run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line.pipelines import LocalProcesses

HEAD = """
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from bucle.ground.core import Record, UserError
from bucle.ground.project import Project
from bucle.line.pipelines import pipeline, step

SIDE = Path({side!r})


def ran(what: str) -> None:
    handle = os.open(SIDE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, (what + "\\n").encode())
    os.close(handle)

"""


class Flow:
    """A project folder, its one module, and what its steps did."""

    def __init__(self, root: Path, side: Path) -> None:
        self.root = root
        self.side = side

    def write(self, body: str, module: str = "flow", *, head: bool = True) -> None:
        text = (HEAD.format(side=str(self.side)) if head else "") + textwrap.dedent(body)
        (self.root / f"{module}.py").write_text(text)

    def ran(self) -> list[str]:
        return self.side.read_text().split() if self.side.exists() else []


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    root = tmp_path / "project"
    root.mkdir(exist_ok=True)
    (root / "bucle.toml").write_text('[project]\nname = "test"\nmodules = ["flow"]\n')
    return Flow(root, tmp_path / "side.txt")


class Shared:
    """One warm zygote for all tests: what a project keeps, but not closed with it."""

    def __init__(self, processes: LocalProcesses) -> None:
        self.run = processes.run
        self.cancel = processes.cancel
        self.environment = processes.environment

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def processes() -> Iterator[LocalProcesses]:
    started = LocalProcesses()
    yield started
    started.close()


@pytest.fixture
def opened(flow: Flow, clock: SimulatedClock, processes: LocalProcesses) -> Iterator[Callable[[], Project]]:
    """Opens the project, as a new process would."""
    projects: list[Project] = []

    def opener() -> Project:
        projects.append(Project.open(flow.root, clock=clock, actor="ana"))
        projects[-1].keep(LocalProcesses, lambda: Shared(processes))
        return projects[-1]

    yield opener
    for project in projects:
        project.close()
