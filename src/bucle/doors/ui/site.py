"""The site: addresses to pages, in the reader's language, as HTML, JSON or CSV."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bucle.doors.ui.downloads import download_routes
from bucle.doors.ui.language import LANGUAGES, Language, choose
from bucle.doors.ui.pages import LOADED, VIEWS
from bucle.doors.ui.parameters import bind
from bucle.doors.ui.render import page, static_file
from bucle.doors.ui.view import Address, View, as_csv
from bucle.ground.core import BucleError, NotFound, encode
from bucle.ground.project import Project

__all__ = ["error_page", "page_routes", "show"]

THEMES = ("light", "dark", "system")
STATIC = re.compile(r"[a-z0-9.\-]+\.(?:js|css|svg)")
KEEP_S = 365 * 86400
LOOK_S = 0.5
"""How often a live page looks whether the ledger has moved."""

Suffix = Literal["", "json", "csv"]


def page_routes(project: Project) -> list[Route]:
    """Every address of the dashboard: each page as HTML and as JSON, tables as CSV, and what pages load.

    Args:
        project: whose pages.
    """
    found = [Route("/static/{name}", _static), Route("/live", _live(project))]
    found += download_routes(project, _query)
    found += [Route(path, _records(project, View("", read, "", ""), "json")) for path, read in LOADED]
    for view in VIEWS:
        path = "/index" if view.path == "/" else view.path
        found.append(Route(f"{path}.json", _records(project, view, "json")))
        found.append(Route(f"{path}.csv", _records(project, view, "csv")))
    found += [Route(view.path, _page(project, view)) for view in VIEWS]
    return found


def error_page(project: Project, request: Request, error: BucleError) -> Response:
    """An error in place of a page: what, why, and the fix."""
    return show(project, request, "error.html", status=error.http_status, error=error.as_dict())


def show(
    project: Project, request: Request, template: str, *, station: str = "", status: int = 200, **values: Any
) -> Response:
    """A template as an answer, in the reader's language and theme, which a cookie remembers.

    Args:
        template: its file.
        station: the word of the menu it stands under.
        status: of the answer.
        values: what the template shows.
    """
    say, theme = _language(request), _theme(request)
    here = {
        "project": project.name,
        "origin": f"{request.url.scheme}://{request.url.netloc}",
        "at": Address(request.url.path, _query(request)),
        "station": station,
    }
    text = page(template, say, theme, **{**here, **values})
    response = Response(text, status_code=status, media_type="text/html; charset=utf-8")
    response.headers["vary"] = "accept-language, cookie"
    response.headers["content-language"] = say.code
    response.headers["cache-control"] = "no-store"
    for name, allowed in (("lang", tuple(LANGUAGES)), ("theme", THEMES)):
        if (wanted := request.query_params.get(name)) in allowed:
            response.set_cookie(f"bucle_{name}", wanted, max_age=KEEP_S, samesite="lax", httponly=True)
    return response


def _page(project: Project, view: View) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        given = {**_query(request), **request.path_params}
        return await run_in_threadpool(draw, request, given)

    def draw(request: Request, given: Mapping[str, str]) -> Response:
        record = view.read(project, **bind(view.read, given, strict=False))
        status = 400 if getattr(record, "problem", None) else 200
        return show(project, request, view.template, status=status, station=view.station, page=record, rows=view.rows)

    return answer


def _records(project: Project, view: View, suffix: Suffix) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        given = {**_query(request), **request.path_params}
        return await run_in_threadpool(read, given)

    def read(given: Mapping[str, str]) -> Response:
        record = view.read(project, **bind(view.read, given, strict=False))
        if suffix == "json":
            status = 400 if getattr(record, "problem", None) else 200
            return Response(encode(record), status_code=status, media_type="application/json")
        name = view.path.strip("/").partition("/")[0] or "bucle"
        headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
        return Response(as_csv(view, record), media_type="text/csv; charset=utf-8", headers=headers)

    return answer


def _query(request: Request) -> dict[str, str]:
    """The query without language and theme; of a name that stands more than once, all values with commas between."""
    names = [name for name in request.query_params if name not in ("lang", "theme")]
    return {name: ",".join(request.query_params.getlist(name)) for name in names}


def _language(request: Request) -> Language:
    return choose(
        request.query_params.get("lang", ""),
        request.cookies.get("bucle_lang", ""),
        request.headers.get("accept-language", ""),
    )


def _theme(request: Request) -> str:
    asked = request.query_params.get("theme", "") or request.cookies.get("bucle_theme", "")
    return asked if asked in ("light", "dark") else ""


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    try:
        data, digest = static_file(name) if STATIC.fullmatch(name) else (b"", "")
    except FileNotFoundError:
        digest = ""
    if not digest:
        raise NotFound(f"There is no file {name!r}.", fix="Load the page again.", at=name)
    asked = request.query_params.get("v") == digest
    keep = f"public, max-age={KEEP_S}, immutable" if asked else "no-cache"
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(data, media_type=kind, headers={"cache-control": keep, "etag": f'"{digest}"'})


def _live(project: Project) -> Callable[[Request], Any]:
    """A stream that says `moved` whenever the ledger has grown."""

    async def answer(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("", status_code=403)
        return StreamingResponse(
            _moves(project, request), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    return answer


async def _moves(project: Project, request: Request) -> AsyncIterator[str]:
    stopping: asyncio.Event = request.app.state.stopping
    size, quiet = await run_in_threadpool(project.ledger.size), 0.0
    yield f"retry: 2000\nid: {size}\ndata: {size}\n\n"
    while not stopping.is_set() and not await request.is_disconnected():
        await _wait(stopping, LOOK_S)
        now = await run_in_threadpool(project.ledger.size)
        quiet += LOOK_S
        if now != size:
            size, quiet = now, 0.0
            yield f"event: moved\nid: {size}\ndata: {size}\n\n"
        elif quiet >= 15:
            quiet = 0.0
            yield ": still here\n\n"


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
