"""`bucle data`, what concerns history: tags, undoing, searching, protected branches, reviews."""

from __future__ import annotations

import os
import shlex
import subprocess
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_limit, add_reason, count
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb, nothing

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.data import Commit, Review, ReviewReport

__all__ = ["HISTORY"]

CANNOT_TELL = 125
"""The exit status by which a command says that a commit cannot be judged, as with `git bisect run`."""

LAST_VERDICT = 127
"""A greater exit status is no verdict: the command was killed, or could not be run."""


def _commit(commit: Commit) -> dict[str, Any]:
    return {"commit": commit.id[:12], "at": commit.at, "author": commit.author, "message": commit.message}


def _tag_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "create", "delete"))
    parser.add_argument("name", nargs="?", default="", help="of the tag")
    parser.add_argument("--at", default="main", help="create: what it names (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="create: why")


def _tag(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    _need(options, "tag", options.name)
    with terminal.project() as project:
        if options.action == "list":
            terminal.show(data.tags(project), ("name", "commit", "at", "actor", "message"))
        elif options.action == "create":
            terminal.show(data.create_tag(project, options.name, options.at, message=options.message))
            terminal.next(f"bucle data list --at {options.name}")
        else:
            data.delete_tag(project, options.name)
            terminal.show({"deleted": options.name})


def _pick_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("commit", help="a commit, branch or tag")
    parser.add_argument("--into", default="main", help="the branch that moves (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="why")


def _cherry_pick(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        made = data.cherry_pick(project, options.commit, options.into, message=options.message)
    terminal.show(made, told=_commit(made))
    terminal.next(f"bucle data log --branch {options.into}")


def _revert(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        made = data.revert(project, options.commit, options.into, message=options.message)
    terminal.show(made, told=_commit(made))
    terminal.next(f"bucle data diff {options.commit} {made.id[:12]}")


def _restore_arguments(parser: ArgumentParser) -> None:
    _pick_arguments(parser)
    parser.add_argument("--table", action="append", default=[], metavar="NAME", help="only this; again for more")


def _restore(options: Namespace, terminal: Terminal) -> None:
    """Give a branch, or some of its tables, the state of a commit; what happened since stays in the history."""
    from bucle.line import data

    with terminal.project() as project:
        made = data.restore(project, options.commit, options.into, tables=tuple(options.table), message=options.message)
    terminal.show(made, told=_commit(made))
    terminal.next(f"bucle data diff {options.commit} {made.id[:12]}")


def _bisect_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("good", help="a commit that is well")
    parser.add_argument("bad", help="a later one that is not")
    parser.add_argument(
        "--run", required=True, metavar="COMMAND",
        help="judges $BUCLE_COMMIT: 0 is good, 125 cannot tell, any other status up to 127 is bad",
    )  # fmt: skip


def _bisect(options: Namespace, terminal: Terminal) -> int:
    from bucle.line import data

    command = _words(options.run)
    with terminal.project() as project:
        root = str(project.root)

        def judge(commit: Commit) -> bool | None:
            verdict = _judge(command, {"BUCLE_COMMIT": commit.id, "BUCLE_PROJECT": root})
            terminal.say(f"{commit.id[:12]} {commit.message}: {_VERDICT[verdict]}")
            return verdict

        found = data.bisect(project, options.good, options.bad, judge)
    terminal.show(found, told=[_commit(one) for one in found.suspects])
    terminal.next(f"bucle data diff {found.suspects[0].parents[0][:12]} {found.suspects[0].id[:12]}")
    return FOUND


def _words(command: str) -> list[str]:
    from bucle.doors.cli.errors import BadUsage

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadUsage(f"{command!r} is no command: {error}.", fix="Close the quotation.") from error
    if not words:
        raise BadUsage("Which command judges a commit?", fix="bucle data bisect GOOD BAD --run COMMAND")
    return words


def _judge(command: list[str], told: dict[str, str]) -> bool | None:
    """Run the command; None when it cannot tell."""
    from bucle.doors.cli.errors import BadUsage

    try:
        status = subprocess.run(command, env={**os.environ, **told}, check=False).returncode  # noqa: S603
    except OSError as error:
        raise BadUsage(f"The command cannot be run: {error}.", fix="Give another to --run.") from error
    if not 0 <= status <= LAST_VERDICT:
        raise BadUsage(
            f"The command ended with {status} at commit {told['BUCLE_COMMIT'][:12]}, which is no verdict.",
            fix="Let it end with 0 for good, 125 for cannot tell, 1 to 127 for bad.",
        )
    return None if status == CANNOT_TELL else status == 0


_VERDICT = {True: "good", False: "bad", None: "cannot be judged"}


def _annotate_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table", nargs="?", default="", help="a table; without one, the files of the tree")
    parser.add_argument("--at", default="main", help="a branch, tag, commit, or main@2013-03-01 (default: main)")
    parser.add_argument("--where", default="", metavar="SQL", help='only these rows, each by itself, e.g. "x > 3"')
    parser.add_argument("--folder", default="", help="only files of the tree below this")
    add_limit(parser, 50)


def _annotate(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data, query

    with terminal.project() as project:
        if options.table and options.where:
            rows = data.annotate_rows(project, options.table, at=options.at, where=_condition(options.where))
            rows = query.shown(project, options.table, rows.head(options.limit), at=options.at)
            told: Any = rows.to_dicts()
            terminal.show(told)
            return
        notes = (
            data.annotate(project, options.table, at=options.at)
            if options.table
            else data.annotate_files(project, options.folder, at=options.at)
        )
    told = [
        {"name": one.name.rpartition("/")[2] if options.table else one.name, "rows": one.rows,
         "commit": one.commit[:12], "at": one.at, "author": one.author, "message": one.message}
        for one in notes[: options.limit]
    ]  # fmt: skip
    terminal.show(notes, ("name", "rows", "commit", "at", "author", "message"), told=told)


def _condition(text: str) -> Any:
    import polars as pl

    from bucle.doors.cli.errors import BadUsage

    try:
        return pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        raise BadUsage(f"{text!r} is no condition: {error}.", fix='E.g. --where "price > 100"') from error


def _protect_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "add", "remove"))
    parser.add_argument("branch", nargs="?", default="", help="its name, or a pattern such as 'release-*'")
    parser.add_argument("--approvals", type=int, default=1, metavar="N", help="how many a review needs (default: 1)")
    parser.add_argument("--no-landings", action="store_true", help="batches under contract need a review too")


def _protect(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    _need(options, "branch", options.branch)
    with terminal.project() as project:
        if options.action == "list":
            terminal.show(data.protections(project), ("branch", "approvals", "landings"))
        elif options.action == "add":
            landings = not options.no_landings
            terminal.show(data.protect(project, options.branch, approvals=options.approvals, landings=landings))
            terminal.next("bucle data review list")
        else:
            data.unprotect(project, options.branch)
            terminal.show({"unprotected": options.branch})


def _hooks(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        found = data.hooks(project)
    rows = [
        {"name": name, "on": one.on, "branch": one.branch, "asks": one.run or one.url} for name, one in found.items()
    ]
    terminal.show(rows, ("name", "on", "branch", "asks"))


def _review_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "open", "show", "approve", "merge", "close"))
    parser.add_argument("what", nargs="?", default="", help="open: the branch; else the review's number")
    parser.add_argument("--into", default="main", help="open: the branch that is to move (default: main)")
    parser.add_argument("--title", default="", metavar="TEXT", help="open: why")
    parser.add_argument("--as", dest="principal", default="", metavar="NAME", help="approve: who (default: you)")
    parser.add_argument("--all", action="store_true", help="list: those merged and closed too")
    add_reason(parser)


def _review(options: Namespace, terminal: Terminal) -> int:
    from bucle.doors.cli.errors import BadUsage

    _need(options, "review", options.what)
    if options.action not in ("list", "open") and not options.what.isdecimal():
        raise BadUsage(f"{options.what!r} is no review's number.", fix="bucle data review list")
    with terminal.project() as project:
        return _REVIEW[options.action](project, options, terminal) or 0


def _list_reviews(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    found = data.reviews(project, state=None if options.all else "open")
    terminal.show(found, ("number", "source", "target", "title", "author", "at", "state"))
    if found:
        terminal.next(f"bucle data review show {found[0].number}")


def _open_review(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    title = options.title or f"merge {options.what} into {options.into}"
    made = data.open_review(project, options.what, options.into, title=title)
    terminal.show(made)
    terminal.next(f"bucle data review show {made.number}")


def _show_review(project: Project, options: Namespace, terminal: Terminal) -> int:
    from bucle.line import data

    report = data.inspect_review(project, int(options.what))
    terminal.show(report, told=_told(report))
    columns = ("table", "change", "rows_before", "rows_after", "columns_added", "columns_removed", "columns_changed")
    terminal.tell_table(report.tables, columns, title="tables that would change")
    terminal.tell_table([{"file": path} for path in report.files], title="files that would change")
    terminal.tell_table([{"in the way": one} for one in report.problems], title="what is in the way")
    if not report.problems:
        terminal.next(f"bucle data review merge {report.review.number}")
    return FOUND if report.problems else 0


def _told(report: ReviewReport) -> dict[str, Any]:
    review = report.review
    return {
        "review": review.number, "title": review.title, "source": f"{review.source} {report.head[:12]}",
        "target": f"{review.target} {report.target[:12]}", "author": review.author, "state": review.state,
        "approved by": ", ".join(one.principal for one in report.approvals) or "nobody",
        "approvals needed": report.needed,
        "contracts": f"{sum(one.passed for one in report.checks)} of {len(report.checks)} kept",
    }  # fmt: skip


def _approve_review(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    number = int(options.what)
    terminal.show(data.approve_review(project, number, principal=options.principal, reason=options.reason))
    terminal.next(f"bucle data review merge {number}")


def _merge_review(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    made = data.merge_review(project, int(options.what))
    terminal.show(made, told=_commit(made))
    terminal.next("bucle data log")


def _close_review(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    found: Review = data.close_review(project, int(options.what), reason=options.reason)
    terminal.show(found)


_REVIEW = {
    "list": _list_reviews,
    "open": _open_review,
    "show": _show_review,
    "approve": _approve_review,
    "merge": _merge_review,
    "close": _close_review,
}


def _need(options: Namespace, noun: str, given: str) -> None:
    from bucle.doors.cli.errors import BadUsage

    if options.action != "list" and not given:
        raise BadUsage(f"Which {noun} is to {options.action}?", fix=f"bucle data {noun} {options.action} …")


def _diff_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("a", help="a branch, tag or commit")
    parser.add_argument("b", help="another")
    parser.add_argument("--table", default="", help="the rows and columns of this table")
    parser.add_argument("--key", default="", metavar="COLUMN,…", help="columns that name a row")
    parser.add_argument("--rows", type=count, default=10, metavar="N", help="show at most so many (default: 10)")


def _diff(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        if options.table:
            _diff_table(project, options, terminal)
            return
        found, files = data.diff(project, options.a, options.b), data.diff_files(project, options.a, options.b)
    columns = ("table", "change", "rows_before", "rows_after", "columns_added", "columns_removed", "columns_changed")
    terminal.show({"tables": found, "files": files}, told={"tables": len(found), "files": len(files)})
    terminal.tell_table(found, columns, title="tables")
    terminal.tell_table(files, ("path", "change", "size_before", "size_after", "path_before"), title="files")
    if found:
        terminal.next(f"bucle data diff {options.a} {options.b} --table {found[0].table}")


def _diff_table(project: Project, options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data, query

    key = [name for name in options.key.split(",") if name]
    rows = data.diff_rows(project, options.table, options.a, options.b, key=key)
    rows = query.shown_diff(project, rows, at=options.b)
    columns = data.diff_columns(project, options.table, options.a, options.b)
    columns = query.shown_columns(project, options.table, columns, at=options.b)
    counts = {"added": rows.added.height, "removed": rows.removed.height, "changed": rows.after.height}
    shown = {
        what: getattr(rows, what).head(options.rows).to_dicts() for what in ("added", "removed", "before", "after")
    }
    terminal.show({"table": options.table, **counts, "columns": columns, "rows": shown}, told=counts)
    terminal.tell_table([_side_by_side(one) for one in columns], title="columns")
    for what, some in shown.items():
        terminal.tell_table(some, title=f"rows {what}, the first {len(some)}")


def _side_by_side(one: Any) -> dict[str, Any]:
    told = {"column": one.column}
    for what in ("type", "nulls", "distinct", "least", "greatest", "mean"):
        before, after = (getattr(side, what, None) for side in (one.before, one.after))
        told[what] = f"{before}" if before == after else f"{before} → {after}"
    return told


HISTORY: tuple[Verb, ...] = (
    Verb("diff", "what changed between two commits, by table, or the rows of one", _diff, _diff_arguments,
         "bucle data diff main main"),
    Verb("tag", "list, create or delete tags: names for commits that stay", _tag, _tag_arguments,
         "bucle data tag create trained-on"),
    Verb("revert", "undo what one commit did; what happened since stays", _revert, _pick_arguments,
         "bucle data revert main --into trial"),
    Verb("restore", "a branch, or a table, as it was at a commit", _restore, _restore_arguments,
         "bucle data restore main@2013-03-01T00:00:00Z --table samples"),
    Verb("cherry-pick", "do on a branch what one commit did elsewhere", _cherry_pick, _pick_arguments,
         "bucle data cherry-pick trial"),
    Verb("bisect", "find the first bad commit with a command; exit status 7", _bisect, _bisect_arguments,
         "bucle data bisect trained-on main --run 'python check.py'"),
    Verb("annotate", "which commit brought each part of a table, each row, each file", _annotate, _annotate_arguments,
         "bucle data annotate samples"),
    Verb("protect", "let a branch move by reviews and landings only", _protect, _protect_arguments,
         "bucle data protect add main --approvals 1"),
    Verb("review", "ask for a merge, look at it, approve, merge or close it", _review, _review_arguments,
         "bucle data review open trial --title 'rows of March'"),
    Verb("hooks", "what is asked or told when a branch moves", _hooks, nothing, "bucle data hooks"),
)  # fmt: skip
"""The verbs of `bucle data` that concern history."""
