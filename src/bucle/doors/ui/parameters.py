"""Parameters: what a URL says, checked against the signature of the function that is asked.

A function declares what it takes as keyword parameters with types; the same declaration checks a request and makes the
OpenAPI document. Nothing else knows the parameters of a page.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, get_origin, get_type_hints

import msgspec

from bucle.ground.core import UserError, suggest

__all__ = ["BadParameter", "Id", "Limit", "Name", "Offset", "Parameter", "Text", "bind", "parameters", "result_type"]

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$")]
"""What `check_name` allows: it can stand in a path."""

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]*$")]
"""A name some station gave, slashes allowed."""

Text = Annotated[str, msgspec.Meta(max_length=300, pattern=r"^[^\x00]*$")]
"""What a person typed."""

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
"""At most so many rows."""

Offset = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
"""So many rows come before."""


class BadParameter(UserError):
    """A part of the address cannot be understood."""

    code = "BU1603"


class Parameter(NamedTuple):
    """One parameter of a page or resource.

    Attributes:
        name: as it stands in the address.
        type: what a value must fit.
        default: what it is when the address is silent; `inspect.Parameter.empty` when it must be given.
    """

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether the address must name it."""
        return self.default is inspect.Parameter.empty


@lru_cache(maxsize=256)
def parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The keyword parameters of a function, all but the project."""
    hints = get_type_hints(function, include_extras=True)
    listed = list(inspect.signature(function).parameters.values())[1:]
    return tuple(Parameter(one.name, hints[one.name], one.default) for one in listed)


@lru_cache(maxsize=256)
def result_type(function: Callable[..., Any]) -> Any:
    """What a function returns."""
    return get_type_hints(function, include_extras=True)["return"]


def bind(function: Callable[..., Any], given: Mapping[str, str], *, strict: bool) -> dict[str, Any]:
    """The arguments for a function out of an address.

    Args:
        function: takes the project first, the rest by keyword.
        given: name -> value, from the path and the query.
        strict: whether a name the function does not know is an error.
    Raises:
        BadParameter: a value does not fit, one is missing, or one is unknown.
    """
    known = parameters(function)
    names = [one.name for one in known]
    for name in given:
        if strict and name not in names:
            raise BadParameter(
                f"There is no parameter {name!r} here.",
                why=f"It may have: {', '.join(names) or 'none'}.",
                fix=suggest(name, names) or f"Leave {name!r} out.",
                at=name,
            )
    return {one.name: _value(one, given[one.name]) for one in known if _asked(one, given)}


def _asked(one: Parameter, given: Mapping[str, str]) -> bool:
    if one.name in given and (given[one.name] != "" or one.required):
        return True
    if one.required:
        raise BadParameter(f"The parameter {one.name!r} is missing.", fix=f"Add ?{one.name}=…", at=one.name)
    return False


def _value(one: Parameter, text: str) -> Any:
    try:
        return msgspec.convert(text, one.type, strict=False)
    except msgspec.ValidationError as error:
        raise BadParameter(
            f"{one.name} = {text[:80]!r} does not fit: {str(error)[:1].lower()}{str(error)[1:]}.",
            why="The address says something that this page cannot look up.",
            fix="Mend that part of the address.",
            at=one.name,
        ) from error


def is_list(kind: Any) -> bool:
    """Whether a type is a list or tuple of something."""
    return get_origin(kind) in (list, tuple)
