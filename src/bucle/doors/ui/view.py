"""View: one page: an address, a function that reads a record, and a template that shows it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from bucle.ground.core import NotFound, Record, to_builtins

__all__ = ["Address", "NoTable", "View", "as_csv", "plain_cell"]


class NoTable(NotFound):
    """A page without a table was asked for as CSV."""

    code = "BU1604"


class View(NamedTuple):
    """One page.

    Attributes:
        path: its address, e.g. `/models/{model}`; `.json` behind it gives the record, `.csv` the table.
        read: the project, and by keyword what the address says -> the record the page shows.
        template: shows the record.
        station: the word of the menu it stands under.
        rows: the record's field that is the page's table; empty for none.
    """

    path: str
    read: Callable[..., Record]
    template: str
    station: str
    rows: str = ""


class Address(NamedTuple):
    """Where the reader is: the address is the whole state of a page.

    Attributes:
        path: without the suffix.
        query: everything behind the question mark but language and theme.
    """

    path: str
    query: Mapping[str, str]

    def with_(self, **changes: object) -> str:
        """The same place with some of the query changed; a value of None or '' takes the parameter away."""
        return self._link(self.path, {**self.query, **changes})

    def as_(self, suffix: str) -> str:
        """The same records as `json` or `csv`."""
        path = "/index" if self.path == "/" else self.path
        return self._link(f"{path}.{suffix}", dict(self.query))

    def all_(self, path: str, kind: str) -> str:
        """Everything that fits, whatever page is looked at, as a file."""
        kept = {name: value for name, value in self.query.items() if name not in ("page", "limit", "add", "value")}
        return self._link(f"{path}.{kind}", kept)

    def _link(self, path: str, query: Mapping[str, object]) -> str:
        kept = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return f"{path}?{urlencode(kept)}" if kept else path


def as_csv(view: View, record: Record) -> str:
    """The table of a page as CSV: one line a row, nested values as JSON.

    Raises:
        NoTable: the page has none.
    """
    if not view.rows:
        raise NoTable(f"The page {view.path} has no table.", fix="Ask for .json instead of .csv.")
    rows = [_flat(row) for row in getattr(record, view.rows)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: plain_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _flat(row: object, front: str = "") -> dict[str, Any]:
    """A record as columns, inner records as `outer.inner`."""
    found: dict[str, Any] = {}
    for name, value in to_builtins(row).items():
        if isinstance(value, Mapping) and all(
            not isinstance(one, (Mapping, Sequence)) or isinstance(one, str) for one in value.values()
        ):
            found.update({f"{front}{name}.{inner}": one for inner, one in value.items()})
        else:
            found[f"{front}{name}"] = value
    return found


def plain_cell(value: object) -> object:
    """A value as a spreadsheet takes it; text that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    if value is None or isinstance(value, (bool, int, float, datetime)):
        return value
    return msgspec.json.encode(value).decode()
