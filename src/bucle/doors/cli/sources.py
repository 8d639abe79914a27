"""`bucle sources`: where rows come from, landed once each."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from bucle.doors.cli.arguments import pair, values
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

__all__ = ["VERBS"]

KINDS = ("csv", "jsonl", "parquet", "excel", "folder", "s3", "http", "sql", "stream", "delta")


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import sources

    with terminal.project() as project:
        found = sources.sources_of(project)
    terminal.show(list(found.values()), ("name", "kind", "table", "sync", "location"))
    terminal.next("bucle sources run" if found else "bucle sources add NAME --kind csv --location FILE --table TABLE")


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--kind", choices=KINDS, required=True, help="what is read")
    parser.add_argument("--table", required=True, help="where the rows go")
    parser.add_argument(
        "--location", default="", help="a path, s3://bucket/prefix, or an address; ${NAME} is a variable"
    )
    parser.add_argument(
        "--incremental", action="store_true", help="add what is new (default: the table is what is there)"
    )
    parser.add_argument("--connection", default="", help="sql: a name in connections/")
    parser.add_argument("--query", default="", help="sql: what is asked, or a table")
    parser.add_argument("--cursor", default="", metavar="COLUMN", help="sql, http: a column that only grows")
    parser.add_argument("--pattern", default="*", help="folder, s3: which names (default: *)")
    parser.add_argument("--branch", default="main", help="where rows become visible (default: main)")
    parser.add_argument(
        "--option", dest="options", action="append", type=pair, default=[], metavar="NAME=VALUE",
        help="for reading: separator, sheet, endpoint, region; the value is JSON, or plain text",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="write over the source that is there")


def _add(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.errors import AlreadyThere
    from bucle.line import sources

    source = sources.Source(
        name=options.name,
        kind=options.kind,
        table=options.table,
        location=options.location,
        sync="incremental" if options.incremental else "full",
        connection=options.connection,
        query=options.query,
        cursor=options.cursor,
        pattern=options.pattern,
        branch=options.branch,
        options=values(options.options),
    )
    with terminal.project() as project:
        path = sources.source_path(project, options.name)
        if path.exists() and not options.force:
            raise AlreadyThere(
                f"{path.relative_to(project.root)} is there already.",
                why="Somebody may have edited it.",
                fix=f"Edit it, or: bucle sources add {options.name} … --force",
                at=str(path),
            )
        sources.save_source(project, source)
        told = {"source": str(path.relative_to(project.root)), "kind": source.kind, "table": source.table}
    terminal.show(source, told=told)
    terminal.next(f"bucle sources run {options.name}")


def _run_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument("--full", action="store_true", help="read all of it anew, in the place of the table's rows")


def _run(options: Namespace, terminal: Terminal) -> int:
    """Land what is new; a source that fails does not stop the others."""
    from bucle.ground.core import BucleError
    from bucle.line import sources

    landed, failed = list[Any](), list[BucleError]()
    with terminal.project() as project:
        for name in options.names or sources.sources_of(project):
            try:
                landed.append(sources.run(project, name, full=options.full))
            except BucleError as error:
                failed.append(error)
    if len(failed) == 1 and not landed:
        return terminal.fail(failed[0])
    rows = [{"source": one.source, "table": one.table, "rows": one.rows, "commit": one.commit[:12]} for one in landed]
    terminal.show(landed, ("source", "table", "rows", "commit"), told=rows)
    for one in failed:
        terminal.warn(one)
    if landed and not failed:
        terminal.next(f"bucle data show {landed[-1].table}")
    return failed[0].exit_status if failed else 0


def _watch_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all, those added meanwhile too)")
    parser.add_argument(
        "--every-s", type=float, default=5.0, metavar="S", help="seconds between two looks (default: 5)"
    )


def _watch(options: Namespace, terminal: Terminal) -> None:
    """Look again and again until interrupted."""
    import threading

    from bucle.ground.core import BucleError
    from bucle.line import sources

    stop = threading.Event()

    def tell(name: str, what: Any) -> None:
        if isinstance(what, BucleError):
            terminal.warn(what)
        else:
            terminal.line(f"{name}  {what.rows} rows  {what.table}  {what.commit[:12]}")
            terminal.flush()

    with terminal.project() as project:
        sources.watch(project, options.names, every_s=max(0.05, options.every_s), stop=stop, tell=tell)


def _status(options: Namespace, terminal: Terminal) -> int:
    from bucle.line import sources

    with terminal.project() as project:
        found = sources.statuses(project)
    rows = [
        {"source": one.name, "kind": one.kind, "table": one.table, "sync": one.sync,
         "rows": one.landed.rows if one.landed else 0, "at": one.landed.at if one.landed else None,
         "failure": one.failure}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("source", "kind", "table", "sync", "rows", "at", "failure"), told=rows)
    return FOUND if any(one.failure for one in found) else 0


VERBS: tuple[Verb, ...] = (
    Verb("list", "the sources", _list, example="bucle sources list"),
    Verb("add", "declare one: writes sources/NAME.yaml", _add, _add_arguments,
         "bucle sources add inbox --kind folder --location inbox --table rows --incremental"),
    Verb("run", "land what is new", _run, _run_arguments, "bucle sources run"),
    Verb("watch", "land what is new, again and again", _watch, _watch_arguments, "bucle sources watch --every-s 1"),
    Verb("status", "how far each has landed; exit status 7 when one failed since", _status,
         example="bucle sources status"),
)  # fmt: skip
