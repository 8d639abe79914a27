"""Project: an opened folder with a `bucle.toml`; what every station's verbs take as their first argument."""

from __future__ import annotations

import getpass
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Protocol, TypeVar, cast

from bucle.ground.core import Clock, Config, NotFound, ProjectSection, StoreSection, SystemClock, UserError, load_config
from bucle.ground.ledger import Anchor, Ledger
from bucle.ground.store import Database, open_blobs, place_of

__all__ = ["PURPOSE", "READER", "STATE", "ModuleFailed", "Project", "find_root", "load_modules"]

STATE = ".bucle"
"""The folder inside a project that Bucle writes to."""

PURPOSE, READER = "BUCLE_PURPOSE", "BUCLE_READER"
"""The variables that tell a process what its projects read tables for, and by the ref of what."""

_READING: ContextVar[tuple[str, str] | None] = ContextVar("_READING", default=None)
"""Purpose and reader of what is being carried out in this context; it comes before the variables."""


class _Closeable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closeable)


class ModuleFailed(UserError):
    """A Python module of the project cannot be imported."""

    code = "BU0110"


class Project:
    """A project, open: its settings, database, blobs, ledger and clock.

    Attributes:
        root: the folder that holds `bucle.toml`.
        state: the folder Bucle writes to, `root/.bucle`.
        config: the settings.
        clock: the time; simulated in demos and replays.
        database: migrated and ready.
        blobs: content-addressed bytes.
        anchor: the log's roots, outside the database.
        ledger: events and lineage.
        actor: who acts, for the ledger.
        purpose: what its tables are read for, as the training around it or `BUCLE_PURPOSE` says; '' is a training that
            does not tell, None is nobody who trains.
        reader: the ref of what reads, e.g. `step/5f1c…`.
    """

    def __init__(self, root: Path, config: Config, database_url: str, *, clock: Clock, actor: str) -> None:
        self.root = root
        self.state = root / STATE
        self.config = config
        self.clock = clock
        self.actor = actor
        self.state.mkdir(parents=True, exist_ok=True)
        self.database = Database(database_url)
        self.database.migrate()
        self.blobs = open_blobs(place_of(self.state, config.section("store", StoreSection)))
        self.anchor = Anchor(self.state / "ledger.anchor")
        self.ledger = Ledger(self.database, clock, self.anchor)
        self.purpose, self.reader = _READING.get() or (os.environ.get(PURPOSE), os.environ.get(READER, ""))
        self._kept: dict[type[_Closeable], _Closeable] = {}
        self._lock = Lock()

    @classmethod
    def open(
        cls, root: Path | str = ".", *, clock: Clock | None = None, database: str = "", actor: str = ""
    ) -> Project:
        """Open the project in a folder.

        Args:
            root: the folder with `bucle.toml`.
            clock: the machine's unless given.
            database: an SQLAlchemy URL that overrides `BUCLE_DATABASE` and `[store] database`.
            actor: who acts; `BUCLE_ACTOR` or the login name unless given.
        Raises:
            NotFound: there is no `bucle.toml`.
            ConfigError: it has a wrong key or value.
            DatabaseTooNew: a newer Bucle made the database.
            DatabaseFailed: the database does not answer.
        """
        folder = Path(root).resolve()
        config = load_config(folder / "bucle.toml")
        url = database or os.environ.get("BUCLE_DATABASE", "") or config.section("store", StoreSection).database
        name = actor or os.environ.get("BUCLE_ACTOR", "") or _login()
        default = f"sqlite:///{folder / STATE / 'bucle.db'}"
        return cls(folder, config, url or default, clock=clock or SystemClock(), actor=name)

    @property
    def name(self) -> str:
        """What the project is called."""
        return self.config.section("project", ProjectSection).name

    def reading(self, purpose: str, *, reader: str = "") -> Project:
        """This project for a training: what tables are read for is asked of their records, and written down.

        Args:
            purpose: what for; '' when it is not told.
            reader: the ref of what reads, when it is no person but a step.
        """
        made = copy(self)
        made.purpose, made.reader = purpose, reader
        return made

    @contextmanager
    def training(self) -> Iterator[None]:
        """Within it, every project that is opened reads for what this one does: nobody gets round it by opening one."""
        token = None if self.purpose is None else _READING.set((self.purpose, self.reader))
        try:
            yield
        finally:
            if token is not None:
                _READING.reset(token)

    def modules(self) -> list[ModuleType]:
        """The project's own Python modules, imported from its folder.

        Raises:
            ModuleFailed: one is missing or fails on import.
        """
        return load_modules(self.root, self.config)

    def module(self, name: str) -> ModuleType:
        """One Python module from the project's folder.

        Raises:
            ModuleFailed: it is missing or fails on import.
        """
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))
        return _import(name, self.root)

    def keep(self, kind: type[C], make: Callable[[], C]) -> C:
        """The one `kind` this open project keeps, e.g. a room's warm processes: made once, closed with the project."""
        with self._lock:
            if kind not in self._kept:
                self._kept[kind] = make()
            return cast(C, self._kept[kind])

    def acting_as(self, actor: str) -> Project:
        """The same open project, in which somebody else acts; it is closed with this one."""
        other = copy(self)
        other.actor = actor
        return other

    def close(self) -> None:
        """Close what the project keeps and give back the database's connections."""
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].close()
        self.database.close()


def load_modules(root: Path, config: Config) -> list[ModuleType]:
    """The Python modules a project names in `[project] modules`, imported from its folder; no database is touched.

    Raises:
        ModuleFailed: one is missing or fails on import.
    """
    if str(root) in sys.path:
        sys.path.remove(str(root))
    sys.path.insert(0, str(root))
    return [_import(name, root) for name in config.section("project", ProjectSection).modules]


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that has a `bucle.toml`.

    Raises:
        NotFound: there is none up to the root of the file system.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "bucle.toml").is_file():
            return folder
    raise NotFound(
        f"There is no bucle.toml in {start.resolve()} or above it.",
        why="A project is a folder with a bucle.toml.",
        fix="Run `bucle init` here, or name the project with --project DIR.",
    )


def _import(name: str, root: Path) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None and not Path(known.__file__ or "").is_relative_to(root):
        del sys.modules[name]  # another project's, opened earlier in this process
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ModuleFailed(
            f"The project's module {name!r} cannot be imported: {type(error).__name__}: {error}.",
            why=f"{root / 'bucle.toml'} names it.",
            fix=f"Mend {name}.py, or take it out there.",
            at=name,
        ) from error


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
