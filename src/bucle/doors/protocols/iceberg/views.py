"""Views, on the wire."""

from __future__ import annotations

from typing import Any

from bucle.doors.protocols.iceberg.rights import check_reader, check_writer, new_name
from bucle.doors.protocols.iceberg.wire import Answer, Body, Call, Json, Rename, Route, identifiers, name_of, read_body
from bucle.ground.project import Project
from bucle.line import data

__all__ = ["ROUTES"]


class CreateView(Body):
    """A view to be made."""

    name: str
    schema: dict[str, Any]
    view_version: dict[str, Any]
    properties: dict[str, str] | None = None
    location: str | None = None


class CommitView(Body):
    """What is required of a view, and what is changed."""

    requirements: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []


class RegisterView(Body):
    """A name for a definition."""

    name: str
    metadata_location: str


def listing(call: Call, project: Project) -> Json:
    """Those of a namespace."""
    return identifiers(call, project, data.views(project, at=call.ref))


def create(call: Call, project: Project) -> Json:
    """Make one."""
    body = read_body(call, CreateView)
    name = new_name(call, project, call.namespace, body.name)
    request = {
        "schema": body.schema,
        "view-version": body.view_version,
        "properties": body.properties,
        "location": body.location,
    }
    return _shown(
        data.create_view(project, name, request, branch=call.ref, message=call.by(f"view {name} made"), key=call.key)
    )


def load(call: Call, project: Project) -> Json:
    """One with its metadata."""
    found = data.view(project, call.view, at=call.ref)
    check_reader(call, project, call.view)
    return _shown(found)


def exists(call: Call, project: Project) -> Answer:
    """Whether it is there: 204 or 404."""
    data.view(project, call.view, at=call.ref)
    return Answer(204)


def replace(call: Call, project: Project) -> Json:
    """Change one."""
    body, name = read_body(call, CommitView), call.view
    check_writer(call, project, name)
    check_reader(call, project, name)
    made = data.replace_view(
        project,
        name,
        body.updates,
        requirements=body.requirements,
        branch=call.ref,
        message=call.by(f"view {name} changed"),
        key=call.key,
    )
    return _shown(made)


def drop(call: Call, project: Project) -> Answer:
    """Take one from the branch."""
    name = call.view
    check_writer(call, project, name)
    data.drop_view(project, name, branch=call.ref, message=call.by(f"view {name} dropped"), key=call.key)
    return Answer(204)


def rename(call: Call, project: Project) -> Answer:
    """Give one another name."""
    body = read_body(call, Rename)
    source = name_of(body.source.namespace, body.source.name, kind="view")
    target = new_name(call, project, tuple(body.destination.namespace), body.destination.name)
    check_writer(call, project, source)
    # Who may not read a view might read it under another name.
    check_reader(call, project, source)
    data.rename_view(
        project, source, target, branch=call.ref, message=call.by(f"view {source} renamed to {target}"), key=call.key
    )
    return Answer(204)


def register(call: Call, project: Project) -> Json:
    """Give a name to a definition that a commit had."""
    body = read_body(call, RegisterView)
    name = new_name(call, project, call.namespace, body.name)
    made = data.register_view(
        project, name, body.metadata_location, branch=call.ref, message=call.by(f"view {name} registered"), key=call.key
    )
    return _shown(made)


def _shown(found: data.View) -> Json:
    return {"metadata-location": found.location, "metadata": found.metadata, "config": {}}


_VIEWS = "/v1/{prefix}/namespaces/{namespace}/views"
_VIEW = f"{_VIEWS}/{{view}}"

ROUTES = (
    Route("GET", _VIEWS, listing),
    Route("POST", _VIEWS, create),
    Route("GET", _VIEW, load),
    Route("HEAD", _VIEW, exists),
    Route("POST", _VIEW, replace),
    Route("DELETE", _VIEW, drop),
    Route("POST", "/v1/{prefix}/views/rename", rename),
    Route("POST", "/v1/{prefix}/namespaces/{namespace}/register-view", register),
)
