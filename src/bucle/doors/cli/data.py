"""`bucle data`: tables, branches, commits and contracts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_limit, count, hours, instant
from bucle.doors.cli.contracts import CONTRACT_VERBS, told_breach
from bucle.doors.cli.data_query import EXPORT, PII, QUERY
from bucle.doors.cli.datafiles import FILE_VERBS
from bucle.doors.cli.datasets import DATASET, told_dataset
from bucle.doors.cli.history import HISTORY
from bucle.doors.cli.table import TABLE
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb, nothing
from bucle.doors.cli.views import VIEW

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.data import Commit, Verdict
    from bucle.line.profiles import ColumnProfile

__all__ = ["VERBS"]


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="CSV, Parquet, JSON or JSON lines")
    parser.add_argument("--table", required=True, help="where the rows go; made when it is not there")
    parser.add_argument("--branch", default="main", help="where they become visible (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="why (default: the files' names)")
    parser.add_argument("--overwrite", action="store_true", help="put them in the place of the table's rows")
    parser.add_argument("--key", default=None, help="the same key again changes nothing")
    parser.add_argument(
        "--quarantine", action="store_true", help="set bad rows aside in TABLE__quarantine, land the others"
    )


def _add(options: Namespace, terminal: Terminal) -> int:
    """Land files; the contract in `contracts/TABLE.yaml` is kept when there is one."""
    from bucle.doors.cli.rows import read_rows
    from bucle.line import contracts, data

    rows = read_rows(options.files)
    with terminal.project() as project:
        kept = contracts.of_project(project)
        mine = {name: contract for name, contract in kept.items() if name == options.table}
        message = options.message or ", ".join(options.files)
        mode: Any = "overwrite" if options.overwrite else "append"
        try:
            landed = data.land(
                project, {options.table: rows}, contracts=mine, branch=options.branch, message=message, mode=mode,
                key=options.key, quarantine=True if options.quarantine else None,
            )  # fmt: skip
        except contracts.ContractViolated as refusal:
            return _refused(terminal, refusal)
        table = landed.tables[options.table]
        said = data.verdicts(project, options.table, branch=options.branch, limit=1) if mine else []
    aside = sum(one.rows_set_aside for one in said if one.commit == landed.id)
    told = {"commit": landed.id, "table": table.name, "rows": table.rows, "added": rows.height - aside}
    if aside:
        told["set aside"] = aside
    terminal.show(landed, told=told)
    if aside:
        terminal.say(f"{aside} rows stand aside: bucle data show {table.name}__quarantine")
    terminal.next(f"bucle data {f'show {options.table}' if mine else f'infer {options.table}'}")
    return 0


def _refused(terminal: Terminal, refusal: Any) -> int:
    """Print which rules were broken, then the error."""
    if not terminal.as_json:
        terminal.tell_table([told_breach(one) for one in refusal.report.breaches], title="what the batch breaks")
        return terminal.fail(refusal)
    terminal.show({"error": refusal.as_dict(), "report": refusal.report})
    return int(refusal.exit_status)


def _at(parser: ArgumentParser) -> None:
    parser.add_argument("--at", default="main", help="a branch, a commit, or main@2013-03-01 (default: main)")


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import contracts, data

    with terminal.project() as project:
        is_empty = options.at == "main" and not data.log(project, limit=1)
        names = [] if is_empty else data.tables(project, options.at)
        found = [data.snapshot(project, name, at=options.at) for name in names]
        kept = contracts.of_project(project)
    rows = [
        {"table": one.table, "rows": one.rows, "files": one.files, "columns": len(one.columns),
         "contract": "yes" if one.table in kept else "no", "commit": one.commit[:12]}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("table", "rows", "files", "columns", "contract", "commit"), told=rows)
    terminal.next(f"bucle data show {found[0].table}" if found else "bucle data add FILE.csv --table TABLE")


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    _at(parser)
    parser.add_argument("--rows", type=count, default=5, metavar="N", help="the first N rows (default: 5)")


def _show(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import contracts, data, query

    with terminal.project() as project:
        shown = query.preview(project, options.table, at=options.at, limit=options.rows)
        holds = data.in_force(project, options.table, at=options.at)
        has_contract = contracts.path_of(project, options.table).is_file()
    about = {name: text for name, text in told_dataset(holds).items() if text}
    terminal.show(
        {"snapshot": shown.snapshot, "dataset": holds, "sample": shown.rows, "masked": shown.masked},
        told={**_plain(shown.snapshot), **about},
    )
    terminal.tell_table(shown.rows, title=f"the first {len(shown.rows)} rows")
    if shown.masked:
        terminal.say(f"Masked for you: {', '.join(shown.masked)}")
    terminal.next("bucle data log" if has_contract else f"bucle data infer {options.table}")


def _plain(found: Any) -> dict[str, Any]:
    columns = ", ".join(f"{name} {kind}" for name, kind in found.columns.items())
    return {"table": found.table, "commit": found.commit, "rows": found.rows, "files": found.files, "columns": columns}


def _log_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--branch", default="main", help="whose commits (default: main)")
    add_limit(parser, 20)


def _log(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        found = data.log(project, options.branch, limit=options.limit)
    terminal.show(found, ("commit", "at", "author", "message", "tables"), told=[_commit(one) for one in found])
    if len(found) > 1:
        terminal.next(f"bucle data diff {found[1].id[:12]} {found[0].id[:12]}")


def _commit(commit: Commit) -> dict[str, Any]:
    tables = ", ".join(f"{name} {state.rows}" for name, state in sorted(commit.tables.items()))
    return {
        "commit": commit.id[:12],
        "at": commit.at,
        "author": commit.author,
        "message": commit.message,
        "tables": tables,
    }


def _verdicts_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table", nargs="?", default=None, help="only of this table (default: all)")
    parser.add_argument("--branch", default=None, help="only batches for this branch (default: all)")
    parser.add_argument("--since", type=instant, default=None, metavar="INSTANT", help="only from then on")
    parser.add_argument("--until", type=instant, default=None, metavar="INSTANT", help="only before then")
    add_limit(parser, 20)


def _verdicts(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        found = data.verdicts(
            project, options.table, branch=options.branch, since=options.since, until=options.until,
            limit=options.limit,
        )  # fmt: skip
    rows = [
        {"at": one.at, "table": one.table, "verdict": "landed" if one.passed else "refused", "rows": one.rows,
         "set aside": one.rows_set_aside, "score": f"{one.score:.0%}", "breaks": _broken(one),
         "commit": one.commit[:12]}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("at", "table", "verdict", "rows", "set aside", "score", "breaks", "commit"), told=rows)


def _broken(verdict: Verdict) -> str:
    told = (*verdict.breaches, *verdict.set_aside, *verdict.warnings)
    return ", ".join(dict.fromkeys(f"{one.column}.{one.rule}" if one.column else one.rule for one in told))


def _profile_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    _at(parser)
    parser.add_argument("--against", default="", metavar="REF", help="an older commit to stand beside it")
    parser.add_argument("--out", default="", metavar="FILE.html", help="write the page; .json writes the figures")
    parser.add_argument("--show-personal", action="store_true", help="show values of columns that may be personal")


def _profile(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground.core import encode
    from bucle.ground.store import write_atomically
    from bucle.line import data, profiles

    with terminal.project() as project:
        data.check_access(project, project.actor, "read", options.table, at=options.at)
        made = data.profile(project, options.table, at=options.at, show_personal=options.show_personal)
        shown: profiles.TableProfile | profiles.Comparison = made
        if options.against:
            before = data.profile(project, options.table, at=options.against, show_personal=options.show_personal)
            shown = profiles.compare(before, made)
    if options.out:
        path = Path(options.out)
        write_atomically(path, encode(shown) if path.suffix == ".json" else profiles.page(shown).encode())
    rows = [_figures(one, made.rows) for one in made.columns]
    terminal.show(shown, told={"table": made.table, "rows": made.rows, "content": made.digest})
    terminal.tell_table(rows, title="columns")
    terminal.tell_table([{"column": one.column, "alert": one.text} for one in made.alerts], title="to look at")
    if isinstance(shown, profiles.Comparison):
        terminal.tell_table([{"column": one.name, "changed": one.text} for one in shown.changes], title="changed")
    if not options.out:
        terminal.next(f"bucle data profile {options.table} --at {options.at} --out {options.table}.html")


def _figures(one: ColumnProfile, rows: int) -> dict[str, Any]:
    missing = f"{one.missing / rows:.1%}" if rows else ""
    told = {"column": one.name, "type": one.type, "missing": missing, "different": one.distinct}
    return {**told, "least": one.minimum, "mean": one.mean, "greatest": one.maximum}


def _branch_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "create", "delete"))
    parser.add_argument("name", nargs="?", default="", help="of the branch")
    parser.add_argument("--at", default="main", help="create: where it begins (default: main)")


def _branch(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.errors import BadUsage

    if options.action != "list" and not options.name:
        raise BadUsage(f"Which branch is to {options.action}?", fix=f"bucle data branch {options.action} NAME")
    with terminal.project() as project:
        _BRANCH[options.action](project, options, terminal)


def _branches(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    terminal.show(data.branches(project), ("name", "head", "at", "actor"))


def _create_branch(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    terminal.show(data.create_branch(project, options.name, options.at))
    terminal.next(f"bucle data add FILE --table TABLE --branch {options.name}")


def _delete_branch(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    data.delete_branch(project, options.name)
    terminal.show({"deleted": options.name})


_BRANCH = {"list": _branches, "create": _create_branch, "delete": _delete_branch}


def _merge_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", help="a branch or commit")
    parser.add_argument("--into", default="main", help="the branch that moves (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="why")


def _merge(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        message = options.message or f"merge {options.source} into {options.into}"
        made = data.merge(project, options.source, options.into, message=message)
    terminal.show(made, told=_commit(made))
    terminal.next(f"bucle data log --branch {options.into}")


def _files(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        found = data.files(project, options.at)
    rows = [{"path": path, "size_bytes": one.size_bytes, "digest": one.digest[:12]} for path, one in found.items()]
    terminal.show(found, ("path", "size_bytes", "digest"), told=rows)


def _folder_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a local folder")
    parser.add_argument(
        "--path", default=None, help="where its files stand in the tree; '' is the tree itself (default: its name)"
    )


def _add_files_arguments(parser: ArgumentParser) -> None:
    _folder_arguments(parser)
    parser.add_argument("--branch", default="main", help="where they become visible (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="why (default: how many files)")
    parser.add_argument("--key", default=None, help="the same key again changes nothing")
    parser.add_argument("--exact", action="store_true", help="keep symbolic links and empty folders as such")


def _add_files(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        before = [one.id for one in data.log(project, options.branch, limit=1)]
        made = data.add_files(
            project, options.folder, options.path, branch=options.branch, message=options.message, key=options.key,
            exact=options.exact,
        )  # fmt: skip
    terminal.show(made, told=_commit(made))
    if before == [made.id]:
        terminal.say("Nothing has changed: no content was kept again, no commit was made.")
    terminal.next(f"bucle data status {options.folder}{_path(options)}")


def _status_arguments(parser: ArgumentParser) -> None:
    _folder_arguments(parser)
    _at(parser)


def _status(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        found = data.status(project, options.folder, options.path, at=options.at)
    rows = [{"change": what, "file": file} for what in _CHANGES for file in getattr(found, what)]
    terminal.show(found, ("change", "file"), told=rows)
    terminal.say(f"{len(rows)} files differ, {found.unchanged} are the same.")
    if rows:
        terminal.next(f"bucle data add-files {options.folder}{_path(options)}")


_CHANGES = ("new", "changed", "deleted")


def _checkout_arguments(parser: ArgumentParser) -> None:
    _status_arguments(parser)
    parser.add_argument("--force", action="store_true", help="write over files whose content is kept nowhere")
    parser.add_argument("--link", action="store_true", help="read-only links to the project's own copies")


def _checkout(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        done = data.checkout(project, options.folder, options.path, at=options.at, force=options.force,
                             link=options.link)  # fmt: skip
    counts = {what: len(getattr(done, what)) for what in ("written", "removed", "left")}
    terminal.show(done, told={"commit": done.commit, **counts, "unchanged": done.unchanged})
    terminal.next(f"bucle data status {options.folder}{_path(options)} --at {options.at}")


def _path(options: Namespace) -> str:
    return "" if options.path is None else f" --path {options.path!r}"


def _sweep_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--older-than-hours", type=hours, default="24", metavar="N", help="what is younger stays (default: 24)"
    )


def _sweep(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        terminal.show(data.sweep(project, older_than=options.older_than_hours))


def _verify(options: Namespace, terminal: Terminal) -> int:
    from bucle.line import data

    with terminal.project() as project:
        faults = data.verify_files(project)
    terminal.show(faults, ("where", "what"))
    terminal.say(f"{len(faults)} files are not as they were written." if faults else "Every file is as it was written.")
    return FOUND if faults else 0


VERBS: tuple[Verb, ...] = (
    Verb("add", "land files as rows of a table, if they keep its contract", _add, _add_arguments,
         "bucle data add later.csv --table samples"),
    Verb("list", "the tables", _list, _at, "bucle data list"),
    Verb("show", "one table: its columns and first rows", _show, _show_arguments, "bucle data show samples"),
    QUERY,
    VIEW,
    Verb("log", "the commits of a branch, newest first", _log, _log_arguments, "bucle data log --limit 5"),
    *TABLE,
    *DATASET,
    *HISTORY,
    *CONTRACT_VERBS,
    Verb("verdicts", "what the contracts said of each batch, landed or refused", _verdicts, _verdicts_arguments,
         "bucle data verdicts samples --since 2013-01-01"),
    Verb("profile", "what a table's rows look like, as a page or figures", _profile, _profile_arguments,
         "bucle data profile samples --out samples.html"),
    Verb("branch", "list, create or delete branches", _branch, _branch_arguments, "bucle data branch list"),
    Verb("merge", "bring what happened on a branch to another", _merge, _merge_arguments, "bucle data merge main"),
    Verb("files", "the files kept beside the tables", _files, _at, "bucle data files"),
    Verb("add-files", "make the tree below a path what a local folder holds", _add_files, _add_files_arguments,
         "bucle data add-files contracts"),
    Verb("status", "how a local folder differs from the tree", _status, _status_arguments,
         "bucle data status contracts"),
    Verb("checkout", "write files of the tree to a local folder", _checkout, _checkout_arguments,
         "bucle data checkout contracts"),
    Verb("sweep", "remove what crashes left behind, and what expired commits alone needed", _sweep, _sweep_arguments,
         "bucle data sweep"),
    PII,
    EXPORT,
    Verb("verify", "read every file of every commit again; exit status 7 when one was changed", _verify, nothing,
         "bucle data verify"),
    *FILE_VERBS,
)  # fmt: skip
