"""Write docs/cli.md and docs/errors.md from the code: `python scripts/make_docs.py`; tests compare them with it."""

from __future__ import annotations

import importlib
import pkgutil
from argparse import Action, ArgumentParser, _HelpAction, _SubParsersAction
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import bucle
from bucle.doors.cli.main import NOUNS, make_parser
from bucle.doors.cli.verb import Verb
from bucle.ground.core import catalogue

DOCS = Path(__file__).parent.parent / "docs"
EVERYWHERE = ("--project", "--database", "--json", "--quiet")
HEAD = """\
# Command line

*Generated from the parsers by `scripts/make_docs.py`; do not edit.*

`bucle NOUN VERB`. Data goes to standard output, talk to standard error; the last line of a success names the command
that makes sense next. Everywhere: `--json` prints exactly one JSON document of the very records that Python and the API
give; `--project DIR` names the project (default: the nearest `bucle.toml` here or above), `--database URL` another
database than the project's, `--quiet` keeps silent. `BUCLE_ACTOR` says who acts, `BUCLE_PURPOSE` what tables
are read for, `BUCLE_DATABASE` is a database for every command, `BUCLE_DEBUG=1` shows where an unforeseen error came
from, `NO_COLOR` switches colour off.

A version is written `tumours@1`, `tumours@champion`, or `tumours` for the latest; an id by its first four digits or
more.

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | failed |
| 2 | wrong use |
| 3 | not found |
| 4 | not allowed |
| 5 | refused by a gate, a contract or a policy |
| 6 | conflict: the state does not allow it now |
| 7 | a check found something |
| 130 | interrupted |

An error says its code, what happened, why it matters, and the fix; with `--json` it is the document `{"error": {…}}`.
"""


def document() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for group in NOUNS for line in _group(group))]).rstrip() + "\n"


def _group(group: str) -> Iterator[str]:
    yield f"## {group}\n"
    for noun in NOUNS[group]:
        if find_spec(f"bucle.doors.cli.{noun}") is not None:
            yield from _noun(noun, NOUNS[group][noun])


def _noun(noun: str, about: str) -> Iterator[str]:
    verbs: tuple[Verb, ...] = importlib.import_module(f"bucle.doors.cli.{noun}").VERBS
    parser = make_parser(noun, verbs)
    parsers = _children(parser) or {"": parser}
    yield f"### bucle {noun}\n\n{about[0].upper()}{about[1:]}.\n"
    for verb in verbs:
        if verb.name:
            yield f"#### bucle {noun} {verb.name}\n\n{verb.help[0].upper()}{verb.help[1:]}.\n"
        yield from _arguments(parsers[verb.name])
        yield f"```sh\n{verb.example}\n```\n"


def _children(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    return next((dict(one.choices) for one in parser._actions if isinstance(one, _SubParsersAction)), {})


def _arguments(parser: ArgumentParser) -> Iterator[str]:
    own = [one for one in parser._actions if not isinstance(one, _HelpAction) and not _is_common(one)]
    if own:
        rows = "\n".join(f"| `{_written(one)}` | {(one.help or '').replace('|', chr(92) + '|')} |" for one in own)
        yield f"| argument | |\n| --- | --- |\n{rows}\n"


def _is_common(action: Action) -> bool:
    return any(name in EVERYWHERE for name in action.option_strings)


def _written(action: Action) -> str:
    """`FILE...`, `[TABLE]`, `--limit N`."""
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    metavar = action.metavar if isinstance(action.metavar, str) else choices or action.dest.upper()
    if not action.option_strings:
        return {"?": f"[{metavar}]", "+": f"{metavar}...", "*": f"[{metavar}...]"}.get(str(action.nargs), metavar)
    value = "" if action.nargs == 0 else f" [{metavar}]" if action.nargs == "?" else f" {metavar}"
    return f"{', '.join(action.option_strings)}{value}{' (required)' if action.required else ''}"


ERRORS_HEAD = """\
# Errors

*Generated from the code by `scripts/make_docs.py`; do not edit.*

Every error says what happened, with the value; why it matters; and the fix. Command line, API and pages show the same
three sentences under the same code. The first two digits name the room: 01 core, 02 store, 03 ledger, 04 governance,
05 data, 06 features, 07 pipelines, 08 tracking, tracing, evaluation and client, 09 registry, 10 gates, 11 serving,
12 deploy, 13 monitoring, 15 loop, 16 doors, 19 keys.

| code | error | what it means | exit | HTTP |
| --- | --- | --- | --- | --- |
"""


def errors_document() -> str:
    """The table of every error Bucle raises on purpose."""
    for module in pkgutil.walk_packages(bucle.__path__, "bucle."):
        if not any(part in module.name for part in ("__main__", ".migrations", ".project.")):
            importlib.import_module(module.name)
    rows = (
        f"| `{code}` | {kind.__name__} | {(kind.__doc__ or '').strip().splitlines()[0]} | {kind.exit_status} "
        f"| {kind.http_status} |"
        for code, kind in catalogue().items()
        if kind.__module__.startswith("bucle.")
    )
    return ERRORS_HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(document(), encoding="utf-8")
    (DOCS / "errors.md").write_text(errors_document(), encoding="utf-8")
