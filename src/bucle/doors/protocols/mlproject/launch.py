"""Launch: an entry point carried out as a run of this project, from its parameters to its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from bucle.doors.protocols.mlproject.command import command_of, values_of
from bucle.doors.protocols.mlproject.definition import Definition, EntryPoint
from bucle.doors.protocols.mlproject.errors import EntryPointFailed
from bucle.doors.protocols.mlproject.surroundings import Surroundings
from bucle.ground.core import Record, encode, environment, make_ref
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Circumstances, Experiment, Run

__all__ = ["Launched", "launch"]

GRACE_S = 10.0
"""So long a command has to end after it was asked to."""


class Launched(Record, frozen=True):
    """An entry point that was carried out.

    Attributes:
        run: the run it was recorded as, as it stands at its end.
        command: what the shell was given.
        exit_status: of the command; negative when a signal ended it.
        env_manager: `local` or `uv`.
    """

    run: Run
    command: str
    exit_status: int
    env_manager: str


def launch(
    project: Project,
    definition: Definition,
    entry: EntryPoint,
    *,
    params: Mapping[str, str],
    surroundings: Surroundings,
    tracking_uri: str,
    experiment: str = "Default",
    run_name: str = "",
    quiet: bool = False,
) -> Launched:
    """Run an entry point to its end, and record it.

    Args:
        params: values of its parameters, and further options of the command.
        surroundings: what `prepare` made.
        tracking_uri: where the project answers MLflow's clients for as long as this takes.
        experiment: its name; made when there is none.
        quiet: what the command prints goes to standard error, for standard output is a document.
    Raises:
        BadMlproject: a parameter is missing or wrong; nothing was begun.
        EntryPointFailed: the command failed; the run says so.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the command and all it started are ended, the run is `killed`.
    """
    values = values_of(entry, params)
    line = command_of(entry, values)
    where = tracking.ensure_experiment(project, experiment)
    run = _begin(project, definition, entry, where, values=values, surroundings=surroundings, name=run_name)
    told = {"MLFLOW_TRACKING_URI": tracking_uri, "MLFLOW_RUN_ID": run.id, "MLFLOW_EXPERIMENT_ID": where.id}
    try:
        status = _carry_out(line, Path(definition.folder), _variables(surroundings, told), quiet=quiet)
    except KeyboardInterrupt:
        tracking.end_run(project, run.id, status="killed", error="interrupted")
        raise
    except OSError as error:
        tracking.end_run(project, run.id, status="failed", error=str(error))
        raise EntryPointFailed(f"The command did not start: {error}.", fix="Install bash.", at=line) from error
    _end(project, run.id, status)
    if status != 0:
        raise EntryPointFailed(
            f"The entry point {entry.name!r} ended with exit status {status}.",
            why=f"Its command was: {line}",
            fix=f"See what it printed above, and: bucle runs show {run.id}",
            at=run.id,
        )
    made = tracking.run_by_id(project, run.id)
    return Launched(run=made, command=line, exit_status=status, env_manager=surroundings.manager)


def _begin(
    project: Project,
    definition: Definition,
    entry: EntryPoint,
    experiment: Experiment,
    *,
    values: Mapping[str, str],
    surroundings: Surroundings,
    name: str,
) -> Run:
    folder = Path(definition.folder)
    code = tracking.code_of(folder)
    about = Circumstances(
        code_commit=code.commit,
        code_diff=project.blobs.put(code.diff) if code.diff else "",
        environment=project.blobs.put(encode(environment())) if surroundings.manager == "local" else "",
        lock=project.blobs.put(surroundings.lock.encode()),
    )
    tags = {
        "mlflow.user": project.actor,
        "mlflow.source.name": str(folder),
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": code.commit,
        "mlflow.project.entryPoint": entry.name,
        "mlflow.project.env": surroundings.manager,
        "mlflow.project.backend": "local",
    }
    run = tracking.create_run(
        project,
        experiment.id,
        name=name,
        tags={key: value for key, value in tags.items() if value},
        params=values,
        circumstances=about,
    )
    tracking.put_artifact(project, make_ref("run", run.id), "environment/requirements.lock", surroundings.lock.encode())
    return run


def _variables(surroundings: Surroundings, told: Mapping[str, str]) -> dict[str, str]:
    """What the command finds in its environment: this process's, with its own Python and the way to us."""
    left_out = {"PYTHONHOME", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME"}
    if surroundings.manager == "uv":
        left_out |= {"PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    own = Path(surroundings.bin)
    direct = ",".join(filter(None, (kept.get("NO_PROXY", kept.get("no_proxy", "")), "127.0.0.1")))
    return kept | {
        "PATH": f"{own}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(own.parent),
        "NO_PROXY": direct,
        "no_proxy": direct,
        **told,
    }


def _carry_out(line: str, folder: Path, variables: Mapping[str, str], *, quiet: bool) -> int:
    """The exit status of a command, which has a process group of its own so that it can be ended whole."""
    with _interruptible():
        child = subprocess.Popen(  # noqa: S603  the command of a project whose author the caller trusts
            ["bash", "-c", line],  # noqa: S607  as MLflow runs it
            cwd=folder,
            env=dict(variables),
            start_new_session=True,
            stdout=sys.stderr.fileno() if quiet else None,
        )
        try:
            return child.wait()
        except BaseException:
            _end_group(child)
            raise


def _end_group(child: subprocess.Popen[bytes]) -> None:
    for number, grace in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            continue
    child.wait()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM interrupt what waits, whatever a library did with them; only the main thread can listen."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


def _end(project: Project, run_id: str, status: int) -> None:
    """Close the run. What its client said of the end is believed, unless the command failed."""
    ended: Literal["finished", "failed", "killed"] = "finished" if status == 0 else "killed" if status < 0 else "failed"
    now = tracking.run_by_id(project, run_id, columns=()).status
    if ended == "finished" and now in ("finished", "failed", "killed"):
        ended = now
    error = "" if status == 0 else f"exit status {status}"
    tracking.end_run(project, run_id, status=ended, error=error)
