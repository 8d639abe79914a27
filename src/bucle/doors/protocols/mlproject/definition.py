"""Definition: what an `MLproject` file says.

Source: MLflow 3 documentation, "MLflow Projects"; `mlflow/projects/_project_spec.py` for what it leaves open.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from bucle.doors.protocols.mlproject.errors import BadMlproject, UnsupportedEnvironment
from bucle.ground.core import Record, suggest

__all__ = ["Definition", "EntryPoint", "Parameter", "find_mlproject", "read_mlproject"]

ENVIRONMENTS = ("python_env", "conda_env", "docker_env")
SCRIPTS = {".py": "python", ".sh": "bash"}


class Parameter(Record, frozen=True):
    """A parameter of an entry point.

    Attributes:
        name: its name.
        type: `string`, `float`, `int`, `path` or `uri`; another is taken for a text, as MLflow does.
        default: as text; None when it must be given.
    """

    name: str
    type: str = "string"
    default: str | None = None


class EntryPoint(Record, frozen=True):
    """A command with parameters.

    Attributes:
        name: its name, or the script's path.
        command: with `{parameter}` where a value goes.
        parameters: in the order of the file.
    """

    name: str
    command: str
    parameters: tuple[Parameter, ...] = ()


class Definition(Record, frozen=True):
    """An MLflow Project in a folder.

    Attributes:
        name: as its author called it, or the folder's.
        folder: absolute.
        entry_points: by name.
        python_env: the file that says Python and packages; empty when there is none.
        conda_env: the same in conda's form.
    """

    name: str
    folder: str
    entry_points: dict[str, EntryPoint]
    python_env: str = ""
    conda_env: str = ""

    def entry_point(self, name: str) -> EntryPoint:
        """The entry point of a name, or the script at a path.

        Raises:
            BadMlproject: there is none.
        """
        if name in self.entry_points:
            return self.entry_points[name]
        program = SCRIPTS.get(Path(name).suffix)
        if program is not None:
            return EntryPoint(name=name, command=f"{program} {shlex.quote(name)}")
        known = ", ".join(self.entry_points) or "none"
        raise BadMlproject(
            f"There is no entry point {name!r} in {self.folder}.",
            why=f"It has: {known}; a script's path (.py, .sh) does as well.",
            fix=suggest(name, self.entry_points) or "Name one with -e.",
            at=name,
        )


def find_mlproject(folder: Path) -> Path | None:
    """The `MLproject` file of a folder, in whatever case it is written; None when there is none."""
    return next((one for one in sorted(folder.iterdir()) if one.name.lower() == "mlproject" and one.is_file()), None)


def read_mlproject(folder: Path) -> Definition:
    """The project in a folder; one without an `MLproject` file has its scripts only.

    Raises:
        BadMlproject: the file is not in order.
        UnsupportedEnvironment: it runs in a Docker image, or on Databricks.
    """
    folder = folder.resolve()
    file = find_mlproject(folder)
    told = {} if file is None else load_yaml(file)
    _check_environment(told, folder)
    points = mapping(told.get("entry_points"), "entry_points")
    return Definition(
        name=str(told.get("name") or folder.name),
        folder=str(folder),
        entry_points={str(name): _entry_point(str(name), point) for name, point in points.items()},
        python_env=_named_file(told, folder, "python_env", "python_env.yaml"),
        conda_env="" if "python_env" in told else _named_file(told, folder, "conda_env", "conda.yaml"),
    )


def load_yaml(file: Path) -> dict[str, Any]:
    """What a YAML file says, which must be a mapping.

    Raises:
        BadMlproject: it cannot be read, or is something else.
    """
    try:
        return mapping(yaml.safe_load(file.read_text(encoding="utf-8")), file.name)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadMlproject(f"{file} cannot be read: {error}", fix="Correct the file.", at=str(file)) from error


def mapping(found: Any, what: str) -> dict[Any, Any]:
    """A mapping; nothing is an empty one.

    Raises:
        BadMlproject: it is something else.
    """
    if found is None:
        return {}
    if isinstance(found, dict):
        return found
    raise BadMlproject(f"{what} is no mapping: {str(found)[:80]!r}.", fix="Write name: value.", at=what)


def _check_environment(told: dict[str, Any], folder: Path) -> None:
    given = [one for one in ENVIRONMENTS if one in told]
    if len(given) > 1:
        raise BadMlproject(
            f"{folder} names several environments: {', '.join(given)}.", fix="Keep one of them.", at=given[1]
        )
    if "docker_env" in told or "databricks_spark_job" in told:
        kind = "a Docker image" if "docker_env" in told else "Databricks"
        raise UnsupportedEnvironment(
            f"The project in {folder} runs in {kind}.",
            why="Bucle runs projects in virtual environments of this machine.",
            fix="Say python_env: python_env.yaml with the packages, or run it as it is: mlflow run.",
            at="docker_env",
        )


def _named_file(told: dict[str, Any], folder: Path, key: str, usual: str) -> str:
    """The file of an environment: the one that is named, or the usual one where no environment is named."""
    if key not in told:
        is_usual = not any(one in told for one in ENVIRONMENTS) and (folder / usual).is_file()
        return str(folder / usual) if is_usual else ""
    file = folder / str(told[key])
    if not file.is_file():
        raise BadMlproject(
            f"There is no {file}.", why=f"MLproject names it as {key}.", fix="Write the file.", at=str(told[key])
        )
    return str(file)


def _entry_point(name: str, told: Any) -> EntryPoint:
    point = mapping(told, f"entry point {name}")
    if not isinstance(point.get("command"), str):
        raise BadMlproject(f"The entry point {name!r} has no command.", fix="command: python train.py", at=name)
    parameters = mapping(point.get("parameters"), f"parameters of {name}")
    return EntryPoint(
        name=name,
        command=point["command"],
        parameters=tuple(_parameter(str(one), said) for one, said in parameters.items()),
    )


def _parameter(name: str, told: Any) -> Parameter:
    if isinstance(told, str):
        return Parameter(name=name, type=told)
    said = mapping(told, f"parameter {name}")
    default = said.get("default")
    return Parameter(name=name, type=str(said.get("type", "string")), default=None if default is None else str(default))
