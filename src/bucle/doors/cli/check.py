"""`bucle check`: is this project fit for production?"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle import loop
    from bucle.ground.project import Project

__all__ = ["VERBS"]

COLUMNS = ("what", "where", "state", "detail", "fix")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--strict", action="store_true", help="exit status 7 when a definition is not as it should be")
    parser.add_argument("--model", default="", help="score only this model (default: the least of all)")
    parser.add_argument(
        "--attest", nargs=2, default=None, metavar=("TEST", "REASON"),
        help="put on record that a test is done by hand, e.g. data-2 and where it is written down",
    )  # fmt: skip


def _run(options: Namespace, terminal: Terminal) -> int:
    from bucle import loop

    with terminal.project() as project:
        if options.attest:
            return _attest(project, options, terminal)
        found = loop.check(project, options.model or None)
    terminal.show(found, told=[*found.findings])
    for score in found.scores:
        terminal.tell_table(_rows(score), ("test", "points", "detail", "proof", "fix"), title=_title(score))
    terminal.say(f"\nML Test Score {found.score:g}: {found.means}.")
    faults = len(found.faults)
    terminal.say(
        f"Definitions to be mended: {faults}." if faults else "Every definition is documented and has a version."
    )
    terminal.next(_next(found))
    return FOUND if options.strict and found.faults else 0


def _attest(project: Project, options: Namespace, terminal: Terminal) -> int:
    from bucle.loop import readiness

    test, reason = options.attest
    name = _model(project, options.model)
    said = readiness.attest(project, name, test, reason, known=[one.id for one in readiness.TESTS])
    terminal.show(said)
    terminal.next(f"bucle check --model {name}")
    return 0


def _model(project: Project, given: str) -> str:
    """The model that is meant. Raises: BadUsage: there is more than one, or none."""
    from bucle.doors.cli.errors import BadUsage
    from bucle.line import registry

    known = [one.name for one in registry.models(project)]
    if given or len(known) == 1:
        return given or known[0]
    raise BadUsage(
        f"Which model is meant? There are {', '.join(known)}." if known else "No model is registered yet.",
        why="Somebody attests a test of one model.",
        fix="Name it: bucle check --model NAME --attest TEST REASON",
    )


def _rows(score: loop.Score) -> list[dict[str, Any]]:
    return [
        {
            "test": f"{one.id} {one.title}",
            "points": one.points,
            "detail": one.detail,
            "proof": one.proof,
            "fix": one.fix,
        }
        for one in score.items
    ]


def _title(score: loop.Score) -> str:
    parts = ", ".join(f"{name} {points:g}" for name, points in score.sections.items())
    return f"ML Test Score of {score.model}@{score.version}: {score.score:g} ({parts})"


def _next(found: loop.Readiness) -> str:
    fault = next((one for one in found.faults if one.fix), None)
    return f"mend {fault.where}: {fault.fix}" if fault else "bucle audit verify"


VERBS: tuple[Verb, ...] = (
    Verb("", "is this project fit for production? definitions, debt, and a score with its proofs", _run, _arguments,
         "bucle check --strict"),
)  # fmt: skip
