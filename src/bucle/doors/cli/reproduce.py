"""`bucle reproduce`: make a model, a run or an execution again, and compare."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bucle.doors.cli.errors import BadUsage
from bucle.doors.cli.references import recipe_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle import loop
    from bucle.ground.project import Project

__all__ = ["VERBS", "add_how", "carry_out"]

_WORDS = {
    "exact": "Bit for bit the same.",
    "close": "Not the same bytes, but within the tolerance.",
    "different": "It came out otherwise.",
}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("thing", help="e.g. tumours@1, or the id of a run or an execution")
    add_how(parser)


def add_how(parser: ArgumentParser) -> None:
    """How it is made again, and what counts as close."""
    parser.add_argument(
        "--here",
        action="store_true",
        help="with this Python and the code as it is; otherwise both are made as they were, where they have changed",
    )
    parser.add_argument(
        "--relative", type=float, default=1e-6, metavar="X", help="tolerance, as a share (default: 1e-6)"
    )
    parser.add_argument("--absolute", type=float, default=1e-9, metavar="X", help="tolerance, added (default: 1e-9)")


def carry_out(options: Namespace, terminal: Terminal) -> int:
    """Make it again in its environment with its code; exit status 7 when it differs."""
    with terminal.project() as project:
        recipe = recipe_of(project, options.thing)
        place = None if options.here else _place(project, recipe, terminal)
        if place is None:
            return _rebuild(project, recipe, options, terminal)
        database, actor = project.database.url, project.actor
    python, folder = place
    how = ["--here", "--relative", repr(options.relative), "--absolute", repr(options.absolute)]
    told = [flag for flag, wanted in (("--json", terminal.as_json), ("--quiet", terminal.quiet)) if wanted]
    command = [python, "-m", "bucle", "reproduce", recipe.ref, *how, *told, "--project", str(folder)]
    environ = {**os.environ, "BUCLE_DATABASE": database, "BUCLE_ACTOR": actor}
    if python != sys.executable:
        environ = {name: value for name, value in environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    sys.stdout.flush()
    return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603  our own program


def _rebuild(project: Project, recipe: loop.Recipe, options: Namespace, terminal: Terminal) -> int:
    from bucle import loop
    from bucle.line.pipelines import Tolerance

    tolerance = Tolerance(relative=options.relative, absolute=options.absolute)
    found = loop.rebuild(project, recipe, tolerance=tolerance)
    rows = [
        {
            "step": one.step,
            "outcome": one.outcome,
            "same environment": one.same_environment,
            "differs": "; ".join(f"{each.output}: {each.why}" for each in one.deviations),
            "step run": one.step_run,
        }
        for one in found.steps
    ]
    terminal.show(found, told=rows)
    terminal.say(_WORDS[found.outcome])
    if found.first_different:
        terminal.say(f"first in {found.first_different}")
    for reason in found.reasons:
        terminal.say(f"perhaps: {reason}")
    return FOUND if found.outcome == "different" else 0


def _place(project: Project, recipe: loop.Recipe, terminal: Terminal) -> tuple[str, Path] | None:
    """The Python and the folder it has to be made in; None when those are these.

    Raises:
        BadUsage: its steps ran in several environments.
        NotBuilt, EnvironmentDiffers: the environment cannot be made here.
        CodeChanged: the code is another, and no commit is known that could be checked out.
    """
    python, folder = _python(project, recipe, terminal), _folder(project, recipe, terminal)
    if python is None and folder is None:
        return None
    return python or sys.executable, folder or project.root


def _python(project: Project, recipe: loop.Recipe, terminal: Terminal) -> str | None:
    from bucle import loop
    from bucle.ground.core import environment

    wanted = {one.digest: one for one in recipe.environments.values()}
    if not wanted or wanted.keys() == {environment().digest}:
        return None
    if len(wanted) > 1:
        raise BadUsage(
            f"The steps of {recipe.ref} ran in {len(wanted)} environments.",
            why="It is made again in one.",
            fix=f"With the Python that is here: bucle reproduce {recipe.ref} --here",
        )
    (one,) = wanted.values()
    terminal.say(f"making the environment it ran in: {one.implementation} {one.python}, {len(one.packages)} packages")
    return loop.interpreter_for(project, one).python


def _folder(project: Project, recipe: loop.Recipe, terminal: Terminal) -> Path | None:
    from bucle.line import pipelines, tracking

    run = recipe.run
    if not any(pipelines.code_changed(project, step) for step in recipe.steps):
        return None
    if run is None or not run.code_commit:
        return None  # the first step says which code it had
    terminal.say(f"checking out the code it ran with: {run.code_commit[:12]}{' and changes' if run.code_diff else ''}")
    target = project.state / "code" / f"{run.code_commit[:16]}-{run.code_diff[:16] or 'clean'}"
    own = tracking.restored(project, run, target)
    state = own / project.state.name
    if not state.exists():
        state.symlink_to(project.state, target_is_directory=True)
    return own


VERBS: tuple[Verb, ...] = (
    Verb("", "make a model, a run or an execution again and compare; exit status 7 when it differs", carry_out,
         _arguments, "bucle reproduce tumours@1"),
)  # fmt: skip
