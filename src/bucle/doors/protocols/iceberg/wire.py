"""The wire: a call comes in, an answer goes out.

A module of this package declares what it answers as routes; `{name}` in a path stands for one part of it, decoded once:

    ROUTES = (Route("GET", "/v1/{prefix}/namespaces/{namespace}", load),)

    def load(call: Call, project: Project) -> Json: ...

The path is cut at `/` before it is decoded, so that `%2F` in a name stays in the name; `%1F` parts namespace levels.

Source: Apache Iceberg REST catalog, open-api/rest-catalog-open-api.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from bucle.doors.protocols.iceberg.errors import CatalogError, bad_request
from bucle.ground.governance import ANONYMOUS
from bucle.ground.ledger import Event
from bucle.ground.project import Project
from bucle.line import data

__all__ = [
    "LEVELS",
    "Answer",
    "Body",
    "Call",
    "Identifier",
    "Json",
    "Rename",
    "Route",
    "identifiers",
    "name_of",
    "namespace_of",
    "read_body",
]

Json = dict[str, Any]
LEVELS = "\x1f"
"""What parts the levels of a namespace in a path."""

_AGENT = 60


class Call(msgspec.Struct):
    """One request.

    Attributes:
        method: `GET`, `POST`, …
        parts: what the names in the route's path stand for.
        query: each name with its first value.
        headers: names in lower case.
        body: what was sent.
        principal: who asks, by the token.
        key: of the ledger, when the client sent an `Idempotency-Key`.
        done: what was done under that key before.
    """

    method: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    principal: str = ANONYMOUS
    key: str | None = None
    done: Event | None = None

    @property
    def ref(self) -> str:
        """The branch, or for reading a commit or an instant, that the client chose as its warehouse."""
        return self.parts["prefix"]

    @property
    def namespace(self) -> tuple[str, ...]:
        """The levels of the namespace in the path."""
        return tuple(self.parts["namespace"].split(LEVELS))

    @property
    def table(self) -> str:
        """Our name of the table in the path.

        Raises:
            CatalogError: no table can have that name: 404.
        """
        return name_of(self.namespace, self.parts["table"])

    @property
    def view(self) -> str:
        """Our name of the view in the path.

        Raises:
            CatalogError: no view can have that name: 404.
        """
        return name_of(self.namespace, self.parts["view"], kind="view")

    def by(self, what: str) -> str:
        """Why, for people: what is done, by which client and whose."""
        agent = self.headers.get("user-agent", "")[:_AGENT]
        shown = "".join(one for one in agent if one.isascii() and one.isprintable())
        name = "" if self.principal == ANONYMOUS else f" of {self.principal}"
        return f"{what} by {shown or 'an Iceberg client'}{name}"


class Answer(msgspec.Struct):
    """One response that is not just JSON with status 200."""

    status: int
    body: Json | None = None
    headers: Mapping[str, str] = {}


class Body(msgspec.Struct, rename="kebab"):
    """What a request says; unknown fields are ignored."""


class Identifier(Body):
    """A table's name with its namespace."""

    namespace: list[str]
    name: str


class Rename(Body):
    """The name of a table or view, and its new one."""

    source: Identifier
    destination: Identifier


class Route(msgspec.Struct, frozen=True):
    """One thing a client may ask for.

    Attributes:
        method: `GET`, `POST`, …
        path: with `{name}` for one part, as Iceberg's own list of endpoints has it.
        answer: makes the JSON of the answer, or an `Answer`.
        changes: whether it may change something, unless it only reads by its method.
    """

    method: str
    path: str
    answer: Callable[[Call, Project], Json | Answer]
    changes: bool = True


B = TypeVar("B", bound=Body)


def read_body(call: Call, kind: type[B]) -> B:
    """The body.

    Raises:
        CatalogError: it is no JSON of this shape: 400.
    """
    try:
        return msgspec.json.decode(call.body, type=kind)
    except msgspec.MsgspecError as error:
        raise bad_request(f"The body cannot be read: {str(error)[:300]}.") from error
    except RecursionError as error:
        raise bad_request("The body is nested too deeply.") from error


def identifiers(call: Call, project: Project, names: Iterable[str]) -> Json:
    """Those of these tables or views that lie in the call's namespace.

    Raises:
        NoSuchNamespace: there is none of that name.
    """
    namespace = namespace_of(call.namespace)
    data.namespace_properties(project, namespace, at=call.ref)
    found = [parted for name in names if (parted := data.split_name(name))]
    return {"identifiers": [{"namespace": levels, "name": n} for levels, n in found if ".".join(levels) == namespace]}


def namespace_of(levels: tuple[str, ...]) -> str:
    """Our name of a namespace, with dots between its levels.

    Raises:
        CatalogError: no namespace can have that name: 404.
    """
    if data.join_name(levels, "table") is None:
        raise CatalogError(404, "NoSuchNamespaceException", f"There can be no namespace {_shown(levels)}.")
    return ".".join(levels)


def name_of(levels: tuple[str, ...] | list[str], name: str, kind: Literal["table", "view"] = "table") -> str:
    """Our name of a table or view.

    Raises:
        CatalogError: none can have that name: 404.
    """
    found = data.join_name(levels, name)
    if found is None:
        shown = _shown((*levels, name))
        raise CatalogError(404, f"NoSuch{kind.capitalize()}Exception", f"There can be no {kind} {shown}.")
    return found


def _shown(levels: tuple[str, ...]) -> str:
    return repr(list(levels))[:200]
