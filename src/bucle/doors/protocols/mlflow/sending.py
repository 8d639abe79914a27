"""Sending: one signed message to one address, which may lead nowhere the operator has not opened.

The name of the host is resolved once; every address it stands for must be one that may be reached, and the connection
goes to that very address, so a name that leads elsewhere a moment later gains nothing. No redirect is followed, no
proxy is asked, a bounded part of the answer is read within a bounded time.

Source: the headers and the signature are MLflow's, after Standard Webhooks 1.0: `v1,` and the base64 of HMAC-SHA256
over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from urllib.parse import SplitResult, urlsplit

import msgspec

from bucle.line import registry

__all__ = ["ANSWER_BYTES", "Sent", "signed", "transmit"]

CONNECT_S = 5.0
DEADLINE_S = 15.0
"""For the message and its answer together: one that drips in is cut off."""
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
    parts = urlsplit(url)
    try:
        connection = _connected(parts, allowed)
    except (OSError, ValueError, _Closed) as error:
        return Sent(status=0, problem=f"{parts.hostname}: {error}")
    done = threading.Event()
    guard = threading.Thread(target=_guard, args=(connection.sock, done, stop), name="bucle-webhook-guard")
    guard.start()
    try:
        connection.request("POST", _target(parts), body=body, headers={**headers, "Connection": "close"})
        answer = connection.getresponse()
        return Sent(status=answer.status, body=answer.read(ANSWER_BYTES).decode(errors="replace"))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Sent(status=0, problem=f"{parts.hostname}: {error or type(error).__name__}")
    finally:
        done.set()
        guard.join()
        connection.close()


class _Closed(Exception):
    """The address is one that nobody opened."""


def _connected(parts: SplitResult, allowed: tuple[str, ...]) -> http.client.HTTPConnection:
    """A connection to an address that may be reached; the first that answers."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    for *_, address in found:
        if not registry.may_reach(str(address[0]), host, port, allowed):
            raise _Closed(f"{address[0]} is on the inside of the network; see [server] webhook_hosts")
    connection = http.client.HTTPConnection(host, port, timeout=DEADLINE_S)
    problem: OSError = OSError("it has no address")
    for family, kind, protocol, _, address in found:
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(CONNECT_S)
            plain.connect(address)
            connection.sock = _secured(plain, host) if secure else plain
            connection.sock.settimeout(DEADLINE_S)
        except OSError as error:
            plain.close()
            problem = error
        else:
            return connection
    raise problem


def _secured(plain: socket.socket, host: str) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _guard(open_socket: socket.socket, done: threading.Event, stop: threading.Event) -> None:
    """End a connection under whoever reads from it, when it takes too long or all is to end."""
    until = time.monotonic() + DEADLINE_S
    while not done.wait(LOOK_S):
        if stop.is_set() or time.monotonic() > until:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            return


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
