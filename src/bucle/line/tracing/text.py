"""What texts of a trace may be; what is too long is cut, as MLflow cuts it."""

from __future__ import annotations

from collections.abc import Mapping

from bucle.line.tracing.errors import BadTrace
from bucle.line.tracing.span import storable

__all__ = ["LONGEST_KEY", "LONGEST_NAME", "LONGEST_PREVIEW", "LONGEST_VALUE", "cut", "labels", "run_name"]

LONGEST_KEY = 250
LONGEST_VALUE = 8000
LONGEST_NAME = 500
LONGEST_PREVIEW = 10_000
"""Characters; what is longer is cut, as MLflow cuts it."""


def labels(given: Mapping[str, str]) -> dict[str, str]:
    """Tags or metadata as they are kept.

    Raises:
        BadTrace: a key is empty.
    """
    kept = {cut(key, LONGEST_KEY): cut(value, LONGEST_VALUE) for key, value in given.items()}
    if any(not key.strip() for key in kept):
        raise BadTrace(
            "A tag of a trace has no key.", why="A value is found by its key.", fix="Give the key a name.", at="key"
        )
    return kept


def run_name(run: str) -> str:
    """The id of a run as it is kept.

    Raises:
        BadTrace: it cannot be one.
    """
    if not run or len(run) > LONGEST_KEY:
        raise BadTrace(
            f"{run[:40]!r} cannot be the id of a run.",
            why=f"An id has 1 to {LONGEST_KEY} characters.",
            fix="Send the id the run was created with.",
            at="run_id",
        )
    return storable(run)


def cut(text: str, longest: int) -> str:
    """The beginning of a text that is too long, without what no database keeps."""
    return storable(text[:longest])
