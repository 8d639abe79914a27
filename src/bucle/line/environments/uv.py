"""uv: the program that resolves requirements and makes virtual environments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bucle.line.environments.errors import UvMissing

__all__ = ["run_uv"]


def run_uv(*arguments: str, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run uv and wait for it; what it says is in the answer, also when it fails.

    Args:
        arguments: after `uv`.
        cwd: the folder it runs in; this process's own unless given.
    Raises:
        UvMissing: it is not installed.
    Cost: a process; what it fetches comes from the index that uv is set to.
    """
    # The virtual environment this runs in is not the one that is asked about.
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run(  # noqa: S603  the program is found by us, its arguments are ours
        [_program(), "--no-progress", "--color", "never", *arguments],
        cwd=cwd,
        env=kept | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def _program() -> str:
    try:
        from uv import find_uv_bin  # noqa: PLC0415  an extra

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise UvMissing(
            "uv is not installed.",
            why="It resolves locks and makes virtual environments.",
            fix="pip install 'bucle[env]'",
        )
    return found
