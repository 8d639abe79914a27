"""Place: where a project's steps run: in this Python, or in a virtual environment made of the project's lock."""

from __future__ import annotations

import sys
from pathlib import Path

from bucle.ground.core import Environment, Interpreter, Section
from bucle.ground.project import Project
from bucle.line import environments
from bucle.line.pipelines import Executor, LocalProcesses

__all__ = ["PipelinesSection", "executor_of", "interpreter_for", "virtual_environments"]


class PipelinesSection(Section, frozen=True):
    """`[pipelines]`: where steps run.

    Attributes:
        lock: a requirements file with hashes, in the project; steps run in a virtual environment of just that. Empty
            is the Python that Bucle runs in.
    """

    lock: str = ""


def executor_of(project: Project) -> Executor | None:
    """Where the project's steps run; None for this Python. It is closed with the project.

    Raises:
        NotBuilt: the virtual environment of `[pipelines] lock` cannot be made.
        UvMissing: uv is not installed.
    """
    lock = project.config.section("pipelines", PipelinesSection).lock
    if not lock:
        return None
    return project.keep(_Locked, lambda: _Locked(interpreter_for(project, project.root / lock)))


def interpreter_for(project: Project, wanted: Path | Environment) -> Interpreter:
    """The Python of a virtual environment, made unless it is there.

    Args:
        wanted: a lock, or an environment that is on record.
    Raises:
        NotBuilt, EnvironmentDiffers: it cannot be made here.
        UvMissing: uv is not installed.
    """
    folder = virtual_environments(project)
    if isinstance(wanted, Environment):
        return environments.build(wanted, folder)
    return environments.build_from_lock(wanted, folder, python=".".join(map(str, sys.version_info[:2])))


def virtual_environments(project: Project) -> Path:
    """The folder with the project's virtual environments."""
    return project.state / "environments"


class _Locked(LocalProcesses):
    """Processes in the environment of the project's lock, apart from those of this Python."""
