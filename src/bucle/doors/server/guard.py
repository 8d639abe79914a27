"""The guard at the door: which hosts are answered for, and what a browser may do with what it gets."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bucle.doors.server.errors import WrongHost
from bucle.ground.core import encode

__all__ = ["POLICY", "Guard"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing but our own files; no inline script, no inline style, no outside host."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Middleware that checks the header Host and sets what protects the reader.

    A page of another site can make a browser ask 127.0.0.1 under a name of its own (DNS rebinding) and read the answer;
    who asks under a name that is not ours gets none.

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
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if self._hosts and _name(Headers(scope=scope).get("host", "")) not in self._hosts:
            await _refusal()(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def _name(host: str) -> str:
    """The host without its port, lower case."""
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].lower()


def _refusal() -> Response:
    error = WrongHost(
        "This server does not answer under that host name.",
        why="A page of another site could otherwise read it through your browser.",
        fix="Use the address `bucle up` printed, or start it with --host to let others in.",
        at="Host",
    )
    return Response(encode(error.as_dict()), status_code=error.http_status, media_type="application/json")
