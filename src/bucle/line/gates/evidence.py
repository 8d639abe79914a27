"""Evidence: what a judgement looks at, and nothing besides."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bucle.ground.core import Digest, digest_of
from bucle.line.gates.errors import BadEvidence
from bucle.line.gates.metric import Bools, Floats

__all__ = ["Evidence", "read_evidence"]

_SLICE = "slice:"


@dataclass(frozen=True, eq=False)
class Evidence:
    """The same rows, as they came true and as each model foresaw them.

    Attributes:
        labels: bool[n], what came true.
        challenger: float64[n], probability by the model that is judged, 0 to 1.
        champion: float64[n], probability by the model in place, or None when there is none.
        slices: column -> str[n], by which the rows can be parted.
    Raises:
        BadEvidence: lengths differ, there are no rows, or a probability is not one.
    """

    labels: Bools
    challenger: Floats
    champion: Floats | None = None
    slices: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring every array to its type and check that they belong together."""
        labels = np.asarray(self.labels)
        if labels.dtype != np.bool_ and not np.isin(labels, (0, 1)).all():
            raise BadEvidence("The labels are not all true or false.", fix="Leave out rows whose label is not known.")
        self._keep("labels", labels.astype(np.bool_))
        self._keep("challenger", np.asarray(self.challenger, dtype=np.float64))
        if self.champion is not None:
            self._keep("champion", np.asarray(self.champion, dtype=np.float64))
        self._keep("slices", {name: _texts(values) for name, values in sorted(self.slices.items())})
        _check(self)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.labels.size)

    @cached_property
    def content(self) -> bytes:
        """The rows as an Arrow file; equal evidence gives equal bytes. Cost: linear."""
        import pyarrow as pa  # noqa: PLC0415  slow to load, and reading verdicts needs it not

        columns: dict[str, Any] = {"label": self.labels, "challenger": self.challenger}
        if self.champion is not None:
            columns["champion"] = self.champion
        columns.update({_SLICE + name: pa.array(values.tolist(), pa.string()) for name, values in self.slices.items()})
        table = pa.table(columns)
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()

    @cached_property
    def digest(self) -> Digest:
        """The name of this evidence: equal rows, equal digests."""
        return digest_of(self.content)

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def read_evidence(content: bytes) -> Evidence:
    """The evidence whose `content` these bytes are."""
    import pyarrow as pa  # noqa: PLC0415  slow to load, and reading verdicts needs it not

    table = pa.ipc.open_file(io.BytesIO(content)).read_all()
    columns = {name: table[name].to_numpy() for name in table.column_names}
    slices = {name.removeprefix(_SLICE): values for name, values in columns.items() if name.startswith(_SLICE)}
    return Evidence(columns["label"], columns["challenger"], columns.get("champion"), slices)


def _texts(values: Any) -> NDArray[Any]:
    return np.array(["" if value is None else str(value) for value in np.asarray(values).tolist()], dtype=object)


def _check(evidence: Evidence) -> None:
    scores = {"challenger": evidence.challenger, "champion": evidence.champion}
    for name, array in {"labels": evidence.labels, **scores, **evidence.slices}.items():
        if array is not None and array.shape != (evidence.rows,):
            raise BadEvidence(
                f"{name} has the shape {array.shape}, the labels have {evidence.labels.shape}.",
                why="Models are compared on the same rows.",
                fix="Join labels and scores on the prediction first.",
                at=name,
            )
    if evidence.rows == 0:
        raise BadEvidence("There are no rows to judge by.", fix="Choose a longer hold-out period.")
    for name, values in scores.items():
        if values is not None and not ((values >= 0) & (values <= 1)).all():
            bad = values[~((values >= 0) & (values <= 1))][0]
            raise BadEvidence(
                f"{name} has {bad} among its scores.",
                why="A score is a probability, 0 to 1.",
                fix="Give the probability of the positive class.",
                at=name,
            )
