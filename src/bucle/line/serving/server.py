"""Server: one endpoint on one port, in this process, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn

from bucle.ground.core import BucleError, Clock, SystemClock, UserError, load_config
from bucle.line.serving.app import App
from bucle.line.serving.config import ServingSection
from bucle.line.serving.endpoint import Endpoint
from bucle.line.serving.errors import NoRoutes, PortInUse
from bucle.line.serving.layout import lay_out
from bucle.line.serving.model import Enrich
from bucle.line.serving.process import announce, own_endpoint, retract
from bucle.line.serving.route import endpoint_folder

__all__ = ["main", "serve", "serve_package"]

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.5


def serve(
    root: Path,
    endpoint: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    enrich: Enrich | None = None,
    clock: Clock | None = None,
    with_parent: bool = False,
) -> None:
    """Serve an endpoint until SIGTERM or SIGINT. Needs the project's folder, not its database.

    Args:
        root: the project's folder.
        endpoint: its name; it may have no routes yet, and is ready once it has.
        port: 0 lets the system choose; `process.json` in the endpoint's folder says which.
        enrich: adds the columns of feature views.
        clock: the machine's unless given.
        with_parent: end when the process that started this one ends.
    Raises:
        PortInUse: another program listens there.
        EndpointRunning: another process serves this endpoint.
        ConfigError: `[serving]` has a wrong key or value.
    """
    settings = load_config(root / "bucle.toml").section("serving", ServingSection)
    folder = endpoint_folder(root.resolve() / ".bucle", endpoint)
    _run(folder, settings, (host, port), clock=clock, enrich=enrich, with_parent=with_parent)


def serve_package(
    package: Path,
    state: Path,
    *,
    name: str,
    version: int,
    host: str = "127.0.0.1",
    port: int = 0,
    enrich: Enrich | None = None,
) -> None:
    """Serve one staged package until SIGTERM or SIGINT. Needs no project: this is what a container does.

    Args:
        package: what `registry.stage_package` returned.
        state: where the log of predictions is kept: `state/endpoints/NAME/log`, to be collected from there.
        name: of the model, and of the endpoint.
        version: of the model.
        port: 0 lets the system choose.
        enrich: adds the columns of feature views.
    Raises:
        NoSuchPackage, PackageDamaged: there is none, or it is not as it was made.
        PortInUse: another program listens there.
        EndpointRunning: another process serves from this state.
    """
    folder = lay_out(package, state, name=name, version=version)
    _run(folder, ServingSection(), (host, port), enrich=enrich)


def _run(
    folder: Path,
    settings: ServingSection,
    place: tuple[str, int],
    *,
    clock: Clock | None = None,
    enrich: Enrich | None = None,
    with_parent: bool = False,
) -> None:
    lock = own_endpoint(folder)
    try:
        listener = _listen(*place)
        with contextlib.closing(listener), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            parent = os.getppid() if with_parent else None
            runner.run(_serve(folder, settings, listener, clock=clock or SystemClock(), enrich=enrich, parent=parent))
    finally:
        os.close(lock)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m bucle.line.serving ROOT ENDPOINT`, or `--package DIR --model NAME@VERSION [ROOT]`."""
    parser = argparse.ArgumentParser(prog="python -m bucle.line.serving", description="Serve one endpoint.")
    parser.add_argument("root", type=Path, nargs="?", help="the project's folder; a package needs it for --enrich only")
    parser.add_argument("endpoint", nargs="?", help="the endpoint's name")
    parser.add_argument("--package", type=Path, help="serve this staged package; there need be no project")
    parser.add_argument("--model", default="model@1", help="NAME@VERSION, what the package is called")
    parser.add_argument("--state", type=Path, default=Path(".bucle"), help="where a package's log is kept")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--enrich", default="", help="MODULE:FUNCTION; called with ROOT, returns what adds features")
    parser.add_argument("--with-parent", action="store_true", help="end when the starting process ends")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        _start(given, parser)
    except BucleError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


def _start(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if given.package is None and (given.root is None or given.endpoint is None):
        parser.error("name ROOT and ENDPOINT, or --package DIR")
    if given.enrich and given.root is None:
        parser.error("--enrich needs ROOT, the project's folder")
    enrich = _named_enrich(given.enrich, given.root) if given.enrich else None
    place = {"host": given.host, "port": given.port}
    if given.package is None:
        serve(given.root, given.endpoint, enrich=enrich, with_parent=given.with_parent, **place)
        return
    name, _, version = given.model.partition("@")
    if not version.isdecimal():
        parser.error(f"--model {given.model} is no NAME@VERSION")
    serve_package(given.package, given.state, name=name, version=int(version), enrich=enrich, **place)


async def _serve(
    folder: Path,
    settings: ServingSection,
    listener: socket.socket,
    *,
    clock: Clock,
    enrich: Enrich | None,
    parent: int | None,
) -> None:
    endpoint = Endpoint(folder, settings, clock, enrich)
    await _first_load(endpoint)
    # What stands now stands for good: a full collection need not walk half a million objects of the libraries.
    gc.freeze()
    host, port = listener.getsockname()[:2]
    server = _Server(_config(App(endpoint, clock)), on_start=lambda: announce(folder, host, port))
    tending = asyncio.create_task(_tend(endpoint, folder, server, parent))
    try:
        await server.serve(sockets=[listener])
    finally:
        tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tending
        await endpoint.close()
        retract(folder)


async def _first_load(endpoint: Endpoint) -> None:
    try:
        await endpoint.reload()
    except NoRoutes:
        _LOG.warning("endpoint %s has no routes yet; it will be ready once something is deployed", endpoint.name)


async def _tend(endpoint: Endpoint, folder: Path, server: uvicorn.Server, parent: int | None) -> None:
    """Every moment: new routes, an old segment, bytes not on the disk yet, a parent gone."""
    seen: object = None
    while True:
        await asyncio.sleep(_LOOK_S)
        stamp = await asyncio.to_thread(_stamp, folder / "routes.json")
        if stamp is not None and stamp != seen:
            try:
                await endpoint.reload()
            except BucleError as error:
                _LOG.warning("the new routes of %s cannot be loaded, the old ones stand: %s", endpoint.name, error)
            seen = stamp
        endpoint.log.tend()
        await asyncio.to_thread(endpoint.log.sync)
        if parent is not None and os.getppid() != parent:
            server.should_exit = True


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino


class _Server(uvicorn.Server):
    """Uvicorn that says when it listens, and leaves the end to us."""

    def __init__(self, config: uvicorn.Config, *, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End well on SIGTERM and SIGINT. Uvicorn's own way raises the signal again, before our log is closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets=sockets)
        self._on_start()


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} on {host} is taken by another program.",
                why="Two programs cannot listen on one port.",
                fix="Choose another one, or --port 0 for a free one.",
            ) from error
        raise UserError(
            f"Cannot listen on {host}:{port}: {error.strerror}.", fix="Choose an address of this machine."
        ) from error
    listener.setblocking(False)
    return listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415  not to be had on Windows
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _named_enrich(name: str, root: Path) -> Enrich:
    module, _, function = name.partition(":")
    try:
        make: Callable[[Path], Enrich] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{name!r} cannot be imported: {error}.", why="It should add feature columns.", fix="Write MODULE:FUNCTION."
        ) from error
    return make(root)
