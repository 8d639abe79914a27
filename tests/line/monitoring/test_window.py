from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import decode, encode
from bucle.line import monitoring
from bucle.line.monitoring.bins import LATENCY_BINS, SCORE_BINS

PROFILE = monitoring.Profile(
    rows=10,
    features=(
        monitoring.FeatureProfile(
            name="x", kind="numeric", edges=(0.0, 1.0), categories=(), counts=(0, 10, 0), nulls=0, mean=0.5, unit=0.001
        ),
        monitoring.FeatureProfile(
            name="c", kind="categorical", edges=(), categories=("a",), counts=(7, 3), nulls=0, mean=None, unit=0.0
        ),
    ),
    scores=(),
)
SMALL = st.integers(0, 2**40)


def histogram(bins: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Mostly empty, as real ones are."""
    return st.dictionaries(st.integers(0, bins - 1), SMALL, max_size=4).map(
        lambda filled: tuple(filled.get(index, 0) for index in range(bins))
    )


def feature(name: str, width: int) -> st.SearchStrategy[monitoring.FeatureCounts]:
    return st.builds(
        monitoring.FeatureCounts,
        name=st.just(name),
        counts=st.tuples(*[SMALL] * width),
        nulls=SMALL,
        total=st.integers(-(2**60), 2**60),
    )


INSTANTS = st.datetimes(datetime(2013, 1, 1), datetime(2013, 12, 31), timezones=st.just(UTC))
WINDOWS = st.builds(
    monitoring.Window,
    endpoint=st.just("e"),
    model=st.just("m"),
    version=st.just(1),
    arm=st.just("champion"),
    profile=st.just(PROFILE.digest),
    since=INSTANTS,
    until=INSTANTS,
    rows=SMALL,
    errors=SMALL,
    requests=SMALL,
    failures=SMALL,
    features=st.tuples(feature("x", 3), feature("c", 2)),
    scores=histogram(SCORE_BINS),
    positives=histogram(SCORE_BINS),
    negatives=histogram(SCORE_BINS),
    log_loss_nano=SMALL,
    brier_nano=SMALL,
    latencies=histogram(LATENCY_BINS),
)


@given(WINDOWS, WINDOWS, WINDOWS)
def test_merge_is_associative(a: monitoring.Window, b: monitoring.Window, c: monitoring.Window) -> None:
    assert monitoring.merge(monitoring.merge(a, b), c) == monitoring.merge(a, monitoring.merge(b, c))


@given(WINDOWS, WINDOWS)
def test_merge_is_commutative(a: monitoring.Window, b: monitoring.Window) -> None:
    assert monitoring.merge(a, b) == monitoring.merge(b, a)


@given(WINDOWS)
def test_the_empty_window_is_neutral(a: monitoring.Window) -> None:
    empty = monitoring.empty_window("e", "m", 1, "champion", PROFILE)
    assert monitoring.merge(a, empty) == a == monitoring.merge(empty, a)


@given(st.lists(WINDOWS, min_size=1, max_size=4), st.randoms())
def test_merge_all_does_not_mind_the_order(windows: list[monitoring.Window], random: object) -> None:
    shuffled = list(windows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert monitoring.merge_all(shuffled) == monitoring.merge_all(windows) == [reduce(monitoring.merge, windows)]


@given(WINDOWS)
def test_a_window_comes_back_from_its_json_equal(a: monitoring.Window) -> None:
    assert decode(encode(a), monitoring.Window) == a


def test_an_empty_window_comes_back_from_its_json_equal() -> None:
    empty = monitoring.empty_window("e", "m", 1, "champion", PROFILE)
    assert decode(encode(empty), monitoring.Window) == empty


@pytest.mark.parametrize("other", [{"version": 2}, {"arm": "canary"}])
def test_windows_of_different_versions_do_not_merge(
    counted: Callable[..., monitoring.Window], other: dict[str, object]
) -> None:
    left = counted("champion", version=1)
    right = counted(str(other.get("arm", "champion")), version=other.get("version", 1))
    with pytest.raises(monitoring.ProfileMismatch):
        monitoring.merge(left, right)
    assert len(monitoring.merge_all([left, right])) == 2


def test_the_span_of_a_merge_holds_both(counted: Callable[..., monitoring.Window]) -> None:
    day = timedelta(days=1)
    start = datetime(2013, 3, 1, tzinfo=UTC)
    first = counted("champion", since=start, until=start + day)
    third = counted("champion", since=start + 2 * day, until=start + 3 * day)
    merged = monitoring.merge(third, first)
    assert (merged.since, merged.until) == (start, start + 3 * day)
