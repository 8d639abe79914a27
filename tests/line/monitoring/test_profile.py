from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import decode, encode
from bucle.line import monitoring
from bucle.line.monitoring.bins import LATENCY_BINS, latency_bin, latency_quantile_us


@given(st.lists(st.none() | st.floats(allow_infinity=False), min_size=1, max_size=100))
def test_every_row_is_in_exactly_one_bin_whatever_the_numbers(values: list[float | None]) -> None:
    profile = monitoring.profile_of(pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)}))
    feature = profile.features[0]
    assert decode(encode(profile), monitoring.Profile) == profile
    assert sum(feature.counts) + feature.nulls == len(values)
    assert len(feature.counts) == len(feature.edges) + 1
    assert list(feature.edges) == sorted(set(feature.edges))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_a_value_rounded_to_float32_stays_in_its_bin(values: list[float]) -> None:
    values = [round(value, 3) for value in values]
    edges = np.array(monitoring.profile_of(pl.DataFrame({"x": values})).features[0].edges)
    # Where two values are themselves one float32 apart, no edge can hold.
    apart = np.diff(np.unique(values))
    if apart.size == 0 or apart.min() > 0.25:
        rounded = np.array(values, dtype=np.float32).astype(np.float64)
        assert (np.searchsorted(edges, values) == np.searchsorted(edges, rounded)).all()


def test_the_outer_bins_are_empty_in_the_reference() -> None:
    feature = monitoring.profile_of(pl.DataFrame({"x": np.random.default_rng(0).normal(size=5000)})).features[0]
    assert (feature.counts[0], feature.counts[-1]) == (0, 0)
    assert all(200 < count < 300 for count in feature.counts[1:-1])
    assert len(feature.counts) == 22


def test_a_value_that_most_rows_have_gets_a_bin_of_its_own() -> None:
    values = [0.0] * 900 + list(range(1, 101))
    feature = monitoring.profile_of(pl.DataFrame({"x": values})).features[0]
    assert feature.counts[1] == 900
    assert 0 < feature.edges[1] < 1


def test_a_constant_feature_tells_lower_and_higher_values_apart() -> None:
    feature = monitoring.profile_of(pl.DataFrame({"x": [7] * 10})).features[0]
    assert feature.counts == (0, 10, 0)
    assert np.searchsorted(feature.edges, [6.9, 7, 7.1]).tolist() == [0, 1, 2]


def test_categories_beyond_the_most_frequent_share_one_bin() -> None:
    frame = pl.DataFrame({"c": ["a"] * 5 + ["b"] * 3 + ["d", "c", None]})
    feature = monitoring.profile_of(frame, categories=2).features[0]
    assert (feature.categories, feature.counts, feature.nulls) == (("a", "b"), (5, 3, 2), 1)


def test_booleans_are_categories() -> None:
    feature = monitoring.profile_of(pl.DataFrame({"b": [True, True, False]})).features[0]
    assert (feature.kind, feature.categories) == ("categorical", ("true", "false"))


def test_a_profile_comes_back_from_its_json_equal(profile: monitoring.Profile) -> None:
    again = decode(encode(profile), monitoring.Profile)
    assert again == profile
    assert again.digest == profile.digest


def test_an_empty_frame_has_no_profile() -> None:
    with pytest.raises(monitoring.BadFrame):
        monitoring.profile_of(pl.DataFrame({"x": []}))


def test_a_column_that_is_no_feature_is_named() -> None:
    with pytest.raises(monitoring.BadFrame) as failed:
        monitoring.profile_of(pl.DataFrame({"x": [1], "when": [[1, 2]]}))
    assert failed.value.at == "when"


@given(st.lists(st.floats(1, 1e8), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_latency_quantiles_are_right_to_a_bins_width(latencies: list[float], share: float) -> None:
    values = np.sort(latencies)
    counts = np.bincount(latency_bin(values), minlength=LATENCY_BINS)
    exact = values[int(np.ceil(share * values.size - 1e-9)) - 1]
    got = latency_quantile_us(counts, share)
    assert got is not None
    assert exact / 1.045 <= got <= exact * 1.045


def test_without_requests_there_is_no_quantile() -> None:
    assert latency_quantile_us([0] * LATENCY_BINS, 0.5) is None


def test_a_profile_written_by_the_first_version_stays_readable() -> None:
    """Packages carry their `profile.json` for ever."""
    golden = (
        b'{"rows":4,"features":[{"name":"x","kind":"numeric","edges":[0.5,2.5],"categories":[],"counts":[0,3,0],'
        b'"nulls":1,"mean":1.5,"unit":0.001},{"name":"c","kind":"categorical","edges":[],"categories":["a"],'
        b'"counts":[3,1],"nulls":0,"mean":null,"unit":0.0}],"scores":[]}'
    )
    profile = decode(golden, monitoring.Profile)
    assert encode(profile) == golden
    assert profile.digest == "e6fce274c5bff7225439578da202ddc4b5eca60ba6dc86e94b3b76457b394e8a"
