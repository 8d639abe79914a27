"""One table over all modules, and the wire that answers by it."""

from __future__ import annotations

import errno
import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from bucle.doors.protocols.mlflow import (
    artifacts,
    assessments,
    datasets,
    experiments,
    logged_models,
    metrics,
    multipart,
    otlp,
    probes,
    registry,
    runs,
    scorers,
    trace_metrics,
    traces,
    webhooks,
)
from bucle.doors.protocols.mlflow.absent import ABSENT
from bucle.doors.protocols.mlflow.errors import MlflowError, half_a_character, invalid, of_bucle
from bucle.doors.protocols.mlflow.wire import (
    VALUE_BYTES,
    Answer,
    Call,
    Json,
    Pending,
    Route,
    check_values,
    decode_body,
    decode_query,
    encode,
)
from bucle.ground.core import BucleError, StoreError
from bucle.ground.project import Project

__all__ = ["ROUTES", "Found", "Table", "Wire", "failed"]

MODULES = (
    probes,
    experiments,
    runs,
    metrics,
    artifacts,
    multipart,
    logged_models,
    registry,
    webhooks,
    traces,
    trace_metrics,
    otlp,
    assessments,
    datasets,
    scorers,
)

ROUTES: tuple[Route, ...] = tuple(route for module in MODULES for route in module.ROUTES)
"""Everything this door answers."""

_JSON = {"content-type": "application/json"}
_BARE = frozenset(("GET", "HEAD"))

_log = logging.getLogger("bucle.mlflow")


class Found(msgspec.Struct, frozen=True):
    """A route with what its path's names stand for."""

    route: Route
    params: dict[str, str]


class Table:
    """Finds the route of a method and a path: a fixed path by one look-up, others part by part.

    Args:
        routes: no two with the same method and path.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[tuple[str, str], Found] = {}
        self._open: dict[int, list[tuple[list[str], Route]]] = defaultdict(list)
        self._tails: list[tuple[str, str, Route]] = []
        for route in routes:
            self._add(route)

    def find(self, method: str, path: str) -> Found:
        """The route for a request.

        Raises:
            MlflowError: NOT_IMPLEMENTED when MLflow has it and Bucle does not, ENDPOINT_NOT_FOUND otherwise.
        """
        found = self._fixed.get((method, path)) or self._look(method, path)
        if found is None:
            raise self._unknown(method, path)
        return found

    def _add(self, route: Route) -> None:
        if "{" not in route.path:
            if (route.method, route.path) in self._fixed:
                raise ValueError(f"{route.method} {route.path} is declared twice")
            self._fixed[route.method, route.path] = Found(route, {})
        elif route.path.endswith(":path}"):
            prefix, _, name = route.path.partition("{")
            self._tails.append((prefix, name.removesuffix(":path}"), route))
        else:
            parts = route.path.split("/")
            self._open[len(parts)].append((parts, route))

    def _look(self, method: str, path: str) -> Found | None:
        parts = path.split("/")
        for pattern, route in self._open.get(len(parts), ()):
            if route.method == method and (params := _match(pattern, parts)) is not None:
                return Found(route, params)
        for prefix, name, route in self._tails:
            if route.method == method and path.startswith(prefix) and len(path) > len(prefix):
                return Found(route, {name: path[len(prefix) :]})
        return None

    def _unknown(self, method: str, path: str) -> MlflowError:
        others = [other for other in ("GET", "POST", "PUT", "PATCH", "DELETE") if other != method]
        others = [o for o in others if (o, path) in self._fixed or self._look(o, path) is not None]
        if others:
            text = f"{path[:200]} is answered for {' and '.join(others)}, not for {method}."
            return MlflowError("ENDPOINT_NOT_FOUND", text, status=405)
        parts = path.split("/mlflow/", 1)
        rest = parts[1] if len(parts) == 2 else path
        for absent in ABSENT:
            if rest == absent.under or rest.startswith(f"{absent.under}/"):
                return MlflowError("NOT_IMPLEMENTED", f"{absent.what}: not offered by Bucle. {absent.why}")
        return MlflowError("ENDPOINT_NOT_FOUND", f"Nothing stands at {path[:200]}.")


class Wire:
    """Answers calls on a project, over HTTP and in this process alike.

    Attributes:
        project: whose it is.

    Args:
        project: open; the caller closes it.
        routes: what it answers; everything unless given.
    """

    def __init__(self, project: Project, routes: Iterable[Route] = ROUTES) -> None:
        self.project = project
        self._table = Table(routes)

    def find(self, method: str, path: str) -> Found:
        """The route for a request; see `Table.find`. `/ajax-api/…` is `/api/…`."""
        if path.startswith("/ajax-api/"):
            path = f"/{path.removeprefix('/ajax-')}"
        return self._table.find(method, path)

    def answer(self, call: Call) -> Answer:
        """The answer to a call; waits until what it wrote is durable. Errors are answers as well."""
        try:
            found = self.find(call.method, call.path)
            made = self.begin(found, call)
            return finish(made.then(made.future.result()) if isinstance(made, Pending) else made)
        except Exception as error:  # this is the door's outermost edge: whatever it is, the client gets an answer
            return failed(error)

    def begin(self, found: Found, call: Call) -> Json | Answer | Pending:
        """What the handler returns.

        Raises:
            MlflowError, BucleError: the request is wrong or was refused.
        """
        return found.route.answer(_request(found, call), self.project)


def finish(made: Json | Answer) -> Answer:
    """A handler's return value as an answer."""
    return made if isinstance(made, Answer) else Answer(200, _JSON, encode(made))


def failed(error: Exception) -> Answer:
    """An error as an answer; one nobody foresaw is told by a reference that stands in the log."""
    if isinstance(error, StoreError) and _is_of_a_value(error):
        error = invalid("A value of the request is none that the database can hold or compare, e.g. a text with NUL.")
    elif isinstance(error, BucleError):
        error = of_bucle(error)
    elif isinstance(error, UnicodeEncodeError):  # only what a client sent holds such a text
        error = half_a_character()
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        error = MlflowError("TEMPORARILY_UNAVAILABLE", "No room left on the server's disk; nothing was kept.")
    if not isinstance(error, MlflowError):
        reference = uuid.uuid4().hex[:12]
        _log.error("a call of an MLflow client failed [%s]", reference, exc_info=error)
        error = MlflowError("INTERNAL_ERROR", f"Bucle itself is at fault; its log has more under {reference}.")
    return Answer(error.status, _JSON, encode(error.as_dict()))


def _is_of_a_value(error: StoreError) -> bool:
    """Whether the database refused a value rather than failed; PEP 249 calls that a DataError in every driver."""
    cause = error.__cause__
    return any(kind.__name__ == "DataError" for kind in type(getattr(cause, "orig", cause)).__mro__)


def _request(found: Found, call: Call) -> Any:
    kind = found.route.kind
    if kind is Call:
        call.params = found.params
        return call
    if call.query and (call.method in _BARE or not call.body):
        return decode_query(call.query, kind, found.params)
    if isinstance(call.body, bytes):
        check_values(call.body, found.route.limit // VALUE_BYTES)
        return decode_body(call.body, kind, found.params)
    raise TypeError(f"{found.route.path} streams its body and must take the call itself")


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    params = {}
    for expected, given in zip(pattern, parts, strict=True):
        if expected[:1] == "{":
            if not given:
                return None
            params[expected[1:-1]] = given
        elif expected != given:
            return None
    return params
