"""`bucle why`: how a model, a run or an execution was made."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.references import recipe_of
from bucle.doors.cli.reproduce import add_how, carry_out
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle import loop

__all__ = ["VERBS"]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("thing", help="e.g. tumours@1, or the id of a run or an execution")
    parser.add_argument("--rerun", action="store_true", help="do it all again, and compare bit for bit")
    add_how(parser)


def _run(options: Namespace, terminal: Terminal) -> int:
    """The whole recipe, in order; with --rerun also what doing it again gives."""
    if options.rerun:
        return carry_out(options, terminal)
    with terminal.project() as project:
        found = recipe_of(project, options.thing)
    rows = [_row(number, one) for number, one in enumerate(found.ingredients, 1)]
    terminal.show(found, ("", "what", "name", "digest", "with", "look"), told=rows)
    for one in found.missing:
        terminal.say(f"not on record: {one}")
    terminal.next(f"bucle reproduce {options.thing}" if found.steps else f"bucle model show {options.thing}")
    return 0


def _row(number: int, one: loop.Ingredient) -> dict[str, Any]:
    detail = {name: value for name, value in one.detail.items() if value not in ("", None, {}, (), [])}
    words = " ".join(f"{name}={_plain(value)}" for name, value in detail.items())
    return {
        "": number,
        "what": one.kind,
        "name": one.name,
        "digest": one.digest[:12],
        "with": words,
        "look": one.command,
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_plain(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return ",".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


VERBS: tuple[Verb, ...] = (
    Verb("", "how a model, a run or an execution was made, in order", _run, _arguments, "bucle why tumours@1"),
)
