"""Alert: something about a table that people should look at before they use it."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record

__all__ = ["Alert"]


class Alert(Record, frozen=True):
    """Something to look at.

    Attributes:
        column: the column; '' for the whole table.
        kind: what it is.
        text: the same for people, with the figure.
    """

    column: str
    kind: Literal[
        "constant",
        "correlated",
        "duplicates",
        "empty",
        "imbalanced",
        "missing",
        "personal",
        "skewed",
        "unique",
        "zeros",
    ]
    text: str
