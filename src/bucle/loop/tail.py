"""Tail: what an endpoint answered lately, for whoever looks at it again and again."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec.structs import replace

from bucle.ground.project import Project
from bucle.line import serving

__all__ = ["SHADOW", "Tail"]

SHADOW = "shadow"
"""The arm whose answers no client sees."""


class Tail:
    """What clients were answered lately, read on from where the last look ended.

    Only what a look needs is kept, without inputs: reading a whole month again each time takes seconds.
    """

    def __init__(self, project: Project, endpoint: str) -> None:
        self._folder = serving.endpoint_folder(project.state, endpoint) / "log"
        self._cursor = ""
        self._kept: list[serving.Prediction] = []

    def since(self, instant: datetime) -> pl.DataFrame:
        """The answers for instants from this one on that were not collected before they were read here."""
        fresh, self._cursor = serving.read_live(self._folder, self._cursor)
        light = [_without_inputs(prediction) for prediction in fresh if prediction.arm != SHADOW]
        self._kept = [one for one in (*self._kept, *light) if one.instants and max(one.instants) >= instant]
        return serving.frame_of(self._kept).filter(pl.col("instant") >= instant)


def _without_inputs(prediction: serving.Prediction) -> serving.Prediction:
    score = {name: values for name, values in prediction.outputs.items() if name == prediction.score}
    return replace(prediction, request={}, features={}, outputs=score)
