"""Batch: score a table with a package, offline, through the same ONNX graph that serves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bucle.ground.core import suggest
from bucle.line import registry
from bucle.line.serving.errors import BadInput, ModelFailed
from bucle.line.serving.model import runtime, score_of, session_options
from bucle.line.serving.schema import Tensor, schema_of

__all__ = ["score"]

_ROWS = 4096


def score(folder: Path, frame: pl.DataFrame) -> NDArray[np.float64]:
    """The scores a package gives to the rows of a table.

    Args:
        folder: a staged package, see `registry.stage_package`.
        frame: at least every input of the model as a column; null where a number is missing.
    Returns:
        float64[n]: the output `probability`, or the first float output, in the order of the rows.
    Raises:
        BadInput: a column is missing, or a value does not fit.
        ModelFailed: the model raised, or gives no score.
    Cost: one session; runs in batches of 4,096 rows.
    """
    package = registry.read_package(folder)
    session = runtime().InferenceSession(
        str(folder / registry.MODEL), session_options(), providers=["CPUExecutionProvider"]
    )
    schema = schema_of(package, [Tensor.of(node) for node in session.get_inputs()])
    _check_columns(frame, list(schema.inputs))
    output = score_of([(t.name, t.dtype.kind) for t in map(Tensor.of, session.get_outputs())])
    if output is None:
        raise ModelFailed(f"Package {package.digest[:12]} has no float output to judge.", fix="Export a probability.")
    parts = [np.empty(0, dtype=np.float64)]
    for batch in frame.select(list(schema.inputs)).iter_slices(_ROWS):
        fed = schema.feeds(batch.to_dict(as_series=False), batch.height)
        try:
            (answer,) = session.run([output], fed)
        except Exception as error:
            raise ModelFailed(f"Package {package.digest[:12]} failed on a batch: {error}.", fix="Mend it.") from error
        parts.append(np.asarray(answer, dtype=np.float64).reshape(batch.height))
    return np.concatenate(parts)


def _check_columns(frame: pl.DataFrame, inputs: list[str]) -> None:
    for name in inputs:
        if name not in frame.columns:
            raise BadInput(
                f"The table has no column {name!r}, which the model reads.",
                why=f"It has: {', '.join(frame.columns)}.",
                fix=suggest(name, frame.columns) or "Add the column.",
                at=name,
            )
