"""`bucle audit`: the ledger: list, show, verify, lineage."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bucle.doors.cli.arguments import add_limit, count, instant
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

__all__ = ["VERBS"]


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", action="append", default=[], help="only these, e.g. data.committed or data.*")
    parser.add_argument("--subject", default=None, metavar="REF", help="only about this, e.g. model/tumours@1")
    parser.add_argument("--actor", default="", help="only by this one")
    parser.add_argument("--since", type=instant, default=None, metavar="INSTANT", help="only from then on")
    parser.add_argument("--until", type=instant, default=None, metavar="INSTANT", help="only before then")
    add_limit(parser, 20)


def _list(options: Namespace, terminal: Terminal) -> None:
    with terminal.project() as project:
        is_plain = not (options.actor or options.since or options.until)
        found = project.ledger.events(
            kinds=options.kind, subject=options.subject, newest_first=True, limit=options.limit if is_plain else None
        )
    mine = [
        event for event in found
        if (not options.actor or event.actor == options.actor)
        and (options.since is None or event.at >= options.since)
        and (options.until is None or event.at < options.until)
    ]  # fmt: skip
    shown = mine[: options.limit]
    terminal.show(shown, ("seq", "at", "actor", "kind", "subject", "reason"))
    terminal.next(f"bucle audit show {shown[0].seq}" if shown else "bucle audit list")


def _verify(options: Namespace, terminal: Terminal) -> int:
    from bucle import loop

    with terminal.project() as project:
        found = loop.audit(project)
    told = {
        "events": found.events,
        "rows": found.rows,
        "blobs": found.blobs,
        "faults": len(found.faults),
        "root": found.root,
    }
    terminal.show(found, told=told)
    terminal.tell_table(
        found.faults, ("where", "what"), title="what is not as it was written, the first bad entry first"
    )
    if found.is_sound:
        terminal.say(
            "Everything is as it was written. Note the root elsewhere: later it proves that nothing was changed."
        )
        return 0
    terminal.say(f"The first fault: {found.faults[0].where}: {found.faults[0].what}")
    return FOUND


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("seq", type=int, help="the event's number, from 0")


def _show(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground.ledger import NoSuchEvent

    with terminal.project() as project:
        found = project.ledger.events(after=options.seq - 1, limit=1)
        size = project.ledger.size()
    if not found or found[0].seq != options.seq:
        raise NoSuchEvent(f"There is no event {options.seq}.", why=f"The ledger has {size}.", fix="bucle audit list")
    terminal.show(found[0])
    terminal.next(f"bucle audit lineage {found[0].subject}")


def _lineage_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ref", help="e.g. model/tumours@1, run/4f1c…, commit/9a0b…")
    parser.add_argument("--downstream", action="store_true", help="what came of it, not what it came from")
    parser.add_argument("--depth", type=count, default=12, metavar="N", help="at most so many steps (default: 12)")


def _lineage(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground.core import NotFound

    with terminal.project() as project:
        found = project.ledger.lineage(options.ref, upstream=not options.downstream, depth=options.depth)
        is_known = bool(found) or bool(project.ledger.edges_of([options.ref], upstream=options.downstream))
        is_known = is_known or bool(project.ledger.events(subject=options.ref, limit=1))
    if not is_known:
        raise NotFound(
            f"The ledger knows no {options.ref!r}.",
            why="A ref is written in full: kind/name@version, or kind and the whole id.",
            fix="bucle audit list",
            at=options.ref,
        )
    terminal.show(found, ("source", "target", "kind"))


VERBS: tuple[Verb, ...] = (
    Verb("list", "events, newest first", _list, _list_arguments, "bucle audit list --kind data.*"),
    Verb("show", "one event with all it carries", _show, _show_arguments, "bucle audit show 0"),
    Verb(
        "verify", "is everything as it was written? exit status 7 when it is not", _verify, example="bucle audit verify"
    ),
    Verb("lineage", "what a thing came from", _lineage, _lineage_arguments, "bucle audit lineage model/tumours@1"),
)
