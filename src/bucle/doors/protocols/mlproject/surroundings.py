"""Surroundings: what a project's command runs in: this Python, or a virtual environment made by uv from its files."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from bucle.doors.protocols.mlproject.definition import Definition, load_yaml
from bucle.doors.protocols.mlproject.errors import BadMlproject, UnsupportedEnvironment
from bucle.ground.core import Record, digest_of, environment
from bucle.ground.project import Project
from bucle.ground.store import write_atomically
from bucle.line import environments

__all__ = ["EnvManager", "Surroundings", "Wanted", "prepare", "wanted_by"]

EnvManager = Literal["local", "uv"]

_BUILD = ("pip", "setuptools", "wheel")
"""Packages that conda has in every environment, and pip as well."""


class Wanted(Record, frozen=True):
    """What a project says it needs.

    Attributes:
        python: a version, e.g. `3.11`.
        requirements: a requirements file's text; files it names by `-r` are named absolutely.
    """

    python: str
    requirements: str


class Surroundings(Record, frozen=True):
    """What a command runs in.

    Attributes:
        manager: who made it.
        bin: the folder with `python`, first on PATH.
        lock: every package with its version, and where uv made it with hashes.
    """

    manager: EnvManager
    bin: str
    lock: str


def prepare(project: Project, definition: Definition, manager: EnvManager) -> Surroundings:
    """Make what a project's command runs in; what was made before is used again.

    A project that names no packages runs in this Python, whatever the manager.

    Raises:
        BadMlproject, UnsupportedEnvironment: its file is not in order, or wants what pip cannot install.
        NotLocked, NotBuilt, UvMissing: it cannot be made.
    Cost: the first time, questions to the package index and downloads.
    """
    wanted = wanted_by(definition) if manager == "uv" else None
    if wanted is None:
        return Surroundings(manager="local", bin=str(Path(sys.executable).parent), lock=environment().lock())
    folder = project.state / "environments"
    lock = _locked_once(wanted, folder / "locks", definition)
    python = environments.build_plain(lock, folder, python=wanted.python)
    return Surroundings(manager="uv", bin=str(python.parent), lock=lock)


def wanted_by(definition: Definition) -> Wanted | None:
    """What a project's environment file says; None when it has none.

    Raises:
        BadMlproject: it is not in order.
        UnsupportedEnvironment: it wants conda packages besides Python and pip.
    """
    if definition.python_env:
        return _of_python_env(Path(definition.python_env))
    if definition.conda_env:
        return _of_conda(Path(definition.conda_env))
    return None


def _of_python_env(file: Path) -> Wanted:
    told = load_yaml(file)
    lines = [*_texts(told, "build_dependencies", file), *_texts(told, "dependencies", file)]
    return Wanted(python=str(told.get("python") or _this_python()), requirements=_requirements(lines, file.parent))


def _of_conda(file: Path) -> Wanted:
    python, lines, strangers = _this_python(), list[str](), list[str]()
    for one in load_yaml(file).get("dependencies") or ():
        if isinstance(one, dict) and set(one) == {"pip"}:
            lines += [str(line) for line in one["pip"] or ()]
            continue
        name, version = _conda_pin(str(one))
        if name == "python":
            python = version or python
        elif name in _BUILD:
            lines.append(f"{name}=={version}" if version else name)
        else:
            strangers.append(str(one))
    if strangers:
        raise UnsupportedEnvironment(
            f"{file.name} wants conda packages: {', '.join(strangers)}.",
            why="Bucle installs from a Python package index; these come from conda's channels.",
            fix="Move them below `- pip:` if the index has them, or use --env-manager local in that environment.",
            at=strangers[0],
        )
    return Wanted(python=python, requirements=_requirements(lines, file.parent))


def _conda_pin(text: str) -> tuple[str, str]:
    """Name and version of `name`, `name=1.2`, `name==1.2` or `name=1.2=build`.

    Raises:
        UnsupportedEnvironment: a range of versions of Python.
    """
    found = re.fullmatch(r"(?:[\w.-]+::)?([\w.-]+)\s*(?:={1,2}\s*([\w.]+)(?:\.\*|\*)?(?:=.*)?)?", text.strip())
    if found:
        return found[1].lower(), (found[2] or "").removesuffix(".")
    name = re.split(r"[\s<>=!~\[]", text.strip(), maxsplit=1)[0].lower()
    if name == "python":
        raise UnsupportedEnvironment(
            f"{text!r} is a range of Python versions.", why="One is needed.", fix="Write python=3.11", at=text
        )
    return (name, "") if name in _BUILD else (text, "")


def _texts(told: dict[str, Any], key: str, file: Path) -> list[str]:
    found = told.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadMlproject(f"{key} in {file} is no list of texts.", fix="- scikit-learn==1.8.0", at=key)
    return found


def _requirements(lines: Iterable[str], folder: Path) -> str:
    """The lines as a file that can lie anywhere: files and folders they name are named absolutely."""
    return "".join(f"{_absolute(line.strip(), folder)}\n" for line in lines)


def _absolute(line: str, folder: Path) -> str:
    named = re.fullmatch(r"(-r|-c|-e|--requirement|--constraint|--editable)[\s=]*(\S.*)", line)
    if named and "://" not in named[2]:
        return f"{named[1]} {folder / named[2]}"
    return str(folder / line) if line.startswith(("./", "../")) or line == "." else line


def _this_python() -> str:
    return platform.python_version()


def _locked_once(wanted: Wanted, folder: Path, definition: Definition) -> str:
    """The lock of what is wanted, resolved the first time and kept: the same files give the same environment."""
    read = [wanted.python, wanted.requirements]
    for name in re.findall(r"^(?:-r|-c|--requirement|--constraint) (.*)$", wanted.requirements, flags=re.MULTILINE):
        try:
            read.append(Path(name).read_text())
        except OSError as error:
            raise BadMlproject(
                f"{name} cannot be read: {error.strerror}.",
                why=f"The environment of {definition.name} names it.",
                fix="Write it.",
                at=name,
            ) from error
    kept = folder / f"{digest_of(chr(0).join(read).encode())[:16]}.txt"
    if kept.is_file():
        return kept.read_text()
    lock = environments.locked(wanted.requirements, wanted.python)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, lock.encode())
    return lock
