"""The door for HTTP: an ASGI application that stands before all others and lets pass what is not MLflow's.

It goes without a framework, because `log_metric` is called thousands of times a second: a fixed path is one look-up in
a dictionary, a `quick` handler runs on the event loop, and the answer is sent as soon as the write is durable.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bucle.doors.protocols.mlflow.errors import MlflowError
from bucle.doors.protocols.mlflow.routes import Found, Wire, failed, finish
from bucle.doors.protocols.mlflow.wire import LARGE, Answer, Call, Pending
from bucle.doors.protocols.uploads import Uploads
from bucle.ground.core import ServerSection
from bucle.ground.project import Project

__all__ = ["Door", "is_mlflow"]

PREFIXES = (
    "/api/2.0",
    "/api/3.0",
    "/api/4.0",
    "/ajax-api/",
    "/v1/traces",
    "/get-artifact",
    "/model-versions/get-artifact",
)
EXACT = ("/version", "/graphql")
PIECE = 1 << 18
"""Bytes of a file that are read and sent at once."""
ENCODINGS = frozenset(("", "identity", "gzip", "x-gzip", "deflate"))
SMALL_PACKED = 8 << 10
"""Bytes of a packed body that are unpacked on the event loop; they hold a thousand times as many at most."""
MOST_FIELDS = 2000
"""Names in a query string; run ids are listed there by the hundred."""


def is_mlflow(path: str) -> bool:
    """Whether a path belongs to MLflow's protocol."""
    return path.startswith(PREFIXES) or path in EXACT


class Door:
    """ASGI middleware that answers MLflow's clients and hands everything else on.

    Args:
        app: what answers the rest.
        project: open; the caller closes it.
    """

    def __init__(self, app: ASGIApp, project: Project) -> None:
        self._app = app
        self._project = project
        self._wire = Wire(project)
        self._uploads = Uploads(project.state)
        self._uploads.sweep()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not is_mlflow(scope["path"]):
            await self._app(scope, receive, send)
            return
        spooled: Path | None = None
        try:
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            found = self._wire.find(method, scope["path"])
            call = _call(scope, method)
            if found.route.stream:
                call.body = spooled = await self._take_in(found, call, receive)
                call.owned = True
            else:
                call.body = await _read(call, receive, found.route.limit)
            answer = await self._answer(found, call)
        except Exception as error:  # the door's edge: the client gets an answer whatever happens
            answer = failed(error)
        finally:
            if spooled is not None:
                await run_in_threadpool(spooled.unlink, missing_ok=True)
        await _send(answer, receive, send, bare=scope["method"] == "HEAD")

    async def _answer(self, found: Found, call: Call) -> Answer:
        is_quick = found.route.quick and isinstance(call.body, bytes) and len(call.body) <= LARGE
        made = self._wire.begin(found, call) if is_quick else await _away(self._wire, found, call)
        if isinstance(made, Pending):
            done = made.future.result() if made.future.done() else await asyncio.wrap_future(made.future)
            return finish(made.then(done))
        return finish(made)

    async def _take_in(self, found: Found, call: Call, receive: Receive) -> Path:
        """The body as a file of ours, if it is not refused before that."""
        limit = self._project.config.section("server", ServerSection).largest_upload_bytes
        _check_length(call, limit)
        if found.route.check is not None:
            call.params = found.params
            await run_in_threadpool(found.route.check, call, self._project)
        path = await run_in_threadpool(self._uploads.new)
        try:
            await _spool(path, receive, limit)
        except BaseException:
            path.unlink()
            raise
        return path


async def _spool(path: Path, receive: Receive, limit: int) -> None:
    size = 0
    with path.open("wb") as out:
        async for piece in _pieces(receive):
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            await run_in_threadpool(out.write, piece)


async def _away(wire: Wire, found: Found, call: Call) -> Any:
    return await run_in_threadpool(wire.begin, found, call)


def _call(scope: Scope, method: str) -> Call:
    query = scope["query_string"]
    try:
        given = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS) if query else {}
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    except ValueError as error:
        raise MlflowError("BAD_REQUEST", f"The query string cannot be read: {str(error)[:200]}") from error
    path = scope["path"]
    return Call(method, f"/{path.removeprefix('/ajax-')}" if path.startswith("/ajax-") else path, given, headers)


async def _pieces(receive: Receive) -> Any:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MlflowError("BAD_REQUEST", "The client went away before its request was whole.")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _read(call: Call, receive: Receive, limit: int) -> bytes:
    """The body, unpacked when it was sent packed; never more than `limit` bytes are kept."""
    encoding = call.headers.get("content-encoding", "")
    if encoding not in ENCODINGS:
        raise MlflowError("BAD_REQUEST", f"The content encoding {encoding[:40]!r} is not known; send gzip or nothing.")
    data = await _whole(call, receive, limit)
    if encoding in ("", "identity") or not data:
        return data
    if len(data) <= SMALL_PACKED:
        return _unpacked(data, limit)
    return await run_in_threadpool(_unpacked, data, limit)


async def _whole(call: Call, receive: Receive, limit: int) -> bytes:
    _check_length(call, limit)
    first = await receive()
    if first["type"] == "http.request" and not first.get("more_body", False):
        data: bytes = first.get("body", b"")
        if len(data) > limit:
            raise _too_large(limit)
        return data
    parts, size = [], 0
    async for piece in _pieces(_again(first, receive)):
        parts.append(piece)
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _check_length(call: Call, limit: int) -> None:
    length = call.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)


def _again(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def following() -> Message:
        return waiting.pop() if waiting else await receive()

    return following


def _unpacked(data: bytes, limit: int) -> bytes:
    """What was packed: one member, whole, of no more than `limit` bytes; unpacking stops there."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        found = inflate.decompress(data, limit + 1)
    except zlib.error as error:
        raise MlflowError("BAD_REQUEST", "The body says it is packed with gzip, but it is not.") from error
    if len(found) > limit:
        raise _too_large(limit)
    if not inflate.eof or inflate.unused_data:
        what = "goes on after its end" if inflate.eof else "ends before it is whole"
        raise MlflowError("BAD_REQUEST", f"The body is packed with gzip, but {what}.")
    return found


def _too_large(limit: int) -> MlflowError:
    return MlflowError(
        "INVALID_PARAMETER_VALUE", f"The body has more than {limit} bytes. Send less at once.", status=413
    )


async def _send(answer: Answer, receive: Receive, send: Send, *, bare: bool) -> None:
    body = answer.body
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    if isinstance(body, bytes):
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if bare else body})
        return
    if isinstance(body, Path):
        headers.append((b"content-length", b"%d" % (await run_in_threadpool(body.stat)).st_size))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if not bare:
        await _send_pieces(_read_file(body) if isinstance(body, Path) else body, receive, send)
    await send({"type": "http.response.body", "body": b""})


async def _send_pieces(pieces: Iterator[bytes], receive: Receive, send: Send) -> None:
    """Send them one after the other; nothing more is read once the client has left."""
    left = asyncio.ensure_future(_left(receive))
    try:
        while not left.done() and (piece := await run_in_threadpool(next, pieces, None)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        left.cancel()
        if isinstance(pieces, Generator):
            await run_in_threadpool(pieces.close)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _read_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
