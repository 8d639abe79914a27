"""Problems: a part of a page that cannot be read is told in its place; the rest of the page stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bucle.ground.core import BucleError

__all__ = ["attempt"]

T = TypeVar("T")


def attempt(problems: list[dict[str, str]], read: Callable[[], T]) -> T | None:
    """What `read` gives, or None with its error noted."""
    try:
        return read()
    except BucleError as error:
        problems.append(error.as_dict())
        return None
