"""Settings: `[datums.NAME]` of bucle.toml: which step is called over which files, and where its outputs go."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

import msgspec

from bucle.ground.core import Section, suggest
from bucle.ground.project import Project
from bucle.line.datums.errors import BadDatums, NoSuchDatums
from bucle.line.datums.over import over_of
from bucle.line.files import check_path
from bucle.line.pipelines import Step

__all__ = ["DatumStep", "datum_step", "datum_steps", "step_of"]


class DatumStep(Section, frozen=True):
    """`[datums.NAME]`.

    Attributes:
        step: `module:function`, a `@step` of the project's Python that takes a `Datum` (and the project if it likes)
            and returns `dict[str, bytes]` or `dict[str, Path]`: path below `into` -> content.
        over: a pattern, or patterns put together: see `over.py`.
        into: the folder of the tree that holds the outputs, and nothing else.
        branch: whose files are gone over, and where the outputs go.
        at_once: how many processes run at the same time.
    """

    step: str
    over: str | dict[str, Any]
    into: str
    branch: str = "main"
    at_once: Annotated[int, msgspec.Meta(ge=1)] = 2


def datum_steps(project: Project) -> dict[str, DatumStep]:
    """Name -> settings.

    Raises:
        ConfigError: they cannot be understood.
        BadDatums: a pattern cannot be used, or two would have their outputs in one folder.
        BadPath: `into` is no path of the tree.
    """
    found = {name: project.config.section(f"datums.{name}", DatumStep) for name in project.config.names("datums")}
    for name, one in found.items():
        check_path(one.into)
        over_of(one.over, f"[datums.{name}]")
    _check_apart(found)
    return found


def datum_step(project: Project, name: str) -> DatumStep:
    """One of them; errors as for `datum_steps`, and NoSuchDatums."""
    known = datum_steps(project)
    if name not in known:
        raise NoSuchDatums(
            f"There is no [datums.{name}] in bucle.toml.",
            why=f"There are: {', '.join(known) or 'none'}.",
            fix=suggest(name, known) or "Write one: step, over, into.",
            at=name,
        )
    return known[name]


def step_of(project: Project, named: str, where: str) -> Step[..., Any]:
    """The step that `module:function` names.

    Raises:
        ModuleFailed: the module cannot be imported.
        BadDatums: it has no such step, or one that takes and gives something else.
    """
    module, _, name = named.partition(":")
    found = getattr(project.module(module), name, None) if name else None
    if not isinstance(found, Step):
        raise BadDatums(
            f"{where}: {named!r} is no step.",
            why="It names a function with @step, as module:function.",
            fix="Write it, or mend `step`.",
            at=where,
        )
    interface = found.interface
    if len(interface.params) != 1 or interface.result.container != "map":
        raise BadDatums(
            f"{where}: the step {named!r} cannot be called for datums.",
            why="It takes a Datum, beside it the open project if it likes, and gives contents by path.",
            fix=f"def {name}(project: Project, datum: Datum) -> dict[str, bytes]",
            at=where,
        )
    return found


def _check_apart(found: dict[str, DatumStep]) -> None:
    """Each has its outputs to itself."""
    owners = sorted((f"{one.into}/", name) for name, one in found.items())
    for (outer, first), (inner, second) in pairwise(owners):
        if inner.startswith(outer):
            raise BadDatums(
                f"[datums.{second}]: its outputs would lie among those of [datums.{first}], in {outer!r}.",
                why="What lies there and was not made by it is removed.",
                fix="Give each a folder of its own.",
                at=f"datums.{second}",
            )
