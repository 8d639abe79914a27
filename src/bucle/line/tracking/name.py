"""Names: the keys of metrics, parameters and tags, each written once and known by a small number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bucle.ground.project import Project
from bucle.ground.store import Database
from bucle.line.tracking import store
from bucle.line.tracking.tables import NAMES
from bucle.line.tracking.text import check_key

__all__ = ["Names", "names_of"]

AT_ONCE = 500
"""Names asked for in one statement."""


class Names:
    """The numbers of names this process has seen. A name is never removed, so what is known stays true.

    Args:
        database: where they stand.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def numbers(self, names: Iterable[str]) -> dict[str, int]:
        """Numbers of those that are known, here or to the database; new ones are missing.

        Raises:
            BadText: one cannot be a key.
        """
        wanted = list(names)
        strange = {name for name in wanted if name not in self._numbers}
        if strange:
            for name in strange:
                check_key(name)
            with self._database.reading() as connection:
                self._look_up(connection, NAMES.c.name.in_, sorted(strange))
        return {name: self._numbers[name] for name in wanted if name in self._numbers}

    def names(self, connection: Connection, numbers: Iterable[int]) -> Mapping[int, str]:
        """The names behind numbers.

        Args:
            connection: of a reading, so that only what is kept for good is remembered.
        """
        strange = sorted({number for number in numbers if number not in self._names})
        if strange:
            self._look_up(connection, NAMES.c.id.in_, strange)
        return self._names

    def _look_up(self, connection: Connection, is_in: object, wanted: list[str] | list[int]) -> None:
        for start in range(0, len(wanted), AT_ONCE):
            query = sa.select(NAMES.c.id, NAMES.c.name).where(is_in(wanted[start : start + AT_ONCE]))  # type: ignore[operator]
            for number, name in connection.execute(query):
                self._names[number] = name
                self._numbers[name] = number

    def close(self) -> None:
        """Forget them."""
        self._numbers, self._names = {}, {}


def names_of(project: Project) -> Names:
    """The names an open project knows."""
    return project.keep(Names, lambda: Names(project.database))


def enter(connection: Connection, names: Iterable[str], known: dict[str, int]) -> dict[str, int]:
    """Numbers of all these names, new ones written; within a write.

    Args:
        known: numbers that are kept for good. What is entered here is not, until the write is.
    """
    missing = sorted({name for name in names if name not in known})
    if not missing:
        return known
    store.ENTER_NAME.run_many(connection, [{"name": name} for name in missing])
    return known | {name: store.name_number(connection, name) for name in missing}
