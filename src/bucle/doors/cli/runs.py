"""`bucle runs`: tracked runs: list, show, compare."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from bucle.doors.cli.arguments import add_limit
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

__all__ = ["VERBS"]


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--experiment", default="", help="only of this one")
    parser.add_argument("--status", choices=("running", "finished", "failed"), default=None, help="only these")
    add_limit(parser, 20)


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        found = tracking.runs(project, options.experiment or None, status=options.status, limit=options.limit)
    rows = [
        {"run": one.id, "experiment": one.experiment, "status": one.status, "started_at": one.started_at,
         "metrics": _pairs(one.metrics), "params": _pairs(one.params)}
        for one in found
    ]  # fmt: skip
    terminal.show(found, ("run", "experiment", "status", "started_at", "metrics", "params"), told=rows)
    terminal.next(f"bucle runs show {found[0].id}" if found else "bucle run PIPELINE")


def _pairs(given: dict[str, Any], most: int = 4) -> str:
    told = [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in given.items()]
    return " ".join(told[:most]) + (f" +{len(told) - most}" if len(told) > most else "")


def _experiments(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        terminal.show(tracking.experiments(project), ("name", "runs", "last_at"))


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="its id, or the beginning of it")


def _show(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        found = tracking.run(project, options.run)
    terminal.show(found)
    terminal.next(f"bucle runs metrics {found.id}")


def _compare_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two or more")
    parser.add_argument("--all", action="store_true", help="also what they have in common")


def _compare(options: Namespace, terminal: Terminal) -> None:
    """Params and metrics side by side; what is equal everywhere is left out."""
    from bucle.line import tracking

    with terminal.project() as project:
        found = [tracking.run(project, one) for one in options.runs]
    rows = []
    for what in ("params", "metrics"):
        tables = [getattr(one, what) for one in found]
        for name in dict.fromkeys(key for table in tables for key in table):
            cells = [table.get(name) for table in tables]
            if options.all or len({str(cell) for cell in cells}) > 1:
                rows.append({"what": what, "name": name} | dict(zip((one.id for one in found), cells, strict=True)))
    terminal.show(found, told=rows or [{"what": "params and metrics", "name": "are equal"}])


def _metrics_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="its id, or the beginning of it")
    parser.add_argument("--key", default=None, help="only this metric")


def _metrics(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import tracking

    with terminal.project() as project:
        run = tracking.run(project, options.run)
        found = tracking.metrics(project, run.id, options.key)
        if options.key and not found:
            from bucle.doors.cli.references import chosen
            from bucle.ground.core import NotFound

            chosen(options.key, run.metrics, NotFound, f"metric of run {run.id}", f"bucle runs show {run.id}")
    terminal.show(found, ("key", "step", "value", "at"))


VERBS: tuple[Verb, ...] = (
    Verb("list", "runs, newest first", _list, _list_arguments, "bucle runs list --limit 5"),
    Verb("experiments", "what runs belong to", _experiments, example="bucle runs experiments"),
    Verb("show", "one run with its params, metrics and circumstances", _show, _show_arguments, "bucle runs show RUN"),
    Verb("compare", "params and metrics side by side", _compare, _compare_arguments, "bucle runs compare RUN RUN"),
    Verb("metrics", "every point of a run's curves", _metrics, _metrics_arguments, "bucle runs metrics RUN"),
)
