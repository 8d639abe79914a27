"""`bucle data describe`, `uses`, `zones`, `health`, `retain`: what tables are, may be used for, and how they fare."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_limit, hours
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.line.data import Health, InForce, Retention

__all__ = ["DATASET", "told_dataset"]

_TEXTS = (
    ("--description", "what it holds"),
    ("--owner", "who answers for it"),
    ("--zone", "where it lies, if no zone of bucle.toml names it"),
    ("--licence", "an SPDX identifier, or a text"),
    ("--basis", "GDPR article 6: consent, contract, 'legal obligation', 'vital interests', 'public task', "
     "'legitimate interests'"),
    ("--basis-note", "more about it"),
    ("--retention", "how long rows are kept, e.g. 730d"),
    ("--event-at", "the column that says when a row happened"),
)  # fmt: skip


def _describe_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table")
    for name, told in _TEXTS:
        parser.add_argument(name, default=None, metavar="TEXT", help=told)
    parser.add_argument(
        "--purpose", dest="purposes", action="append", default=None, metavar="TEXT",
        help="what models may be trained on it for; several times for several, '' for anything",
    )  # fmt: skip
    parser.add_argument("--file", default="", metavar="FILE.yaml", help="take the record from a file")
    parser.add_argument("--out", default="", metavar="FILE.yaml", help="write the record to a file, to be edited")
    parser.add_argument("--at", default="main", help="which branch, or a commit to show (default: main)")
    parser.add_argument("--message", default="", metavar="TEXT", help="why")


def _describe(options: Namespace, terminal: Terminal) -> None:
    """Change what is named, and show the record."""
    from bucle.ground.store import write_atomically
    from bucle.line import data

    names = [name.removeprefix("--").replace("-", "_") for name, _ in _TEXTS]
    changes = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.purposes is not None:
        changes["purposes"] = [one for one in options.purposes if one]
    with terminal.project() as project:
        data.snapshot(project, options.table, at=options.at)
        if options.file:
            changes = {**_record(options), **changes}
        if changes:
            data.describe(project, options.table, branch=options.at, message=options.message, **changes)
        record = data.dataset(project, options.table, at=options.at)
        holds = data.in_force(project, options.table, at=options.at)
    if options.out:
        write_atomically(Path(options.out), data.dump_dataset(record).encode())
    terminal.show({"dataset": record, "in_force": holds}, told=told_dataset(holds, record))
    if options.out:
        terminal.next(f"bucle data describe {options.table} --file {options.out}")


def _record(options: Namespace) -> dict[str, Any]:
    """All attributes of the record in a file."""
    from bucle.doors.cli.errors import BadUsage
    from bucle.ground.core import to_builtins
    from bucle.line import data

    try:
        text = Path(options.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fix = f"Write the record there first: bucle data describe {options.table} --out {options.file}"
        raise BadUsage(f"{options.file} cannot be read: {error}.", fix=fix) from error
    told: dict[str, Any] = to_builtins(data.parse_dataset(text, options.table))
    return {name: value for name, value in told.items() if name != "table"}


def told_dataset(holds: InForce, record: Any = None) -> dict[str, Any]:
    """A record as people read it on a terminal."""
    one = record or holds.record
    return {
        "table": one.table,
        "description": one.description,
        "owner": one.owner or holds.owner,
        "zone": holds.zone,
        "purposes": ", ".join(one.purposes) or "any",
        "licence": one.licence,
        "basis": " - ".join(filter(None, (one.basis, one.basis_note))),
        "retention": one.retention or holds.retention or "for ever",
        "event_at": one.event_at,
    }


def _uses_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table", nargs="?", default=None, help="only of this table (default: all)")
    add_limit(parser, 20)


def _uses(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        found = data.uses(project, options.table, limit=options.limit)
    rows = [
        {"at": one.at, "who": one.actor, "table": one.table, "purpose": one.purpose or "not told",
         "allowed": "yes" if one.allowed else "refused", "commit": one.commit[:12], "reader": one.reader[:24]}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("at", "who", "table", "purpose", "allowed", "commit", "reader"), told=rows)


def _zones(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        known = data.zones(project)
        names = data.tables(project) if data.log(project, limit=1) else []
        held = data.each_in_force(project, names)
    lies = {name: one.zone for name, one in held.items() if isinstance(one, data.InForce)}
    found = [
        {"zone": name, "owner": zone.owner, "retention": zone.retention or "for ever",
         "tables": [table for table, where in lies.items() if where == name]}
        for name, zone in known.items()
    ]  # fmt: skip
    rows = [{**one, "tables": ", ".join(one["tables"][:8])} for one in found]
    terminal.show(found, ("zone", "owner", "retention", "tables"), told=rows)
    for one in held.values():
        if isinstance(one, data.BadDataset):
            terminal.warn(one)
    if found:
        terminal.next(f"bucle access deny anonymous read zone/{found[0]['zone']}")


def _health_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table", nargs="?", default=None, help="one table, over time (default: every one, now)")
    parser.add_argument("--at", default="main", help="a branch or a commit (default: main)")


def _health(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        if options.table is None:
            found = data.healths(project, at=options.at) if data.log(project, limit=1) else []
            figures = (*_FIGURES, "problem") if any(one.problem for one in found) else _FIGURES
            terminal.show(found, figures, told=[_told_health(one) for one in found])
            return
        one = data.health(project, options.table, at=options.at)
    terminal.show(one, told=_told_health(one))
    rows = [
        {"at": point.at, "rows": point.rows, "bytes": point.size_bytes, "newest": point.newest,
         "filled": _percent(point.filled), "commit": point.commit[:12]}
        for point in one.points
    ]  # fmt: skip
    terminal.tell_table(rows, title=f"after each of its last {len(rows)} changes")


_FIGURES = ("table", "rows", "bytes", "rules kept", "batches landed", "filled", "newest", "changed")


def _told_health(one: Health) -> dict[str, Any]:
    shares = one.filled.values()
    filled = sum(shares) / len(one.filled) if one.filled else None
    told = (one.table, one.rows, one.size_bytes, _percent(one.score), _percent(one.kept), _percent(filled))
    rows = dict(zip(_FIGURES, (*told, one.newest, one.changed_at), strict=True))
    return {**rows, "problem": one.problem} if one.problem else rows


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _retain_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--also-used", action="store_true", help="also commits that runs or models were made from")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    parser.add_argument(
        "--older-than-hours", type=hours, default="24", metavar="N", help="younger files stay for now (default: 24)"
    )


def _retain(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        done = data.retain(
            project, also_used=options.also_used, dry_run=options.dry_run,
            older_than=options.older_than_hours,
        )  # fmt: skip
    terminal.show(done, told={"commits given up": len(done.commits), "files removed": done.files})
    _tell_retention(done, terminal)
    terminal.next("bucle data retain" if options.dry_run else "bucle data health")


def _tell_retention(done: Retention, terminal: Terminal) -> None:
    rows = [
        {"table": one.table, "kept for": one.retention, "before": one.before, "rows too old": one.rows,
         "problem": one.problem}
        for one in done.tables
    ]  # fmt: skip
    terminal.tell_table(rows, title="tables whose rows are kept for a time")
    if done.problem:
        terminal.say(f"No file was removed: {done.problem}")
    held = [
        {"commit": one.commit[:12], "tables": ", ".join(one.tables), "held by": ", ".join(one.by)} for one in done.held
    ]
    terminal.tell_table(held, title="commits that still hold rows that are too old")


DATASET: tuple[Verb, ...] = (
    Verb("describe", "what a table is, who answers for it, what it may be used for", _describe, _describe_arguments,
         "bucle data describe samples --owner ana --purpose diagnosis --licence CC-BY-4.0"),
    Verb("uses", "who trained on which table, and what for", _uses, _uses_arguments, "bucle data uses samples"),
    Verb("zones", "tables that are governed alike", _zones, example="bucle data zones"),
    Verb("health", "how much tables hold, how good, how fresh and how full", _health, _health_arguments,
         "bucle data health samples"),
    Verb("retain", "remove rows that are too old, and give up commits that hold them", _retain, _retain_arguments,
         "bucle data retain --dry-run"),
)  # fmt: skip
"""The verbs of `bucle data` about what tables are."""
