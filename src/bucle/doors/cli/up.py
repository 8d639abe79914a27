"""`bucle up`: the dashboard and the API, and the loops beside them."""

from __future__ import annotations

import threading
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING

from bucle.doors.cli.arguments import port
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.doors.server import Background
    from bucle.ground.project import Project

__all__ = ["VERBS"]

LOOK_S = 5.0
"""So often each loop is looked at."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default=None, help="the address to listen on (default: [server] host)")
    parser.add_argument(
        "--port", type=port, default=None, help="the TCP port; 0 lets the system choose (default: [server] port)"
    )
    parser.add_argument("--no-loop", action="store_true", help="only show; another process turns the loops")


def _run(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.server import serve
    from bucle.ground.core import ServerSection
    from bucle.loop import keep_up

    def ready(url: str) -> None:
        terminal.show({"project": project.name, "url": url, "loops": loops}, told={"dashboard": url})
        terminal.flush()
        terminal.say("Ctrl-C ends it")

    with terminal.project() as project:
        settings = project.config.section("server", ServerSection)
        loops = [] if options.no_loop else list(project.config.names("loop"))
        serve(
            project,
            settings.host if options.host is None else options.host,
            settings.port if options.port is None else options.port,
            controller=not options.no_loop,
            ready=ready,
            background=[*(_background(project, name, terminal) for name in loops), partial(keep_up, project)],
        )


def _background(project: Project, model: str, terminal: Terminal) -> Background:
    """What turns one loop while the server runs. Raises: ConfigError: the loop's policy cannot be used."""
    from bucle import loop
    from bucle.doors.cli.loop import turn

    policy = loop.policy_of(project, model)

    def work(stop: threading.Event) -> None:
        turn(project, policy, stop, LOOK_S, terminal)

    return work


VERBS: tuple[Verb, ...] = (
    Verb(
        "",
        "start the dashboard and the API, and turn the loops, until Ctrl-C",
        _run,
        _arguments,
        "bucle up --port 4242",
    ),
)
