"""Difference: why one version is worse than another: what they were made of, where it shows, what may be the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bucle.ground.core import BucleError, NotFound, Record
from bucle.ground.project import Project
from bucle.line import gates, registry
from bucle.line.registry import ModelVersion
from bucle.loop.cuts import Groups, cut
from bucle.loop.decompose import Contribution, decompose, headline
from bucle.loop.heldout import NothingHeldOut, held_out, scores_of
from bucle.loop.policy import Policy, policy_of
from bucle.loop.recipe_difference import CauseKind, RecipeDifference, Suspect, recipe_difference, suspects_of

__all__ = ["SURE", "Cause", "Loss", "VersionDifference", "compare_versions", "told_change"]

Loss = Literal["log_loss", "brier", "accuracy"]
"""What can be parted into slices: a mean over rows. AUC is none; accuracy is told as the share of wrong answers."""

METRICS: tuple[gates.Metric, ...] = ("auc", "log_loss", "brier", "accuracy")

SURE = 1.96
"""So many standard errors away from 0 a change is more than chance, at 95 %."""


class Cause(Record, frozen=True):
    """Something that may have caused a change.

    Attributes:
        rank: 1 for the first suspect.
        kind: `data`, `feature`, `code`, `params`, `environment`, `seed`; between windows also `version`, and `world`
            for what came true.
        what: in a sentence.
        evidence: what speaks for it, a line each.
        is_sole: whether nothing else differs, so that it must be this.
    """

    rank: int
    kind: CauseKind | Literal["version", "world"]
    what: str
    evidence: tuple[str, ...]
    is_sole: bool = False


class VersionDifference(Record, frozen=True):
    """One version beside another.

    Attributes:
        before, after: their refs.
        rows_of: the version whose held-out rows both were put to; empty when that could not be done.
        rows: how many.
        metrics: metric -> before and after on the same rows; AUC among them, though it cannot be parted.
        loss: what is parted into slices; more is worse.
        change: of its mean; above 0 the second is worse. None when both could not be put to the same rows.
        error: standard error of the change, row by row.
        slices: column -> what each slice adds to the change.
        labels: column -> how the share of true labels changed between the rows that each version held out.
        recipe: how what they were made of differs.
        causes: ranked.
        attribution: the answer in one line.
        unjudged: why they could not be put to the same rows; empty when they were.
    """

    before: str
    after: str
    rows_of: str
    rows: int
    metrics: dict[str, tuple[float, float]]
    loss: Loss
    change: float | None
    error: float | None
    slices: dict[str, tuple[Contribution, ...]]
    labels: dict[str, tuple[Contribution, ...]]
    recipe: RecipeDifference
    causes: tuple[Cause, ...]
    attribution: str
    unjudged: str = ""


def compare_versions(
    project: Project,
    before: ModelVersion,
    after: ModelVersion,
    *,
    loss: Loss = "log_loss",
    on: ModelVersion | None = None,
    columns: Sequence[str] = (),
) -> VersionDifference:
    """Why a version does otherwise than another.

    Both are put to the same held-out rows. The change of the loss is parted by slice, the recipes are compared step by
    step, and what differs without effect is acquitted.

    Args:
        loss: what is parted.
        on: whose held-out rows; those of `after` unless given.
        columns: by which the rows are parted; every one that parts them unless given.
    Raises:
        NoSuchLoop: the model has no policy, so that nobody knows which column is the label.
        NoSuchColumn: the rows have no such column.
        BlobMissing: what one of them was made of was removed.
    Cost: two batch scorings of the held-out rows.
    """
    policy = policy_of(project, after.model)
    recipe = recipe_difference(project, before, after, (_pins(project, before), _pins(project, after)))
    judged = on or after
    try:
        rows = held_out(project, judged)
        truth = rows[policy.labels.label].to_numpy().astype(np.bool_)
        scores = scores_of(project, before, rows), scores_of(project, after, rows)
    except (BucleError, pl.exceptions.ColumnNotFoundError) as refused:
        told = refused.what if isinstance(refused, BucleError) else str(refused)
        return _unjudged(before, after, loss, recipe, told=told)
    losses = [gates.row_losses(loss, truth, side) for side in scores]
    groups = _groups(rows, rows, policy, columns)
    slices = {column: decompose(column, losses[0], losses[1], *parted) for column, parted in groups.items()}
    change, error = float(losses[1].mean() - losses[0].mean()), _error(losses[1] - losses[0])
    is_sure = abs(change) > SURE * error
    where = headline(slices, change) if is_sure else None
    labels = _labels_moved(project, before, after, policy, columns)
    causes = _causes(suspects_of(recipe), where, labels, change)
    return VersionDifference(
        before=before.ref,
        after=after.ref,
        rows_of=judged.ref,
        rows=rows.height,
        metrics={name: _pair(name, truth, scores) for name in METRICS},
        loss=loss,
        change=change,
        error=error,
        slices=slices,
        labels=labels,
        recipe=recipe,
        causes=causes,
        attribution=_attribution(causes, change, loss, is_sure=is_sure),
    )


def _unjudged(
    before: ModelVersion, after: ModelVersion, loss: Loss, recipe: RecipeDifference, *, told: str
) -> VersionDifference:
    """Two versions that cannot be put to the same rows: only what they were made of is compared."""
    causes = _causes(suspects_of(recipe), None, {}, 0.0)
    return VersionDifference(
        before=before.ref,
        after=after.ref,
        rows_of="",
        rows=0,
        metrics={},
        loss=loss,
        change=None,
        error=None,
        slices={},
        labels={},
        recipe=recipe,
        causes=causes,
        attribution=_attribution(causes, 0.0, loss),
        unjudged=told,
    )


def _error(gains: NDArray[np.float64]) -> float:
    """The standard error of a mean over rows."""
    return float(gains.std(ddof=1)) / gains.size**0.5 if gains.size > 1 else 0.0


def _pins(project: Project, version: ModelVersion) -> tuple[str, ...]:
    try:
        return registry.load_package(project, version.digest).features if version.kind == "package" else ()
    except NotFound:
        return ()


def _pair(metric: gates.Metric, truth: NDArray[np.bool_], scores: tuple[Any, Any]) -> tuple[float, float]:
    return gates.measure(metric, truth, scores[0]), gates.measure(metric, truth, scores[1])


def _groups(before: pl.DataFrame, after: pl.DataFrame, policy: Policy, columns: Sequence[str]) -> dict[str, Groups]:
    """The slices of held-out rows: those asked for, or all but the label's."""
    names = policy.labels
    bare = {names.label, names.entity, names.known_at} - set(columns)
    return cut(before.drop(bare, strict=False), after.drop(bare, strict=False), columns)


