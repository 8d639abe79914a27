"""Delete: rows are gone from a table without writing the others again.

Which rows of which files are gone is said in files of deletes beside the data ("merge on read"); a file of which every
row is gone goes itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from bucle.ground.project import Project
from bucle.line.data.branch import MAIN
from bucle.line.data.commit import Commit
from bucle.line.data.errors import BadCondition
from bucle.line.data.lake import Shelf
from bucle.line.data.manifest import DataFile
from bucle.line.data.scanned import read_frame
from bucle.line.data.schema import Column
from bucle.line.data.step import Step, move_on, need_table

if TYPE_CHECKING:
    import numpy as np

    from bucle.line.data.table import Table

__all__ = ["ROW", "Remaining", "as_condition", "delete", "numbered", "remaining", "rows_of", "touched"]

_FEW = 4
"""Of so many files each is looked at once rather than twice."""

ROW = "\0row"
"""The name under which a scan numbers its rows."""


def delete(
    project: Project,
    table: str,
    where: pl.Expr | str,
    *,
    branch: str = MAIN,
    message: str,
    key: str | None = None,
) -> Commit:
    """Remove the rows for which a condition holds; rows for which it is null stay.

    Args:
        where: a Polars expression, or a condition as in SQL: `"origin = 'JFK' AND delay > 60"`.
        branch: where.
        message: why, for people.
        key: an idempotency key.
    Returns:
        The branch's new head; the old one when no row is removed.
    Raises:
        NoSuchTable: the branch's head does not hold the table.
        BadCondition: the condition cannot be read, or asks for columns the table does not have.
        NoSuchBranch: there is no such branch.
    Cost: a read of the condition's columns, in the files that their statistics do not rule out; one small file for
        each file that loses rows.
    """

    def step(made: Step) -> None:
        from bucle.line.data.revise import Revision, revise  # noqa: PLC0415

        found = need_table(project, made, table)
        wanted = as_condition(where, found.columns)
        files, rows = rows_of(project, found, wanted)
        if len(rows):
            left = remaining(project, made.shelf, found, files, rows)
            to = Revision("delete", found.columns, data=left.data, deletes=left.deletes)
            made.tables[table] = revise(project, made.shelf, found, to)

    return move_on(project, step, branch=branch, message=message, key=key, is_long=True)


def as_condition(where: pl.Expr | str, columns: Sequence[Column]) -> pl.Expr:
    """A condition on these columns.

    Raises:
        BadCondition: it is no condition, or names other columns.
    """
    schema = {column.name: column.dtype for column in columns}
    try:
        made = pl.sql_expr(where) if isinstance(where, str) else where
        kind = pl.LazyFrame(schema=schema).select(made.alias("is")).collect_schema()["is"]
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise _bad(where, str(error).splitlines()[0]) from error
    if kind != pl.Boolean:
        raise _bad(where, f"it gives {kind}, not true or false")
    return made


def rows_of(project: Project, table: Table, where: pl.Expr) -> tuple[tuple[DataFile, ...], np.ndarray]:
    """Which live rows a condition holds for: some of the table's files, and rows counted over these, rising."""
    files = touched(project, table, where)
    rows = numbered(project, table, files).filter(where).select(ROW)
    return files, rows.collect(engine="streaming")[ROW].sort().to_numpy()


def touched(project: Project, table: Table, where: pl.Expr) -> tuple[DataFile, ...]:
    """The data files, in order, that may have a row for which a condition holds.

    To number rows, Polars opens every file; of many files, those with a match are found first.
    """
    files = table.data
    if len(files) <= _FEW or any(not file.of for file in table.deletes):
        return files
    path = "\0path"
    rows = read_frame(project, table.manifest, bounded=where.meta.root_names(), include_file_paths=path)
    met = rows.filter(where).select(pl.col(path).unique()).collect(engine="streaming")[path]
    found = set(met)
    return tuple(file for file in files if str(project.state / file.path) in found)


