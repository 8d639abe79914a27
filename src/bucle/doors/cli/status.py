"""`bucle status`: the line at a glance."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

if TYPE_CHECKING:
    from bucle.ground.project import Project

__all__ = ["VERBS"]


def _run(options: Namespace, terminal: Terminal) -> None:
    with terminal.project() as project:
        found = _line(project)
    told = {"project": found.project, "now": found.now, "events": found.events}
    terminal.show(found, told=told)
    terminal.tell_table(found.stations, ("name", "state", "count", "unit", "note", "at"), title="the line")
    live = [{**_live(one)} for one in found.live]
    terminal.tell_table(live, title="what answers")
    turns = ("model", "champion", "phase", "cycle", "promoted", "refused", "rolled_back", "decision")
    terminal.tell_table(found.turns, turns, title="the loops")
    terminal.tell_table(found.waiting, ("what", "since", "fix"), title="what waits for you")
    terminal.tell_table(found.problems, title="what could not be read")
    terminal.next("bucle up")


def _line(project: Project) -> Any:
    """The record that the dashboard's first page shows."""
    from bucle.doors.ui import VIEWS

    return next(view for view in VIEWS if view.path == "/").read(project)


def _live(one: Any) -> dict[str, Any]:
    auc = next((value for value in reversed(one.auc) if value is not None), None)
    told = {"endpoint": one.endpoint, "version": f"{one.model}@{one.version}", "arm": one.arm, "share": one.share}
    return {**told, "since": one.since, "auc": auc, "p95_ms": one.p95_ms, "drifted": ", ".join(one.drifted)}


VERBS: tuple[Verb, ...] = (Verb("", "the line at a glance", _run, example="bucle status"),)
