"""The door for HTTP: an ASGI application that answers Iceberg's clients under `/iceberg` and lets pass the rest."""

from __future__ import annotations

import logging
import uuid
from urllib.parse import parse_qs

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from bucle.doors.protocols.iceberg.errors import CatalogError, bad_request, of_bucle
from bucle.doors.protocols.iceberg.once import answer_once
from bucle.doors.protocols.iceberg.rights import who
from bucle.doors.protocols.iceberg.routes import find
from bucle.doors.protocols.iceberg.wire import Answer, Call, Route
from bucle.ground.core import BucleError
from bucle.ground.project import Project

__all__ = ["PREFIX", "Catalog"]

PREFIX = "/iceberg"
LIMIT = 16 << 20
"""Bytes of a body at most: a commit names its files in Avro, not here."""

MOST_FIELDS = 50

_log = logging.getLogger("bucle.iceberg")


class Catalog:
    """ASGI middleware that answers Iceberg's clients and hands everything else on.

    Args:
        app: what answers the rest.
        project: open; the caller closes it.
    """

    def __init__(self, app: ASGIApp, project: Project) -> None:
        self._app = app
        self._project = project

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        try:
            raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
            route, parts = find(scope["method"], raw.removeprefix(PREFIX))
            call = Call(scope["method"], parts, _query(scope), _headers(scope), await _body(receive))
            answer = await run_in_threadpool(self._answer, route, call)
        except Exception as error:  # the door's edge: the client gets an answer whatever happens
            answer = _failed(error)
        await _send(answer, send, bare=scope["method"] == "HEAD")

    def _answer(self, route: Route, call: Call) -> Answer:
        call.principal = who(call.headers.get("authorization", ""), self._project)
        return answer_once(route, call, self._project)


def _query(scope: Scope) -> dict[str, str]:
    try:
        given = parse_qs(scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise bad_request(f"The query string cannot be read: {str(error)[:200]}.") from error
    return {name: values[0] for name, values in given.items()}


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _body(receive: Receive) -> bytes:
    parts, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bad_request("The client went away before its request was whole.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LIMIT:
            raise CatalogError(413, "BadRequestException", f"The body has more than {LIMIT} bytes.")
        more = message.get("more_body", False)
    return b"".join(parts)


def _failed(error: Exception) -> Answer:
    if isinstance(error, BucleError):
        error = of_bucle(error)
    if not isinstance(error, CatalogError):
        reference = uuid.uuid4().hex[:12]
        _log.error("a request failed [%s]", reference, exc_info=error)
        message = f"Bucle itself is at fault; its log has more under {reference}."
        error = CatalogError(500, "InternalServerError", message)
    return Answer(error.status, error.as_dict())


async def _send(answer: Answer, send: Send, *, bare: bool) -> None:
    body = b"" if answer.body is None or bare else msgspec.json.encode(answer.body)
    headers = [(b"content-type", b"application/json")] if body else []
    headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
