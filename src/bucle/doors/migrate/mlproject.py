"""A project as an MLflow Project: its pipelines are entry points that `mlflow run` runs."""

from __future__ import annotations

import inspect
import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from bucle.doors.migrate.errors import NotEmpty
from bucle.ground.core import Environment, Record, environment
from bucle.ground.project import Project
from bucle.line import pipelines

__all__ = ["MlprojectFiles", "export_to_mlproject"]

MARK = "# Written by `bucle migrate to-mlproject`; written anew by it."
FILES = ("MLproject", "python_env.yaml")


class MlprojectFiles(Record, frozen=True):
    """What was written.

    Attributes:
        folder: where to.
        entry_points: name of a pipeline -> its parameters that `-P` sets.
        packages: how many the environment has.
    """

    folder: str
    entry_points: dict[str, tuple[str, ...]]
    packages: int


def export_to_mlproject(project: Project, folder: Path | None = None) -> MlprojectFiles:
    """Write `MLproject` and `python_env.yaml`, so that `mlflow run FOLDER -e PIPELINE -P x=1` runs a pipeline.

    Args:
        folder: where to; the project's own unless given, so that it goes where the project goes.
    Raises:
        NotEmpty: somebody else's file of that name is there.
        ModuleFailed: a module of the project cannot be imported.
    """
    target = (folder or project.root).resolve()
    for name in FILES:
        _check_ours(target / name)
    where = "" if target == project.root.resolve() else f" --project {shlex.quote(str(project.root.resolve()))}"
    points = {name: _entry_point(name, one, where) for name, one in sorted(pipelines.pipelines_of(project).items())}
    told = {"name": project.name, "python_env": FILES[1], "entry_points": points}
    packages = environment()
    target.mkdir(parents=True, exist_ok=True)
    for name, content in zip(FILES, (told, _python_env(packages)), strict=True):
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
        (target / name).write_text(f"{MARK}\n{text}", encoding="utf-8")
    return MlprojectFiles(
        folder=str(target),
        entry_points={name: tuple(point["parameters"]) for name, point in points.items()},
        packages=len(packages.packages),
    )


def _entry_point(name: str, one: pipelines.Pipeline[..., Any], where: str) -> dict[str, Any]:
    interface = one.interface
    # `bucle run` pins the data: a commit is the head of main, and `until` follows from it.
    is_pinned = interface.hints.get("commit") is str
    known = [
        parameter
        for parameter in interface.signature.parameters.values()
        if parameter.name in interface.params and not (is_pinned and parameter.name == "until")
    ]
    parameters = {one.name: _parameter(one, interface.hints[one.name], is_pinned=is_pinned) for one in known}
    given = "".join(f" -p {key}={{{key}}}" for key in parameters)
    literal = f"bucle run {shlex.quote(name)}{where}".replace("{", "{{").replace("}", "}}")
    return {"parameters": parameters, "command": f"{literal}{given}"}


def _parameter(parameter: inspect.Parameter, hint: Any, *, is_pinned: bool) -> dict[str, Any]:
    """Type and default. Of MLflow's types `float` suits every number; what is no text is written as JSON."""
    told: dict[str, Any] = {"type": "float" if hint in (int, float) else "string"}
    if is_pinned and parameter.name == "commit":
        return told | {"default": "main"}
    if parameter.default is inspect.Parameter.empty:
        return told
    default = parameter.default
    return told | {"default": default if isinstance(default, str) and hint is str else json.dumps(default)}


def _python_env(made: Environment) -> dict[str, Any]:
    return {
        "python": made.python,
        "build_dependencies": ["pip"],
        "dependencies": [_requirement(made, name) for name in made.packages if name != "pip"],
    }


def _requirement(made: Environment, name: str) -> str:
    """A pin, or the address or folder it was installed from."""
    origin = made.origins.get(name, "")
    return f"{name} @ {origin}" if origin else f"{name}=={made.packages[name]}"


def _check_ours(file: Path) -> None:
    if file.exists() and not file.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise NotEmpty(
            f"{file} was not written by Bucle.",
            why="Your own file is not written over.",
            fix="Name another folder: bucle migrate to-mlproject DIR",
            at=str(file),
        )
