"""Sending: one signed message to one address, which may lead nowhere the operator has not opened.

The name of the host is resolved once; every address it stands for must be one that may be reached, and the connection
goes to that very address, so a name that leads elsewhere a moment later gains nothing. No redirect is followed, no
proxy is asked, a bounded part of the answer is read. All of it, from the name to the answer, has one deadline, and ends
at once when it is told to.

Source: the headers and the signature are MLflow's, after Standard Webhooks 1.0: `v1,` and the base64 of HMAC-SHA256
over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import hmac
import http.client
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from bucle.line import registry

__all__ = ["ANSWER_BYTES", "Sent", "signed", "transmit"]

CONNECT_S = 5.0
"""For one address of several."""
DEADLINE_S = 15.0
"""For all of it together: name, connection, message and an answer that may drip in."""
LOOK_S = 0.1
ANSWER_BYTES = 16 << 10


class Sent(msgspec.Struct, frozen=True):
    """How it went.

    Attributes:
        status: of the answer; 0 when there was none.
        body: of the answer, as far as it was read.
        problem: why there was no answer; empty when there was one.
    """

    status: int
    body: str = ""
    problem: str = ""

    @property
    def arrived(self) -> bool:
        """Whether the receiver took it."""
        return 200 <= self.status < 300

    @property
    def may_arrive_later(self) -> bool:
        """Whether trying again could help: the receiver was away, overloaded, or asked for time."""
        return self.status in (0, 408, 425, 429) or self.status >= 500


def signed(secret: str, delivery: str, timestamp: str, body: bytes) -> dict[str, str]:
    """The headers of a message.

    Args:
        secret: empty for a message nobody can verify.
        delivery: the same for every attempt at the same message.
        timestamp: seconds since 1970.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "bucle-webhook",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
    }
    if secret:
        content = f"{delivery}.{timestamp}.".encode() + body
        mac = hmac.new(secret.encode(), content, hashlib.sha256).digest()
        headers["X-MLflow-Signature"] = f"v1,{base64.b64encode(mac).decode()}"
    return headers


def transmit(url: str, body: bytes, headers: dict[str, str], allowed: tuple[str, ...], stop: threading.Event) -> Sent:
    """Send one message by HTTP POST. What goes wrong is an answer, not an error.

    Args:
        allowed: `[server] webhook_hosts`.
        stop: cuts it short.
    """
    parts, limit = urlsplit(url), _Limit(stop)
    try:
        plain = _connected(parts, allowed, limit)
    except (OSError, ValueError, _Closed) as error:
        return Sent(status=0, problem=f"{parts.hostname}: {error or type(error).__name__}")
    with contextlib.closing(plain), limit.guarding(plain):
        try:
            return _exchanged(plain, parts, body, headers)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return Sent(status=0, problem=f"{parts.hostname}: {error or type(error).__name__}")


def _exchanged(plain: socket.socket, parts: SplitResult, body: bytes, headers: dict[str, str]) -> Sent:
    """The message sent, and its answer."""
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, parts.port or (443 if parts.scheme == "https" else 80))
    with contextlib.closing(connection):
        # Wrapped, the socket is a copy of the one that is watched: what happens to that ends this as well.
        connection.sock = _secured(plain.dup(), host) if parts.scheme == "https" else plain.dup()
        connection.request("POST", _target(parts), body=body, headers={**headers, "Connection": "close"})
        answer = connection.getresponse()
        return Sent(status=answer.status, body=answer.read(ANSWER_BYTES).decode(errors="replace"))


class _Closed(Exception):
    """The address is one that nobody opened."""


class _Limit:
    """How long all may take.

    Args:
        stop: ends it before.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._until = time.monotonic() + DEADLINE_S

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be waited for."""
        return self._stop.is_set() or time.monotonic() > self._until

    @contextlib.contextmanager
    def guarding(self, open_socket: socket.socket) -> Iterator[None]:
        """Within the block the connection ends under whoever uses it, once it takes too long or all is to end."""
        done = threading.Event()
        guard = threading.Thread(target=self._watch, args=(open_socket, done), name="bucle-webhook-guard")
        guard.start()
        try:
            yield
        finally:
            done.set()
            guard.join()

    def _watch(self, open_socket: socket.socket, done: threading.Event) -> None:
        while not done.wait(LOOK_S):
            if self.is_over:
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
                return


_Address = tuple[Any, ...]


def _connected(parts: SplitResult, allowed: tuple[str, ...], limit: _Limit) -> socket.socket:
    """A connection to an address that may be reached; the first that answers."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = _resolved(host, port, limit)
    for *_, address in found:
        if not registry.may_reach(str(address[0]), host, port, allowed):
            raise _Closed(f"{address[0]} is on the inside of the network; see [server] webhook_hosts")
    problem: OSError = OSError("it has no address")
    for family, kind, protocol, _, address in found:
        plain = socket.socket(family, kind, protocol)
        try:
            _connect(plain, address, limit)
        except OSError as error:
            plain.close()
            problem = error
        else:
            return plain
    raise problem


def _resolved(host: str, port: int, limit: _Limit) -> list[_Address]:
    """The addresses of a name; asked for in a thread, since the system's own waiting cannot be cut short."""
    answer: Future[list[_Address]] = Future()

    def ask() -> None:
        try:
            answer.set_result(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="bucle-webhook-name", daemon=True).start()
    while not limit.is_over:
        with contextlib.suppress(TimeoutError):
            return answer.result(LOOK_S)
    raise OSError("its name was not resolved in time")


def _connect(plain: socket.socket, address: Any, limit: _Limit) -> None:
    """Connect, looking at the limit meanwhile. Raises OSError."""
    plain.setblocking(False)
    code, until = plain.connect_ex(address), time.monotonic() + CONNECT_S
    with selectors.DefaultSelector() as waiting:
        waiting.register(plain, selectors.EVENT_WRITE)
        while code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            if limit.is_over or time.monotonic() > until:
                raise OSError("it did not answer in time")
            if waiting.select(LOOK_S):
                code = plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    plain.settimeout(DEADLINE_S)


def _secured(plain: socket.socket, host: str) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
