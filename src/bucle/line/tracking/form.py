"""Forms: what runs look like to somebody, made once for each seal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from sqlalchemy.engine import Connection

from bucle.ground.project import Project
from bucle.line.tracking import store
from bucle.line.tracking.metric import last_points_of
from bucle.line.tracking.point import Point
from bucle.line.tracking.run import Columns, Run, read_rows

__all__ = ["Form"]

Key = tuple[int, int, str]
"""A run's number, the event that sealed it, and the lifecycle of its experiment: all its form depends on."""


class Form:
    """Runs as bytes of some kind, e.g. as MLflow's JSON.

    A sealed run holds the same as long as its seal does, so its form is kept, the longest unused going first. A run
    without a seal is made anew each time.

    Args:
        make: the form of a run, told the last point of each of its metrics by key.
        columns: what `make` looks at besides those.
        most: bytes kept at most.
    """

    def __init__(
        self, make: Callable[[Run, Sequence[Point]], bytes], *, columns: Columns, most: int = 32 << 20
    ) -> None:
        self._make = make
        self._columns = columns
        self._most = most
        self._kept = OrderedDict[Key, bytes]()
        self._size = 0
        self._lock = Lock()

    def of(self, project: Project, connection: Connection, numbers: Sequence[int]) -> list[bytes]:
        """The forms of the runs with these numbers, in their order.

        Cost: one query, and for those that are not kept what `read_runs` costs.
        """
        found = self._find(store.seals(connection, numbers))
        missing = store.run_rows(connection, [number for number in numbers if number not in found])
        if missing:
            points = last_points_of(project, connection, [row.seq for row in missing])
            runs = read_rows(project, connection, missing, self._columns)
            made = {row.seq: self._make(run, points[row.seq]) for row, run in zip(missing, runs, strict=True)}
            self._keep({_key(row): made[row.seq] for row in missing})
            found |= made
        return [found[number] for number in numbers if number in found]

    def close(self) -> None:
        """Forget them."""
        with self._lock:
            self._kept.clear()
            self._size = 0

    def _find(self, keys: Sequence[Key]) -> dict[int, bytes]:
        found = dict[int, bytes]()
        with self._lock:
            for key in keys:
                form = self._kept.get(key)
                if form is not None:
                    self._kept.move_to_end(key)
                    found[key[0]] = form
        return found

    def _keep(self, made: Mapping[Key | None, bytes]) -> None:
        with self._lock:
            for key, form in made.items():
                if key is not None and key not in self._kept:
                    self._kept[key] = form
                    self._size += len(form)
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])


def _key(row: store.RunRow) -> Key | None:
    return None if row.sealed is None else (row.seq, row.sealed, row.experiment_lifecycle)
