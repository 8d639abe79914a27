"""Finding: one thing that was looked at, and what mends it."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record

__all__ = ["Finding"]


class Finding(Record, frozen=True):
    """One thing that was looked at.

    Attributes:
        about: `definition` for what the project's files define, `debt` for what nobody needs or nobody declared.
        what: which rule: `docstring`, `version`, `contract`, `policy`, `consumer`, `feature`, `setting`, …
        where: the file and function, the ref, or the setting.
        state: `ok`, `warning`, or `problem` for what must be mended.
        detail: what was found.
        fix: the command, or what to write.
    """

    about: Literal["definition", "debt"]
    what: str
    where: str
    state: Literal["ok", "warning", "problem"]
    detail: str
    fix: str = ""
