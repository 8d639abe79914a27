"""The native API's writing half: what runs on other machines log. Each write may come again and counts once.

A write is a function like a resource; what it takes, a record or a file, is its `body`. Bodies are bounded, and decoded
against the record's own types. The header `x-bucle-client` is wanted: a page of another site can send forms and plain
requests through a reader's browser, but no header of its own without asking first, and nobody here says yes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bucle.doors.protocols.uploads import Uploads
from bucle.doors.server.errors import BadBody, ForeignPage, TooLarge, WrongKind
from bucle.doors.server.resources import API
from bucle.ground.core import BucleError, Record, ServerSection, encode
from bucle.ground.governance import principal_of
from bucle.ground.project import Project
from bucle.line import client, data, sources, tracking

__all__ = ["KINDS", "WRITES", "Kept", "Pushed", "Rows", "Taken", "Write", "bounded", "check_client", "write_routes"]

LARGEST = 32 << 20
"""Bytes of a record. Our own client sends 4 MiB of points at once, and the changes git does not know."""

KINDS: dict[str, Callable[..., Any]] = {
    "application/json": msgspec.json.decode,
    client.MESSAGES: msgspec.msgpack.decode,
}
"""How a record may be written."""

T = TypeVar("T")


class Taken(Record, frozen=True):
    """An entry was taken.

    Attributes:
        run: the run's id.
        points: how many it had.
    """

    run: str
    points: int


class Kept(Record, frozen=True):
    """A file is kept.

    Attributes:
        path: within its run.
        digest: of its content.
    """

    path: str
    digest: str


class Rows(Record, frozen=True):
    """Rows for a stream.

    Attributes:
        rows: each a mapping.
    """

    rows: list[dict[str, Any]]


class Pushed(Record, frozen=True):
    """Rows were taken; the stream's next run lands them.

    Attributes:
        source: the stream.
        rows: how many.
    """

    source: str
    rows: int


class Write(NamedTuple):
    """One address of the API that takes something.

    Attributes:
        method: `POST` or `PUT`.
        path: behind `/api/v1`.
        write: the project, what the path names, and `body`: a record, or the file that was sent -> a record. One that
            asks for a `principal` is told whose token came with a record.
    """

    method: str
    path: str
    write: Callable[..., Any]

    @property
    def takes(self) -> Any:
        """The type of the body."""
        return get_type_hints(self.write, include_extras=True)["body"]

    @property
    def gives(self) -> Any:
        """The type of the answer."""
        return get_type_hints(self.write, include_extras=True)["return"]


def begin_run(project: Project, *, body: client.Start) -> tracking.Run:
    """Begin a run under an id its client chose; the very same again is the same run."""
    return client.take_start(project, body)


def log_entry(project: Project, *, id: str, body: client.Entry) -> Taken:  # noqa: A002  the address says whose id
    """Log to a run: points, params, tags, all of it or nothing; the same again changes nothing."""
    client.take_entry(project, id, body)
    return Taken(run=id, points=body.points)


def put_file(project: Project, *, id: str, path: str, body: Path) -> Kept:  # noqa: A002
    """Keep a file of a run; what was there before is replaced."""
    return Kept(path=path, digest=client.take_file(project, id, path, body))


def end_run(project: Project, *, id: str, body: client.End) -> tracking.Run:  # noqa: A002
    """End a run and seal it."""
    client.take_end(project, id, body)
    return tracking.run_by_id(project, id, columns=())


def push_rows(project: Project, *, name: str, body: Rows, principal: str) -> Pushed:
    """Append rows to a source of kind stream; they are on the disk when this answers."""
    data.check_access(project, principal, "push", sources.load_source(project, name).table)
    sources.push(project, name, body.rows)
    return Pushed(source=name, rows=len(body.rows))


WRITES: tuple[Write, ...] = (
    Write("POST", "/runs", begin_run),
    Write("POST", "/runs/{id}/entries", log_entry),
    Write("PUT", "/runs/{id}/artifacts/{path}", put_file),
    Write("POST", "/runs/{id}/end", end_run),
    Write("POST", "/sources/{name}/rows", push_rows),
)
"""Every write."""


def write_routes(project: Project) -> list[Route]:
    """The routes of all writes; to stand before those of reading."""
    return [
        Route(f"{API}{one.path.replace('{path}', '{path:path}')}", _endpoint(project, one), methods=[one.method])
        for one in WRITES
    ]


def _endpoint(project: Project, one: Write) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            check_client(request)
            if one.takes is Path:
                return await _with_file(project, one, request)
            content = b"".join([part async for part in bounded(request, LARGEST)])
        except (ForeignPage, TooLarge) as error:
            return _hung_up(error)
        return await run_in_threadpool(carry_out, request, content)

    is_told_who = "principal" in get_type_hints(one.write)

    def carry_out(request: Request, content: bytes) -> Response:
        who = {"principal": principal_of(project, request.headers.get("authorization", ""))} if is_told_who else {}
        found = one.write(project, **request.path_params, **who, body=_decoded(request, content, one.takes))
        return Response(encode(found), media_type="application/json")

    return answer


async def _with_file(project: Project, one: Write, request: Request) -> Response:
    path = await run_in_threadpool(Uploads(project.state).new)
    try:
        with path.open("wb") as file:
            async for part in bounded(request, project.config.section("server", ServerSection).largest_upload_bytes):
                await run_in_threadpool(file.write, part)
        found = await run_in_threadpool(one.write, project, **request.path_params, body=path)
    finally:
        await run_in_threadpool(path.unlink, missing_ok=True)
    return Response(encode(found), media_type="application/json")


def check_client(request: Request) -> None:
    """Refuse what a page of another site could have sent.

    Raises:
        ForeignPage: the header is missing.
    """
    if client.CLIENT not in request.headers:
        raise ForeignPage(
            f"The header {client.CLIENT} is missing.",
            why="Without it, a page of another site could write here through a reader's browser.",
            fix=f"Send it with any text: curl -H '{client.CLIENT}: mine' …",
            at=client.CLIENT,
        )


async def bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body part by part, as long as it is no larger."""
    size = 0
    given = request.headers.get("content-length", "")
    if given.isdecimal() and int(given) > most:
        raise _too_large(most)
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        yield part


def _decoded(request: Request, content: bytes, kind: type[T]) -> T:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    decode = KINDS.get(given)
    if decode is None:
        raise WrongKind(
            f"A body of type {given[:80]!r} cannot be read here.",
            why=f"It may be {' or '.join(KINDS)}.",
            fix="Set the header content-type.",
            at="content-type",
        )
    try:
        return cast(T, decode(content, type=kind))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(
            f"The body is no {kind.__name__}: {error}.",
            why="Nothing of it was taken.",
            fix="See /api/openapi.json for what it may hold.",
            at="body",
        ) from error


def _hung_up(error: BucleError) -> Response:
    """An answer before the body was read; what is left of it nobody waits for."""
    headers = {"connection": "close"}
    return Response(encode(error.as_dict()), error.http_status, headers, media_type="application/json")


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The body is larger than {most} bytes.", why="Nothing of it was taken.", fix="Send it in parts.")
