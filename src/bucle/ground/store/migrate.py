"""Alembic, called from within: the migrations travel in the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run every migration that is still missing, within the caller's transaction.

    Args:
        connection: open, in a write transaction.
        to: the migration to end at.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
