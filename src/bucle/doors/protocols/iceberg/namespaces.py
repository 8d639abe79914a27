"""Namespaces, on the wire."""

from __future__ import annotations

from bucle.doors.protocols.iceberg.errors import CatalogError, bad_request
from bucle.doors.protocols.iceberg.rights import check_namespace
from bucle.doors.protocols.iceberg.wire import LEVELS, Answer, Body, Call, Json, Route, namespace_of, read_body
from bucle.ground.project import Project
from bucle.line import data

__all__ = ["ROUTES"]


class CreateNamespace(Body):
    """A namespace to be made."""

    namespace: list[str]
    properties: dict[str, str] = {}


class ChangeProperties(Body):
    """What of a namespace's properties is set and removed."""

    updates: dict[str, str] = {}
    removals: list[str] = []


def listing(call: Call, project: Project) -> Json:
    """Those on top, or those right under `parent`."""
    given = call.query.get("parent", "")
    above = tuple(given.split(LEVELS)) if given else ()
    known = data.namespaces(project, at=call.ref)
    if above and namespace_of(above) not in known:
        data.namespace_properties(project, ".".join(above), at=call.ref)
    levels = [tuple(name.split(".")) for name in known]
    return {"namespaces": [one for one in levels if len(one) == len(above) + 1 and one[: len(above)] == above]}


def create(call: Call, project: Project) -> Json:
    """Make one."""
    body = read_body(call, CreateNamespace)
    if data.join_name(body.namespace, "table") is None:
        raise bad_request(
            "A namespace's levels are not empty and have no dot, since a dot parts them; none is under 'default'."
        )
    name = ".".join(body.namespace)
    check_namespace(call, project, name)
    data.create_namespace(
        project, name, body.properties, branch=call.ref, message=call.by(f"namespace {name} made"), key=call.key
    )
    return {"namespace": body.namespace, "properties": body.properties}


def load(call: Call, project: Project) -> Json:
    """One with its properties."""
    found = data.namespace_properties(project, namespace_of(call.namespace), at=call.ref)
    return {"namespace": list(call.namespace), "properties": found}


def exists(call: Call, project: Project) -> Answer:
    """Whether it is there: 204 or 404."""
    data.namespace_properties(project, namespace_of(call.namespace), at=call.ref)
    return Answer(204)


def drop(call: Call, project: Project) -> Answer:
    """Remove one that is empty."""
    name = namespace_of(call.namespace)
    check_namespace(call, project, name)
    data.drop_namespace(project, name, branch=call.ref, message=call.by(f"namespace {name} removed"), key=call.key)
    return Answer(204)


def change(call: Call, project: Project) -> Json:
    """Set and remove properties."""
    body, name = read_body(call, ChangeProperties), namespace_of(call.namespace)
    check_namespace(call, project, name)
    both = sorted(set(body.updates) & set(body.removals))
    if both:
        raise CatalogError(422, "UnprocessableEntityException", f"Set and removed at once: {', '.join(both)[:300]}.")
    missing = data.change_namespace(
        project,
        name,
        body.updates,
        body.removals,
        branch=call.ref,
        message=call.by(f"namespace {name} changed"),
        key=call.key,
    )
    removed = [one for one in dict.fromkeys(body.removals) if one not in missing]
    return {"updated": sorted(body.updates), "removed": removed, "missing": missing}


ROUTES = (
    Route("GET", "/v1/{prefix}/namespaces", listing),
    Route("POST", "/v1/{prefix}/namespaces", create),
    Route("GET", "/v1/{prefix}/namespaces/{namespace}", load),
    Route("HEAD", "/v1/{prefix}/namespaces/{namespace}", exists),
    Route("DELETE", "/v1/{prefix}/namespaces/{namespace}", drop),
    Route("POST", "/v1/{prefix}/namespaces/{namespace}/properties", change),
)
