"""Stretches: why live quality changed from one stretch of time to another: other rows, the same rows faring otherwise,
another version, or features that moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from msgspec.structs import replace
from numpy.typing import NDArray

from bucle.ground.core import NotFound, Record, StateError, decode
from bucle.ground.project import Project
from bucle.line import gates, monitoring, registry, serving
from bucle.loop.actions import PROFILE
from bucle.loop.cuts import cut
from bucle.loop.decompose import Contribution, decompose, headline
from bucle.loop.difference import SURE, Cause, Loss, told_change
from bucle.loop.heldout import labels_of
from bucle.loop.policy import Policy
from bucle.loop.tail import SHADOW

__all__ = ["FeatureShift", "Stretch", "StretchDifference", "TooFewLabels", "compare_stretches"]

VERSION = "version"
"""The column that parts answers by who gave them."""


class TooFewLabels(StateError):
    """A stretch of time has no answer whose label is known."""

    code = "BU1511"


class Stretch(NamedTuple):
    """A stretch of time: from `since` on, before `until`."""

    since: datetime
    until: datetime


class FeatureShift(Record, frozen=True):
    """How a feature moved from one stretch to the other.

    Attributes:
        feature: its name.
        psi: population stability index of the second stretch against the first, over the profile's bins.
        before, after: PSI of each stretch against the profile of training.
        mean_before, mean_after: of numbers; None for words.
        drifted: whether both the index and a chi-square test, as `[monitoring]` has them, say that it moved.
    """

    feature: str
    psi: float
    before: float
    after: float
    mean_before: float | None
    mean_after: float | None
    drifted: bool


class StretchDifference(Record, frozen=True):
    """One stretch of an endpoint's answers beside another.

    Attributes:
        endpoint: whose.
        first, second: since when and until when.
        rows: answers whose label is known, in each.
        versions: version -> how many of them it gave, in each.
        metrics: metric -> before and after; AUC among them, though it cannot be parted.
        loss: what is parted; more is worse.
        change: of its mean.
        error: standard error of the change.
        slices: column -> what each slice adds, `mix` by its share and `within` by how its rows fare; each column's
            contributions add up to the change.
        mix: column -> the part of the change that other shares explain.
        shifts: features by how far they moved, the farthest first; none where the version has no profile.
        causes: ranked.
        attribution: the answer in one line.
    """

    endpoint: str
    first: tuple[datetime, datetime]
    second: tuple[datetime, datetime]
    rows: tuple[int, int]
    versions: dict[str, tuple[int, int]]
    metrics: dict[str, tuple[float, float]]
    loss: Loss
    change: float
    error: float
    slices: dict[str, tuple[Contribution, ...]]
    mix: dict[str, float]
    shifts: tuple[FeatureShift, ...]
    causes: tuple[Cause, ...]
    attribution: str


class _Side(NamedTuple):
    """The answers of a stretch whose label is known."""

    stretch: Stretch
    answers: pl.DataFrame
    inputs: pl.DataFrame
    truth: NDArray[np.bool_]
    scores: NDArray[np.float64]


def compare_stretches(
    project: Project,
    policy: Policy,
    first: Stretch,
    second: Stretch,
    *,
    loss: Loss = "log_loss",
    columns: Sequence[str] = (),
) -> StretchDifference:
    """Why what clients were answered in one stretch of time was worse than in another, with the labels known by now.

    Args:
        policy: of the model: its endpoint, and where labels arrive.
        columns: by which answers are parted; everything asked or computed that parts them unless given.
    Raises:
        TooFewLabels: a stretch has no answer whose label is known.
        NoSuchColumn: the answers have no such column.
    Cost: one read of the predictions of both, and their JSON.
    """
    labels = labels_of(project, policy, project.clock.now())
    sides = [_side(project, policy, stretch, labels) for stretch in (first, second)]
    before, after = sides
    losses = [gates.row_losses(loss, side.truth, side.scores) for side in sides]
    groups = cut(before.inputs, after.inputs, columns)
    slices = {column: decompose(column, losses[0], losses[1], *parted) for column, parted in groups.items()}
    change = float(losses[1].mean() - losses[0].mean())
    shifts = _shifts(project, policy, before, after)
    error = float(sum(values.var(ddof=1) / values.size for values in losses if values.size > 1)) ** 0.5
    is_sure = abs(change) > SURE * error
    causes = _causes(policy.model, sides, slices, shifts, change) if is_sure else ()
    return StretchDifference(
        endpoint=policy.endpoint,
        first=(first.since, first.until),
        second=(second.since, second.until),
        rows=(before.truth.size, after.truth.size),
        versions=_versions(before, after),
        metrics={name: _metric(name, before, after) for name in ("auc", "log_loss", "brier", "accuracy")},
        loss=loss,
        change=change,
        error=error,
        slices=slices,
        mix={column: sum(part.mix for part in parts) for column, parts in slices.items()},
        shifts=shifts,
        causes=causes,
        attribution=_attribution(causes, told_change(change, loss, is_sure=is_sure)),
    )


def _side(project: Project, policy: Policy, stretch: Stretch, labels: pl.DataFrame) -> _Side:
    answers = _answers(project, policy.endpoint, stretch)
    known = labels.filter(pl.col("label").is_not_null()).sort("known_at").unique("entity", keep="last")
    known = known.select(pl.col("entity").cast(pl.String), pl.col("label").cast(pl.Boolean))
    rows = answers.join(known, on="entity", how="inner", maintain_order="left")
    if rows.is_empty():
        raise TooFewLabels(
            f"No answer of {policy.endpoint!r} from {stretch.since.isoformat()} to {stretch.until.isoformat()} has a "
            "label that is known.",
            why="Without the truth nobody can say how good the answers were.",
            fix=f"Choose another window: bucle monitor windows {policy.endpoint}",
        )
    return _Side(stretch, rows, _inputs(rows), rows["label"].to_numpy(), rows["score"].to_numpy().astype(np.float64))


def _answers(project: Project, endpoint: str, stretch: Stretch) -> pl.DataFrame:
    """What clients were answered for instants of a stretch: collected, or still in the log."""
    inside = pl.col("instant").is_between(stretch.since, stretch.until, closed="left")
    kept = serving.predictions(project, endpoint, since=stretch.since, until=stretch.until)
    both = pl.concat([kept, serving.live(project, endpoint)[0].filter(inside)])
    sound = (pl.col("arm") != SHADOW) & (pl.col("status") == "ok") & pl.col("score").is_finite()
    return both.filter(sound).unique(["prediction_id", "version", "arm"], keep="first", maintain_order=True)


def _inputs(rows: pl.DataFrame) -> pl.DataFrame:
    """What was asked and what feature views added, and which version answered."""
    texts = rows.select("request", "features").iter_rows()
    seen = [decode(asked or "{}", dict[str, Any]) | decode(added or "{}", dict[str, Any]) for asked, added in texts]
    frame = pl.DataFrame(seen, infer_schema_length=None, strict=False)
    return frame.with_columns(rows["version"].cast(pl.String).alias(VERSION))


def _versions(before: _Side, after: _Side) -> dict[str, tuple[int, int]]:
    old, new = (dict(side.answers["version"].value_counts().iter_rows()) for side in (before, after))
    return {str(number): (old.get(number, 0), new.get(number, 0)) for number in sorted({*old, *new})}


def _metric(name: Any, before: _Side, after: _Side) -> tuple[float, float]:
    return gates.measure(name, before.truth, before.scores), gates.measure(name, after.truth, after.scores)


def _shifts(project: Project, policy: Policy, before: _Side, after: _Side) -> tuple[FeatureShift, ...]:
    """How the features of all answers moved, over the bins of the version that gave most of them."""
    number = int(pl.concat([before.answers["version"], after.answers["version"]]).mode().max())  # type: ignore[arg-type]
    try:
        package = registry.load_package(project, registry.version(project, policy.model, number).digest)
    except NotFound:
        return ()
    if PROFILE not in package.files:
        return ()
    profile = decode(project.blobs.get(package.files[PROFILE]), monitoring.Profile, what="profile")
    windows = [_window(side, profile) for side in (before, after)]
    old, new = ({one.feature: one for one in monitoring.drift(profile, window)} for window in windows)
    counted = zip(windows[0].features, windows[1].features, strict=True)
    rules = monitoring.rules_of(project)
    found = [
        _shift(left, right, old[left.name], new[left.name], rules)
        for left, right in counted
        if left.name in old and left.name in new
    ]
    return tuple(sorted(found, key=lambda one: (-one.psi, one.feature)))


def _shift(
    left: monitoring.FeatureCounts,
    right: monitoring.FeatureCounts,
    before: monitoring.Drift,
    after: monitoring.Drift,
    rules: monitoring.Rules,
) -> FeatureShift:
    counts = (*left.counts, left.nulls), (*right.counts, right.nulls)
    psi = monitoring.psi(*counts)
    return FeatureShift(
        feature=left.name,
        psi=psi,
        before=before.psi,
        after=after.psi,
        mean_before=before.mean,
        mean_after=after.mean,
        drifted=psi >= rules.psi and monitoring.chi_square(*counts).p_value <= rules.alpha,
    )


def _window(side: _Side, profile: monitoring.Profile) -> monitoring.Window:
    """All answers of a side as one window, whichever version gave them."""
    frame = side.answers.with_columns(version=pl.lit(0, pl.Int64), arm=pl.lit(serving.CHAMPION))
    seen = monitoring.features_of(frame, profile)
    (window,) = monitoring.summarise(frame, seen, None, profile, since=side.stretch.since, until=side.stretch.until)
    return window


_SHIFTED = 0.2
"""A version whose share of the answers changed by more than this counts as another that answers."""

_LEAST_RATE = 0.02
"""A share of true labels that changed by less is not worth telling, however sure it is."""


def _causes(
    model: str,
    sides: Sequence[_Side],
    slices: Mapping[str, Sequence[Contribution]],
    shifts: Sequence[FeatureShift],
    change: float,
) -> tuple[Cause, ...]:
    """Another version, a slice that grew or fares otherwise, another share of true labels, features that moved."""
    rest = {column: parts for column, parts in slices.items() if column != VERSION}
    found = [
        *_of_version(model, slices.get(VERSION, ())),
        *_of_slice(headline(rest, change), change),
        *_of_labels(*sides),
        *_of_features(shifts),
    ]
    return tuple(replace(one, rank=rank, is_sole=len(found) == 1) for rank, one in enumerate(found, start=1))


def _of_version(model: str, parts: Sequence[Contribution]) -> Iterator[Cause]:
    """Another version answered; nothing where one version gave all answers."""
    moved = [part for part in parts if abs(part.share_after - part.share_before) > _SHIFTED]
    if moved:
        told = [f"{part.slice}: {part.share_before:.0%} -> {part.share_after:.0%} of the answers" for part in moved]
        most = max(moved, key=lambda part: part.share_before), max(moved, key=lambda part: part.share_after)
        old, new = (f"{model}@{part.slice.partition('=')[2]}" for part in most)
        lines = (*told, f"see why: bucle model compare {old} {new}")
        yield Cause(rank=0, kind="version", what="another version answers", evidence=lines)


def _of_slice(where: Contribution | None, change: float) -> Iterator[Cause]:
    if where is None:
        return
    held, part = where.change / change, where.share_after
    told = f"{where.slice} holds {held:.0%} of the change on {part:.0%} of the answers"
    shares = f"its share went from {where.share_before:.0%} to {where.share_after:.0%}: {where.mix:+.4g}"
    means = f"its loss went from {_number(where.before)} to {_number(where.after)}: {where.within:+.4g}"
    more = abs(where.mix) > abs(where.within)
    what = f"there are more or fewer of {where.slice}" if more else f"{where.slice} fares otherwise than before"
    yield Cause(rank=0, kind="data", what=what, evidence=(told, shares, means))


def _of_labels(before: _Side, after: _Side) -> Iterator[Cause]:
    """Whether more or less came true than before, beyond chance, with what the answers said of it."""
    was, now = float(before.truth.mean()), float(after.truth.mean())
    error = sum(rate * (1 - rate) / side.truth.size for rate, side in ((was, before), (now, after))) ** 0.5
    if abs(now - was) > max(SURE * error, _LEAST_RATE):
        said = f"the answers said {before.scores.mean():.1%} on average, then {after.scores.mean():.1%}"
        what = f"{now:.1%} of the labels are true, {was:.1%} were before"
        yield Cause(rank=0, kind="world", what=what, evidence=(said,))


def _of_features(shifts: Sequence[FeatureShift]) -> Iterator[Cause]:
    moved = [one for one in shifts if one.drifted]
    if moved:
        lines = tuple(f"{one.feature}: PSI {one.psi:.3g} between the two" for one in moved[:3])
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        yield Cause(rank=0, kind="feature", what=f"{moved[0].feature}{more} moved", evidence=lines)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _attribution(causes: Sequence[Cause], moved: str) -> str:
    listed = "; ".join(f"{one.rank}. {one.kind}: {one.what}" for one in causes)
    return f"{moved}{listed}." if listed else f"{moved.removesuffix(': ') or 'Nothing changed'}."
