"""`bucle datums`: a step called once for every file, or group of files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import Verb

__all__ = ["VERBS"]


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import datums

    with terminal.project() as project:
        found = datums.datum_steps(project)
    rows = [
        {"name": name, "step": one.step, "over": one.over, "into": one.into, "branch": one.branch}
        for name, one in found.items()
    ]
    terminal.show(rows, ("name", "step", "over", "into", "branch"))
    terminal.next("bucle datums run")


def _run_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all, in the order of bucle.toml)")


def _run(options: Namespace, terminal: Terminal) -> None:
    from bucle import loop
    from bucle.ground.core import to_builtins
    from bucle.line import datums

    with terminal.project() as project:
        place = loop.executor_of(project)
        done = [datums.process(project, name, executor=place) for name in options.names or datums.datum_steps(project)]
    rows = [{**to_builtins(one), "commit": one.commit[:12]} for one in done]
    terminal.show(done, ("name", "datums", "new", "gone", "files", "commit"), told=rows)


def _origin_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", help="a file of the tree")
    parser.add_argument("--at", default="main", metavar="REF", help="a branch, tag or commit (default: main)")


def _origin(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import datums

    with terminal.project() as project:
        found = datums.origin_of(project, options.path, options.at)
    terminal.show(found)
    terminal.next(f"bucle run --show {found.execution}")


VERBS: tuple[Verb, ...] = (
    Verb("list", "what is called for which files", _list, example="bucle datums list"),
    Verb(
        "run", "call the step for what is new, and commit the outputs", _run, _run_arguments, "bucle datums run edges"
    ),
    Verb("origin", "what a file was made of", _origin, _origin_arguments, "bucle datums origin edges/a.txt"),
)
