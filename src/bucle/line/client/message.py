"""Message: what a run has to say, in the form it travels: it begins, enters what was logged, keeps files, ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
import numpy as np

from bucle.ground.core import Environment, Record
from bucle.line.client.errors import BadEntry
from bucle.line.tracking import Points

__all__ = ["End", "Entry", "File", "Message", "Start", "Stretch", "merged"]

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=250)]
Value = Annotated[str, msgspec.Meta(max_length=8000)]
Label = Annotated[str, msgspec.Meta(max_length=500)]
RunId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16,32}$")]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Start(Record, frozen=True, tag="start"):
    """A run begins.

    Attributes:
        run: its id, 32 hexadecimal digits, chosen by who logs, so that beginning twice is beginning once.
        experiment: what it belongs to.
        started_at: an instant.
        name: for people.
        actor: who runs it.
        params, tags: as text.
        inputs: refs of what it reads, or names its project knows data by.
        seed: what the random numbers begin with, or None.
        code_commit: git commit; empty without git.
        code_diff: what `git apply` needs on top of it.
        environment: Python and every package; None when it was not looked at.
    """

    run: RunId
    experiment: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    started_at: datetime
    name: Label = ""
    actor: Label = ""
    params: dict[Key, Value] = {}
    tags: dict[Key, Value] = {}
    inputs: Annotated[tuple[Label, ...], msgspec.Meta(max_length=1000)] = ()
    seed: int | None = None
    code_commit: Label = ""
    code_diff: bytes = b""
    environment: Environment | None = None


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """Points of one curve.

    Attributes:
        key: what was measured.
        steps: int64[n], little endian: their places in the curve.
        at: int64[n]: milliseconds since 1970.
        values: float64[n]; not-a-number and infinities included.
    """

    key: Key
    steps: bytes
    at: bytes
    values: bytes

    def __len__(self) -> int:
        """How many points there are."""
        return len(self.values) // 8

    @property
    def points(self) -> Points:
        """The points in columns.

        Raises:
            BadEntry: the columns are not equally long.
        """
        if not len(self.steps) == len(self.at) == len(self.values) or len(self.values) % 8:
            raise BadEntry(
                f"The columns of {self.key!r} have {len(self.steps)}, {len(self.at)} and {len(self.values)} bytes.",
                why="A point is 8 bytes of each: step, instant, value.",
                fix="Send columns of equal length.",
                at=self.key,
            )
        steps, at = (np.frombuffer(column, dtype="<i8") for column in (self.steps, self.at))
        return Points(steps, at, np.frombuffer(self.values, dtype="<f8"))


class Entry(Record, frozen=True, tag="entry"):
    """What a run logged within a moment.

    Attributes:
        stretches: points, a key each.
        params, tags: as text.
    """

    stretches: tuple[Stretch, ...] = ()
    params: dict[Key, Value] = {}
    tags: dict[Key, Value] = {}

    @property
    def points(self) -> int:
        """How many points there are."""
        return sum(map(len, self.stretches))


class File(Record, frozen=True, tag="file"):
    """A run keeps a file.

    Attributes:
        path: its name within the run, e.g. `plots/roc.png`.
        content: the name of the file with the bytes, beside the queue.
    """

    path: Path
    content: str


class End(Record, frozen=True, tag="end"):
    """A run is over.

    Attributes:
        status: how it ended.
        ended_at: an instant.
        error: why it failed, or empty.
    """

    status: Literal["finished", "failed", "killed"]
    ended_at: datetime
    error: Annotated[str, msgspec.Meta(max_length=8000)] = ""


Message = Start | Entry | File | End
"""Whatever a run has to say."""


def merged(entries: Sequence[Entry]) -> Entry:
    """Several entries as one: points one behind the other, of params and tags the last."""
    if len(entries) == 1:
        return entries[0]
    parts: dict[str, list[Stretch]] = {}
    for entry in entries:
        for stretch in entry.stretches:
            parts.setdefault(stretch.key, []).append(stretch)
    return Entry(
        stretches=tuple(_joined(key, listed) for key, listed in parts.items()),
        params={name: value for entry in entries for name, value in entry.params.items()},
        tags={name: value for entry in entries for name, value in entry.tags.items()},
    )


def _joined(key: str, parts: list[Stretch]) -> Stretch:
    if len(parts) == 1:
        return parts[0]
    steps, at, values = (b"".join(getattr(part, name) for part in parts) for name in ("steps", "at", "values"))
    return Stretch(key=key, steps=steps, at=at, values=values)
