"""From the prediction log to windows: one pass over the columns, no row is looked at twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bucle.ground.core import as_utc, suggest
from bucle.line.monitoring.bins import LATENCY_BINS, SCORE_BINS, latency_bin, score_bin
from bucle.line.monitoring.errors import BadFrame, FeatureMissing
from bucle.line.monitoring.profile import FeatureProfile, Profile
from bucle.line.monitoring.quality import label_losses
from bucle.line.monitoring.window import FeatureCounts, Window

__all__ = ["features_of", "summarise"]

_KEY = ("endpoint", "model", "version", "arm")
_COLUMNS = (*_KEY, "row", "at", "instant", "entity", "status", "latency_us", "score")
_FAILED = (pl.col("status") != "ok") | pl.col("score").cast(pl.Float64).is_nan().fill_null(False)
"""A null score is a model without one; NaN is a model that answered nonsense."""
_MOST_UNITS = 2.0**31
"""One value moves a sum by at most this many units, so that 4e9 of them stay within int64."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class _Groups:
    """The rows of a log cut by version and arm."""

    keys: list[tuple[str, str, int, str]]
    codes: Ints

    def count(self, bins: Ints, width: int, rows: Flags | None = None) -> Ints:
        """int64[groups, width]: rows per bin, all rows or the chosen ones."""
        codes = self.codes if rows is None else self.codes[rows]
        chosen = bins if rows is None else bins[rows]
        flat = chosen if len(self.keys) == 1 else codes * width + chosen
        return np.bincount(flat, minlength=len(self.keys) * width).reshape(len(self.keys), width)

    def total(self, values: Ints, rows: Flags | None = None) -> Ints:
        """int64[groups]: the exact sum of whole numbers."""
        codes = self.codes if rows is None else self.codes[rows]
        chosen = values if rows is None else values[rows]
        if len(self.keys) == 1:
            return np.array([chosen.sum()])
        return np.array([chosen[codes == code].sum() for code in range(len(self.keys))])


def summarise(
    frame: pl.DataFrame,
    features: pl.DataFrame,
    labels: pl.DataFrame | None,
    profile: Profile,
    *,
    since: datetime,
    until: datetime,
    known_by: datetime | None = None,
) -> list[Window]:
    """The windows of a stretch of the prediction log, one a version and arm, sorted by these.

    Args:
        frame: one row a prediction: `endpoint, model, version, arm, row, at, instant, entity, status, latency_us,
            score`, as `serving.frame_of` gives them. What was asked `at` some time for another `instant` belongs to
            that instant.
        features: the same rows in the same order; a column for every feature of the profile, others are left alone.
        labels: `entity, label, known_at`, or None; a null label is not known yet, of several for one entity the last
            known counts.
        profile: the reference of the version that answered; filter by version first where versions have their own.
        since: from this instant on.
        until: before this instant.
        known_by: only labels known by then count; all unless given.
    Returns:
        No window for a version without a row in the stretch.
    Raises:
        BadFrame: a column is missing, the rows do not pair up, or a label is neither true nor false.
        FeatureMissing: a feature of the profile is not among the columns.
    Cost: linear; about 1 ms per 1,000 rows of 20 features, the JSON of `features_of` not counted.
    """
    _check(frame, features, profile)
    inside = _instants(frame).is_between(as_utc(since), as_utc(until), closed="left")
    if not inside.all():
        frame, features = frame.filter(inside), features.filter(inside) if features.width else features
    if frame.height == 0:
        return []
    groups, scores = _groups(frame), _floats(frame["score"])
    failed = frame.select(_FAILED).to_series().to_numpy()
    truth = _truth(frame["entity"], labels, known_by)
    fields = {**_answers(frame, scores, failed, groups), **_quality(scores, failed, truth, groups)}
    counted = _features(features, profile, groups, ~failed if failed.any() else None)
    digest = profile.digest
    return [
        Window(
            endpoint=key[0],
            model=key[1],
            version=key[2],
            arm=key[3],
            profile=digest,
            since=as_utc(since),
            until=as_utc(until),
            features=tuple(feature[group] for feature in counted),
            **{name: _plain(values[group]) for name, values in fields.items()},
        )
        for group, key in sorted(enumerate(groups.keys), key=lambda pair: pair[1])
    ]


