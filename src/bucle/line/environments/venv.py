"""Venv: an environment made again on this machine, from what was recorded of it or from a lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from bucle.ground.core import CorruptRecord, Digest, Environment, Interpreter, decode, digest_of
from bucle.line.environments.diff import diff
from bucle.line.environments.errors import EnvironmentDiffers, NotBuilt
from bucle.line.environments.uv import run_uv

__all__ = ["build", "build_from_lock", "build_plain", "interpreter_at"]

_MARK = "bucle-environment.json"
"""Written into a virtual environment when it is whole."""

_PROBE = (
    "import sys; from bucle.ground.core import Interpreter, encode, environment; "
    "sys.stdout.buffer.write(encode(Interpreter(python=sys.executable, path=tuple(filter(None, sys.path)), "
    "environment=environment())))"
)


def build(wanted: Environment, folder: Path) -> Interpreter:
    """A virtual environment with the very Python and packages that were recorded.

    Args:
        wanted: what was recorded.
        folder: where virtual environments are kept, one a digest; what is there and whole is used again.
    Raises:
        NotBuilt: that Python is not on this machine, or a package cannot be had.
        EnvironmentDiffers: what came of it is not what was recorded: another build of a package, another system.
        UvMissing: uv is not installed.
    Cost: a download of every package that uv does not hold yet; about two seconds when it holds them all.
    """
    built = _build(folder, wanted.digest, _requirements(wanted), wanted.python, interpreter_at)
    found = [one for one in diff(wanted, built.environment) if one.counts]
    if found:
        shown = "; ".join(f"{one.name} {one.left or 'nothing'} -> {one.right or 'nothing'}" for one in found[:5])
        raise EnvironmentDiffers(
            f"What was made is not what was recorded, in {len(found)} points: {shown}.",
            why="In another environment another result may come out.",
            fix="Have uv use the index that these packages came from, on a machine of the same kind.",
            at=built.python,
        )
    return built


def build_from_lock(lock: Path, folder: Path, *, python: str) -> Interpreter:
    """A virtual environment with what a requirements file pins; hashes in it are checked.

    Args:
        lock: the file, as `bucle env lock` writes it; it pins `bucle` too, which runs the steps there.
        folder: where virtual environments are kept, one a digest.
        python: the version of Python, e.g. `3.11`.
    Raises:
        NotBuilt: it cannot be made of this, a hash is wrong, or it holds no `bucle`.
        UvMissing: uv is not installed.
    """
    try:
        text = lock.read_text()
    except OSError as error:
        raise NotBuilt(
            f"The lock {lock} cannot be read: {error.strerror}.", fix="bucle env lock --out requirements.lock"
        ) from error
    return _build(folder, digest_of(f"{python}\n{text}".encode()), text, python, interpreter_at)


def build_plain(lock: str, folder: Path, *, python: str) -> Path:
    """A virtual environment for somebody else's program: what a lock pins, and nothing of ours.

    Args:
        lock: a requirements file's text; hashes in it are checked.
        folder: where virtual environments are kept, one a digest; what is there and whole is used again.
        python: the version of Python, e.g. `3.11`.
    Returns:
        Its Python.
    Raises:
        NotBuilt: it cannot be made, or a hash is wrong.
        UvMissing: uv is not installed.
    """
    return _build(folder, digest_of(f"plain\n{python}\n{lock}".encode()), lock, python, _starting)


def interpreter_at(python: Path) -> Interpreter:
    """Another Python of this machine and what is installed for it.

    Raises:
        NotBuilt: it does not start, or has no `bucle` to tell.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(  # noqa: S603  a Python that the operator named or we made
            [str(python), "-I", "-c", _PROBE], env=kept, capture_output=True, check=False
        )
        return decode(done.stdout, Interpreter, what="answer of a Python")
    except (OSError, CorruptRecord) as error:
        said = str(error) if isinstance(error, OSError) else done.stderr.decode(errors="replace").strip()[-500:]
        raise NotBuilt(
            f"{python} cannot run steps: {said}",
            why="Steps are carried out by bucle in their own Python.",
            fix="Pin bucle in the lock too, and make it again.",
        ) from error


T = TypeVar("T")


def _build(folder: Path, digest: Digest, requirements: str, python: str, look: Callable[[Path], T]) -> T:
    target = folder / digest[:16]
    program = target / "bin" / "python"
    with _alone(folder, target.name):
        if (target / _MARK).is_file():
            with contextlib.suppress(NotBuilt):
                return look(program)
        shutil.rmtree(target, ignore_errors=True)
        _uv("venv", str(target), "--python", python, "--no-project")
        lock = target / "requirements.lock"
        lock.write_text(requirements)
        _uv("pip", "sync", str(lock), "--python", str(program), "--allow-empty-requirements")
        made = look(program)
        (target / _MARK).write_text(digest)
        return made


def _starting(program: Path) -> Path:
    """The program itself, if it is there; the Python it leads to may have been removed."""
    if program.exists():
        return program
    raise NotBuilt(f"{program} leads nowhere.", fix="Install that Python again.", at=str(program))


def _uv(*arguments: str) -> None:
    done = run_uv(*arguments)
    if done.returncode != 0:
        raise NotBuilt(
            f"The virtual environment cannot be made: {done.stderr.strip()[-2000:]}",
            why="It takes that very Python on this machine, and an index that has every package of the lock.",
            fix="Install what uv names, or set uv to the index that has it.",
        )


def _requirements(wanted: Environment) -> str:
    """The lock, with what was installed from a folder of this machine taken from there again."""
    return "".join(f"{_line(wanted, name)}\n" for name in wanted.packages)


def _line(wanted: Environment, name: str) -> str:
    folder = Path(wanted.origins.get(name, "").removeprefix("file://"))
    if not wanted.origins.get(name, "").startswith("file:") or not folder.is_dir():
        return wanted.requirement(name)
    return str(folder) if name in wanted.contents else f"-e {folder}"


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Of several who want one virtual environment, one makes it and the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
