"""What a person writes for a thing, found: `flights@3`, `flights@champion`, the first digits of an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from bucle.ground.core import BucleError, suggest

if TYPE_CHECKING:
    from bucle import loop
    from bucle.ground.project import Project
    from bucle.line.deploy import Rollout
    from bucle.line.gates import Verdict
    from bucle.line.pipelines import Execution
    from bucle.line.registry import ModelVersion

__all__ = ["chosen", "execution_of", "model_and_version", "recipe_of", "rollout_of", "verdict_of", "version_of"]

T = TypeVar("T")


def model_and_version(text: str) -> tuple[str, str]:
    """`flights@3`, `model/flights@3` or `flights` as name and version, `latest` when none is given."""
    name, _, version = text.removeprefix("model/").partition("@")
    return name, version or "latest"


def version_of(project: Project, text: str) -> ModelVersion:
    """The version a text names.

    Raises:
        NoSuchModel, NoSuchVersion: there is none.
    """
    from bucle.line import registry

    name, number = model_and_version(text)
    return registry.version(project, name, int(number) if number.isdecimal() else number)


def execution_of(project: Project, text: str) -> Execution:
    """The execution whose id begins so.

    Raises:
        NoSuchExecution: there is none, or more than one.
    """
    from bucle.line import pipelines

    wanted = text.removeprefix("execution/")
    found = _beginning(wanted, pipelines.executions(project), lambda one: one.id)
    return found or pipelines.execution(project, wanted)


def recipe_of(project: Project, text: str) -> loop.Recipe:
    """How the thing a text names was made: `flights@3`, or the id of a run or an execution, or how it begins.

    Raises:
        NotFound: there is none.
    """
    from bucle import loop
    from bucle.ground.core import NotFound
    from bucle.line import registry, tracking

    kind, _, name = text.rpartition("/")
    if kind == "model" or "@" in text:
        return loop.recipe_of_version(project, version_of(project, text))
    if kind in ("", "execution"):
        found = _optional(execution_of, project, name)
        if found is not None:
            return loop.recipe_of_execution(project, found)
    if kind in ("", "run"):
        run = _optional(tracking.run, project, name)
        if run is not None:
            return loop.recipe_of_run(project, run)
    if any(one.name == text for one in registry.models(project)):
        return loop.recipe_of_version(project, version_of(project, text))
    raise NotFound(
        f"There is no model version, run or execution {text!r}.",
        why="A version is named as flights@3, the others by their ids.",
        fix="See: bucle model list, bucle runs list, bucle run --list",
        at=text,
    )


def _optional(look: Callable[[Project, str], T], project: Project, name: str) -> T | None:
    from bucle.ground.core import NotFound

    try:
        return look(project, name)
    except NotFound:
        return None


def verdict_of(project: Project, text: str) -> Verdict:
    """The verdict whose id begins so, or the newest one on a version.

    Raises:
        NoSuchVerdict: there is none.
        NoSuchModel, NoSuchVersion: the version does not exist.
    """
    from bucle.line import gates

    known = gates.verdicts(project)
    found = _beginning(text, known, lambda one: one.id)
    if found is not None:
        return found
    ref = version_of(project, text).ref if "@" in text else ""
    found = next((one for one in reversed(known) if one.subject == ref), None)
    if found is None:
        what = f"No gate has judged {ref}." if ref else f"There is no verdict {text!r}."
        fix = f"bucle gate judge {ref.removeprefix('model/')}" if ref else "bucle gate list"
        raise gates.NoSuchVerdict(what, why="A verdict is named by its id or by its version.", fix=fix, at=text)
    return found


def rollout_of(project: Project, text: str) -> Rollout:
    """The rollout whose id begins so, or the newest one of an endpoint.

    Raises:
        NoSuchRollout: there is none.
    """
    from bucle.line import deploy

    known = deploy.rollouts(project)
    found = _beginning(text, known, lambda one: one.id)
    found = found or next((one for one in reversed(known) if one.endpoint == text), None)
    if found is None:
        names = {one.endpoint for one in known}
        raise deploy.NoSuchRollout(
            f"There is no rollout {text!r}. {suggest(text, names)}".rstrip(),
            why=f"A rollout is named by its id or its endpoint: {', '.join(sorted(names)) or 'there is none yet'}.",
            fix="bucle deploy list",
            at=text,
        )
    return found


def chosen(given: str, known: Iterable[str], error: type[BucleError], what: str, fix: str) -> str:
    """A name itself when it is known.

    Raises:
        error: it is not; with the near miss.
    """
    names = list(known)
    if given in names:
        return given
    raise error(
        f"There is no {what} {given!r}. {suggest(given, names)}".rstrip(),
        why=f"There is: {', '.join(names)}." if names else f"There is no {what} at all.",
        fix=fix,
        at=given,
    )


def _beginning(text: str, things: Iterable[T], identity: Callable[[T], str]) -> T | None:
    """The one thing whose id is the text, or begins with it; None when there is none or more than one."""
    listed = list(things)
    exact = [one for one in listed if identity(one) == text]
    near = exact or [one for one in listed if len(text) >= 4 and identity(one).startswith(text)]
    return near[0] if len(near) == 1 else None