def features_of(frame: pl.DataFrame, profile: Profile) -> pl.DataFrame:
    """The profile's features out of the log's JSON: from `features`, or from `request` where there is none there.

    Raises:
        BadFrame: the frame has neither column, or a value does not fit its feature's kind.
    """
    types: dict[str, Any] = {
        feature.name: pl.Float64 if feature.kind == "numeric" else pl.String for feature in profile.features
    }
    sources = [name for name in ("features", "request") if name in frame.columns]
    if not sources:
        raise BadFrame("The frame has neither `features` nor `request`.", fix="Pass serving.frame_of(records).")
    if not types:
        return pl.DataFrame()
    try:
        decoded = [frame[name].cast(pl.String).str.json_decode(pl.Struct(types)).struct.unnest() for name in sources]
    except pl.exceptions.PolarsError as error:
        raise BadFrame(
            f"The logged features do not fit the profile: {error}.",
            why="A feature the profile knows as a number was logged as something else, or the other way round.",
            fix="Use the profile of the version that answered.",
        ) from error
    return pl.DataFrame([_first_known([part[name] for part in decoded]) for name in types])


def _first_known(found: Sequence[pl.Series]) -> pl.Series:
    result = found[0]
    for other in found[1:]:
        if result.null_count():
            result = result.zip_with(result.is_not_null(), other)
    return result


def _check(frame: pl.DataFrame, features: pl.DataFrame, profile: Profile) -> None:
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise BadFrame(f"The prediction frame lacks {', '.join(missing)}.", fix="Pass serving.frame_of(records).")
    if profile.features and features.height != frame.height:
        raise BadFrame(
            f"{frame.height} predictions and {features.height} rows of features do not pair up.",
            fix="Pass the features of the same rows in the same order: monitoring.features_of(frame, profile).",
        )
    for feature in profile.features:
        if feature.name not in features.columns:
            raise FeatureMissing(
                f"The frame has no feature {feature.name!r}, which the profile counts.",
                why=f"It has: {', '.join(features.columns)}.",
                fix=suggest(feature.name, features.columns) or "Use the profile of the version that answered.",
                at=feature.name,
            )


def _instants(frame: pl.DataFrame) -> pl.Series:
    columns = [_as_instant(frame[name]) for name in ("instant", "at")]
    return columns[0] if columns[0].null_count() == 0 else columns[0].zip_with(columns[0].is_not_null(), columns[1])


