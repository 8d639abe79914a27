"""`/models`: which version serves, what is coming, and what happened?"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bucle.doors.ui.parameters import Offset, Text
from bucle.ground.core import Record
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Change, Model, ModelVersion
from bucle.loop import Promotion, promotions

__all__ = ["ModelName", "ModelPage", "ModelRow", "Models", "model", "models"]

ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^(?!\.{1,2}$)[^/:\x00-\x1f]+$")]
"""What a registered model may be called."""

PAGE = 50
"""Models, or versions, a page."""

CHANGES = 60
"""So many of the last changes are shown."""


class ModelRow(Record, frozen=True):
    """A model at a glance.

    Attributes:
        model: with its aliases and stages.
        metric: the metric shown; empty when no version has one.
        values: of that metric, oldest version first.
        last: what changed last.
    """

    model: Model
    metric: str
    values: tuple[float | None, ...]
    last: Change | None


class Models(Record, frozen=True):
    """Every model, or every prompt.

    Attributes:
        models: this page's, by name.
        total: how many fit.
        counts: how many models and prompts there are.
        kind, q, offset, limit: what was asked for.
    """

    models: tuple[ModelRow, ...]
    total: int
    counts: dict[str, int]
    kind: str
    q: str
    offset: int
    limit: int


class ModelPage(Record, frozen=True):
    """One model with all its versions.

    Attributes:
        model: the model.
        metrics: names of every metric a version has.
        versions: this page's, newest first.
        charted: every version's metrics by its number, oldest first.
        promotions: who asked for a version to be promoted; not fulfilled yet.
        history: what changed last, newest first.
        changes: how many changes there are.
        offset, limit: which versions are shown.
    """

    model: Model
    metrics: tuple[str, ...]
    versions: tuple[ModelVersion, ...]
    charted: dict[str, dict[str, float]]
    promotions: tuple[Promotion, ...]
    history: tuple[Change, ...]
    changes: int
    offset: int
    limit: int


def models(project: Project, *, kind: Literal["model", "prompt"] = "model", q: Text = "", offset: Offset = 0) -> Models:
    """Every model, or every prompt.

    Args:
        kind: prompts are models whose versions are texts.
        q: only with this in their name.
        offset: so many come before.
    """
    every = registry.models(project, kind=None)
    found = [one for one in every if one.kind == kind and q.lower() in one.name.lower()]
    counts = {name: sum(one.kind == name for one in every) for name in ("model", "prompt")}
    rows = tuple(_row(project, one) for one in found[offset : offset + PAGE])
    return Models(models=rows, total=len(found), counts=counts, kind=kind, q=q, offset=offset, limit=PAGE)


def model(project: Project, *, model: ModelName, offset: Offset = 0) -> ModelPage:
    """One model.

    Args:
        model: its name.
        offset: so many newer versions come before.
    Raises:
        NoSuchModel: there is none of that name.
    """
    found, changes = registry.versions(project, model), registry.changes(project, model)
    names = dict.fromkeys(name for one in found for name in one.metrics)
    return ModelPage(
        model=registry.model(project, model),
        metrics=tuple(names),
        versions=tuple(found[::-1][offset : offset + PAGE]),
        charted={str(one.version): one.metrics for one in found},
        promotions=tuple(promotions(project, model)),
        history=tuple(changes[::-1][:CHANGES]),
        changes=len(changes),
        offset=offset,
        limit=PAGE,
    )


def _row(project: Project, one: Model) -> ModelRow:
    found = registry.versions(project, one.name)[-PAGE:] if one.latest else []
    names = [name for version in found for name in version.metrics]
    metric = next((name for name in ("auc", *names) if name in names), "")
    changes = registry.changes(project, one.name)
    return ModelRow(
        model=one,
        metric=metric,
        values=tuple(version.metrics.get(metric) for version in found) if metric else (),
        last=changes[-1] if changes else None,
    )
