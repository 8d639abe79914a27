"""Step: a plain function that, called from a pipeline's body, runs in a process of its own and is never run twice."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from bucle.ground.project import Project
from bucle.line.pipelines.errors import NotImportable, NotTyped
from bucle.line.pipelines.shape import Shape, shape_of

__all__ = ["CONDUCTOR", "Conducting", "Interface", "Source", "Step", "interface_of", "source_of", "step"]

P = ParamSpec("P")
R = TypeVar("R")

_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Conducting(Protocol):
    """What carries out the steps a pipeline's body calls."""

    def call(self, step: Step[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one step and give what it returned, bulky parts as artifacts."""
        ...

    def call_all(self, step: Step[Any, Any], calls: list[dict[str, Any]], at_once: int) -> list[Any]:
        """Run one step for several sets of arguments, `at_once` at a time; the results in the order of the calls."""
        ...


CONDUCTOR: ContextVar[Conducting | None] = ContextVar("CONDUCTOR", default=None)
"""What carries out steps in this context; None where they are plain functions."""


class Source(NamedTuple):
    """Where a function stands: at the top level of a file.

    Attributes:
        file: absolute.
        name: the function's name.
    """

    file: Path
    name: str


class Interface(NamedTuple):
    """A function's parameters and result as shapes.

    Attributes:
        signature: the parameters without those that get the project.
        params: name -> shape.
        hints: name -> annotation.
        projects: the parameters that get the open project.
        result: the shape of what it returns.
    """

    signature: inspect.Signature
    params: dict[str, Shape]
    hints: dict[str, Any]
    projects: tuple[str, ...]
    result: Shape

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, defaults filled in, projects left out.

        Raises:
            TypeError: they do not fit the function.
        """
        given = {name: value for name, value in kwargs.items() if name not in self.projects}
        bound = self.signature.bind(*(value for value in args if not isinstance(value, Project)), **given)
        bound.apply_defaults()
        return dict(bound.arguments)


class Step(Generic[P, R]):
    """A function with what is needed to run it safely. Made by `@step`.

    Called in a pipeline's body it is carried out by the engine; called anywhere else it is the plain function.

    Attributes:
        function: the plain function.
        name: the function's name.
        retries: how many more times it is tried after a failure.
        retry_delay_s: seconds between tries.
        timeout_s: seconds after which its processes are killed; None for no limit.
        cache: whether outputs of the same key are taken from earlier executions.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        retries: int = 0,
        retry_delay_s: float = 1.0,
        timeout_s: float | None = None,
        cache: bool = True,
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.retries = retries
        self.retry_delay_s = retry_delay_s
        self.timeout_s = timeout_s
        self.cache = cache
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result; bulky parts are artifacts when called in a pipeline's body."""
        conductor = CONDUCTOR.get()
        if conductor is None:
            return self.function(*args, **kwargs)
        return typing.cast(R, conductor.call(self, args, dict(kwargs)))

    def map(self, calls: Iterable[Mapping[str, Any]], *, at_once: int = 2) -> list[R]:
        """The results for several sets of arguments, `at_once` at a time, in the order of the calls.

        Args:
            calls: keyword arguments, one mapping a call.
            at_once: how many processes run at the same time, >= 1.
        Raises:
            StepFailed: one failed; those that had begun were let finish.
        """
        wanted, conductor = [dict(call) for call in calls], CONDUCTOR.get()
        if conductor is None:
            plain: Callable[..., R] = self.function
            return [plain(**call) for call in wanted]
        return conductor.call_all(self, wanted, at_once)

    @cached_property
    def source(self) -> Source:
        """Where it stands. Raises NotImportable when a new process could not find it there."""
        return source_of(self.function)

    @cached_property
    def interface(self) -> Interface:
        """Its parameters and result. Raises NotTyped when one has no annotation that can be kept."""
        return interface_of(self.function)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    *, retries: int = 0, retry_delay_s: float = 1.0, timeout_s: float | None = None, cache: bool = True
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(function: Callable[P, R] | None = None, /, **options: Any) -> Step[P, R] | Callable[..., Step[P, R]]:
    """Make a function a step: `@step` or `@step(retries=2, timeout_s=600)`.

    Args:
        retries: how many more times it is tried after a failure, >= 0.
        retry_delay_s: seconds between tries.
        timeout_s: seconds after which its processes are killed; None for no limit.
        cache: whether outputs of the same key may come from earlier executions.
    """
    if function is not None:
        return Step(function)
    return lambda function: Step(function, **options)


def source_of(function: Callable[..., Any]) -> Source:
    """Where a function stands.

    Raises:
        NotImportable: it is nested, a lambda, or was typed in rather than read from a file.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = Path(code.co_filename).resolve() if code is not None else Path()
    name = function.__qualname__
    if not name.isidentifier() or not file.is_file():
        raise NotImportable(
            f"The function {name!r} does not stand at the top level of a file.",
            why="A step runs in a process of its own, which must find it by file and name; so must a resume.",
            fix="Move it to the top level of a module of the project.",
            at=name,
        )
    return Source(file, name)


def interface_of(function: Callable[..., Any]) -> Interface:
    """A function's parameters and result.

    Raises:
        NotTyped: a parameter or the result has no annotation, or one that cannot be kept.
    """
    name = function.__name__
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise NotTyped(
            f"The annotations of {name} cannot be read: {error}.",
            why="Inputs and outputs are kept by their annotation.",
            fix="Import that name at the top of the module, outside `if TYPE_CHECKING:`.",
            at=name,
        ) from error
    signature = inspect.signature(function)
    projects = tuple(param for param in signature.parameters if hints.get(param) is Project)
    wanted = [param for param in signature.parameters.values() if param.name not in projects]
    for param in wanted:
        if param.name not in hints or param.kind not in _PLAIN:
            raise _untyped(name, f"parameter {param.name!r}")
    if "return" not in hints:
        raise _untyped(name, "result")
    return Interface(
        signature=signature.replace(parameters=wanted),
        params={param.name: shape_of(hints[param.name], f"{name}.{param.name}") for param in wanted},
        hints=hints,
        projects=projects,
        result=shape_of(hints["return"], f"{name}.result"),
    )


def _untyped(name: str, what: str) -> NotTyped:
    return NotTyped(
        f"The {what} of {name} has no annotation, or takes any number of arguments.",
        why="Inputs and outputs are kept by their annotation.",
        fix=f"Annotate it: def {name}(frame: pl.DataFrame, rounds: int) -> bytes",
        at=name,
    )
