"""Command: an entry point's command line with the values of its parameters in it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bucle.doors.protocols.mlproject.definition import EntryPoint, Parameter
from bucle.doors.protocols.mlproject.errors import BadMlproject

__all__ = ["command_of", "values_of"]


def values_of(entry: EntryPoint, given: Mapping[str, str]) -> dict[str, str]:
    """The value of every parameter: defaults filled in, then what was given besides.

    Raises:
        BadMlproject: one is missing, or is not of its type.
    """
    missing = [one.name for one in entry.parameters if one.default is None and one.name not in given]
    if missing:
        raise BadMlproject(
            f"The entry point {entry.name!r} needs {', '.join(missing)}.",
            why="They have no default.",
            fix=" ".join(f"-P {name}=…" for name in missing),
            at=missing[0],
        )
    found = {one.name: _checked(one, given.get(one.name, one.default or "")) for one in entry.parameters}
    return found | {name: value for name, value in given.items() if name not in found}


def command_of(entry: EntryPoint, values: Mapping[str, str]) -> str:
    """The line for the shell, each value quoted; what the entry point does not declare is appended as `--name value`.

    Args:
        values: as `values_of` gives them.
    Raises:
        BadMlproject: the command names a parameter that is not declared, or a path is not there.
    """
    declared = {one.name: shlex.quote(_placed(one, values[one.name])) for one in entry.parameters}
    try:
        line = entry.command.format(**declared)
    except (KeyError, IndexError, ValueError) as error:
        raise BadMlproject(
            f"The command of {entry.name!r} cannot be filled in: {error}.",
            why=f"It may name {', '.join(declared) or 'no parameter'} in braces.",
            fix="Declare the parameter, or double a brace that stands for itself.",
            at=entry.command,
        ) from error
    others = [f"--{shlex.quote(name)} {shlex.quote(value)}" for name, value in values.items() if name not in declared]
    return " ".join([line, *others])


def _checked(parameter: Parameter, value: str) -> str:
    kind = parameter.type
    fits = (
        (_is_number(value) if kind == "float" else True)
        and (value.lstrip("+-").isdecimal() if kind == "int" else True)
        and (bool(urlsplit(value).scheme) if kind == "uri" else True)
    )
    if fits:
        return value
    example = {"float": "0.5", "int": "5", "uri": "file:///data/wine.csv"}[kind]
    raise BadMlproject(
        f"The parameter {parameter.name!r} is {value!r}, and should be of type {kind}.",
        fix=f"-P {parameter.name}={example}",
        at=parameter.name,
    )


def _is_number(value: str) -> bool:
    try:
        return not math.isnan(float(value)) or value.lower() == "nan"
    except ValueError:
        return False


def _placed(parameter: Parameter, value: str) -> str:
    """A path as the command gets it: absolute, because the command runs in the project's folder."""
    if parameter.type != "path":
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("", "file"):
        raise BadMlproject(
            f"The parameter {parameter.name!r} is the address {value!r}; a path on this machine is needed.",
            why="Bucle fetches nothing from addresses in a project.",
            fix="Fetch it first, and give its path.",
            at=parameter.name,
        )
    path = Path(unquote(parts.path) if parts.scheme else value)
    if not path.exists():
        raise BadMlproject(
            f"The parameter {parameter.name!r} is {value!r}, which is not there.",
            fix="Give the path of a file or folder, seen from here.",
            at=parameter.name,
        )
    return str(path.absolute())
