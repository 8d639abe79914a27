"""Report: what was taken over, what was not, and whether it is the same here as there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bucle.ground.core import Record
from bucle.ground.ledger import Fault

__all__ = ["Report"]


class Report(Record, frozen=True):
    """A migration, counted and compared.

    Attributes:
        source: where it came from, without a password.
        kind: `mlflow`, `wandb` or `neptune`.
        began_at: an instant.
        took_s: seconds.
        experiments: how many the source has.
        runs: how many the source has.
        new_runs: those that were not here before.
        params, tags, points: what those runs hold there.
        files, file_bytes: artifacts of runs and logged models.
        logged_models, models, versions, aliases, traces, spans: as many as the source has.
        digest: of every run as the source has it: ids with the digests of all they hold.
        found: the same of the runs as they stand here, read back; equal when all is well.
        left: what the source holds and Bucle did not take over, with how much of it.
        faults: what is not the same here as there; empty when all is well.
    """

    source: str
    kind: str
    began_at: datetime
    took_s: float = 0.0
    experiments: int = 0
    runs: int = 0
    new_runs: int = 0
    params: int = 0
    tags: int = 0
    points: int = 0
    files: int = 0
    file_bytes: int = 0
    logged_models: int = 0
    models: int = 0
    versions: int = 0
    aliases: int = 0
    traces: int = 0
    spans: int = 0
    digest: str = ""
    found: str = ""
    left: dict[str, int] = {}
    faults: tuple[Fault, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether all of it is here as it was there."""
        return not self.faults and self.digest == self.found

    def counts(self) -> dict[str, Any]:
        """The numbers, for the ledger."""
        names = (
            "experiments", "runs", "params", "tags", "points", "files", "file_bytes",
            "logged_models", "models", "versions", "aliases", "traces", "spans",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
