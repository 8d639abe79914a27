"""Context: what a run is begun in: the project or server it logs to, code, environment, command, host."""

from __future__ import annotations

import getpass
import logging
import os
import re
import shlex
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bucle.ground.core import NotFound, SystemClock, environment, seed_everything, to_micros
from bucle.ground.project import Project, find_root
from bucle.line.client.active_run import ActiveRun, checked_params, checked_tags
from bucle.line.client.console import Listening
from bucle.line.client.data_input import resolve_inputs
from bucle.line.client.errors import NoProject
from bucle.line.client.message import Start
from bucle.line.client.queue import queue_root
from bucle.line.client.remote import sync
from bucle.line.client.sink import ProjectSink, QueueSink, Sink
from bucle.line.client.system import INTERVAL_S
from bucle.line.tracking import LONGEST_NAME, LONGEST_TAG, check_experiment_name, check_text, code_of

__all__ = ["begin"]

DEFAULT = "Default"
"""The experiment of runs that name none, as MLflow has it."""

LARGEST_DIFF = 16 << 20
"""Bytes of changes that travel with a run's beginning; more goes as a file."""

_log = logging.getLogger("bucle.tracking")

_SECRET = re.compile(r"(?i)token|secret|passw|api[-_]?key|credential")


def begin(
    experiment: str = DEFAULT,
    *,
    name: str = "",
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    inputs: Sequence[str] = (),
    seed: int | None = None,
    project: Project | Path | str | None = None,
    server: str | None = None,
    console: Listening = "python",
    system_s: float | None = INTERVAL_S,
) -> ActiveRun:
    """Begin a run; the public face calls it `bucle.run`.

    Kept without asking: git commit and what is not committed, every installed package, the command line, the host, how
    busy the machine is, and what is printed.

    Args:
        experiment: what it belongs to; made by its first run.
        name: for people.
        params, tags: kept as text; a dict within becomes `outer/inner`.
        inputs: the data it reads: `commit/9a0b…`, a branch, `main@2013-03-01T00:00:00Z`, `table/flights@main`; kept
            as the commit it is now. Other refs are kept as they are.
        seed: what the random numbers begin with: Python's, numpy's and other libraries' are seeded with it, see
            `seed_everything`. None leaves them alone.
        project: an open project, or the folder of one; `BUCLE_PROJECT`, or the one this folder is in, unless given.
        server: the address of a Bucle server to log to instead, e.g. `http://127.0.0.1:4242`; `BUCLE_SERVER` unless
            given or a project is. What is logged then waits in a queue on this machine until the server has it.
        console: `python` keeps what Python prints, `all` also what C code and child processes print, `none` nothing.
        system_s: seconds between two looks at the machine; None for none.
    Returns:
        The run, to use as a context or until `finish`.
    Raises:
        NoProject: there is neither project nor server.
        BadText, BadExperiment: a name, key or value cannot be kept.
        NoSuchCommit, NoSuchTable: an input does not exist.
        GitFailed: the folder's git repository cannot be read.
    Example:
        >>> with bucle.run("flights", params={"rate": 0.1}) as run:  # doctest: +SKIP
        ...     run.log({"loss": 0.25})
    """
    address = server if server is not None or project is not None else os.environ.get("BUCLE_SERVER")
    if seed is not None:
        seed_everything(seed)
    with ExitStack() as stack:
        opened = None if address else _open(project)
        owned = opened if opened is not project else None
        if owned:
            stack.callback(owned.close)
        clock = opened.clock if opened else SystemClock()
        given = {"params": checked_params(params), "tags": checked_tags(tags), "inputs": tuple(inputs), "seed": seed}
        start = _start(experiment, name, opened, clock.now(), given)
        if opened and inputs:
            resolve_inputs(opened, inputs)
        now_ms = _wall_ms if isinstance(clock, SystemClock) else _millis(clock.now)
        sink, another = _sinks(opened, address, owned=bool(owned))
        start, diff = _without_large_diff(start) if address else (start, b"")
        run = ActiveRun(start, sink, another=another, now=clock.now, now_ms=now_ms)
        stack.pop_all()  # the run closes the project now
    run.attend(console, system_s, str(opened.root if opened else Path.cwd()))
    if diff:
        run.log_artifact("code.diff", diff)
    if address:
        threading.Thread(target=_deliver_leftovers, args=(address,), name="bucle-leftovers", daemon=True).start()
    return run


