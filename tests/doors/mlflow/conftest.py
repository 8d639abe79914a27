"""The real MLflow client against a real server and against the project in its own process, on both databases."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from doors.conftest import Site, served

if TYPE_CHECKING:
    from mlflow import MlflowClient

HERE = Path(__file__).parent
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
}
VARIANTS = ("http+sqlite", "http+postgresql", "bucle+sqlite", "bucle+postgresql")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # MLflow and what it imports warn of a great deal; what Bucle warns of is an error here as everywhere.
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            item.add_marker(pytest.mark.filterwarnings(r"error:::bucle\."))


@pytest.fixture(scope="session", autouse=True)
def mlflow_environment() -> Iterator[None]:
    """MLflow reads its settings from the environment; it must neither phone home nor retry for minutes."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def new_database(server: str) -> Iterator[str]:
    """The URL of a database of its own."""
    name = f"bucle_{uuid.uuid4().hex[:12]}"
    url = sa.make_url(server).set(drivername="postgresql+psycopg")
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    yield url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with contextlib.suppress(sa.exc.DBAPIError), admin.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    admin.dispose()


def new_root(folder: Path, database: str = "") -> Path:
    """A project's folder; its settings name the database."""
    folder.mkdir(parents=True)
    store = f'[store]\ndatabase = "{database}"\n' if database else ""
    (folder / "bucle.toml").write_text(f'[project]\nname = "mlflow"\n{store}')
    return folder


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Places]:
    """Servers and projects by variant, each made when it is first asked for and kept for all tests of this process."""
    with contextlib.ExitStack() as stack:
        yield Places(tmp_path_factory.mktemp("mlflow"), stack, postgres_server)


class Places:
    def __init__(self, folder: Path, stack: contextlib.ExitStack, postgres: str) -> None:
        self._folder = folder
        self._stack = stack
        self._postgres = postgres
        self._sites: dict[str, Site] = {}
        self._roots: dict[str, Path] = {}
        self._opened: set[str] = set()

    def root(self, variant: str) -> Path:
        if variant not in self._roots:
            database = ""
            if variant.endswith("postgresql"):
                database = self._stack.enter_context(new_database(self._postgres))
            self._roots[variant] = new_root(self._folder / variant.replace("+", "_"), database)
        return self._roots[variant]

    def site(self, variant: str) -> Site:
        if variant not in self._sites:
            self._sites[variant] = self._stack.enter_context(served(self.root(variant)))
        return self._sites[variant]

    def uri(self, variant: str) -> str:
        if variant.startswith("http"):
            return self.site(variant).url
        from bucle.doors.protocols.mlflow import plugin

        uri = f"bucle://{self.root(variant)}"
        if variant not in self._opened:
            self._opened.add(variant)
            self._stack.callback(plugin.release, uri)
        return uri


@pytest.fixture(params=["http+sqlite", "http+postgresql"])
def server(places: Places, request: pytest.FixtureRequest) -> Site:
    """A project as `bucle up` serves it: `.url`, `.client` (httpx), `.project`. Shared: use names of your own."""
    return places.site(request.param)


@pytest.fixture
def sqlite_server(places: Places) -> Site:
    """The same on SQLite only, for what does not depend on the database."""
    return places.site("http+sqlite")


@pytest.fixture(params=VARIANTS)
def mlflow_uri(places: Places, request: pytest.FixtureRequest) -> str:
    """What a client's MLFLOW_TRACKING_URI is set to."""
    return places.uri(request.param)


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    """The real client on `mlflow_uri`."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_uri, registry_uri=mlflow_uri)


@pytest.fixture
def fluent(mlflow_uri: str) -> Iterator[Any]:
    """The module `mlflow`, pointed at `mlflow_uri`, in an experiment of its own."""
    yield from pointed_at(mlflow_uri)


def pointed_at(uri: str) -> Iterator[Any]:
    import mlflow
    from mlflow.tracking import fluent as state

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.set_experiment(unique("fluent"))
    yield mlflow
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.autolog(disable=True, silent=True)
    state._active_experiment_id = None
    mlflow.set_registry_uri("")
    mlflow.set_tracking_uri("")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)


@pytest.fixture
def experiment(client: MlflowClient) -> str:
    """The id of a new experiment."""
    return client.create_experiment(unique("experiment"))


def unique(name: str) -> str:
    """A name nobody else has."""
    return f"{name}-{uuid.uuid4().hex[:10]}"