def numbered(project: Project, table: Table, files: Sequence[DataFile]) -> pl.LazyFrame:
    """The live rows of some of a table's files with their numbers."""
    part = msgspec.structs.replace(table.manifest, data=tuple(files))
    if not files or any(not file.of for file in table.deletes) or any(file.key for file in files):
        return read_frame(project, part, bounded=()).with_row_index(ROW)
    return read_frame(project, part, bounded=(), row_index_name=ROW)


class Remaining:
    """What is left of a table's files when rows go.

    Attributes:
        data: the data files that keep a row.
        deletes: all files of deletes.
    """

    def __init__(self, data: Sequence[DataFile], deletes: Sequence[DataFile]) -> None:
        self.data, self.deletes = data, deletes


def remaining(project: Project, shelf: Shelf, table: Table, files: Sequence[DataFile], rows: np.ndarray) -> Remaining:
    """Write down which rows are gone.

    Args:
        files: the data files over which rows are counted.
        rows: their numbers, rising, as `rows_of` gives them.
    """
    import numpy as np  # noqa: PLC0415

    from bucle.line.data.positions import positions_of  # noqa: PLC0415
    from bucle.line.data.table import uri  # noqa: PLC0415

    before = _Before(table)
    if before.wide:
        before.gone = positions_of(project, table.deletes)
    counts = [file.rows - before.count(file.path) for file in files]
    ends = np.cumsum(np.asarray(counts, np.int64))
    place_of = np.searchsorted(ends, rows, side="right")
    dropped, new = set[str](), list[DataFile]()
    replaced = set[str]()
    cuts = np.flatnonzero(np.diff(place_of)) + 1
    for part in np.split(np.arange(len(rows)), cuts):
        place = int(place_of[part[0]])
        file = files[place]
        inner = rows[part].astype(np.int64) - (int(ends[place]) - counts[place])
        if len(inner) == counts[place]:
            dropped.add(file.path)
            continue
        made, old = before.joined(project, shelf, file, inner, uri(project.state, file.path))
        new.append(made)
        replaced |= old
    data = [file for file in table.data if file.path not in dropped]
    kept = [file for file in table.deletes if file.path not in replaced and file.of not in dropped]
    return Remaining(data, [*kept, *new])


class _Before:
    """The deletes that a table has already."""

    def __init__(self, table: Table) -> None:
        self.gone: dict[str, Any] = {}
        self.wide = any(not file.of for file in table.deletes)
        self._of = dict[str, list[Any]]()
        for file in table.deletes:
            self._of.setdefault(file.of, []).append(file)

    def count(self, path: str) -> int:
        """How many rows of a data file are gone."""
        if self.wide:
            return len(self.gone.get(path, ()))
        return sum(file.rows for file in self._of.get(path, ()))

    def joined(
        self, project: Project, shelf: Shelf, file: DataFile, inner: np.ndarray, location: str
    ) -> tuple[DataFile, set[str]]:
        """A file of deletes for the `inner`-th of the rows that lived, and the paths of those it takes the place of."""
        import numpy as np  # noqa: PLC0415

        from bucle.line.data.positions import file_of_deletes, positions_of  # noqa: PLC0415

        known = self._of.get(file.path, [])
        if not self.count(file.path):
            return file_of_deletes(shelf, file, inner, location), set()
        found = self.gone if self.wide else positions_of(project, known)
        gone = found[file.path]
        living = np.ones(file.rows, bool)
        living[gone] = False
        positions = np.flatnonzero(living)[inner]
        # A short file of deletes is taken into the new one, so that their number grows as the logarithm of the deletes.
        short = [one for one in known if one.rows <= 4 * len(positions)]
        if short:
            positions = np.union1d(positions, positions_of(project, short)[file.path])
        return file_of_deletes(shelf, file, positions, location), {one.path for one in short}


def _bad(where: object, why: str) -> BadCondition:
    return BadCondition(
        f"The condition {str(where)[:200]!r} cannot be used: {why}.",
        why="It must say true or false for each row, of columns the table has.",
        fix="Write it as in SQL, \"origin = 'JFK' AND delay > 60\", or as a Polars expression: pl.col('delay') > 60.",
    )
