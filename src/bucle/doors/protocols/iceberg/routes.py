"""One table over all modules, and how a path finds its route."""

from __future__ import annotations

from urllib.parse import unquote

from bucle.doors.protocols.iceberg import config, namespaces, tables, views
from bucle.doors.protocols.iceberg.errors import CatalogError, bad_request
from bucle.doors.protocols.iceberg.wire import Route

__all__ = ["ROUTES", "find"]

ROUTES: tuple[Route, ...] = (*config.ROUTES, *namespaces.ROUTES, *tables.ROUTES, *views.ROUTES)
"""Everything this door answers."""

_PARTS = tuple((route, tuple(route.path.strip("/").split("/"))) for route in ROUTES)

config.ENDPOINTS[:] = [f"{route.method} {route.path}" for route in ROUTES if route.path != "/v1/config"]


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request and what the names in its path stand for.

    Args:
        path: as it was sent, still encoded, from `/v1` on.
    Raises:
        CatalogError: there is none, or a part is no UTF-8.
    """
    sent = path.strip("/").split("/")
    try:
        parts = [unquote(part, errors="strict") for part in sent]
    except UnicodeDecodeError as error:
        raise bad_request("The address is no UTF-8.") from error
    known = [(route, _matched(wanted, parts)) for route, wanted in _PARTS if len(wanted) == len(parts)]
    there = [(route, matched) for route, matched in known if matched is not None]
    for route, matched in there:
        if route.method == method:
            return route, matched
    if there:
        raise CatalogError(405, "UnsupportedOperationException", f"{method} is not possible at {path[:200]}.")
    raise CatalogError(404, "NotFoundException", f"This catalog has nothing at {method} {path[:200]}.")


def _matched(wanted: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    found = dict[str, str]()
    for want, part in zip(wanted, parts, strict=True):
        if want.startswith("{"):
            found[want[1:-1]] = part
        elif want != part:
            return None
    return found
