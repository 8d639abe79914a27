"""A model that says sigmoid(x), and what was true of whom it said it, window by window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from onnx import parser

from bucle.ground.core import SimulatedClock, encode
from bucle.ground.project import Project
from bucle.line import data, monitoring, registry, serving
from bucle.loop import Stretch

START = datetime(2013, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST, SECOND = Stretch(START, START + DAY), Stretch(START + DAY, START + 2 * DAY)
TOML = """
[project]
name = "t"
[loop.m]
pipeline = "p"
labels = { table = "truth", entity = "id", label = "came", known_at = "known_at" }
"""
ONNX = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1] x) => (float[N,1] probability) { probability = Sigmoid(x) }'
)


class Answers:
    """A model that says sigmoid(x), and what was true of whom it said it."""

    def __init__(self, root: Path, clock: SimulatedClock) -> None:
        (root / "bucle.toml").write_text(TOML)
        self.project = Project.open(root, clock=clock, actor="ana")
        self.random = np.random.default_rng(7)
        clock.set(START + 3 * DAY)
        content = parser.parse_model(ONNX).SerializeToString()
        profile = monitoring.profile_of(pl.DataFrame({"x": self.random.normal(size=2000)}), self.random.random(2000))
        for note in (b"1", b"2"):
            files = {"profile.json": encode(profile), "note.txt": note}
            registry.register(self.project, "m", registry.pack(self.project, content, files=files))

    def give(
        self,
        stretch: Stretch,
        *,
        north: float = 0.5,
        broken: str = "",
        shift: float = 0.0,
        luck: float = 0.0,
        version: int = 1,
    ) -> None:
        """Answers of one window.

        Args:
            north: the share of rows from there; their truth is a coin's, whatever is said of them.
            broken: the region in which the truth is now the opposite.
            shift: added to x.
            luck: so much more often it comes true everywhere, whatever was said.
        """
        rows = 2000
        region = np.where(self.random.random(rows) < north, "north", "south")
        x = self.random.normal(size=rows) + shift
        score = 1 / (1 + np.exp(-x))
        chance = np.where(region == "north", 0.5, score) + luck
        truth = self.random.random(rows) < np.where(region == broken, 1 - chance, chance)
        ids = [f"{stretch.since:%d}-{n}" for n in range(rows)]
        instants = [stretch.since + n * (DAY / rows) for n in range(rows)]
        seen = zip(region.tolist(), x.tolist(), strict=True)
        columns: dict[str, object] = {
            "prediction_id": [f"{one}/0" for one in ids],
            "request_id": ids,
            "row": 0,
            "endpoint": "m",
            "model": "m",
            "version": version,
            "arm": "champion",
            "at": instants,
            "instant": instants,
            "entity": ids,
            "request": [encode({"region": one, "x": value}).decode() for one, value in seen],
            "features": "{}",
            "outputs": "{}",
            "score": score,
            "status": "ok",
            "error": "",
            "latency_us": 100,
        }
        schema = serving.PREDICTION_COLUMNS
        columns |= {name: None for name in schema if name not in columns}
        one_each = {name: value for name, value in columns.items() if not isinstance(value, list | np.ndarray)}
        frame = pl.DataFrame({name: value for name, value in columns.items() if name not in one_each})
        frame = frame.with_columns(pl.lit(value).alias(name) for name, value in one_each.items())
        frame = frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
        known = pl.DataFrame({"id": ids, "came": truth, "known_at": [stretch.until] * rows})
        data.commit(self.project, {serving.PREDICTIONS: frame, "truth": known}, message="answers")
