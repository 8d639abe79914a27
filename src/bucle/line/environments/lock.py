"""Lock: requirements resolved to one version each, with the hashes of the files that may be installed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bucle.line.environments.errors import NotLocked
from bucle.line.environments.uv import run_uv

__all__ = ["locked"]


def locked(requirements: str, python: str, *, platform: str = "", constraints: str = "") -> str:
    """Requirements with every package they need, one version each, and the hashes the index tells.

    Args:
        requirements: a requirements file's text: names, ranges, pins.
        python: the version they are for, e.g. `3.11` or `3.11.7`.
        platform: uv's name of another machine they are for, e.g. `x86_64-manylinux_2_28`; '' is this one.
        constraints: a requirements file's text as well: these versions, of what is needed anyway.
    Returns:
        A requirements file for `pip install --require-hashes -r`; equal answers of the index give equal text. What
        does not come from an index has no hash.
    Raises:
        NotLocked: they exclude each other, or one is not to be had.
        UvMissing: uv is not installed.
    Cost: questions to the package index, as far as uv has no answer kept.
    """
    with tempfile.TemporaryDirectory(prefix="bucle-lock-") as folder:
        source, target = Path(folder) / "requirements.in", Path(folder) / "requirements.lock"
        source.write_text(requirements)
        where = ["--python-platform", platform] if platform else []
        if constraints:
            given = Path(folder) / "constraints.txt"
            given.write_text(constraints)
            where += ["--constraints", str(given)]
        done = run_uv(
            "pip", "compile", str(source), "-o", str(target), "--python-version", python, *where,
            "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "-q",
        )  # fmt: skip
        if done.returncode != 0:
            raise NotLocked(
                f"The requirements cannot be resolved: {done.stderr.strip()[-2000:]}",
                why="Each package must have one version that suits all, with a hash to install it by.",
                fix="Loosen or correct what uv names, and lock again.",
            )
        return target.read_text()
