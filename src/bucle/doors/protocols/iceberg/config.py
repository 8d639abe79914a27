"""Configuration: a client asks for a warehouse, and is sent to the branch of that name."""

from __future__ import annotations

from bucle.doors.protocols.iceberg.wire import Call, Json, Route
from bucle.ground.project import Project
from bucle.line import data

__all__ = ["ENDPOINTS", "ROUTES"]

ENDPOINTS = list[str]()
"""What this catalog answers, as Iceberg's clients list it; filled by `routes`."""


REPLAYS = {"idempotency-key-lifetime": "PT24H"}
"""How long a client may count on an `Idempotency-Key`; the ledger keeps them for ever."""


def config(call: Call, project: Project) -> Json:
    """Where the tables of a warehouse are: under the prefix of its branch.

    Raises:
        NoSuchBranch, NoSuchCommit: there is no such branch, commit or instant.
    """
    warehouse = call.query.get("warehouse") or data.MAIN
    data.namespaces(project, at=warehouse)
    return {"defaults": {}, "overrides": {"prefix": warehouse}, "endpoints": ENDPOINTS, **REPLAYS}


ROUTES = (Route("GET", "/v1/config", config),)
