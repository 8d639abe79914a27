"""What tests of the command line say: commands, and what they left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["PROGRAM", "Bucle", "Said", "installed"]

PROGRAM = Path(sys.executable).parent / "bucle"


class Said(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        return json.loads(self.out)


Bucle = Callable[..., Said]


def installed(*arguments: str, cwd: Path, given: str | None = None) -> Said:
    """A command of the installed program."""
    done = subprocess.run(
        [str(PROGRAM), *arguments], cwd=cwd, input=given, capture_output=True, text=True, timeout=120, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)
