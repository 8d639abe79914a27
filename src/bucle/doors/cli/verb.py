"""Verb: one thing the command line can do. A noun's module lists its verbs; nothing is registered anywhere else."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bucle.doors.cli.terminal import Terminal

__all__ = ["FOUND", "Verb", "nothing"]

FOUND = 7
"""Exit status of a check that found something, for cron and CI to branch on."""


def nothing(parser: ArgumentParser) -> None:
    """No arguments of its own."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A command `bucle NOUN VERB`.

    Attributes:
        name: the verb; empty for a noun that is a command by itself (`bucle up`).
        help: one line: what it does.
        run: does it; returns the exit status, None meaning 0.
        arguments: adds its arguments to a parser.
        example: a line that works in the example project.
    """

    name: str
    help: str
    run: Callable[[Namespace, Terminal], int | None]
    arguments: Callable[[ArgumentParser], None] = nothing
    example: str = ""
