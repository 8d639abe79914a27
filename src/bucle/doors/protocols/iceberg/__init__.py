"""Iceberg's REST catalog: any Iceberg client reads and writes the lake's tables, and a branch is the warehouse."""

from bucle.doors.protocols.iceberg.app import PREFIX, Catalog
from bucle.doors.protocols.iceberg.errors import CatalogError
from bucle.doors.protocols.iceberg.routes import ROUTES
from bucle.doors.protocols.iceberg.wire import Answer, Call, Route

__all__ = ["PREFIX", "ROUTES", "Answer", "Call", "Catalog", "CatalogError", "Route"]
