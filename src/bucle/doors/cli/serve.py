"""`bucle serve`: serve an endpoint over HTTP."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bucle.doors.cli.arguments import port
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.line.serving import Enrich, Process

__all__ = ["COMMAND", "VERBS", "endpoint_names", "running"]

COMMAND = (sys.executable, "-m", "bucle.line.serving", "--enrich", "bucle.line.features:enricher")
"""What starts an endpoint's process in the background, feature views included."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    parser.add_argument("--port", type=port, default=0, help="the TCP port (default: a free one)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--detach", action="store_true", help="go on in the background and return")
    how.add_argument("--stop", action="store_true", help="stop the one that runs: what is under way is answered first")


def _run(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import serving

    root = terminal.root()
    if options.stop:
        was = serving.stop_process(root / ".bucle", options.endpoint)
        terminal.show({"endpoint": options.endpoint, "stopped": was})
        return
    _check_routes(root, options.endpoint)
    if options.detach:
        made = serving.start_process(root, options.endpoint, host=options.host, port=options.port, command=COMMAND)
        _announce(made, options.endpoint, terminal)
        return
    _say_when_ready(root, options.endpoint, terminal)
    serving.serve(root, options.endpoint, host=options.host, port=options.port, enrich=_enrich(root))


def _check_routes(root: Path, endpoint: str) -> None:
    """Raises: NoRoutes: nothing was deployed to an endpoint of this name; with the near miss."""
    from bucle.ground.core import suggest
    from bucle.line import serving

    try:
        serving.load_routes(serving.endpoint_folder(root / ".bucle", endpoint))
    except serving.NoRoutes as error:
        names = endpoint_names(root)
        raise serving.NoRoutes(
            f"Nothing was deployed to an endpoint {endpoint!r}. {suggest(endpoint, names)}".rstrip(),
            why=f"Endpoints here: {', '.join(names)}." if names else "It has nothing to answer with.",
            fix=f"bucle deploy roll {endpoint} MODEL@VERSION",
            at=endpoint,
        ) from error


def endpoint_names(root: Path) -> list[str]:
    """The endpoints that have routes in a project's folder; the database is not asked."""
    return sorted(path.parent.name for path in (root / ".bucle" / "endpoints").glob("*/routes.json"))


def running(root: Path, endpoint: str) -> Process:
    """The process that serves an endpoint.

    Raises:
        NoRoutes: nothing was deployed to an endpoint of this name; with the near miss.
        NotRunning: none does.
    """
    from bucle.line import serving

    process = serving.find_process(root / ".bucle", endpoint)
    if process is not None:
        return process
    _check_routes(root, endpoint)
    raise serving.NotRunning(
        f"No process serves the endpoint {endpoint!r}.",
        why="Nobody is there to answer.",
        fix=f"bucle serve {endpoint} --detach",
        at=endpoint,
    )


def _enrich(root: Path) -> Enrich | None:
    """What adds feature columns; None in a project without modules."""
    from bucle.ground.core import ProjectSection, load_config
    from bucle.line import features

    has_modules = load_config(root / "bucle.toml").section("project", ProjectSection).modules
    return features.enricher(root) if has_modules else None


def _say_when_ready(root: Path, endpoint: str, terminal: Terminal) -> None:
    """Tell the address once somebody listens; `serving.serve` keeps this thread until the end."""
    import os
    import threading
    import time

    from bucle.line import serving

    def look() -> None:
        while True:
            found = serving.find_process(root / ".bucle", endpoint)
            if found is not None and found.pid == os.getpid():
                _announce(found, endpoint, terminal)
                terminal.flush()
                return
            time.sleep(0.05)

    threading.Thread(target=look, daemon=True).start()


def _announce(process: Process, endpoint: str, terminal: Terminal) -> None:
    terminal.show(process, told={"endpoint": endpoint, "url": process.url, "pid": process.pid})
    terminal.next(f"bucle predict {endpoint} FILE")


VERBS: tuple[Verb, ...] = (
    Verb("", "serve an endpoint over HTTP until Ctrl-C", _run, _arguments, "bucle serve tumours --detach"),
)
