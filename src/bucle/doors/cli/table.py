"""The verbs of `bucle data` that change tables in place, and give up what nothing holds."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import count, days
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.line.data import Commit

__all__ = ["TABLE"]


def _where_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--branch", default="main", help="where (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="why")
    parser.add_argument("--key", default=None, help="the same key again changes nothing")


def _tell(terminal: Terminal, commit: Commit, table: str) -> None:
    state = commit.tables[table]
    terminal.show(commit, told={"commit": commit.id, "table": table, "rows": state.rows, "files": state.files})
    terminal.next(f"bucle data show {table}")


def _make_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument("columns", nargs="+", metavar="NAME:TYPE", help="e.g. id:long at:timestamp price:decimal(10,2)")
    parser.add_argument(
        "--partition-by", default="", metavar="FIELDS", help="e.g. 'day(at), bucket(16, id)' (default: none)"
    )
    _where_arguments(parser)


def _make(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.errors import BadUsage
    from bucle.line import data

    pairs = [word.rpartition(":") for word in options.columns]
    if not all(name and kind for name, _, kind in pairs):
        raise BadUsage("A column is given as NAME:TYPE.", fix="bucle data make TABLE id:long at:timestamp")
    with terminal.project() as project:
        made = data.make_table(
            project, options.table, {name: kind for name, _, kind in pairs},
            partition_by=data.partition_fields(options.partition_by), branch=options.branch, message=options.message,
            key=options.key,
        )  # fmt: skip
    _tell(terminal, made, options.table)


def _delete_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument("where", help="a condition as in SQL: \"origin = 'JFK' AND delay > 60\"")
    _where_arguments(parser)


def _delete(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        made = data.delete(
            project, options.table, options.where, branch=options.branch,
            message=options.message or f"rows of {options.table} gone: {options.where}", key=options.key,
        )  # fmt: skip
    _tell(terminal, made, options.table)


def _upsert_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="CSV, Parquet, JSON or JSON lines")
    parser.add_argument("--table", required=True, help="where the rows go")
    parser.add_argument("--on", required=True, metavar="COLUMNS", help="the columns of the key: id or id,day")
    _where_arguments(parser)


def _upsert(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.rows import read_rows
    from bucle.line import data

    rows = read_rows(options.files)
    with terminal.project() as project:
        made = data.upsert(
            project, options.table, rows, on=options.on.split(","), branch=options.branch,
            message=options.message or ", ".join(options.files), key=options.key,
        )  # fmt: skip
    _tell(terminal, made, options.table)


def _replace_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="CSV, Parquet, JSON or JSON lines")
    parser.add_argument("--table", required=True, help="whose partitions")
    _where_arguments(parser)


def _replace(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.rows import read_rows
    from bucle.line import data

    rows = read_rows(options.files)
    with terminal.project() as project:
        made = data.overwrite_partitions(
            project, options.table, rows, branch=options.branch,
            message=options.message or ", ".join(options.files), key=options.key,
        )  # fmt: skip
    _tell(terminal, made, options.table)


def _compact_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument("--target-mb", type=count, default=128, metavar="N", help="of a new file (default: 128)")
    parser.add_argument("--sort-by", default="", metavar="COLUMNS", help="sort the rows of each new file")
    _where_arguments(parser)


def _compact(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        made = data.compact(
            project, options.table, target_size=options.target_mb * 1024 * 1024,
            sort_by=[name for name in options.sort_by.split(",") if name], branch=options.branch,
            message=options.message, key=options.key,
        )  # fmt: skip
    _tell(terminal, made, options.table)


def _alter_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    parser.add_argument(
        "changes", nargs="+", metavar="CHANGE",
        help="'add note string', 'add n long after x', 'drop x', 'rename a b', 'widen n long', 'move n first', "
        "'optional n', 'partition by day(at)', 'partition by nothing'",
    )  # fmt: skip
    _where_arguments(parser)


def _alter(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        made = data.alter(
            project, options.table, options.changes, branch=options.branch, message=options.message, key=options.key
        )
    _tell(terminal, made, options.table)


def _expire_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--older-than-days", type=days, default="90", metavar="N", help="younger stay (default: 90)")
    parser.add_argument("--keep", type=count, default=10, metavar="N", help="of each branch stay (default: 10)")
    parser.add_argument("--also-used", action="store_true", help="also those that runs or models were made from")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be given up")


def _expire(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        done = data.expire(
            project, older_than=options.older_than_days, keep=options.keep,
            also_used=options.also_used, dry_run=options.dry_run,
        )  # fmt: skip
    told: dict[str, Any] = {"commits": len(done.commits), "kept for what was made from them": len(done.used)}
    terminal.show(done, told=told)
    terminal.next("bucle data expire" if options.dry_run else "bucle data sweep")


TABLE: tuple[Verb, ...] = (
    Verb("make", "an empty table, its columns and partitions named", _make, _make_arguments,
         "bucle data make events id:long at:timestamp --partition-by 'day(at)'"),
    Verb("delete", "rows for which a condition holds are gone", _delete, _delete_arguments,
         "bucle data delete samples 'mean_area > 2000'"),
    Verb("upsert", "rows take the place of those with the same key, or are added", _upsert, _upsert_arguments,
         "bucle data upsert later.csv --table samples --on id"),
    Verb("replace", "rows take the place of the partitions they lie in", _replace, _replace_arguments,
         "bucle data replace later.csv --table events"),
    Verb("alter", "change a table's columns or partitions", _alter, _alter_arguments,
         "bucle data alter samples 'add note string'"),
    Verb("compact", "the same rows in fewer files", _compact, _compact_arguments, "bucle data compact samples"),
    Verb("expire", "give up the data of old commits that nothing holds", _expire, _expire_arguments,
         "bucle data expire --dry-run"),
)  # fmt: skip
"""The verbs of `bucle data` that change tables in place."""
