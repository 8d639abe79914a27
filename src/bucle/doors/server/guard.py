"""The guard at the door: which hosts are answered for, and what a browser may do with what it gets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bucle.doors.server.errors import ForeignPage, WrongHost
from bucle.ground.core import BucleError, encode

__all__ = ["POLICY", "Guard"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing but our own files; no inline script, no inline style, no outside host."""

HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}

READING = frozenset(("GET", "HEAD", "OPTIONS"))

Headers = Iterable[tuple[bytes, bytes]]


class Guard:
    """Middleware that checks the headers Host and Origin and sets what protects the reader.

    A page of another site can make a browser ask 127.0.0.1 under a name of its own (DNS rebinding) and read the answer;
    who asks under a name that is not ours gets none. It can also send a browser here to write; who comes from a page
    that is not ours may not.

    Args:
        app: what stands behind.
        hosts: names without port; empty answers any.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = ()) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _protected(message.get("headers", ()))
            await send(message)

        error = self._refusal(scope)
        if error is None:
            await self._app(scope, receive, guarded)
        else:
            body = Response(encode(error.as_dict()), status_code=error.http_status, media_type="application/json")
            await body(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> BucleError | None:
        host = origin = ""
        count = 0
        for name, value in scope["headers"]:
            if name == b"host":
                host, count = value.decode("latin-1"), count + 1
            elif name == b"origin":
                origin = value.decode("latin-1")
        if self._hosts and (count != 1 or _name(host) not in self._hosts):
            return _wrong_host()
        if origin and scope["method"] not in READING and _place(origin) != host.lower():
            return _foreign_page()
        return None


def _protected(headers: Headers) -> list[tuple[bytes, bytes]]:
    """These headers and, where they do not say otherwise, those that protect."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return [*given, *((name, value) for name, value in HEADERS.items() if name not in names)]


def _name(host: str) -> str:
    """The host without its port, lower case; empty when it is no host with a port."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::\d*)?", re.IGNORECASE)


def _place(origin: str) -> str:
    """Host and port of an origin, as the header Host has them; empty for a page that has no place (`null`)."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _wrong_host() -> WrongHost:
    return WrongHost(
        "This server does not answer under that host name.",
        why="A page of another site could otherwise read it through your browser.",
        fix="Use the address `bucle up` printed, or start it with --host to let others in.",
        at="Host",
    )


def _foreign_page() -> ForeignPage:
    return ForeignPage(
        "A page of another site may not write here.",
        why="It could otherwise act through your browser without your knowing.",
        fix="Send the request from a program, or from a page of this server.",
        at="Origin",
    )
