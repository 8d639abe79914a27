"""Window: what one version answered in one stretch of time, as counts that add up.

Laws: over one key and one profile, `merge` is associative and commutative with `empty_window` as its neutral element,
and `summarise(a + b) == merge(summarise(a), summarise(b))`. Every field is a whole number or the end of a time span, so
the laws hold to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bucle.ground.core import Digest, Record
from bucle.line.monitoring.bins import LATENCY_BINS, SCORE_BINS, latency_quantile_us
from bucle.line.monitoring.errors import ProfileMismatch
from bucle.line.monitoring.profile import FeatureProfile, Profile

__all__ = ["FeatureCounts", "Window", "empty_window", "merge", "merge_all"]

_NEVER_YET = datetime.max.replace(tzinfo=UTC)
_NEVER_AGAIN = datetime.min.replace(tzinfo=UTC)


class FeatureCounts(Record, frozen=True):
    """One feature within a window.

    Attributes:
        name: the feature's name.
        counts: rows per bin of the profile's `FeatureProfile`.
        nulls: rows without a value.
        total: numeric: the sum of (value - profile's mean) in the profile's `unit`.
    """

    name: str
    counts: tuple[int, ...]
    nulls: int
    total: int


class Window(Record, frozen=True):
    """Everything monitoring knows of one version's answers in a stretch of time.

    Attributes:
        endpoint: the endpoint.
        model: the model's name.
        version: its version.
        arm: `champion`, `canary` or `shadow`.
        profile: digest of the profile whose bins were counted over.
        since: from this instant on.
        until: before this instant.
        rows: predictions asked for.
        errors: of these, the ones that failed.
        requests: requests that carried them.
        failures: of these, the ones that failed.
        features: one a feature of the profile, in its order; rows that failed are not counted.
        scores: answers over `SCORE_BINS` bins.
        positives: answers whose label came true, over the same bins.
        negatives: answers whose label came false.
        log_loss_nano: sum over labelled answers, in 1e-9 nats.
        brier_nano: sum over labelled answers of the squared error, in 1e-9.
        latencies: requests over `LATENCY_BINS` bins.
    """

    endpoint: str
    model: str
    version: int
    arm: str
    profile: str
    since: datetime
    until: datetime
    rows: int
    errors: int
    requests: int
    failures: int
    features: tuple[FeatureCounts, ...]
    scores: tuple[int, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    log_loss_nano: int
    brier_nano: int
    latencies: tuple[int, ...]

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Endpoint, model, version, arm: what can be merged with what."""
        return self.endpoint, self.model, self.version, self.arm

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed; 0 when there was none."""
        return self.failures / self.requests if self.requests else 0.0

    @property
    def labelled(self) -> int:
        """Answers whose label is known."""
        return sum(self.positives) + sum(self.negatives)

    def latency_ms(self, share: float) -> float | None:
        """The latency that a share of the requests stays within, e.g. 0.95; None without a request."""
        found = latency_quantile_us(self.latencies, share)
        return None if found is None else found / 1000


def empty_window(endpoint: str, model: str, version: int, arm: str, profile: Profile) -> Window:
    """The window of no time and no answer: merging it with another changes nothing."""
    return Window(
        endpoint=endpoint,
        model=model,
        version=version,
        arm=arm,
        profile=profile.digest,
        since=_NEVER_YET,
        until=_NEVER_AGAIN,
        rows=0,
        errors=0,
        requests=0,
        failures=0,
        features=tuple(_nothing(feature) for feature in profile.features),
        scores=(0,) * SCORE_BINS,
        positives=(0,) * SCORE_BINS,
        negatives=(0,) * SCORE_BINS,
        log_loss_nano=0,
        brier_nano=0,
        latencies=(0,) * LATENCY_BINS,
    )


def merge(left: Window, right: Window) -> Window:
    """Two windows of one version and arm as one.

    The span is the smallest that holds both; that they do not overlap is the caller's care.

    Raises:
        ProfileMismatch: they are of different versions, arms or profiles.
    """
    if left.key != right.key or left.profile != right.profile:
        raise ProfileMismatch(
            f"The windows of {_name(left)} and {_name(right)} cannot be merged.",
            why="Only windows of one version and arm, counted over one profile, add up.",
            fix="Merge them by key: monitoring.merge_all(windows).",
        )
    return Window(
        endpoint=left.endpoint,
        model=left.model,
        version=left.version,
        arm=left.arm,
        profile=left.profile,
        since=min(left.since, right.since),
        until=max(left.until, right.until),
        rows=left.rows + right.rows,
        errors=left.errors + right.errors,
        requests=left.requests + right.requests,
        failures=left.failures + right.failures,
        features=tuple(_add_features(a, b) for a, b in zip(left.features, right.features, strict=True)),
        scores=_add(left.scores, right.scores),
        positives=_add(left.positives, right.positives),
        negatives=_add(left.negatives, right.negatives),
        log_loss_nano=left.log_loss_nano + right.log_loss_nano,
        brier_nano=left.brier_nano + right.brier_nano,
        latencies=_add(left.latencies, right.latencies),
    )


def merge_all(windows: Iterable[Window]) -> list[Window]:
    """Windows of many versions and stretches as one a version, arm and profile, sorted by these."""
    merged = dict[tuple[str, str, int, str, str], Window]()
    for window in windows:
        key = (*window.key, window.profile)
        merged[key] = merge(merged[key], window) if key in merged else window
    return [merged[key] for key in sorted(merged)]


def _add(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _add_features(left: FeatureCounts, right: FeatureCounts) -> FeatureCounts:
    return FeatureCounts(
        name=left.name,
        counts=_add(left.counts, right.counts),
        nulls=left.nulls + right.nulls,
        total=left.total + right.total,
    )


def _nothing(feature: FeatureProfile) -> FeatureCounts:
    return FeatureCounts(name=feature.name, counts=(0,) * len(feature.counts), nulls=0, total=0)


def _name(window: Window) -> str:
    return f"{window.endpoint}/{window.model}@{window.version} ({window.arm}, profile {Digest(window.profile)[:12]})"
