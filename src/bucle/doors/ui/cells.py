"""Cells of the longest table, made before the template: a call a cell is what costs in a template."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bucle.doors.ui.language import NOTHING, Language

__all__ = ["PARAMS", "of_runs"]

PARAMS = 10
"""So many differing parameters have a column."""

LONGEST = 30


def of_runs(page: Any, say: Language) -> Iterator[tuple[Any, str, list[tuple[str, bool]], list[str]]]:
    """Each run of a page with its short id, its metrics (text, whether it is the best) and its parameters."""
    names = page.params[:PARAMS]
    for run in page.runs:
        metrics = [
            (_number(run.metrics.get(name), say), page.best.get(name) == run.id and name in run.metrics)
            for name in page.metrics
        ]
        yield run, run.id[:7], metrics, [_cut(run.params.get(name, NOTHING)) for name in names]


def _number(value: float | None, say: Language) -> str:
    return NOTHING if value is None or not math.isfinite(value) else say.number(value, 4)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
