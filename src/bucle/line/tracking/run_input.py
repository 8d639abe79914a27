"""What a run read and made beside artifacts: datasets as its client describes them, and logged models."""

from __future__ import annotations

from typing import Literal

from bucle.ground.core import Record, decode
from bucle.line.tracking.store import DatasetRow

__all__ = ["Dataset", "ModelUse", "dataset_of"]


class Dataset(Record, frozen=True):
    """A dataset a run read.

    Attributes:
        name, digest: which.
        source_type: where its source is understood, e.g. `local` or `delta`.
        source: where it comes from, as its client writes it; never opened by us.
        schema, profile: of its columns, as its client writes them; may be empty.
        context: what it was read for, e.g. `training`.
        tags: as text.
    """

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    context: str = ""
    tags: dict[str, str] = {}


class ModelUse(Record, frozen=True):
    """A logged model a run read or made.

    Attributes:
        model: its id, `m-…`.
        direction: `input` or `output`.
        step: of the training at which it was made.
    """

    model: str
    direction: Literal["input", "output"] = "output"
    step: int = 0


def dataset_of(row: DatasetRow) -> Dataset:
    """The dataset a row holds."""
    return Dataset(
        name=row.name,
        digest=row.digest,
        source_type=row.source_type,
        source=row.source,
        schema=row.schema,
        profile=row.profile,
        context=row.context,
        tags=decode(row.tags, dict[str, str], what="dataset"),
    )
