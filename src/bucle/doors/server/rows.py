"""Rows over HTTP: a table's, and those of a question in SQL; each principal is shown what it may see.

Who asks is told by a token, `Authorization: Bearer …`; without one it is `anonymous`. A principal that may not read a
table gets 403, and personal columns are masked for those who may not see them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, cast

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bucle.doors.server.errors import BadBody
from bucle.doors.server.resources import API
from bucle.doors.server.writes import bounded, check_client
from bucle.doors.ui import bind
from bucle.ground.core import Record, encode
from bucle.ground.governance import principal_of
from bucle.ground.project import Project
from bucle.line import query

__all__ = ["ARROW", "Found", "Question", "row_routes", "table_rows"]

ARROW = "application/vnd.apache.arrow.stream"
MOST = 10_000
"""Rows of one answer, whatever is asked; more go out through `bucle data query --out`."""

LIMITS = query.Limits(memory_mb=512, timeout_s=30.0, threads=4)
"""What one question over HTTP may take."""

PRIVATE = {"cache-control": "private, no-store"}

_LONGEST = 1 << 20

Few = Annotated[int, msgspec.Meta(ge=1, le=MOST)]


class Question(Record, frozen=True):
    """A question in SQL.

    Attributes:
        sql: one statement that reads.
        at: where tables are read: a branch, a commit, or a branch at an instant.
        limit: at most so many rows.
    """

    sql: str
    at: str = "main"
    limit: Few = 1000


class Found(Record, frozen=True):
    """Its answer.

    Attributes:
        columns: name -> Arrow type.
        rows: each a mapping.
        commits: table as it was named -> the commit it was read at.
        masked: table as it was named -> its columns that were masked.
        is_cut: whether there are more rows.
    """

    columns: dict[str, str]
    rows: list[dict[str, Any]]
    commits: dict[str, str]
    masked: dict[str, tuple[str, ...]]
    is_cut: bool


def table_rows(
    project: Project, *, name: str, at: str = "main", limit: Few = 100, offset: int = 0, principal: str
) -> query.Preview:
    """Some rows of a table; `offset=-20` counts from its end."""
    return query.preview(project, name, at=at, limit=limit, offset=offset, principal=principal)


def row_routes(project: Project) -> list[Route]:
    """The routes; to stand before those of the resources."""
    return [
        Route(f"{API}/tables/{{name}}/rows", _rows(project), methods=["GET"]),
        Route(f"{API}/query", _query(project), methods=["POST"]),
    ]


def _rows(project: Project) -> Callable[[Request], Awaitable[Response]]:
    def read(request: Request) -> Response:
        who = principal_of(project, request.headers.get("authorization", ""))
        given = {**request.query_params, **request.path_params, "principal": who}
        return _json(table_rows(project, **bind(table_rows, given, strict=True)))

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(read, request)

    return answer


def _query(project: Project) -> Callable[[Request], Awaitable[Response]]:
    def ask(request: Request, content: bytes) -> Response:
        who = principal_of(project, request.headers.get("authorization", ""))
        try:
            question = msgspec.json.decode(content, type=Question)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadBody(
                f"The body is no question: {error}.",
                why="Nothing was asked.",
                fix='Send {"sql": "SELECT …"}.',
                at="body",
            ) from error
        return _answered(project, question, who, as_arrow=ARROW in request.headers.get("accept", ""))

    async def answer(request: Request) -> Response:
        check_client(request)
        content = b"".join([part async for part in bounded(request, _LONGEST)])
        return await run_in_threadpool(ask, request, content)

    return answer


def _answered(project: Project, question: Question, who: str, *, as_arrow: bool) -> Response:
    """In a process of its own: what a question takes, or dies of, is not the server's."""
    limits = msgspec.structs.replace(LIMITS, rows=question.limit)
    form: Literal["arrow", "json"] = "arrow" if as_arrow else "json"
    told, rows = query.ask_apart(project, question.sql, at=question.at, limits=limits, principal=who, form=form)
    if as_arrow:
        return Response(rows, media_type=ARROW, headers=PRIVATE)
    # The rows were written there; they are put in as they are.
    written = cast(list[dict[str, Any]], msgspec.Raw(rows))
    return _json(Found(told.columns, written, told.commits, told.masked, told.is_cut))


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json", headers=PRIVATE)
