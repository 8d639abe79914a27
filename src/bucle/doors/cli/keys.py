"""`bucle keys`: the keys of encrypted tables."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bucle.doors.cli.arguments import add_reason
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

__all__ = ["VERBS"]


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import keys

    with terminal.project() as project:
        terminal.show(keys.keys(project), ("table", "key", "master", "made_at", "rotated_at", "destroyed_at"))


def _new(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import keys

    with terminal.project() as project:
        path = keys.make_keyring(project)
    terminal.show({"keyring": str(path)})
    terminal.say("Keep a copy of it in another place: without it no encrypted table can be read.")
    terminal.next("bucle keys rotate")


def _rotate(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground import keys

    with terminal.project() as project:
        terminal.show(keys.rotate(project, reason=options.reason), ("table", "key", "master", "rotated_at"))


def _encrypt_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table", help="the table")
    parser.add_argument("--branch", default="main", help="where")


def _encrypt(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import data

    with terminal.project() as project:
        made = data.encrypt(project, options.table, branch=options.branch)
    terminal.show({"commit": made.id, "table": options.table})
    terminal.say("Earlier commits hold the table as it was: bucle data expire, then bucle data sweep")


def _destroy_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("table", help="the table, or files:PATTERN; all of its states are erased")
    parser.add_argument("--yes", action="store_true", help="it cannot be undone, and you mean it")
    add_reason(parser)


def _destroy(options: Namespace, terminal: Terminal) -> None:
    from bucle.ground.core import UserError
    from bucle.line import data

    if not options.yes:
        raise UserError(
            f"Nothing was destroyed: table {options.table!r} would be erased on every branch and in every copy.",
            why="It cannot be undone.",
            fix=f"bucle keys destroy {options.table} --yes --reason 'asked to forget'",
        )
    with terminal.project() as project:
        gone = data.destroy_key(project, options.table, reason=options.reason)
        terminal.show(gone, ("table", "key", "destroyed_at"))
    terminal.say("Backups of the database that were made before still hold the wrapped key.")


def _reason_arguments(parser: ArgumentParser) -> None:
    add_reason(parser)


VERBS: tuple[Verb, ...] = (
    Verb("list", "every key there is or was, of tables and files; never the key itself", _list,
         example="bucle keys list"),
    Verb("new", "put a new random key into the keyring", _new, example="bucle keys new"),
    Verb("rotate", "wrap every table's key by the keyring's newest; no data is written again", _rotate,
         _reason_arguments, "bucle keys rotate"),
    Verb("encrypt", "write a table anew under a new key", _encrypt, _encrypt_arguments, "bucle keys encrypt samples"),
    Verb("destroy", "destroy a table's keys, and so the table", _destroy, _destroy_arguments,
         "bucle keys destroy samples --yes --reason 'asked to forget'"),
)  # fmt: skip
