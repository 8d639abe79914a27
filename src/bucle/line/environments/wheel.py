"""Wheel: a Python project's folder as one file that can be installed, with the same bytes each time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bucle.line.environments.errors import NotBuilt
from bucle.line.environments.uv import run_uv

__all__ = ["Wheel", "build_wheel"]

EPOCH = "315532800"
"""1980-01-01, the first instant a zip file can tell."""

Wheel = tuple[str, bytes]
"""A wheel's file name and content."""


def build_wheel(folder: Path) -> Wheel:
    """The wheel of a Python project.

    Args:
        folder: with its `pyproject.toml`; nothing is written there.
    Returns:
        Equal bytes for equal folders, when its build tool heeds SOURCE_DATE_EPOCH, as hatchling and flit do.
    Raises:
        NotBuilt: it cannot be built, or its build tool cannot be had.
        UvMissing: uv is not installed.
    Cost: a build environment, fetched as far as uv has none kept: about two seconds.
    """
    with tempfile.TemporaryDirectory(prefix="bucle-wheel-") as made:
        done = run_uv("build", "--wheel", "--out-dir", made, str(folder), "-q", SOURCE_DATE_EPOCH=EPOCH)
        found = sorted(Path(made).glob("*.whl"))
        if done.returncode != 0 or not found:
            raise NotBuilt(
                f"No wheel can be built of {folder}: {done.stderr.strip()[-2000:]}",
                why="What is installed from a folder must be a file to be installed elsewhere.",
                fix=f"Try it by hand: uv build --wheel {folder}",
                at=str(folder),
            )
        return found[0].name, found[0].read_bytes()