def _as_instant(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        column = column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        column = column.dt.replace_time_zone("UTC")
    return column.cast(pl.Datetime("us", "UTC"))


def _groups(frame: pl.DataFrame) -> _Groups:
    keys = frame.select(_KEY).unique().sort(_KEY)
    rows = [(str(row[0]), str(row[1]), int(row[2]), str(row[3])) for row in keys.iter_rows()]
    if len(rows) == 1:
        return _Groups(rows, np.zeros(frame.height, dtype=np.int64))
    varying = [name for name in _KEY if keys[name].n_unique() > 1]
    coded = keys.select(varying).with_columns(pl.Series("code", np.arange(keys.height)))
    joined = frame.select(varying).join(coded, on=varying, how="left", maintain_order="left", nulls_equal=True)
    return _Groups(rows, joined["code"].to_numpy())


def _answers(frame: pl.DataFrame, scores: Floats, failed: Flags, groups: _Groups) -> dict[str, Ints]:
    scored = np.isfinite(scores) & ~failed
    first = (frame["row"] == 0).to_numpy()
    latency = _floats(frame["latency_us"])
    timed = first & np.isfinite(latency)
    by_row = groups.count(failed.astype(np.int64), 2)
    by_request = groups.count(failed.astype(np.int64), 2, first)
    return {
        "rows": by_row.sum(axis=1),
        "errors": by_row[:, 1],
        "requests": by_request.sum(axis=1),
        "failures": by_request[:, 1],
        "scores": groups.count(score_bin(np.where(scored, scores, 0.0)), SCORE_BINS, scored),
        "latencies": groups.count(latency_bin(np.where(timed, latency, 1.0)), LATENCY_BINS, timed),
    }


def _quality(scores: Floats, failed: Flags, truth: Floats, groups: _Groups) -> dict[str, Ints]:
    known = np.isfinite(truth) & np.isfinite(scores) & ~failed
    came_true = truth == 1.0
    bins = score_bin(np.where(known, scores, 0.0))
    log_loss, brier = label_losses(np.where(known, scores, 0.5), came_true)
    return {
        "positives": groups.count(bins, SCORE_BINS, known & came_true),
        "negatives": groups.count(bins, SCORE_BINS, known & ~came_true),
        "log_loss_nano": groups.total(log_loss, known),
        "brier_nano": groups.total(brier, known),
    }


def _truth(entities: pl.Series, labels: pl.DataFrame | None, known_by: datetime | None) -> Floats:
    """float64[n]: 1, 0, or NaN where the label is not known."""
    if labels is None or labels.height == 0:
        return np.full(entities.len(), np.nan)
    missing = [name for name in ("entity", "label", "known_at") if name not in labels.columns]
    if missing:
        raise BadFrame(f"The labels lack {', '.join(missing)}.", fix="Pass columns entity, label and known_at.")
    known = labels.select(pl.col("entity").cast(pl.String), pl.col("label").cast(pl.Float64), "known_at")
    known = known.with_columns(_as_instant(known["known_at"])).filter(pl.col("label").is_not_null())
    if known_by is not None:
        known = known.filter(pl.col("known_at") <= as_utc(known_by))
    if not known["label"].is_in([0.0, 1.0]).all():
        raise BadFrame("A label is neither true nor false.", fix="Give booleans, or 0 and 1; null while not known.")
    if known["entity"].is_duplicated().any():
        known = known.sort("known_at").unique("entity", keep="last")
    asked = pl.DataFrame({"entity": entities.cast(pl.String)})
    return _floats(asked.join(known, on="entity", how="left", maintain_order="left")["label"])


def _features(
    features: pl.DataFrame, profile: Profile, groups: _Groups, answered: Flags | None
) -> list[list[FeatureCounts]]:
    return [_feature(features[feature.name], feature, groups, answered) for feature in profile.features]


def _feature(
    column: pl.Series, feature: FeatureProfile, groups: _Groups, answered: Flags | None
) -> list[FeatureCounts]:
    width = len(feature.counts)
    if feature.kind == "numeric":
        bins, units = _numeric(column, feature)
        totals = groups.total(units, answered)
    else:
        bins, totals = _categorical(column, feature), np.zeros(len(groups.keys), dtype=np.int64)
    counts = groups.count(bins, width + 1, answered).tolist()
    return [
        FeatureCounts(name=feature.name, counts=tuple(row[:width]), nulls=row[width], total=total)
        for row, total in zip(counts, totals.tolist(), strict=True)
    ]


def _numeric(column: pl.Series, feature: FeatureProfile) -> tuple[Ints, Ints]:
    """Each value's bin, nulls in one after the last, and its distance from the mean in whole units."""
    values = _floats(column)
    bins = np.searchsorted(np.array(feature.edges), values)
    with np.errstate(over="ignore"):
        units = (values - (feature.mean or 0.0)) / feature.unit
    np.clip(np.rint(units, out=units), -_MOST_UNITS, _MOST_UNITS, out=units)
    missing = np.isnan(values)
    if missing.any():
        bins[missing] = len(feature.counts)
        units[missing] = 0.0
    return bins, units.astype(np.int64)


def _categorical(column: pl.Series, feature: FeatureProfile) -> Ints:
    """Each value's bin: its category's, the one for the rest, or the one for nulls."""
    rest = len(feature.categories)
    codes = pl.Series(np.arange(rest, dtype=np.int64))
    known = pl.Series(feature.categories, dtype=pl.String)
    found = column.cast(pl.String).replace_strict(known, codes, default=rest, return_dtype=pl.Int64)
    # `default` also takes the nulls, which have a bin of their own.
    return np.where(column.is_null().to_numpy(), rest + 1, found.to_numpy())


def _floats(column: pl.Series) -> Floats:
    """The column as float64, null as NaN."""
    return column.cast(pl.Float64).to_numpy()


def _plain(values: Any) -> Any:
    return tuple(values.tolist()) if np.ndim(values) else int(values)
