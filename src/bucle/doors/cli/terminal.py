"""Terminal: data to standard output, talk to standard error, for people or as one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.ground.core import BucleError, encode, to_builtins

if TYPE_CHECKING:
    from rich.console import Console

    from bucle.ground.project import Project

__all__ = ["Terminal"]


class Terminal:
    """Where a command speaks.

    Args:
        as_json: print records as JSON instead of tables.
        quiet: no talk.
        project: the folder named with `--project`, or the current one.
        database: the URL named with `--database`, or empty.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, project: str = "", database: str = "") -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._folder = project
        self._database = database

    def open_project(self, **options: Any) -> Project:
        """The project this command is about.

        Raises:
            NotFound: there is no `bucle.toml` here or above.
        """
        from bucle.ground.project import Project

        return Project.open(self.root(), database=self._database, **options)

    @contextmanager
    def project(self, **options: Any) -> Iterator[Project]:
        """The project this command is about, closed when the block ends; errors as for `open_project`."""
        opened = self.open_project(**options)
        try:
            yield opened
        finally:
            opened.close()

    def root(self) -> Path:
        """The project's folder.

        Raises:
            NotFound: there is no `bucle.toml` here or above.
        """
        from bucle.ground.project import find_root

        return Path(self._folder).resolve() if self._folder else find_root(Path.cwd())

    @property
    def database(self) -> str:
        """The URL named with `--database`, or empty."""
        return self._database

    def show(self, value: Any, columns: Sequence[str] = (), *, told: Any = None) -> None:
        """Print a record, or a list of records as a table of the named columns.

        Args:
            value: what `--json` prints, whole.
            columns: of the table people see; all unless given.
            told: what people see instead of `value`: a record, or the rows of a table.
        """
        if self.as_json:
            self.line(encode(value).decode())
            return
        shown = value if told is None else told
        if isinstance(shown, list | tuple):
            self._table([to_builtins(item) for item in shown], columns)
        else:
            self._fields(to_builtins(shown))

    def tell(self, value: Any) -> None:
        """Print a record's fields, or a text; nothing with `--json`, whose one document `show` has printed."""
        if not self.as_json:
            self._fields(to_builtins(value))

    def tell_table(self, rows: Sequence[Any], columns: Sequence[str] = (), title: str = "") -> None:
        """Print one more table for people, under a title; nothing with `--json`, and nothing when it has no row."""
        if not self.as_json and rows:
            self.line(f"\n{title}" if title else "")
            self._table([to_builtins(item) for item in rows], columns)

    def line(self, text: str = "") -> None:
        """Print one line of data."""
        sys.stdout.write(text + "\n")

    def flush(self) -> None:
        """Let a reader see at once what was printed; for commands that go on."""
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Talk to the person, unless quiet or `--json`."""
        if not (self.quiet or self.as_json):
            sys.stderr.write(text + "\n")

    def next(self, command: str) -> None:
        """Name the command that makes sense next."""
        self.say(f"next: {command}")

    def fail(self, error: BucleError) -> int:
        """Print an error's three sentences and return its exit status."""
        if self.as_json:
            self.line(encode({"error": error.as_dict()}).decode())
        else:
            self.warn(error)
        return error.exit_status

    def warn(self, error: BucleError) -> None:
        """Print an error's three sentences on standard error, whatever else is printed; for commands that go on."""
        red, plain = ("\033[31m", "\033[0m") if _is_colourful() else ("", "")
        parts = [f"{red}error[{error.code}]{plain} {error.what}"]
        parts += [f"  why: {error.why}"] if error.why else []
        parts += [f"  fix: {error.fix}"] if error.fix else []
        sys.stderr.write("\n".join(parts) + "\n")

    def console(self) -> Console:
        """A rich console on standard error, for progress; loaded only when asked for."""
        from rich.console import Console

        return Console(stderr=True, quiet=self.quiet or self.as_json)

    def _table(self, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
        if not rows:
            self.say("(none)")
            return
        from rich.console import Console
        from rich.table import Table

        names = list(columns) or list(rows[0])
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(_text(row.get(name)) for name in names))
        wide = None if sys.stdout.isatty() else 200
        Console(file=sys.stdout, width=wide, highlight=False, markup=False).print(table)

    def _fields(self, fields: Any) -> None:
        if not isinstance(fields, dict):
            self.line(_text(fields))
            return
        width = max((len(name) for name in fields), default=0)
        for name, value in fields.items():
            self.line(f"{name:<{width}}  {_text(value)}")


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return encode(value).decode() if isinstance(value, dict | list | tuple) else str(value)


def _is_colourful() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ
