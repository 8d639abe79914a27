"""`bucle db`: the database's schema."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb
from bucle.ground.core import Record

if TYPE_CHECKING:
    from bucle.ground.store import Database

__all__ = ["VERBS", "Schema"]


class Schema(Record, frozen=True):
    """Where a database stands.

    Attributes:
        url: its address, without the password.
        version: the migration it is at; None when it is empty.
        newest: the migration this Bucle wants.
    """

    url: str
    version: str | None
    newest: str


def _open(terminal: Terminal) -> Database:
    """The project's database as it is: nothing is migrated."""
    import os

    from bucle.ground.core import StoreSection, load_config
    from bucle.ground.project import STATE
    from bucle.ground.store import Database

    root = terminal.root()
    config = load_config(root / "bucle.toml").section("store", StoreSection)
    url = terminal.database or os.environ.get("BUCLE_DATABASE", "") or config.database
    return Database(url or f"sqlite:///{root / STATE / 'bucle.db'}")


def _schema(database: Database) -> Schema:
    from bucle.ground.store import SCHEMA_VERSION

    url = database.engine.url.render_as_string(hide_password=True)
    return Schema(url=url, version=database.schema_version(), newest=SCHEMA_VERSION)


def _status(options: Namespace, terminal: Terminal) -> int:
    from contextlib import closing

    with closing(_open(terminal)) as database:
        found = _schema(database)
    terminal.show(found)
    if found.version == found.newest:
        terminal.say("The schema is up to date.")
        return 0
    terminal.next("bucle db upgrade")
    return FOUND


def _upgrade(options: Namespace, terminal: Terminal) -> None:
    from contextlib import closing

    with closing(_open(terminal)) as database:
        database.migrate()
        terminal.show(_schema(database))
    terminal.next("bucle status")


VERBS: tuple[Verb, ...] = (
    Verb("status", "which schema it has; exit status 7 when it needs an upgrade", _status, example="bucle db status"),
    Verb("upgrade", "bring the schema to what this Bucle wants", _upgrade, example="bucle db upgrade"),
)
