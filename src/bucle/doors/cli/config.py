"""`bucle config`: the project's settings."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bucle.doors.cli.terminal import Terminal
from bucle.doors.cli.verb import FOUND, Verb
from bucle.ground.core import BucleError, Record

if TYPE_CHECKING:
    from bucle.ground.project import Project

__all__ = ["VERBS", "Tried", "flat", "settings_of", "tried"]


class Tried(Record, frozen=True):
    """One part of the settings that was read.

    Attributes:
        what: which part.
        passed: whether it can be used.
        detail: what it holds, or what is wrong with it.
        fix: what mends it.
    """

    what: str
    passed: bool
    detail: str = ""
    fix: str = ""


def settings_of(project: Project) -> dict[str, Any]:
    """Every setting in force, the defaults among them.

    Raises:
        ConfigError: a key or value is wrong.
    """
    from bucle import loop
    from bucle.ground.core import ProjectSection, ServerSection, StoreSection, to_builtins
    from bucle.line import monitoring, serving

    config = project.config
    parts = {
        "project": config.section("project", ProjectSection),
        "store": config.section("store", StoreSection),
        "server": config.section("server", ServerSection),
        "pipelines": config.section("pipelines", loop.PipelinesSection),
        "serving": config.section("serving", serving.ServingSection),
        "monitoring": monitoring.rules_of(project),
        "loop": {name: loop.policy_of(project, name) for name in config.names("loop")},
    }
    settings: dict[str, Any] = to_builtins(parts)
    return settings


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, dict) and value
        found |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _show(options: Namespace, terminal: Terminal) -> None:
    import json

    with terminal.project() as project:
        settings = settings_of(project)
    terminal.show(settings, told={name: json.dumps(value) for name, value in flat(settings).items()})
    terminal.next("bucle config check")


def _get_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("key", help="dotted, e.g. server.port or loop.tumours.retrain")


def _get(options: Namespace, terminal: Terminal) -> None:
    from bucle.doors.cli.references import chosen
    from bucle.ground.core import NotFound

    with terminal.project() as project:
        value: Any = settings_of(project)
    for part in options.key.split("."):
        known = list(value) if isinstance(value, dict) else []
        value = value[chosen(part, known, NotFound, f"setting in {options.key!r} named", "bucle config show")]
    terminal.show(value)


def tried(what: str, look: Callable[[], str]) -> Tried:
    """What a look found, or why it could not be done."""
    try:
        return Tried(what=what, passed=True, detail=look())
    except BucleError as error:
        return Tried(what=what, passed=False, detail=error.what, fix=error.fix or error.why)


def _check(options: Namespace, terminal: Terminal) -> int:
    """Read every part of the settings, and whatever they name, and say what cannot be used."""
    from bucle.ground.core import load_config

    root = terminal.root()
    path = root / "bucle.toml"
    found = [tried("bucle.toml", lambda: f"{path}: {len(load_config(path).names('loop'))} loops")]
    if found[0].passed:
        with terminal.project() as project:
            found += _parts(project)
    terminal.show(found, ("what", "passed", "detail", "fix"))
    sound = all(one.passed for one in found)
    terminal.say("Every setting can be used." if sound else "Something cannot be used.")
    return 0 if sound else FOUND


def _parts(project: Project) -> list[Tried]:
    from bucle import loop
    from bucle.line import contracts, features, gates, monitoring, pipelines, serving

    def policy(name: str) -> str:
        found = loop.policy_of(project, name)
        gates.gates_of(found.gates)
        known = pipelines.pipelines_of(project)
        if found.pipeline not in known:
            raise pipelines.NoSuchPipeline(
                f"There is no pipeline {found.pipeline!r}.", fix=f"There is: {', '.join(known)}."
            )
        return f"{found.pipeline} -> {found.endpoint}"

    return [
        tried("modules", lambda: ", ".join(module.__name__ for module in project.modules()) or "none"),
        tried("pipelines", lambda: ", ".join(pipelines.pipelines_of(project)) or "none"),
        tried("feature views", lambda: ", ".join(features.views_of(project.modules())) or "none"),
        tried("contracts", lambda: ", ".join(contracts.of_project(project)) or "none"),
        tried(
            "[serving]", lambda: f"{project.config.section('serving', serving.ServingSection).max_rows} rows at most"
        ),
        tried("[monitoring]", lambda: f"a drift from PSI {monitoring.rules_of(project).psi} on"),
        *(tried(f"[loop.{name}]", partial(policy, name)) for name in project.config.names("loop")),
    ]


VERBS: tuple[Verb, ...] = (
    Verb("show", "every setting in force, defaults included", _show, example="bucle config show"),
    Verb("get", "one setting, or one table of them", _get, _get_arguments, "bucle config get loop.tumours.retrain"),
    Verb("check", "read all settings and what they name; exit status 7 when something is wrong", _check,
         example="bucle config check"),
)  # fmt: skip
