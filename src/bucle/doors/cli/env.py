"""`bucle env`: what code runs in: look, compare, lock, make again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bucle.doors.cli.references import recipe_of
from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb

if TYPE_CHECKING:
    from bucle.ground.core import Environment
    from bucle.ground.project import Project
    from bucle.line.environments import Kept

__all__ = ["VERBS", "environment_named"]

HERE = "here"
WHAT = "here, a kept name, a file of `bucle env show --json`, a model version, a run or an execution"


def _thing(parser: ArgumentParser) -> None:
    parser.add_argument("thing", nargs="?", default=HERE, help=f"{WHAT} (default: here)")


def _show(options: Namespace, terminal: Terminal) -> None:
    with terminal.project() as project:
        found = _kept(project, options.thing)
    one, machine = found.environment, found.environment.machine
    told = {
        "python": f"{one.implementation} {one.python}",
        "system": one.system,
        "digest": one.digest,
        "os": machine.os if machine else "",
        "libc": machine.libc if machine else "",
        "cpu": f"{machine.cpu}, {machine.cores} cores" if machine else "",
        "flags": " ".join(machine.flags) if machine else "",
        "packages": len(one.packages),
    }
    terminal.show(found, told=told)
    rows = [
        {"package": name, "version": version, "content": one.contents.get(name, "")[:12], "from": one.origins.get(name)}
        for name, version in one.packages.items()
    ]
    terminal.tell_table(rows, title="packages")
    terminal.next("bucle env lock --out requirements.lock")


def _diff_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("left", help=WHAT)
    parser.add_argument("right", nargs="?", default=HERE, help="the other (default: here)")


def _diff(options: Namespace, terminal: Terminal) -> int:
    """What two environments do not share; exit status 7 when results may differ by it, or a setting differs."""
    from bucle.line import environments

    with terminal.project() as project:
        left, right = (_kept(project, one) for one in (options.left, options.right))
    found = environments.compare(left, right)
    terminal.show(found, ("part", "name", "left", "right"))
    counting = [one for one in found if one.counts or one.part == "setting"]
    terminal.say(f"{len(counting)} differences" if counting else "No difference that counts.")
    return FOUND if counting else 0


def _lock_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "requirements", nargs="?", default="", help="a file with what is wanted (default: what is here)"
    )
    parser.add_argument("--out", default="", metavar="FILE", help="where to (default: standard output)")
    parser.add_argument("--python", default="", metavar="VERSION", help="for this version (default: the one here)")


def _lock(options: Namespace, terminal: Terminal) -> None:
    """Requirements with one version each and their hashes."""
    from bucle.doors.cli.errors import BadUsage
    from bucle.ground.core import environment
    from bucle.line import environments

    here = environment()
    try:
        wanted = Path(options.requirements).read_text() if options.requirements else here.lock()
    except OSError as error:
        raise BadUsage(f"{options.requirements} cannot be read: {error.strerror}.") from error
    text = environments.locked(wanted, options.python or here.python)
    if not options.out:
        terminal.show({"lock": text}) if terminal.as_json else terminal.line(text.rstrip())
        return
    Path(options.out).write_text(text)
    pinned = sum(line[:1].isalnum() for line in text.splitlines())
    terminal.show({"file": options.out, "packages": pinned})
    terminal.next(f"bucle run PIPELINE --env {options.out}")


def _build_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("thing", help=f"a lock file, {WHAT}")


def _build(options: Namespace, terminal: Terminal) -> None:
    """Make a virtual environment as it was recorded, or as a lock pins it, and check that it is so."""
    from bucle import loop
    from bucle.line import environments

    with terminal.project() as project:
        wanted = environment_named(project, options.thing)
        made = loop.interpreter_for(project, wanted)
    machine = [] if isinstance(wanted, Path) else environments.diff(wanted, made.environment)
    terminal.show(
        {"python": made.python, "digest": made.environment.digest, "packages": len(made.environment.packages)}
    )
    terminal.tell_table(machine, ("part", "name", "left", "right"), title="the machine is another")


def _keep_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="e.g. dev or prod")


def _keep(options: Namespace, terminal: Terminal) -> None:
    """Keep the environment and settings here under a name, to compare others with."""
    from bucle.ground.core import environment
    from bucle.line import environments

    with terminal.project() as project:
        made = environments.keep(project, options.name, environment(), _settings(project))
    terminal.show(made, told={"name": made.name, "digest": made.environment.digest, "at": made.at})
    terminal.next(f"bucle env diff {made.name} here")


def _list(options: Namespace, terminal: Terminal) -> None:
    from bucle.line import environments

    with terminal.project() as project:
        found = environments.kept(project)
    rows = [
        {"name": one.name, "python": one.environment.python, "packages": len(one.environment.packages),
         "digest": one.environment.digest[:12], "at": one.at, "actor": one.actor}
        for one in found.values()
    ]  # fmt: skip
    terminal.show(list(found.values()), ("name", "python", "packages", "digest", "at", "actor"), told=rows)


def environment_named(project: Project, text: str) -> Path | Environment:
    """A lock's path, or an environment that is on record.

    Raises:
        NotFound: there is none.
    """
    path = Path(text)
    if path.is_file() and path.suffix != ".json":
        return path.resolve()
    return _kept(project, text).environment


def _kept(project: Project, text: str) -> Kept:
    from bucle.ground.core import decode, environment
    from bucle.line import environments
    from bucle.line.environments import Kept

    if text == HERE:
        now = project.clock.now()
        return Kept(name=HERE, environment=environment(), settings=_settings(project), at=now, actor=project.actor)
    if text.endswith(".json") and Path(text).is_file():
        return decode(Path(text).read_bytes(), Kept, what="environment")
    if text in environments.kept(project):
        return environments.kept_named(project, text)
    return _of_thing(project, text)


def _of_thing(project: Project, text: str) -> Kept:
    """What a version, a run or an execution was made in; the newest, when it was made in several."""
    from bucle.ground.core import NotFound
    from bucle.line.environments import Kept, NoSuchEnvironment, kept

    try:
        recipe = recipe_of(project, text)
    except NotFound as error:
        raise NoSuchEnvironment(
            f"There is no environment {text!r}.",
            why=f"It is a lock file, {WHAT}; kept are: {', '.join(kept(project)) or 'none'}.",
            fix="See: bucle env list, bucle model list; a lock is written by: bucle env lock --out requirements.lock",
            at=text,
        ) from error
    if not recipe.environments:
        raise NoSuchEnvironment(f"Nothing is on record of what {recipe.ref} was made in.", fix="bucle why " + text)
    newest = list(recipe.environments.values())[-1]
    return Kept(name=recipe.ref, environment=newest, settings={}, at=project.clock.now(), actor=project.actor)


def _settings(project: Project) -> dict[str, str]:
    """The settings in force, without an address that may hold a password."""
    import json

    from bucle.doors.cli.config import flat, settings_of

    told = {name: json.dumps(value) for name, value in flat(settings_of(project)).items()}
    return {**told, "store.database": project.database.engine.dialect.name}


VERBS: tuple[Verb, ...] = (
    Verb("show", "an environment: Python, machine, packages", _show, _thing, "bucle env show"),
    Verb("list", "the environments that are kept under a name", _list, example="bucle env list"),
    Verb("keep", "keep the environment and settings here under a name", _keep, _keep_arguments, "bucle env keep dev"),
    Verb("diff", "what two environments do not share; exit status 7 when something counts", _diff, _diff_arguments,
         "bucle env diff dev here"),
    Verb("lock", "requirements with one version each and their hashes", _lock, _lock_arguments,
         "bucle env lock --out requirements.lock"),
    Verb("build", "a virtual environment as recorded, or as a lock pins it", _build, _build_arguments,
         "bucle env build tumours@1"),
)  # fmt: skip