def _deliver_leftovers(server: str) -> None:
    """What earlier processes left behind for this server is delivered beside the run."""
    try:
        sync(queue_root(), server=server.rstrip("/"))
    except Exception:
        _log.exception("what earlier runs left behind is not delivered")


def _start(experiment: str, name: str, project: Project | None, at: datetime, given: Mapping[str, Any]) -> Start:
    """A run with what was given and what can be known of its surroundings. Cost: some git processes, 30 ms."""
    code, id_ = code_of(project.root if project else _folder()), uuid.uuid4().hex
    actor = project.actor if project else _actor()
    known = {
        "mlflow.user": actor,
        "mlflow.source.name": sys.argv[0] if sys.argv else "",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": code.commit,
        "bucle.command": _command(sys.orig_argv),
        "bucle.folder": str(Path.cwd()),
        "bucle.host": socket.gethostname(),
    }
    tags = {key: value[:LONGEST_TAG] for key, value in known.items() if value}
    return Start(
        run=id_,
        experiment=check_experiment_name(experiment),
        started_at=at,
        name=check_text(name or id_[:6], "run's name", LONGEST_NAME),
        actor=actor,
        code_commit=code.commit,
        code_diff=code.diff,
        environment=environment(),
        **{**given, "tags": {**tags, **given["tags"]}},
    )


def _without_large_diff(start: Start) -> tuple[Start, bytes]:
    """The run as it travels, and the changes that travel as a file because there are so many."""
    if len(start.code_diff) <= LARGEST_DIFF:
        return start, b""
    return msgspec.structs.replace(start, code_diff=b""), start.code_diff


def _open(project: Project | Path | str | None) -> Project:
    if isinstance(project, Project):
        return project
    given = project or os.environ.get("BUCLE_PROJECT", "")
    try:
        return Project.open(Path(given) if given else find_root(Path.cwd()))
    except NotFound as error:
        where = given or f"{Path.cwd()} or above it"
        raise NoProject(
            f"There is no project in {where}, and no server is named.",
            why="A run is kept in a project, a folder with a bucle.toml, or by a Bucle server.",
            fix="Make a project: `bucle init`; or name one: bucle.run(project=…), BUCLE_PROJECT; "
            "or a server: bucle.run(server=…), BUCLE_SERVER",
        ) from error


def _sinks(project: Project | None, server: str | None, *, owned: bool) -> tuple[Sink, Callable[[], Sink]]:
    """Where the run goes, and how its children get there."""
    if project is not None:
        return ProjectSink(project, owned=owned), lambda: ProjectSink(project, owned=False)
    address, root = str(server), queue_root()
    return QueueSink(root, address), lambda: QueueSink(root, address)


def _folder() -> Path:
    """The project's folder, or this one."""
    try:
        return find_root(Path.cwd())
    except NotFound:
        return Path.cwd()


def _actor() -> str:
    try:
        return os.environ.get("BUCLE_ACTOR", "") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _command(words: Sequence[str]) -> str:
    """The command line, without what looks like a secret: `--api-key ••• --token=•••`."""
    shown, hide = list[str](), False
    for word in words:
        name, equals, _ = word.partition("=")
        is_secret = name.startswith("-") and bool(_SECRET.search(name))
        shown.append("•••" if hide else f"{name}=•••" if is_secret and equals else word)
        hide = is_secret and not equals
    return shlex.join(shown)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _millis(now: Callable[[], datetime]) -> Callable[[], int]:
    return lambda: to_micros(now()) // 1000
