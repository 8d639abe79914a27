"""Downloads: whole results as files, curves as pictures, and what runs kept, each with headers that let nothing run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from bucle.doors.ui import export
from bucle.doors.ui.columns import names_of
from bucle.doors.ui.pages.curves import drawing
from bucle.doors.ui.pages.files import raster
from bucle.doors.ui.pages.runs import everything
from bucle.doors.ui.parameters import bind
from bucle.ground.project import Project
from bucle.line import tracking

__all__ = ["download_routes"]

SANDBOX = "sandbox; default-src 'none'"
"""What a browser may do with a file of a run should it ever be opened as a page: nothing."""

Read = Callable[[Request], Mapping[str, str]]


def download_routes(project: Project, given: Read) -> list[Route]:
    """Every address that answers with a file.

    Args:
        project: whose.
        given: the query of a request.
    """
    return [
        *(Route(f"/runs.{kind}", _runs(project, kind, given)) for kind in export.FORMATS),
        Route("/runs/{run}/points.csv", _points(project)),
        Route("/curve.svg", _drawing(project, given)),
        Route("/files/{kind}/{id}/{path:path}", _file(project)),
    ]


def _runs(project: Project, kind: str, given: Read) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        asked = given(request)
        pieces = await run_in_threadpool(begun, asked)
        return _attached(pieces, f"runs.{kind}", export.FORMATS[kind])

    def begun(asked: Mapping[str, str]) -> Iterator[bytes]:
        pages = everything(project, **bind(everything, asked, strict=False))
        chosen = [name for name in names_of(asked.get("columns", "")) if name != "-"]
        return export.runs_in(kind, project, pages, chosen)

    return answer


def _points(project: Project) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        run = await run_in_threadpool(tracking.run_by_id, project, request.path_params["run"], columns=())
        keys = [key] if (key := request.query_params.get("key", "")) else []
        return _attached(export.points_csv(project, run.id, keys), f"{run.id}.csv", export.FORMATS["csv"])

    return answer


def _drawing(project: Project, given: Read) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        text = await run_in_threadpool(drawn, given(request))
        return Response(text, media_type="image/svg+xml", headers={"content-security-policy": SANDBOX})

    def drawn(asked: Mapping[str, str]) -> str:
        return drawing(project, **bind(drawing, asked, strict=False))

    return answer


def _file(project: Project) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        return await run_in_threadpool(found, request.path_params)

    def found(asked: Mapping[str, str]) -> Response:
        owner = f"{asked['kind']}/{asked['id']}"
        path = tracking.get_artifact(project, owner, asked["path"])
        with path.open("rb") as opened:
            kind = raster(opened.read(16))
        name = asked["path"].rpartition("/")[2]
        how = "inline" if kind else "attachment"
        headers = {
            "content-security-policy": SANDBOX,
            "content-disposition": f"{how}; filename*=UTF-8''{quote(name, safe='')}",
            "cache-control": "private, no-cache",
            "etag": f'"{path.name}"',
        }
        return FileResponse(path, media_type=kind or "application/octet-stream", headers=headers)

    return answer


def _attached(pieces: Iterator[bytes], name: str, kind: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(pieces, media_type=kind, headers=headers)
