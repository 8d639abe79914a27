"""`bucle NOUN VERB`: finds the noun, loads only its module, and runs the verb.

Exit status: 0 done; 1 failed; 2 wrong use; 3 not found; 4 not allowed; 5 refused by a gate, contract or policy;
6 conflict, try again; 7 a check found something; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from bucle.version import __version__

if TYPE_CHECKING:
    from argparse import Namespace

    from bucle.doors.cli.terminal import Terminal

__all__ = ["NOUNS", "main", "make_parser"]

NOUNS: dict[str, dict[str, str]] = {
    "Start": {
        "demo": "play a year of real flights through the whole line",
        "init": "make a project in a folder",
        "migrate": "move in from MLflow, W&B, Neptune; or out",
        "up": "start the dashboard and the API",
        "status": "the line at a glance",
    },
    "Data and features": {
        "data": "tables, branches, commits and contracts",
        "sources": "where rows come from: files, databases, buckets, addresses, streams",
        "datums": "a step called once for every file, and again only for what is new",
        "feature": "feature views: list, check, fill the online store",
    },
    "Training": {
        "run": "run or resume a pipeline",
        "env": "what code runs in: look, compare, lock, make again",
        "runs": "tracked runs: list, show, compare, best, watch, export, sync",
    },
    "Models": {
        "model": "versions, stages, aliases",
        "gate": "verdicts and their checks",
    },
    "Production": {
        "serve": "serve an endpoint over HTTP",
        "predict": "ask an endpoint",
        "deploy": "rollouts: list, promote, roll back",
        "monitor": "windows, drift, signals",
    },
    "The loop": {
        "loop": "the loop: state, history, turn it, ask for a cycle",
        "replay": "another policy over recorded history",
    },
    "Trust": {
        "why": "how a model, a run or an execution was made",
        "reproduce": "make a model, a run or an execution again and compare",
        "trace": "why a prediction came out as it did",
        "access": "who may read what, and who sees what is personal",
        "keys": "the keys of encrypted tables: list, rotate, destroy",
        "check": "is this project fit for production?",
        "audit": "the ledger: list, verify",
        "config": "the project's settings",
        "db": "the database's schema",
        "doctor": "is this installation sound?",
    },
}
"""Every noun with one line of help, in the order of the line; `bucle.doors.cli.NOUN` holds its verbs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _main(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read us has gone. What is left to print goes nowhere, so that Python's own flush at the end is silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return status


def _main(given: list[str]) -> int:
    if given in (["--version"], ["-V"]):
        sys.stdout.write(f"bucle {__version__}\n")
        return 0
    noun, rest = _split(given)
    if noun is None and given in ([], ["--help"], ["-h"], ["help"]):
        sys.stdout.write(_overview())
        return 0
    if noun is None:
        return _wrong(f"{given[0]!r} stands where a command should.", given, fix="Options come last: bucle NOUN VERB")
    if noun not in _all_nouns():
        return _unknown(noun, rest)
    return _run(noun, rest)


def _run(noun: str, rest: list[str]) -> int:
    import importlib

    from bucle.doors.cli.terminal import Terminal
    from bucle.ground.core import BucleError

    terminal = Terminal(as_json="--json" in rest)
    try:
        module = importlib.import_module(f"bucle.doors.cli.{noun}")
        options = make_parser(noun, module.VERBS).parse_args(rest)
        terminal = Terminal(
            as_json=options.json, quiet=options.quiet, project=options.project, database=options.database
        )
        return _carry_out(options, terminal)
    except BucleError as error:
        return terminal.fail(error)
    except SystemExit as ended:  # argparse, after --help
        return int(ended.code or 0)


def _carry_out(options: Namespace, terminal: Terminal) -> int:
    """Run the verb; what nobody foresaw becomes an error like the others.

    Raises:
        CommandFailed: anything but Bucle's own errors was raised; with BUCLE_DEBUG set it is raised as it is.
    """
    from bucle.doors.cli.errors import unforeseen

    try:
        return int(options.carry_out(options, terminal) or 0)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("BUCLE_DEBUG"):
            raise
        raise unforeseen(error) from error


class _Parser(ArgumentParser):
    """A parser whose errors are Bucle's, and offer the near miss."""

    def error(self, message: str) -> NoReturn:
        from bucle.doors.cli.errors import BadUsage

        what = f"{self.prog}: {message}"
        raise BadUsage(f"{what}{_near_miss(message)}", fix=f"{self.prog} --help")


def make_parser(noun: str, verbs: Sequence[object]) -> ArgumentParser:
    """The parser of a noun with its verbs."""
    from bucle.doors.cli.verb import Verb

    parser = _Parser(prog=f"bucle {noun}", description=_help_of(noun), formatter_class=RawDescriptionHelpFormatter)
    listed = [verb for verb in verbs if isinstance(verb, Verb)]
    if len(listed) == 1 and not listed[0].name:
        _fill(parser, listed[0])
        return parser
    choices = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in listed:
        child = choices.add_parser(
            verb.name, help=verb.help, description=verb.help, formatter_class=RawDescriptionHelpFormatter
        )
        _fill(child, verb)
    return parser


def _fill(parser: ArgumentParser, verb: object) -> None:
    from bucle.doors.cli.verb import Verb

    assert isinstance(verb, Verb)
    verb.arguments(parser)
    common = parser.add_argument_group("everywhere")
    common.add_argument("--project", default="", metavar="DIR", help="the project's folder (default: here or above)")
    common.add_argument("--database", default="", metavar="URL", help="another database than the project's")
    common.add_argument("--json", action="store_true", help="one JSON document on standard output")
    common.add_argument("--quiet", action="store_true", help="no talk on standard error")
    if verb.example:
        parser.epilog = f"example:\n  {verb.example}"
    parser.set_defaults(carry_out=verb.run)


def _split(given: list[str]) -> tuple[str | None, list[str]]:
    return (given[0], given[1:]) if given and not given[0].startswith("-") and given[0] != "help" else (None, given)


def _all_nouns() -> dict[str, str]:
    return {noun: text for group in NOUNS.values() for noun, text in group.items()}


def _help_of(noun: str) -> str:
    return _all_nouns()[noun]


def _overview() -> str:
    lines = ["usage: bucle NOUN VERB [options]", ""]
    lines += ["One assembly line from raw data to a served model that stays true.", ""]
    for group, nouns in NOUNS.items():
        lines += [group, *(f"  {noun:<10} {text}" for noun, text in nouns.items()), ""]
    lines += ["bucle NOUN --help tells more; bucle --version the version.", ""]
    return "\n".join(lines)


def _unknown(noun: str, rest: list[str]) -> int:
    import difflib

    near = difflib.get_close_matches(noun, _all_nouns(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return _wrong(f"There is no command {noun!r}.{hint}", rest, fix="bucle --help")


def _wrong(what: str, given: list[str], fix: str) -> int:
    from bucle.doors.cli.errors import BadUsage
    from bucle.doors.cli.terminal import Terminal

    return Terminal(as_json="--json" in given).fail(BadUsage(what, fix=fix))


def _near_miss(message: str) -> str:
    import difflib
    import re

    found = re.search(r"invalid choice: '([^']+)' \(choose from (.+)\)", message)
    if not found:
        return ""
    near = difflib.get_close_matches(found.group(1), re.findall(r"[\w-]+", found.group(2)), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