def _labels_moved(
    project: Project, before: ModelVersion, after: ModelVersion, policy: Policy, columns: Sequence[str]
) -> dict[str, tuple[Contribution, ...]]:
    """How the share of true labels changed from the rows one version held out to those of the other."""
    try:
        old, new = held_out(project, before), held_out(project, after)
    except (NotFound, NothingHeldOut):
        return {}
    label = policy.labels.label
    if label not in old.columns or label not in new.columns:
        return {}
    truths = [side[label].to_numpy().astype(np.float64) for side in (old, new)]
    groups = _groups(old, new, policy, columns)
    return {column: decompose(column, truths[0], truths[1], *parted) for column, parted in groups.items()}


def _causes(
    suspects: Sequence[Suspect],
    where: Contribution | None,
    labels: Mapping[str, Sequence[Contribution]],
    change: float,
) -> tuple[Cause, ...]:
    """The suspects in their order; data first where one slice holds the change, which other parts seldom explain."""
    ranked = sorted(suspects, key=lambda one: one.kind != "data") if where is not None else list(suspects)
    return tuple(
        Cause(
            rank=rank,
            kind=one.kind,
            what=_what(one, where),
            evidence=(*_data_evidence(where, labels, change), *one.evidence) if one.kind == "data" else one.evidence,
            is_sole=len(suspects) == 1,
        )
        for rank, one in enumerate(ranked, start=1)
    )


_WHAT: dict[str, str] = {
    "data": "it was trained on other data",
    "feature": "a feature view is defined otherwise",
    "code": "its steps ran other code",
    "params": "it was trained with other parameters",
    "environment": "it was trained with other packages",
    "seed": "it was trained from another seed",
}


def _what(suspect: Suspect, where: Contribution | None) -> str:
    slice_ = f", and the change lies in {where.slice}" if suspect.kind == "data" and where is not None else ""
    step = f" (step {suspect.step})" if suspect.step else ""
    return f"{_WHAT[suspect.kind]}{slice_}{step}"


def _data_evidence(
    where: Contribution | None, labels: Mapping[str, Sequence[Contribution]], change: float
) -> tuple[str, ...]:
    found = []
    if where is not None:
        found.append(
            f"{where.slice} holds {where.change / change:.0%} of the change on {where.share_after:.0%} of the rows"
        )
    moved = [part for parts in labels.values() for part in parts if part.before is not None and part.after is not None]
    if moved:
        most = max(moved, key=lambda part: abs(part.within))
        before, after = most.before or 0.0, most.after or 0.0
        found.append(f"{most.slice}: {before:.0%} of the labels were true in the rows held out, now {after:.0%}")
    return tuple(found)


def _attribution(causes: Sequence[Cause], change: float, loss: Loss, *, is_sure: bool = True) -> str:
    moved = told_change(change, loss, is_sure=is_sure)
    if not causes:
        return f"{moved}nothing that could matter differs between the two recipes."
    if causes[0].is_sole:
        return f"{moved}{causes[0].what}; nothing else that could matter differs."
    listed = "; ".join(f"{one.rank}. {one.kind}: {one.what}" for one in causes)
    return f"{moved}{listed}. Only a run that changes one of them alone tells which."


def told_change(change: float, loss: Loss, *, is_sure: bool) -> str:
    """How a loss moved, and whether chance may explain it; with a colon, for what follows. Empty where it did not."""
    name = "share of wrong answers" if loss == "accuracy" else loss.replace("_", " ")
    doubt = "" if is_sure else ", which chance alone may explain"
    return f"{name} {'rose' if change > 0 else 'fell'} by {abs(change):.4g}{doubt}: " if change else ""
