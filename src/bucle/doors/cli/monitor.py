"""`bucle monitor`: windows, drift, signals."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.arguments import add_limit, instant
from bucle.doors.cli.causes import COMPARE_WINDOWS
from bucle.doors.cli.references import chosen
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.monitoring import Window

__all__ = ["VERBS"]

MOST = 12
"""So many features are shown, those that moved most."""


def _endpoint(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint")


def _known(project: Project, name: str) -> str:
    """The endpoint itself. Raises: NotFound: nothing was ever deployed to it."""
    from bucle.ground.core import NotFound
    from bucle.line import deploy

    return chosen(name, deploy.endpoints(project), NotFound, "endpoint", "bucle deploy list")


def _show(options: Namespace, terminal: Terminal) -> None:
    """What the newest look found: windows, what drifted most, signals."""
    from bucle.line import monitoring

    with terminal.project() as project:
        looks = monitoring.watched(project, _known(project, options.endpoint), limit=1)
    if not looks:
        terminal.show([])
        terminal.say(f"Nobody has looked at {options.endpoint} yet: its first window has not ended, or no loop runs.")
        terminal.next("bucle loop run --once")
        return
    (look,) = looks
    terminal.show(look, told=[_window(one) for one in look.windows])
    drifts = sorted(look.drifts, key=lambda one: -one.psi)[:MOST]
    columns = ("feature", "version", "arm", "psi", "threshold", "drifted", "nulls", "mean", "reference_mean")
    terminal.tell_table(drifts, columns, title="what moved most")
    terminal.tell_table(look.signals, ("kind", "version", "arm", "feature", "value", "threshold"), title="signals")
    terminal.next(f"bucle monitor signals {options.endpoint}")


def _window(one: Window) -> dict[str, Any]:
    from bucle.line import monitoring

    found = monitoring.quality(one)
    told = {"since": one.since, "until": one.until, "model": one.model, "version": one.version, "arm": one.arm}
    told |= {"rows": one.rows, "labelled": found.labelled, "auc": found.auc, "ece": found.ece}
    return {**told, "errors": one.error_rate, "p95_ms": one.latency_ms(0.95)}


def _windows_arguments(parser: ArgumentParser) -> None:
    _endpoint(parser)
    parser.add_argument("--since", type=instant, default=None, metavar="INSTANT", help="only windows from then on")
    add_limit(parser, 48)


def _windows(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import monitoring

    with terminal.project() as project:
        found = monitoring.windows(project, _known(project, options.endpoint), since=options.since)[-options.limit :]
    terminal.show(found, told=[_window(one) for one in found])
    terminal.next(f"bucle monitor show {options.endpoint}")


def _signals_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint", nargs="?", default="", help="whose (default: every endpoint's)")
    parser.add_argument(
        "--since", type=instant, default=None, metavar="INSTANT", help="only of stretches that end later"
    )
    add_limit(parser, 50)


def _signals(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import monitoring

    with terminal.project() as project:
        name = _known(project, options.endpoint) if options.endpoint else None
        found = monitoring.signals(project, name, since=options.since, limit=options.limit)
    terminal.show(found, ("until", "endpoint", "kind", "version", "arm", "feature", "value", "threshold", "detail"))
    if found and found[0].model:
        terminal.next(f"bucle loop history {found[0].model}")


def _check_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("endpoint", nargs="?", default="", help="which (default: all)")


def _check(options: Namespace, terminal: Terminal) -> int:
    """Whether the newest look at each endpoint raised a signal, for cron and CI."""
    from bucle.line import deploy, monitoring

    with terminal.project() as project:
        names = [_known(project, options.endpoint)] if options.endpoint else deploy.endpoints(project)
        looks = [look for name in names for look in monitoring.watched(project, name, limit=1)]
    found = [signal for look in looks for signal in look.signals]
    terminal.show(found, ("endpoint", "kind", "version", "arm", "feature", "value", "threshold", "detail"))
    terminal.say(f"{len(found)} signals in the newest windows." if found else "No signal in the newest windows.")
    return FOUND if found else 0


VERBS: tuple[Verb, ...] = (
    Verb("show", "what the newest look found", _show, _endpoint, "bucle monitor show tumours"),
    Verb("windows", "quality, errors and latency over time", _windows, _windows_arguments,
         "bucle monitor windows tumours"),
    Verb("signals", "what broke a rule, newest first", _signals, _signals_arguments, "bucle monitor signals"),
    COMPARE_WINDOWS,
    Verb("check", "signals in the newest windows; exit status 7 when there are any", _check, _check_arguments,
         "bucle monitor check"),
)  # fmt: skip
