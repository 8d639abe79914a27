"""The door for HTTP: an ASGI application that answers S3's clients and lets pass the rest.

A request that is signed as S3's are belongs to it wherever it goes: many clients take a host and a port only. One that
is not signed, or bears a token, finds it under `/s3`.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from bucle.doors.protocols.s3.body import SMALL, Pipe, body_of
from bucle.doors.protocols.s3.errors import S3Error, as_s3, denied, invalid
from bucle.doors.protocols.s3.routes import find
from bucle.doors.protocols.s3.signature import Request, Signed, is_signed, parse_query, verify
from bucle.doors.protocols.s3.wire import Answer, Call
from bucle.doors.protocols.s3.xml import element
from bucle.ground.core import BucleError, ServerSection
from bucle.ground.governance import access_key, principal_of
from bucle.ground.project import Project

__all__ = ["PREFIX", "Gateway"]

PREFIX = "/s3"
_AT_ONCE = 32
"""So many threads answer at once; pages and other protocols have their own."""

_UPLOADS = 64
"""So many threads take in long bodies at once: who sends slowly keeps nobody else waiting."""

_SHOWN_AS = frozenset(("", "empty", "document", "image", "video", "audio", "track"))
"""What a browser may use an object as; never as a script of ours."""

_PLAIN = {"content-security-policy": "sandbox; default-src 'none'"}

_log = logging.getLogger("bucle.s3")
T = TypeVar("T")


class Gateway:
    """ASGI middleware that answers S3's clients and hands everything else on.

    Args:
        app: what answers the rest.
        project: open; the caller closes it.
    """

    def __init__(self, app: ASGIApp, project: Project) -> None:
        self._app = app
        self._project = project
        self._most = project.config.section("server", ServerSection).largest_upload_bytes
        self._answering = CapacityLimiter(_AT_ONCE)
        self._taking_in = CapacityLimiter(_UPLOADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not _is_ours(scope):
            await self._app(scope, receive, send)
            return
        reference, body_is_read = uuid.uuid4().hex[:16].upper(), False
        try:
            headers = _headers(scope)
            if _is_long(headers):
                answer = await self._answer_long(scope, headers, receive)
            else:
                body = await _whole(receive)
                body_is_read = True
                pieces = iter((body,) if body else ())
                answer = await self._away(self._answer, scope, headers, lambda: next(pieces, b""))
        except Exception as error:  # the door's edge: the client gets an answer whatever happens
            answer = _failed(error, scope, reference)
            if not body_is_read:
                answer.headers["connection"] = "close"
        await self._send(answer, reference, send, receive, bare=scope["method"] == "HEAD")

    async def _answer_long(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> Answer:
        """Answer in a thread that is handed the body as it comes."""
        pipe, loop, pumps = Pipe(receive), asyncio.get_running_loop(), list[Future[None]]()

        def read() -> bytes:
            # Only now is the body asked for: a client that waits for the word is refused before it sends anything.
            if not pumps:
                pumps.append(asyncio.run_coroutine_threadsafe(pipe.pump(), loop))
            return pipe.get()

        try:
            return await to_thread.run_sync(self._answer, scope, headers, read, limiter=self._taking_in)
        finally:
            for pump in pumps:
                pump.cancel()

    def _answer(self, scope: Scope, headers: Mapping[str, str], raw: Callable[[], bytes]) -> Answer:
        query = parse_query(scope["query_string"])
        path = _raw_path(scope)
        signed, principal = self._who(scope, headers, query, path)
        first = {name.decode("utf-8", "replace"): value for name, value in reversed(query)}
        bucket, key = _parted(path)
        is_completed = scope["method"] == "POST" and "uploadId" in first
        # A checksum that comes with the list of parts is that of the object.
        of_body = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
        call = Call(
            project=self._project.acting_as(principal),
            method=scope["method"],
            bucket=bucket,
            key=key,
            query={name: value.decode("utf-8", "replace") for name, value in first.items()},
            headers=headers,
            principal=principal,
            body=body_of(raw, of_body if is_completed else headers, signed, self._most),
        )
        return find(call)(call)

    def _who(
        self, scope: Scope, headers: Mapping[str, str], query: list[tuple[bytes, bytes]], path: str
    ) -> tuple[Signed | None, str]:
        """The signature of a request, if it bears one, and whose it is."""
        if not is_signed(headers, scope["query_string"]):
            return None, principal_of(self._project, headers.get("authorization", ""))
        known = dict[str, str]()

        def secret(name: str) -> str:
            key, found = access_key(self._project, name)
            known[name] = key.principal
            return found

        signed = verify(Request(scope["method"], path, query, headers), secret)
        return signed, known[signed.access_key]

    async def _away(self, do: Callable[..., T], *given: object) -> T:
        return await to_thread.run_sync(do, *given, limiter=self._answering)

    async def _send(self, answer: Answer, reference: str, send: Send, receive: Receive, *, bare: bool) -> None:
        headers = {**answer.headers, **_PLAIN, "x-amz-request-id": reference, "server": "Bucle"}
        length = answer.length
        if length is None and isinstance(answer.body, bytes):
            length = len(answer.body)
        if length is not None and answer.status not in (204, 304):
            headers["content-length"] = str(length)
        told = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": told})
        if isinstance(answer.body, bytes) or bare:
            await send({"type": "http.response.body", "body": b"" if bare else answer.body})
            return
        await self._send_pieces(answer.body, send, receive)
        await send({"type": "http.response.body", "body": b""})

    async def _send_pieces(self, pieces: Iterator[bytes | memoryview], send: Send, receive: Receive) -> None:
        """Send them one after the other; nothing more is read once the client has left."""
        left = asyncio.ensure_future(_left(receive))
        try:
            while not left.done():
                piece = await self._away(next, pieces, None)
                if piece is None:
                    return
                await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
        finally:
            left.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_ours(scope: Scope) -> bool:
    if scope["path"] == PREFIX or scope["path"].startswith(f"{PREFIX}/"):
        return True
    if b"X-Amz-Signature=" in scope["query_string"]:
        return True
    return any(name == b"authorization" and value.startswith((b"AWS4-", b"AWS ")) for name, value in scope["headers"])


def _headers(scope: Scope) -> dict[str, str]:
    found = dict[str, str]()
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    if found.get("sec-fetch-dest", "") not in _SHOWN_AS:
        raise denied("A browser may show an object, and not run it.")
    return found


def _is_long(headers: Mapping[str, str]) -> bool:
    """Whether a body may be longer than what is taken in whole."""
    length = headers.get("content-length", "")
    return "transfer-encoding" in headers or (length.isdecimal() and (len(length) > 7 or int(length) > SMALL))


async def _whole(receive: Receive) -> bytes:
    parts, more = list[bytes](), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise invalid("The client went away before its request was whole.", "IncompleteBody")
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def _parted(path: str) -> tuple[str, str]:
    """Bucket and key of a path. Raises S3Error: it is no UTF-8."""
    if path == PREFIX or path.startswith(f"{PREFIX}/"):
        path = path.removeprefix(PREFIX)
    try:
        whole = unquote_to_bytes(path.removeprefix("/")).decode()
    except UnicodeDecodeError as error:
        raise invalid("The key is no UTF-8.", "InvalidURI") from error
    bucket, _, key = whole.partition("/")
    return bucket, key


def _failed(error: Exception, scope: Scope, reference: str) -> Answer:
    if isinstance(error, BucleError):
        error = as_s3(error)
    if not isinstance(error, S3Error):
        _log.error("a request failed [%s]", reference, exc_info=error)
        error = S3Error(500, "InternalError", f"Bucle itself is at fault; its log has more under {reference}.")
    told = [("Code", error.code), ("Message", error.message), ("Resource", scope["path"]), ("RequestId", reference)]
    return Answer(error.status, {"content-type": "application/xml"}, element("Error", told, namespace=False))
