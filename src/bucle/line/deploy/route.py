"""Routes as the ledger wants them: what an endpoint should serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from bucle.ground.core import NotFound, make_ref
from bucle.ground.ledger import AlreadyDone, Transaction
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.deploy import store
from bucle.line.deploy.check import check_request, not_deployable
from bucle.line.registry import ModelVersion
from bucle.line.serving import Arm, Routes

__all__ = ["Unchanged", "arm_of", "endpoints", "put_next", "read_routes", "routes", "routes_in", "set_shadows"]


class Unchanged(Exception):
    """There is nothing to change, so there is no event."""


def routes(project: Project, endpoint: str) -> Routes:
    """The routes an endpoint should have.

    Raises:
        NotFound: nothing was ever deployed to it.
    """
    with project.database.reading() as connection:
        found = store.find_routes(connection, endpoint)
    if found is None:
        raise _no_endpoint(endpoint)
    return found


def endpoints(project: Project) -> list[str]:
    """Every endpoint something was deployed to."""
    with project.database.reading() as connection:
        return store.endpoint_names(connection)


def read_routes(connection: Connection) -> list[Routes]:
    """The routes every endpoint should have, on a connection that is open."""
    return store.every_routes(connection)


def set_shadows(
    project: Project,
    endpoint: str,
    shadows: Sequence[tuple[str, int | str]],
    *,
    actor: str | None = None,
    reason: str = "",
    key: str | None = None,
) -> Routes:
    """Let versions run behind an endpoint's answers, seen by nobody; an empty list ends it.

    Args:
        shadows: model and version of each; any stage but `rejected` and `archived`.
    Raises:
        NotFound: nothing was deployed to the endpoint.
        NotDeployable: a version was rejected or archived.
        IncompatibleRequest: a version wants columns the endpoint's clients do not send.
    """
    try:
        with project.ledger.transaction(
            "deploy.shadows_set",
            subject=make_ref("endpoint", endpoint),
            actor=actor or project.actor,
            reason=reason,
            key=key,
        ) as tx:
            now = routes_in(tx, endpoint)
            versions = [registry.read_version(tx.connection, model, version) for model, version in shadows]
            for shadow in versions:
                if shadow.stage in ("rejected", "archived"):
                    raise not_deployable(shadow)
            arms = tuple(arm_of("shadow", shadow, 0.0) for shadow in versions)
            if now.shadows == arms:
                raise Unchanged
            for shadow in versions:
                check_request(project, now.champion, shadow)
            put_next(tx, now, shadows=arms)
            tx.data["shadows"] = [shadow.ref for shadow in versions]
    except (Unchanged, AlreadyDone):
        pass
    return routes(project, endpoint)


def put_next(tx: Transaction, now: Routes, **changes: Any) -> None:
    """The next generation of an endpoint's routes."""
    store.put_routes(tx, msgspec.structs.replace(now, generation=now.generation + 1, **changes))


def routes_in(tx: Transaction, endpoint: str) -> Routes:
    """The routes an endpoint should have, within a transaction. Raises: NotFound."""
    found = store.find_routes(tx.connection, endpoint)
    if found is None:
        raise _no_endpoint(endpoint)
    return found


def arm_of(name: str, version: ModelVersion, share: float) -> Arm:
    """A version as an arm of the traffic."""
    return Arm(name=name, model=version.model, version=version.version, package=version.digest, share=share)


def _no_endpoint(endpoint: str) -> NotFound:
    return NotFound(
        f"Nothing was ever deployed to the endpoint {endpoint!r}.", fix=f"bucle deploy roll {endpoint} MODEL@VERSION"
    )
