"""What a reader finds elsewhere, in our own nouns; and what every reader gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from bucle.ground.ledger import Fault
from bucle.line.registry import Model, ModelVersion
from bucle.line.tracing import Span, Trace
from bucle.line.tracking import Experiment, LoggedModel, WholeRun

__all__ = [
    "FoundFile",
    "FoundLoggedModel",
    "FoundModel",
    "FoundRun",
    "FoundTrace",
    "FoundVersion",
    "Source",
    "no_files",
]


class FoundFile(NamedTuple):
    """A file of a run or a logged model.

    Attributes:
        path: below its owner, with `/` between its parts.
        content: a local file, or the bytes themselves.
    """

    path: str
    content: Path | bytes


Files = Callable[[], Iterator[FoundFile]]
"""Looks for files when they are wanted, not before."""


class FoundRun(NamedTuple):
    """A run elsewhere; `experiment_id` is what it is called there."""

    run: WholeRun
    files: Files


class FoundLoggedModel(NamedTuple):
    """A logged model elsewhere; `experiment_id` is what it is called there."""

    model: LoggedModel
    files: Files


class FoundTrace(NamedTuple):
    """A trace elsewhere with its spans; `experiment_id` is what it is called there."""

    trace: Trace
    spans: Sequence[Span]


class FoundVersion(NamedTuple):
    """A version of a registered model elsewhere.

    Attributes:
        version: as it is kept here, but for the digest, which is not known there.
        owner: whose files it is made of, `run/4f1c…` or `logged-model/m-…`; empty when its source names nobody.
        path: the folder in them.
    """

    version: ModelVersion
    owner: str
    path: str


class FoundModel(NamedTuple):
    """A registered model elsewhere, with all its versions."""

    model: Model
    versions: Sequence[FoundVersion]


class Source(Protocol):
    """Something that can be taken over.

    Laws: each thing is given once; runs come in an order that does not change from one reading to the next, and only
    a portion of them is in memory; what cannot be read raises nothing but is told in `left`.
    """

    @property
    def kind(self) -> str:
        """`mlflow`, `wandb` or `neptune`."""
        ...

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        ...

    def experiments(self) -> Sequence[Experiment]:
        """What the runs belong to; the ids are those of the source."""
        ...

    def runs(self) -> Iterator[FoundRun]:
        """Every run, the deleted ones as well."""
        ...

    def logged_models(self) -> Iterator[FoundLoggedModel]:
        """Every logged model that is not deleted."""
        ...

    def models(self) -> Iterator[FoundModel]:
        """Every registered model."""
        ...

    def traces(self) -> Iterator[FoundTrace]:
        """Every trace, after its run."""
        ...

    def left(self) -> dict[str, int]:
        """What there is and is not taken over, with how much of it; told when everything was read."""
        ...

    def faults(self) -> Sequence[Fault]:
        """What is damaged there, so that not all of it could be read; told when everything was read."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def no_files() -> Iterator[FoundFile]:
    """None."""
    return iter(())
