"""`bucle run FOLDER`: an MLflow Project, its client led to this project for as long as it runs."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bucle.doors.cli.errors import BadUsage
from bucle.doors.cli.terminal import Terminal

if TYPE_CHECKING:
    from bucle.doors.protocols.mlproject import Launched
    from bucle.ground.project import Project

__all__ = ["add_mlproject", "is_mlproject", "run_mlproject"]


def add_mlproject(parser: ArgumentParser) -> None:
    """What only an MLflow Project takes, named as MLflow names it."""
    more = parser.add_argument_group("of an MLflow Project")
    more.add_argument("-e", "--entry-point", default="", metavar="NAME", help="or a script's path (default: main)")
    more.add_argument(
        "--env-manager", choices=("uv", "local"), default="uv",
        help="uv makes what its environment file says; local runs in this Python (default: uv)",
    )  # fmt: skip
    more.add_argument("--experiment", default="", metavar="NAME", help="where its run belongs (default: Default)")
    more.add_argument("--run-name", default="", metavar="TEXT", help="for people")


def is_mlproject(options: Namespace) -> bool:
    """Whether what is to be run is a folder rather than a pipeline.

    Raises:
        BadUsage: it is the address of a repository.
    """
    from bucle.doors.protocols.mlproject import find_mlproject

    named = str(options.pipeline)
    if re.match(r"git@|git\+|(https?|ssh|git)://", named) or "#" in named:
        raise BadUsage(
            f"{named!r} is not a folder on this machine.",
            why="Bucle runs an MLflow Project from a folder, so that you see what you run.",
            fix="git clone ADDRESS, then: bucle run FOLDER",
            at=named,
        )
    folder = Path(named or "?")
    looks_so = named in (".", "..") or "/" in named or bool(options.entry_point)
    return folder.is_dir() and (looks_so or find_mlproject(folder) is not None)


def run_mlproject(options: Namespace, terminal: Terminal) -> None:
    """Prepare its environment, answer MLflow's protocol, and carry the entry point out."""
    import os

    from bucle.doors.protocols import mlproject

    definition = mlproject.read_mlproject(Path(options.pipeline))
    entry = definition.entry_point(options.entry_point or "main")
    with terminal.project() as project:
        terminal.say(f"{definition.name}: {entry.name}")
        surroundings = mlproject.prepare(project, definition, options.env_manager)
        with _answering(project) as url:
            made = mlproject.launch(
                project,
                definition,
                entry,
                params=dict(options.params),
                surroundings=surroundings,
                tracking_uri=url,
                experiment=options.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "") or "Default",
                run_name=options.run_name,
                quiet=terminal.as_json,
            )
    _tell(made, terminal)


def _tell(made: Launched, terminal: Terminal) -> None:
    run = made.run
    told = {
        "run": run.id,
        "experiment": run.experiment,
        "status": run.status,
        "exit status": made.exit_status,
        "environment": made.env_manager,
        "params": " ".join(f"{name}={value}" for name, value in run.params.items()),
        "metrics": " ".join(f"{name}={value:.6g}" for name, value in run.metrics.items()),
    }
    terminal.show(made, told=told)
    terminal.next(f"bucle runs show {run.id}")


@contextmanager
def _answering(project: Project) -> Iterator[str]:
    """The address at which the project speaks MLflow's protocol, on this machine only, until the block ends."""
    import threading

    from bucle.doors.server import serve

    stop, ready, address = threading.Event(), threading.Event(), list[str]()
    failed: list[BaseException] = []

    def told(url: str) -> None:
        address.append(url)
        ready.set()

    def answer() -> None:
        try:
            serve(project, "127.0.0.1", 0, controller=False, ready=told, stop=stop)
        except BaseException as error:  # handed to who waits
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=answer, name="bucle-mlflow")
    thread.start()
    try:
        ready.wait()
        if failed:
            raise failed[0]
        yield address[0]
    finally:
        stop.set()
        thread.join()
