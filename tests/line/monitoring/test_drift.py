from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from bucle.line import monitoring

SINCE = datetime(2013, 3, 1, tzinfo=UTC)
UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
Log = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
CARRIERS = np.array([f"c{number}" for number in range(60)])
ZIPF = 1 / np.arange(1, 61) / (1 / np.arange(1, 61)).sum()


def features_like(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """Awkward ones: heavy tails, a mass point, small integers, many rare categories."""
    columns: dict[str, object] = {f"normal{i}": rng.normal(size=rows) for i in range(4)}
    columns |= {f"tail{i}": rng.standard_cauchy(rows) for i in range(4)}
    columns |= {f"rain{i}": np.maximum(0, rng.normal(-1.5, 1, rows)) for i in range(4)}
    columns |= {f"hour{i}": rng.integers(0, 24, rows) for i in range(4)}
    columns |= {f"place{i}": rng.choice(CARRIERS, rows, p=ZIPF).tolist() for i in range(4)}
    return pl.DataFrame(columns)


def window_of(
    features: pl.DataFrame, profile: monitoring.Profile, scores: np.ndarray | None = None
) -> monitoring.Window:
    rows = features.height
    frame = pl.DataFrame(
        {
            "endpoint": ["e"] * rows,
            "model": ["m"] * rows,
            "version": [1] * rows,
            "arm": ["champion"] * rows,
            "row": [0] * rows,
            "at": pl.Series([SINCE] * rows, dtype=pl.Datetime("us", "UTC")),
            "instant": pl.Series([None] * rows, dtype=pl.Datetime("us", "UTC")),
            "entity": [""] * rows,
            "status": ["ok"] * rows,
            "latency_us": [1000] * rows,
            "score": np.full(rows, 0.5) if scores is None else scores,
        }
    )
    return monitoring.summarise(frame, features, None, profile, since=SINCE, until=UNTIL)[0]


@pytest.mark.parametrize("rows", [200, 1000, 20_000])
def test_the_same_distribution_is_no_drift_however_many_rows(rows: int) -> None:
    """Twenty awkward features, 60 windows: not one false alarm in 1,260 comparisons (0.06 windows were expected)."""
    rng = np.random.default_rng(rows)
    profile = monitoring.profile_of(features_like(rng, 30_000), rng.beta(2, 6, 30_000))
    alarms = sum(
        drift.drifted
        for _ in range(60 if rows < 20_000 else 10)
        for drift in monitoring.drift(profile, window_of(features_like(rng, rows), profile, rng.beta(2, 6, rows)))
    )
    assert alarms == 0


def test_the_p_value_alone_keeps_its_promise_at_200_rows() -> None:
    """With PSI and distance off, false alarms stay at alpha: 200 windows of 20 features at alpha 0.05 each."""
    rng = np.random.default_rng(11)
    profile = monitoring.profile_of(features_like(rng, 30_000))
    rules = monitoring.Rules(psi=1e-9, js=0.0, alpha=0.05, min_rows=1)
    alarms = sum(
        any(d.drifted for d in monitoring.drift(profile, window_of(features_like(rng, 200), profile), rules))
        for _ in range(200)
    )
    assert alarms <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_a_difference_too_small_to_matter_is_no_drift_in_a_million_rows() -> None:
    rng = np.random.default_rng(5)
    profile = monitoring.profile_of(pl.DataFrame({"x": rng.normal(size=200_000)}))
    found = monitoring.drift(profile, window_of(pl.DataFrame({"x": rng.normal(0.05, 1, 500_000)}), profile))[0]
    assert found.chi2_p < 1e-50
    assert not found.drifted


def test_a_handful_of_unseen_values_is_no_drift() -> None:
    rng = np.random.default_rng(6)
    profile = monitoring.profile_of(pl.DataFrame({"x": rng.normal(size=200_000)}))
    values = np.concatenate([rng.normal(size=29_700), rng.normal(60, 1, 300)])
    found = monitoring.drift(profile, window_of(pl.DataFrame({"x": values}), profile))[0]
    assert found.unseen == pytest.approx(0.01, abs=0.001)
    assert not found.drifted


def test_a_changed_unit_is_found_in_200_rows() -> None:
    rng = np.random.default_rng(4)
    profile = monitoring.profile_of(pl.DataFrame({"temp": rng.normal(8, 5, 20_000)}))
    fahrenheit = rng.normal(8, 5, 200) * 1.8 + 32
    found = monitoring.drift(profile, window_of(pl.DataFrame({"temp": fahrenheit}), profile))[0]
    assert found.drifted
    assert found.unseen > 0.9
    assert found.mean == pytest.approx(fahrenheit.mean(), rel=0.01)
    assert found.reference_mean == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_a_shift_of_half_a_deviation_is_found_in_1000_rows_nine_times_of_ten(shift: float) -> None:
    rng = np.random.default_rng(8)
    profile = monitoring.profile_of(pl.DataFrame({"x": rng.normal(size=20_000)}))
    found = sum(
        monitoring.drift(profile, window_of(pl.DataFrame({"x": rng.normal(shift, 1, 1000)}), profile))[0].drifted
        for _ in range(50)
    )
    assert found >= 45


def test_values_gone_missing_are_a_drift(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    half = features.with_columns(carrier=pl.when(pl.int_range(pl.len()) % 2 == 0).then("carrier"))
    window = monitoring.summarise(frame, half, None, profile, since=SINCE, until=UNTIL)[0]
    drifted = [drift for drift in monitoring.drift(profile, window) if drift.drifted]
    assert [drift.feature for drift in drifted] == ["carrier"]
    assert drifted[0].nulls == pytest.approx(0.5, abs=0.05)


def test_a_new_category_is_unseen(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    window = monitoring.summarise(
        frame, features.with_columns(carrier=pl.lit("ZZ")), None, profile, since=SINCE, until=UNTIL
    )[0]
    found = next(drift for drift in monitoring.drift(profile, window) if drift.feature == "carrier")
    assert (found.unseen, found.drifted, found.ks) == (1.0, True, None)


def test_answers_that_moved_are_a_prediction_drift(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    moved = frame.with_columns(score=pl.col("score") * 0.5 + 0.4)
    window = monitoring.summarise(moved, features, None, profile, since=SINCE, until=UNTIL)[0]
    last = monitoring.drift(profile, window)[-1]
    assert (last.kind, last.drifted) == ("prediction", True)
    assert last.mean == pytest.approx(moved.filter(pl.col("version") == window.version)["score"].mean(), abs=0.001)


def test_too_few_rows_are_not_judged() -> None:
    profile = monitoring.profile_of(pl.DataFrame({"x": np.arange(1000.0)}))
    found = monitoring.drift(profile, window_of(pl.DataFrame({"x": np.full(199, 5000.0)}), profile))[0]
    assert found.psi > 5
    assert not found.drifted


def test_a_feature_without_rows_is_left_out(
    counted: Callable[..., monitoring.Window], profile: monitoring.Profile
) -> None:
    assert monitoring.drift(profile, counted("champion")) == ()


def test_a_column_that_was_all_null_in_training_can_be_compared() -> None:
    profile = monitoring.profile_of(pl.DataFrame({"x": pl.Series([None] * 500, dtype=pl.Float64)}))
    found = monitoring.drift(profile, window_of(pl.DataFrame({"x": np.arange(500.0)}), profile))[0]
    assert (found.reference_nulls, found.nulls, found.drifted, found.ks) == (1.0, 0.0, True, None)


def test_a_window_over_another_profile_is_refused(counted: Callable[..., monitoring.Window]) -> None:
    other = monitoring.profile_of(pl.DataFrame({"x": [1.0]}))
    with pytest.raises(monitoring.ProfileMismatch):
        monitoring.drift(other, replace(counted("champion"), rows=1))
