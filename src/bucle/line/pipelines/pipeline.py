"""Pipeline: plain Python whose calls of steps are journalled, so that it can be taken up again after any crash."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from bucle.ground.code import CodeChanged
from bucle.ground.core import UserError, suggest
from bucle.ground.project import Project
from bucle.line.pipelines.errors import NoSuchPipeline
from bucle.line.pipelines.step import Interface, Source, interface_of, source_of

__all__ = ["Pipeline", "label_of", "load_module", "pipeline", "pipeline_named", "pipelines_of", "source_at"]

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Generic[P, R]):
    """A function whose steps are carried out by the engine. Made by `@pipeline`, carried out by `run`.

    Called directly it is the plain function, and its steps are too.

    Attributes:
        function: the plain function, the body.
        name: the function's name.
        purpose: what its steps read tables for; None leaves it to the project.
    """

    def __init__(self, function: Callable[P, R], *, purpose: str | None = None) -> None:
        self.function = function
        self.purpose = purpose
        self.name = function.__name__
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The body's result."""
        return self.function(*args, **kwargs)

    @cached_property
    def source(self) -> Source:
        """Where it stands. Raises NotImportable when a resume could not find it there."""
        return source_of(self.function)

    @cached_property
    def interface(self) -> Interface:
        """Its parameters and result. Raises NotTyped."""
        return interface_of(self.function)


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...


@overload
def pipeline(*, purpose: str) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...


def pipeline(
    function: Callable[P, R] | None = None, /, *, purpose: str | None = None
) -> Pipeline[P, R] | Callable[..., Pipeline[P, R]]:
    """Make a function the body of a pipeline: plain Python, whose calls of steps are journalled.

    What happens between steps must follow from the parameters and the steps' results alone: after a crash the body runs
    again from the top, with the recorded results of the steps that had finished.

    Args:
        purpose: what its steps read tables for, e.g. `fraud-detection`; `[project] purpose` unless given.
    """
    if function is not None:
        return Pipeline(function)
    return lambda function: Pipeline(function, purpose=purpose)


def pipelines_of(project: Project) -> dict[str, Pipeline[..., Any]]:
    """Every pipeline in the project's modules, by name.

    Raises:
        ModuleFailed: a module cannot be imported.
        UserError: two pipelines have one name.
    """
    found: dict[str, Pipeline[..., Any]] = {}
    for module in project.modules():
        for value in vars(module).values():
            if isinstance(value, Pipeline) and found.setdefault(value.name, value) is not value:
                raise UserError(
                    f"Two pipelines are called {value.name!r}: in {found[value.name].source.file} and "
                    f"{value.source.file}.",
                    why="A pipeline is run by its name.",
                    fix="Rename one of them.",
                    at=value.name,
                )
    return found


def pipeline_named(project: Project, name: str) -> Pipeline[..., Any]:
    """The project's pipeline of this name.

    Raises:
        NoSuchPipeline: no module of the project has it.
    """
    known = pipelines_of(project)
    if name not in known:
        raise NoSuchPipeline(
            f"There is no pipeline {name!r} in {project.name}.",
            why=f"Its modules have: {', '.join(sorted(known)) or 'none'}.",
            fix=suggest(name, known) or "Add its module to [project] modules in bucle.toml.",
            at=name,
        )
    return known[name]


def label_of(project: Project, source: Source) -> str:
    """`file:name`, the file relative to the project where it lies in it."""
    root = project.root.resolve()
    file = source.file.relative_to(root) if source.file.is_relative_to(root) else source.file
    return f"{file.as_posix()}:{source.name}"


def source_at(project: Project, label: str) -> Source:
    """The source a label names."""
    file, _, name = label.rpartition(":")
    return Source((project.root.resolve() / file), name)


def load_module(root: Path, file: Path) -> ModuleType:
    """The module that a file holds, imported under the name it has in the project.

    A file that was run as a script is imported like any other, so that its `__main__` block does not run.

    Raises:
        CodeChanged: the file is gone.
        Exception: whatever the module raises on import.
    """
    name = _module_name(root, file)
    try:
        module = importlib.import_module(name)
        if Path(module.__file__ or "").resolve() == file:
            return module
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise CodeChanged(f"{file} is gone.", why="It held a step.", fix="Put it back.", at=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _module_name(root: Path, file: Path) -> str:
    """The dotted name under which a file is imported: from the project's root, or from its outermost package."""
    base = root
    if not file.is_relative_to(root):
        base = file.parent
        while (base / "__init__.py").is_file():
            base = base.parent
    parts = file.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
