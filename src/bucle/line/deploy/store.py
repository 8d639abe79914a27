"""The queries over deploy's tables."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from bucle.ground.core import decode, encode
from bucle.ground.ledger import Transaction
from bucle.line.deploy.tables import ROLLOUTS, ROUTES
from bucle.line.serving import Routes

__all__ = [
    "active_rollout",
    "endpoint_names",
    "every_routes",
    "find_routes",
    "newest_promotion",
    "put_routes",
    "rollout_row",
    "rollout_rows",
]


def find_routes(connection: Connection, endpoint: str) -> Routes | None:
    """The routes an endpoint should have, None when nothing was ever deployed to it."""
    text = connection.execute(sa.select(ROUTES.c.routes).where(ROUTES.c.endpoint == endpoint)).scalar()
    return None if text is None else decode(text, Routes, what="routes")


def every_routes(connection: Connection) -> list[Routes]:
    """The routes of every endpoint, by its name."""
    query = sa.select(ROUTES.c.routes).order_by(ROUTES.c.endpoint)
    return [decode(text, Routes, what="routes") for text in connection.execute(query).scalars()]


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


def newest_promotion(connection: Connection, model: str) -> str | None:
    """The id of the rollout that promoted a version of a model last."""
    query = sa.select(ROLLOUTS.c.id).where(ROLLOUTS.c.model == model, ROLLOUTS.c.state == "promoted")
    order = (ROLLOUTS.c.ended_at.desc(), ROLLOUTS.c.generation.desc(), ROLLOUTS.c.id)
    return connection.execute(query.order_by(*order).limit(1)).scalar()
