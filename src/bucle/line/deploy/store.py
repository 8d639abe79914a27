"""The queries over deploy's tables."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from bucle.ground.core import decode, encode
from bucle.ground.ledger import Transaction
from bucle.line.deploy.tables import ROLLOUTS, ROUTES
from bucle.line.serving import Routes

__all__ = ["active_rollout", "endpoint_names", "find_routes", "put_routes", "rollout_row", "rollout_rows"]


def find_routes(connection: Connection, endpoint: str) -> Routes | None:
    """The routes an endpoint should have, None when nothing was ever deployed to it."""
    text = connection.execute(sa.select(ROUTES.c.routes).where(ROUTES.c.endpoint == endpoint)).scalar()
    return None if text is None else decode(text, Routes, what="routes")


def put_routes(transaction: Transaction, routes: Routes) -> None:
    """Write the routes an endpoint should have."""
    row = {"endpoint": routes.endpoint, "generation": routes.generation, "routes": encode(routes).decode()}
    transaction.put(ROUTES, row)


def endpoint_names(connection: Connection) -> list[str]:
    """Every endpoint something was deployed to."""
    return list(connection.execute(sa.select(ROUTES.c.endpoint).order_by(ROUTES.c.endpoint)).scalars())


def rollout_row(connection: Connection, identity: str) -> Row[tuple[object, ...]] | None:
    """One rollout."""
    return connection.execute(sa.select(ROLLOUTS).where(ROLLOUTS.c.id == identity)).one_or_none()


def rollout_rows(connection: Connection, endpoint: str | None) -> list[Row[tuple[object, ...]]]:
    """The rollouts of an endpoint, or of all, oldest first."""
    query = sa.select(ROLLOUTS).order_by(ROLLOUTS.c.started_at, ROLLOUTS.c.endpoint, ROLLOUTS.c.generation)
    if endpoint is not None:
        query = query.where(ROLLOUTS.c.endpoint == endpoint)
    return list(connection.execute(query))


def active_rollout(connection: Connection, endpoint: str) -> str | None:
    """The id of the rollout an endpoint has under way."""
    query = sa.select(ROLLOUTS.c.id).where(ROLLOUTS.c.endpoint == endpoint, ROLLOUTS.c.state == "canary")
    return connection.execute(query).scalar()
