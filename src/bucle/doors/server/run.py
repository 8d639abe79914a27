"""Serving: one process, one port, until it is told to stop."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType

import uvicorn

from bucle.doors.protocols.mlflow.delivery import deliver
from bucle.doors.server.app import make_app
from bucle.doors.server.errors import PortBusy
from bucle.doors.server.http import Http
from bucle.ground.core import UserError
from bucle.ground.project import Project
from bucle.line import tracking

__all__ = ["Background", "listen", "serve"]

Background = Callable[[threading.Event], None]
"""Work that goes on beside the server until the event is set, e.g. turning the project's loops."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
GRACE_S = 5
SEAL_S = 1.0

_log = logging.getLogger("bucle.server")


def serve(
    project: Project,
    host: str = "127.0.0.1",
    port: int = 4242,
    *,
    controller: bool = True,
    ready: Callable[[str], None] | None = None,
    background: Sequence[Background] = (),
    stop: threading.Event | None = None,
) -> None:
    """Serve a project until SIGTERM, SIGINT or `stop`; return when all is at rest.

    Args:
        project: open; the caller closes it.
        host: the address to listen on; beyond this machine only when asked for.
        port: the TCP port; 0 lets the system choose.
        controller: whether the `background` work is done; webhooks are told and ended runs sealed in any case.
        ready: is told the address once requests are answered.
        background: each runs in a thread of its own and returns soon after its event is set.
        stop: another way to end it, from a thread.
    Raises:
        PortBusy: another program listens there.
        UserError: there is no such address on this machine.
    """
    listener = listen(host, port)
    hosts = (*LOOPBACK, host) if host in LOOPBACK else ()
    config = uvicorn.Config(
        make_app(project, hosts=hosts),
        http=Http,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
    )
    server, halt = _Server(config, ready, _address(listener)), stop or threading.Event()
    done = threading.Event()
    beside: tuple[Background, ...] = (partial(deliver, project), partial(_seal, project))
    works = (*beside, *(background if controller else ()))
    threads = [threading.Thread(target=work, args=(done,), name="bucle-background") for work in works]
    watcher = threading.Thread(target=_watch, args=(server, halt, done), daemon=True)
    with contextlib.closing(listener), _signals(halt):
        for thread in (watcher, *threads):
            thread.start()
        try:
            server.run(sockets=[listener])
        finally:
            done.set()
            for thread in threads:
                thread.join()


def listen(host: str, port: int) -> socket.socket:
    """A socket that is ours.

    Raises:
        PortBusy: another program has it.
        UserError: there is no such address here.
    """
    if not 0 <= port < 65536:
        raise UserError(f"{port} is no TCP port.", why="A port is a number from 0 to 65535.", fix="E.g. --port 4242")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortBusy(
                f"Port {port} on {host} is taken.",
                why="Another program listens there, perhaps another `bucle up`.",
                fix=f"Stop that one, or choose another port: bucle up --port {port + 1}",
                at=f"{host}:{port}",
            ) from error
        raise UserError(
            f"This machine cannot listen on {host!r}: {error.strerror or error}.",
            fix="Use 127.0.0.1 for this machine alone, or 0.0.0.0 for everybody.",
            at=host,
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready and leaves signals to us: one that ends well must not look like a crash."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None, address: str) -> None:
        super().__init__(config)
        self._ready = ready
        self._address = address

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready(self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.stopping.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def _seal(project: Project, stop: threading.Event) -> None:
    """Have the ledger know runs soon after they have ended, whoever logged them; fold what those that go on logged."""
    while not stop.wait(SEAL_S):
        try:
            tracking.seal(project)
            tracking.fold(project)
        except Exception:  # a worker's loop: the next round tries again
            _log.exception("ended runs could not be sealed; trying again")


def _watch(server: uvicorn.Server, halt: threading.Event, done: threading.Event) -> None:
    while not done.is_set():
        if halt.wait(0.1):
            server.should_exit = True
            return


@contextlib.contextmanager
def _signals(halt: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set the event; only the main thread can listen for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        halt.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  only shown
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
