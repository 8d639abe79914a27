"""Boundary: the greatest value of a cursor that was read, and which rows had it.

A row that is committed later may bear the very instant or day that was last. So what follows is asked for from that
value on, and the rows that have landed with it are told by their digests. A number is one row's: its update is no new
row.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import polars as pl

from bucle.ground.core import digest_of, short
from bucle.line.sources.pulled import kept, need_column

__all__ = ["MOST", "Boundary"]

MOST = 10_000
"""Of so many rows with the last value the digests are kept."""


class Boundary:
    """The rows of one look pass through it, in the order of their cursor.

    Args:
        column: the cursor.
        before: what was kept after the look before; `value`, and `at` if its rows are told.
        start: the value before the first look.
    """

    def __init__(self, column: str, before: dict[str, Any], start: Any) -> None:
        self._column = column
        self._known = Counter[str](before.get("at", ()))
        self.value = before.get("value", start)
        self.is_told = "at" in before
        self._at = list[str](before.get("at", ()))

    def passed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the rows that have not landed.

        Raises:
            SourceFailed: they have no such column.
        """
        need_column(self._column, rows.columns)
        valued = rows.filter(pl.col(self._column).is_not_null())
        if not valued.height:
            return rows
        fresh = rows
        if self.is_told and kept(valued[self._column].item(0)) == self.value:
            here = int((valued[self._column] == valued[self._column].item(0)).sum())
            is_new = [self._is_new(row) for row in valued.head(here).iter_rows(named=True)]
            fresh = pl.concat([valued.head(here).filter(pl.Series(is_new, dtype=pl.Boolean)), valued.slice(here)])
        self._move(fresh, valued[self._column].item(-1))
        return fresh

    def cursor(self) -> dict[str, Any]:
        """What is to be kept."""
        told = {"at": sorted(self._at)} if 0 < len(self._at) <= MOST else {}
        return {"value": self.value, **told}

    def _is_new(self, row: dict[str, Any]) -> bool:
        mark = _mark(row)
        self._known[mark] -= 1
        return self._known[mark] < 0

    def _move(self, rows: pl.DataFrame, last: Any) -> None:
        """Note the rows that have the last value; those with one before it are behind."""
        if kept(last) != self.value:
            self.value, self._at, self.is_told = kept(last), [], False
        kind = rows.schema[self._column]
        if not (kind.is_temporal() or kind == pl.String):
            return
        same = rows.filter(pl.col(self._column) == pl.lit(last, kind))
        self._at += [_mark(row) for row in same.head(MOST + 1 - len(self._at)).iter_rows(named=True)]


def _mark(row: dict[str, Any]) -> str:
    """A row's digest. SQLite gives one number as an integer or a float, as the rows beside it are."""
    plain = [int(value) if isinstance(value, float) and value.is_integer() else value for value in row.values()]
    return short(digest_of(msgspec.json.encode([[*row], plain], enc_hook=str)))
