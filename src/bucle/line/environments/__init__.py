"""Environments: what code runs in, locked, compared, and made again."""

from bucle.line.environments.diff import Difference, diff
from bucle.line.environments.errors import EnvironmentDiffers, NoSuchEnvironment, NotBuilt, NotLocked, UvMissing
from bucle.line.environments.kept import Kept, compare, keep, kept, kept_named
from bucle.line.environments.lock import locked
from bucle.line.environments.venv import build, build_from_lock, build_plain, interpreter_at
from bucle.line.environments.wheel import Wheel, build_wheel

__all__ = [
    "Difference",
    "EnvironmentDiffers",
    "Kept",
    "NoSuchEnvironment",
    "NotBuilt",
    "NotLocked",
    "UvMissing",
    "Wheel",
    "build",
    "build_from_lock",
    "build_plain",
    "build_wheel",
    "compare",
    "diff",
    "interpreter_at",
    "keep",
    "kept",
    "kept_named",
    "locked",
]
