"""The application: dashboard, API and what comes later, under one port, with one way to say what went wrong."""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bucle.doors.protocols.iceberg import Catalog
from bucle.doors.protocols.mlflow import Door
from bucle.doors.protocols.s3 import Gateway
from bucle.doors.server.errors import InternalFault, MethodNotAllowed, NoSuchPage
from bucle.doors.server.guard import Guard
from bucle.doors.server.openapi import document
from bucle.doors.server.resources import API, RESOURCES, Resource
from bucle.doors.server.rows import row_routes
from bucle.doors.server.writes import write_routes
from bucle.doors.ui import bind, error_page, page_routes, parameters, show
from bucle.ground.core import BucleError, encode
from bucle.ground.project import Project

__all__ = ["make_app"]

_log = logging.getLogger("bucle.server")


def make_app(project: Project, *, hosts: Sequence[str] = ()) -> Starlette:
    """The ASGI application of a project.

    Args:
        project: open; the caller closes it.
        hosts: the names it answers to in the header Host; empty means any.
    """
    openapi = encode(document())

    async def describe(request: Request) -> Response:
        return Response(openapi, media_type="application/json")

    routes = [
        Route("/api/openapi.json", describe),
        Route("/api", _overview(project)),
        *write_routes(project),
        *row_routes(project),
        *(Route(f"{API}{resource.path}", _resource(project, resource)) for resource in RESOURCES),
        Route("/health", _health(project)),
        *page_routes(project),
    ]

    def answer(request: Request, error: Exception) -> Response:
        return _answer(project, request, error)

    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, hosts=tuple(hosts)),
            # In front of gzip and of the pages' routing: what is called a thousand times a second pays for neither.
            # The gateway comes first: a bucket may be called as anything.
            Middleware(Gateway, project=project),
            Middleware(Door, project=project),
            Middleware(Catalog, project=project),
            Middleware(GZipMiddleware, minimum_size=800, compresslevel=5),
        ],
        exception_handlers={BucleError: answer, HTTPException: answer, Exception: answer},
        lifespan=_lifespan,
    )
    app.router.redirect_slashes = False
    app.state.stopping = asyncio.Event()
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    app.state.stopping.set()


def _overview(project: Project) -> Callable[[Request], Any]:
    listed = [
        (one.path, (inspect.getdoc(one.read) or "").partition("\n")[0], parameters(one.read)) for one in RESOURCES
    ]

    async def answer(request: Request) -> Response:
        origin = f"{request.url.scheme}://{request.url.netloc}"
        return show(project, request, "api.html", resources=listed, base=API, origin=origin)

    return answer


def _resource(project: Project, resource: Resource) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        given = {**request.query_params, **request.path_params}
        return await run_in_threadpool(read, given)

    def read(given: dict[str, str]) -> Response:
        found = resource.read(project, **bind(resource.read, given, strict=True))
        return Response(encode(found), media_type="application/json")

    return answer


def _health(project: Project) -> Callable[[Request], Any]:
    """`OK`, as MLflow's server says it, once the ledger answers; what there is to know is at `/api/v1`."""

    async def answer(request: Request) -> Response:
        await run_in_threadpool(project.ledger.size)
        return PlainTextResponse("OK")

    return answer


def _answer(project: Project, request: Request, raised: Exception) -> Response:
    error = raised if isinstance(raised, BucleError) else _of_http(request, raised)
    if not wants_json(request):
        try:
            return error_page(project, request, error)
        except Exception:
            _log.exception("the page of error %s failed", error.code)
    return Response(encode(error.as_dict()), status_code=error.http_status, media_type="application/json")


def wants_json(request: Request) -> bool:
    """Whether a program asks: by the address, or because it does not take HTML."""
    path = request.url.path
    if path.startswith(("/api/", "/health")) or path.endswith((".json", ".csv")):
        return True
    accept = request.headers.get("accept", "*/*")
    return "html" not in accept and "*/*" not in accept


def _of_http(request: Request, raised: Exception) -> BucleError:
    path = request.url.path[:200]
    if isinstance(raised, HTTPException) and raised.status_code == 405:
        return MethodNotAllowed(
            f"{request.method} is not possible at {path}.",
            why="It is for reading, or for writing otherwise.",
            fix="See /api",
            at=path,
        )
    if isinstance(raised, HTTPException):
        return NoSuchPage(
            f"Nothing stands at {path}.", why="The address was mistyped, or it moved.", fix="Begin at /", at=path
        )
    reference = uuid.uuid4().hex[:12]
    _log.error("request %s failed [%s]", path, reference, exc_info=raised)
    return InternalFault(
        "This page could not be made.",
        why=f"Bucle itself is at fault; its log has more under {reference}.",
        fix="Try again. If it stays so, report it with that reference.",
        at=path,
    )
