"""The OpenAPI document, made from the resources' own signatures and records.

Source: OpenAPI Specification 3.1.0; JSON Schema 2020-12 as msgspec writes it.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec

from bucle.doors.server.resources import API, RESOURCES, Resource
from bucle.doors.server.rows import ARROW, Found, Question, table_rows
from bucle.doors.server.writes import KINDS, WRITES, Write
from bucle.doors.ui import Parameter, parameters, result_type
from bucle.ground.core import Record
from bucle.line.client import CLIENT
from bucle.version import __version__

__all__ = ["Problem", "document"]

REF = "#/components/schemas/{name}"
PROBLEM = "#/components/responses/Problem"
ROWS = "/tables/{name}/rows"
BY_TOKEN: list[dict[str, list[str]]] = [{}, {"token": []}]
"""With a token or without: then it is `anonymous` who asks."""


class Problem(Record, frozen=True):
    """An error, as every resource answers it.

    Attributes:
        code: `BUrrnn`.
        what: what happened.
        why: why it matters.
        fix: what mends it.
        at: where: a parameter, a file, a row.
    """

    code: str
    what: str
    why: str
    fix: str
    at: str


def document() -> dict[str, Any]:
    """The whole document as plain values."""
    kinds = [Problem, *(result_type(resource.read) for resource in RESOURCES)]
    kinds += [kind for write in WRITES for kind in (write.gives, write.takes) if kind is not Path]
    kinds += [Question, Found, result_type(table_rows)]
    reads = (*(resource.read for resource in RESOURCES), table_rows)
    plain = [one.type for read in reads for one in parameters(read)]
    shown, components = msgspec.json.schema_components([*kinds, *plain], ref_template=REF)
    schemas = dict(zip(map(_key, [*kinds, *plain]), shown, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bucle",
            "version": __version__,
            "summary": "The records of every station of the line, and what runs elsewhere log.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": API}],
        "paths": _paths(schemas),
        "components": {
            "schemas": components,
            "responses": {"Problem": _answer("An error.", schemas[_key(Problem)])},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths(schemas: dict[str, Any]) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {
        resource.path or "/": {"get": _operation(resource, schemas)} for resource in RESOURCES
    }
    for write in WRITES:
        paths.setdefault(write.path, {})[write.method.lower()] = _writing(write, schemas)
    paths[ROWS] = {"get": _rows(schemas)}
    paths["/query"] = {"post": _query(schemas)}
    return paths


def _rows(schemas: dict[str, Any]) -> dict[str, Any]:
    """As a resource, but who asks is told by the token."""
    operation = _operation(Resource(ROWS, table_rows), schemas)
    operation["parameters"] = [one for one in operation["parameters"] if one["name"] != "principal"]
    return {**operation, "security": BY_TOKEN, "responses": {**operation["responses"], **_refusals("401", "403")}}


def _query(schemas: dict[str, Any]) -> dict[str, Any]:
    answer = _answer("Its rows.", schemas[_key(Found)])
    answer["content"][ARROW] = {}
    return {
        "operationId": "query",
        "tags": ["query"],
        "summary": "Ask a question in SQL; it only reads.",
        "security": BY_TOKEN,
        "parameters": [_client()],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schemas[_key(Question)]}},
        },
        "responses": {"200": answer, **_refusals("401", "403", "404", "413", "422", "503", "504")},
    }


def _refusals(*statuses: str) -> dict[str, Any]:
    return {status: {"$ref": PROBLEM} for status in statuses}


def _client() -> dict[str, Any]:
    return {"name": CLIENT, "in": "header", "required": True, "description": "Any text.", "schema": {"type": "string"}}


def _writing(write: Write, schemas: dict[str, Any]) -> dict[str, Any]:
    first = (inspect.getdoc(write.write) or "").partition("\n")[0]
    text = {"schema": {"type": "string"}}
    content = (
        {"application/octet-stream": {}}
        if write.takes is Path
        else {kind: {"schema": schemas[_key(write.takes)]} for kind in KINDS}
    )
    return {
        "operationId": write.write.__name__,
        "tags": [write.path.split("/")[1]],
        "summary": first,
        "parameters": [
            _client(),
            *({"name": one, "in": "path", "required": True, **text} for one in re.findall(r"{(\w+)}", write.path)),
        ],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _answer(first, schemas[_key(write.gives)]),
            **_refusals("401", "403", "404", "409", "413", "415", "422", "503"),
        },
    }


def _operation(resource: Resource, schemas: dict[str, Any]) -> dict[str, Any]:
    words = re.findall(r"[A-Za-z]+", resource.path) or ["about"]
    first, _, rest = (inspect.getdoc(resource.read) or "").partition("\n")
    return {
        "operationId": "_".join(words),
        "tags": [words[0]],
        "summary": first,
        **({"description": rest.strip()} if rest.strip() else {}),
        "parameters": [_parameter(one, resource.path, schemas) for one in parameters(resource.read)],
        "responses": {
            "200": _answer(first, schemas[_key(result_type(resource.read))]),
            **_refusals("404", "422", "503"),
        },
    }


def _parameter(one: Parameter, path: str, schemas: dict[str, Any]) -> dict[str, Any]:
    in_path = f"{{{one.name}}}" in path
    schema = dict(schemas[_key(one.type)])
    if not one.required and one.default is not None:
        schema["default"] = one.default
    place, required = ("path", True) if in_path else ("query", one.required)
    return {"name": one.name, "in": place, "required": required, "schema": schema}


def _answer(what: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": schema}}}


def _key(kind: Any) -> str:
    return repr(kind)
