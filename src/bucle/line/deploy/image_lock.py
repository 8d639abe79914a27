"""What a serving image installs: Bucle and what it needs, at the versions a model was trained with, with hashes."""

from __future__ import annotations

import hashlib
import platform
import tomllib
import zipfile
from email.parser import BytesParser
from io import BytesIO
from pathlib import Path

from bucle import version as own
from bucle.ground.core import Environment, environment
from bucle.line import environments
from bucle.line.environments import NotBuilt, Wheel

__all__ = ["WHEELS", "lock_of"]

WHEELS = "wheels"
"""The folder in a build context that holds what no index has."""

NAME = "bucle"


def lock_of(trained_in: Environment) -> tuple[str, tuple[Wheel, ...]]:
    """A requirements file with hashes, and the wheels it names that no index has.

    Args:
        trained_in: where the model was made; what serving needs has the versions it had there.
    Returns:
        The file, for this machine's kind of processor under Linux, glibc 2.28 or newer; the wheels lie in `wheels/`.
    Raises:
        NotLocked: this Bucle does not run with those versions.
        NotBuilt: no wheel can be made of the Bucle that runs here.
        UvMissing: uv is not installed.
    Cost: questions to the package index; the build of a wheel when Bucle runs from a folder.
    """
    wheel = _own_wheel()
    wanted = f"{NAME}=={own.__version__}\n" if wheel is None else _needs(wheel[1])
    python = ".".join(trained_in.python.split(".")[:2])
    pinned = environments.locked(wanted, python, platform=_platform(), constraints=_constraints(trained_in))
    if wheel is None:
        return pinned, ()
    digest = hashlib.sha256(wheel[1]).hexdigest()
    return f"{pinned}./{WHEELS}/{wheel[0]} \\\n    --hash=sha256:{digest}\n", (wheel,)


def _own_wheel() -> Wheel | None:
    """The Bucle that runs here, or None when an index has it."""
    origin = environment().origins.get(NAME, "")
    place = _source_folder() or Path(origin.removeprefix("file://"))
    if not origin and place == Path():
        return None
    if place.is_dir():
        return environments.build_wheel(place)
    if place.suffix == ".whl" and place.is_file():
        return place.name, place.read_bytes()
    raise NotBuilt(
        f"No wheel can be made of the Bucle that runs here: it was installed from {origin}.",
        why="An image installs the same Bucle, from an index or from a wheel in its build context.",
        fix="Install Bucle from an index, a wheel or a folder that is still there.",
        at=origin,
    )


def _source_folder() -> Path | None:
    """The folder of the Bucle that runs here, when it runs from its source."""
    folder = Path(own.__file__).resolve().parents[2]
    try:
        told = tomllib.loads((folder / "pyproject.toml").read_text())
    except (OSError, ValueError):
        return None
    return folder if told.get("project", {}).get("name") == NAME else None


def _needs(wheel: bytes) -> str:
    """What a wheel requires without any extra, as a requirements file."""
    with zipfile.ZipFile(BytesIO(wheel)) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        told = BytesParser().parsebytes(archive.read(name), headersonly=True)
    needs: list[str] = told.get_all("Requires-Dist", [])
    return "".join(f"{one}\n" for one in sorted(needs) if "extra ==" not in one)


def _constraints(trained_in: Environment) -> str:
    """What an index has of an environment, one version each."""
    had = {name: version for name, version in trained_in.packages.items() if name not in trained_in.origins}
    return "".join(f"{name}=={version}\n" for name, version in had.items() if name != NAME)


def _platform() -> str:
    machine = platform.machine().lower()
    return f"{'aarch64' if machine == 'arm64' else machine}-manylinux_2_28"
