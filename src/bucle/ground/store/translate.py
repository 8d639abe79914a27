"""The driver's errors as ours: no error of a lower library leaves the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from bucle.ground.store.errors import BadValue, DatabaseFailed

__all__ = ["translated"]

_DRIVERS = ("sqlite3", "psycopg")


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Errors of the database's driver as ours; a broken constraint stays what it is, since its cause is in our code.

    Args:
        url: of the database, for the message.
    Raises:
        BadValue: the database can hold no such value, e.g. text with a NUL in PostgreSQL.
        DatabaseFailed: the database does not answer or refused a statement.
    """
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DataError as error:
        raise BadValue(
            f"The database holds no such value: {str(error.orig).splitlines()[0]}.",
            why="It was asked to keep or to find it. The change was not made.",
            fix="Text has no NUL and no half of a surrogate pair; numbers have 64 bits.",
        ) from error
    except sa.exc.DBAPIError as error:
        raise _failed(url, error.orig) from error
    except Exception as error:
        if not _is_of_a_driver(error):
            raise
        raise _failed(url, error) from error


def _is_of_a_driver(error: Exception) -> bool:
    """Whether a statement that was run by the driver itself failed."""
    return any(kind.__name__ == "Error" and kind.__module__.split(".")[0] in _DRIVERS for kind in type(error).__mro__)


def _failed(url: str, error: BaseException | None) -> DatabaseFailed:
    return DatabaseFailed(
        f"The database {sa.make_url(url).render_as_string(hide_password=True)} failed: {error}.",
        why="The change was not made.",
        fix="Check that it runs, has room on its disk and lets you write; then repeat.",
    )
