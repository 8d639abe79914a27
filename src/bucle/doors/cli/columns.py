"""Columns of a table of runs: `metrics.auc`, `min.loss`, `max.auc`, `auc@100`, `params.lr`, `tags.team`, bare names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bucle.doors.cli.errors import NoSuchColumn
from bucle.ground.core import suggest

if TYPE_CHECKING:
    from bucle.ground.project import Project
    from bucle.line.tracking import Run

__all__ = ["ATTRIBUTES", "Column", "cells", "needed", "parse_columns"]

ATTRIBUTES = (
    "run", "name", "experiment", "status", "started_at", "ended_at", "duration_s", "actor", "seed", "code_commit",
    "attempt", "error",
)  # fmt: skip
"""What a run has besides metrics, params and tags."""

SCOPES = {"metric": "metrics", "param": "params", "tag": "tags", "metrics": "metrics", "params": "params",
          "tags": "tags", "min": "min", "max": "max"}  # fmt: skip
"""What may stand before the key."""


class Column(NamedTuple):
    """One column.

    Attributes:
        title: as it was asked for.
        scope: `metrics`, `params`, `tags`, `min`, `max`, `step`, `attribute`, or empty: whatever bears the name.
        key: within the scope.
        step: of a metric's value `key@step`.
    """

    title: str
    scope: str
    key: str
    step: int = 0


def parse_columns(text: str) -> list[Column]:
    """The columns in a text, separated by commas; nothing gives none.

    Raises:
        NoSuchColumn: one has a scope that does not exist.
    """
    return [_parse(part.strip()) for part in text.split(",") if part.strip()]


def needed(columns: Iterable[Column]) -> list[str] | None:
    """What to read of each run for these columns, as a search takes it; None for everything."""
    found = [f"{one.scope}.{one.key}" for one in columns if one.scope in ("metrics", "params", "tags")]
    return None if any(not one.scope for one in columns) else found


def cells(project: Project, runs: Sequence[Run], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """A row a run.

    Raises:
        NoSuchColumn: a bare name is that of nothing any of the runs has.
    Cost: `min` and `max` ask once a run; `key@step` reads that curve of each run.
    """
    for one in columns:
        if not one.scope and runs and not any(_bare(run, one.key) is not None for run in runs):
            raise _unknown(one, runs)
    return [_row(project, run, columns) for run in runs]


def _parse(text: str) -> Column:
    scope, dot, key = text.partition(".")
    if text in ATTRIBUTES:
        return Column(text, "attribute", text)
    if dot and scope in SCOPES:
        return Column(text, SCOPES[scope], key.strip("`"))
    name, at, step = text.rpartition("@")
    if at and re.fullmatch(r"-?\d+", step):
        return Column(text, "step", name.removeprefix("metrics."), int(step))
    if dot and suggest(scope, SCOPES):
        raise NoSuchColumn(
            f"There are no columns {scope!r}. {suggest(scope, SCOPES)}",
            why=f"A column begins with {', '.join(dict.fromkeys(SCOPES.values()))}, or is {', '.join(ATTRIBUTES)}.",
            fix=f"E.g. --columns run,metrics.{key},max.{key},{key}@100",
            at=text,
        )
    return Column(text, "", text)


def _row(project: Project, run: Run, columns: Sequence[Column]) -> dict[str, Any]:
    from bucle.line import tracking

    wanted = {one.key for one in columns if one.scope in ("min", "max")}
    known = {one.key: one for one in tracking.summaries(project, run.id)} if wanted else {}
    row: dict[str, Any] = {}
    for one in columns:
        match one.scope:
            case "attribute":
                row[one.title] = _attribute(run, one.key)
            case "min" | "max":
                summary = known.get(one.key)
                row[one.title] = summary and (summary.least if one.scope == "min" else summary.greatest)
            case "step":
                row[one.title] = _at_step(project, run, one.key, one.step)
            case "":
                row[one.title] = _bare(run, one.key)
            case _:
                row[one.title] = getattr(run, one.scope).get(one.key)
    return row


def _attribute(run: Run, name: str) -> Any:
    if name == "run":
        return run.id
    if name == "duration_s":
        return None if run.ended_at is None else (run.ended_at - run.started_at).total_seconds()
    return getattr(run, name)


def _at_step(project: Project, run: Run, key: str, step: int) -> float | None:
    """The value at a step, or the last one before it."""
    import numpy as np

    from bucle.line import tracking

    found = tracking.points(project, run.id, key)
    place = int(np.searchsorted(found.steps, step, side="right"))
    return float(found.values[place - 1]) if place else None


def _bare(run: Run, name: str) -> Any:
    """What a run calls so: a metric, a parameter or a tag."""
    return next((one[name] for one in (run.metrics, run.params, run.tags) if name in one), None)


def _unknown(column: Column, runs: Sequence[Run]) -> NoSuchColumn:
    names = dict.fromkeys(name for run in runs for one in (run.metrics, run.params, run.tags) for name in one)
    return NoSuchColumn(
        f"None of these runs has a {column.key!r}. {suggest(column.key, [*names, *ATTRIBUTES])}".rstrip(),
        why="A bare name is that of a metric, a parameter, a tag, or an attribute of the run.",
        fix=f"See one of them: bucle runs show {runs[0].id[:8]}",
        at=column.title,
    )
