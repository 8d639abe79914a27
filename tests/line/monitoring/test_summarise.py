from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from bucle.line import monitoring

SINCE = datetime(2013, 3, 1, tzinfo=UTC)
UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
Log = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "version": st.integers(1, 3),
            "arm": st.sampled_from(["champion", "canary"]),
            "row": st.integers(0, 2),
            "minutes": st.integers(-100, 31 * 24 * 60 + 100),
            "instant": st.booleans(),
            "entity": st.integers(0, 20),
            "status": st.sampled_from(["ok", "ok", "ok", "error"]),
            "latency_us": st.none() | st.integers(0, 10**9),
            "score": st.none() | st.floats(0, 1) | st.just(float("nan")),
            "temp": st.none() | st.floats(allow_infinity=True),
            "carrier": st.none() | st.sampled_from(["UA", "B6", "ZZ"]),
        }
    ),
    max_size=40,
)
LABELS = pl.DataFrame(
    {
        "entity": [str(number) for number in range(0, 20, 2)],
        "label": [number % 4 == 0 for number in range(0, 20, 2)],
        "known_at": [SINCE] * 10,
    }
)


def cut(rows: list[dict[str, object]], profile: monitoring.Profile) -> list[monitoring.Window]:
    types = {"temp": pl.Float64, "carrier": pl.String}
    features = pl.DataFrame([{name: row[name] for name in types} for row in rows], schema=types).with_columns(
        rain=pl.lit(0.0), hour=pl.lit(7)
    )
    at = [SINCE + timedelta(minutes=row["minutes"]) for row in rows]  # type: ignore[arg-type]
    utc = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(
        {
            "endpoint": pl.Series(["e"] * len(rows), dtype=pl.String),
            "model": pl.Series(["m"] * len(rows), dtype=pl.String),
            "version": pl.Series([row["version"] for row in rows], dtype=pl.Int64),
            "arm": pl.Series([row["arm"] for row in rows], dtype=pl.String),
            "row": pl.Series([row["row"] for row in rows], dtype=pl.Int64),
            "at": pl.Series(at, dtype=utc),
            "instant": pl.Series([a if row["instant"] else None for a, row in zip(at, rows, strict=True)], dtype=utc),
            "entity": pl.Series([str(row["entity"]) for row in rows], dtype=pl.String),
            "status": pl.Series([row["status"] for row in rows], dtype=pl.String),
            "latency_us": pl.Series([row["latency_us"] for row in rows], dtype=pl.Int64),
            "score": pl.Series([row["score"] for row in rows], dtype=pl.Float64),
        }
    )
    return monitoring.summarise(frame, features, LABELS, profile, since=SINCE, until=UNTIL)


@settings(deadline=None)
@given(ROWS, ROWS)
def test_the_summary_of_two_logs_is_the_merge_of_their_summaries(
    profile: monitoring.Profile, left: list[dict[str, object]], right: list[dict[str, object]]
) -> None:
    whole = cut([*left, *right], profile)
    assert whole == monitoring.merge_all([*cut(left, profile), *cut(right, profile)])


@settings(deadline=None)
@given(ROWS)
def test_every_count_is_the_one_made_by_hand(profile: monitoring.Profile, rows: list[dict[str, object]]) -> None:
    within = [row for row in rows if 0 <= row["minutes"] < 31 * 24 * 60]  # type: ignore[operator]
    expected = Counter((row["version"], row["arm"]) for row in within)
    windows = cut(rows, profile)
    assert {(w.version, w.arm): w.rows for w in windows} == expected
    for window in windows:
        mine = [row for row in within if (row["version"], row["arm"]) == (window.version, window.arm)]
        good = [row for row in mine if row["status"] == "ok" and row["score"] == row["score"]]
        assert window.errors == len(mine) - len(good)
        assert window.requests == sum(row["row"] == 0 for row in mine)
        assert sum(window.latencies) == sum(row["row"] == 0 and row["latency_us"] is not None for row in mine)
        assert sum(window.scores) == sum(row["score"] is not None for row in good)
        carriers = dict(zip((f.name for f in window.features), window.features, strict=True))["carrier"]
        assert carriers.counts[profile.features[3].categories.index("UA")] == sum(r["carrier"] == "UA" for r in good)
        assert carriers.counts[-1] == sum(row["carrier"] == "ZZ" for row in good)
        assert carriers.nulls == sum(row["carrier"] is None for row in good)
        temp = window.features[0]
        assert sum(temp.counts) + temp.nulls == len(good)
        labelled = [r for r in good if r["score"] is not None and r["entity"] % 2 == 0 and r["entity"] < 20]  # type: ignore[operator]
        assert window.labelled == len(labelled)
        assert sum(window.positives) == sum(row["entity"] % 4 == 0 for row in labelled)  # type: ignore[operator]


def test_quality_of_a_window_agrees_with_scikit_learn_on_the_rows(log: Log, profile: monitoring.Profile) -> None:
    frame, features, labels = log
    windows = monitoring.summarise(frame, features, labels, profile, since=SINCE, until=UNTIL)
    for window in windows:
        mine = frame["version"] == window.version
        truth, score = labels.filter(mine)["label"].to_numpy(), frame.filter(mine)["score"].to_numpy()
        found = monitoring.quality(window)
        assert found.auc == pytest.approx(roc_auc_score(truth, score), abs=0.001)
        assert found.log_loss == pytest.approx(log_loss(truth, score), abs=1e-8)
    everyone = monitoring.quality(*windows)
    assert everyone.labelled == frame.height
    assert everyone.auc == pytest.approx(roc_auc_score(labels["label"], frame["score"]), abs=0.001)
    assert (everyone.version, everyone.arm) == (0, "")


def test_the_mean_of_a_feature_survives_as_whole_numbers(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    window = monitoring.merge_all(
        monitoring.summarise(
            frame.with_columns(version=1, arm=pl.lit("x")), features, None, profile, since=SINCE, until=UNTIL
        )
    )[0]
    found = {drift.feature: drift for drift in monitoring.drift(profile, window)}
    assert found["temp"].mean == pytest.approx(features["temp"].mean(), abs=1e-3)
    assert found["hour"].mean == pytest.approx(features["hour"].mean(), abs=1e-3)


def test_latencies_of_a_window_are_those_of_its_requests(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    window = monitoring.summarise(frame, features, None, profile, since=SINCE, until=UNTIL)[0]
    exact = np.quantile(frame.filter(pl.col("version") == window.version)["latency_us"].to_numpy(), 0.95) / 1000
    assert window.latency_ms(0.95) == pytest.approx(exact, rel=0.045)


def test_labels_not_known_by_an_instant_do_not_count(log: Log, profile: monitoring.Profile) -> None:
    frame, features, labels = log
    middle = SINCE + timedelta(days=15)
    seen = monitoring.summarise(frame, features, labels, profile, since=SINCE, until=UNTIL, known_by=middle)
    assert sum(w.labelled for w in seen) == (labels["known_at"] <= middle).sum()
    assert sum(w.rows for w in seen) == frame.height


def test_of_several_labels_the_last_known_counts_and_a_null_is_none(profile: monitoring.Profile, log: Log) -> None:
    frame, features = log[0].head(1), log[1].head(1)
    labels = pl.DataFrame(
        {
            "entity": [frame["entity"][0]] * 3,
            "label": [True, False, None],
            "known_at": [SINCE, SINCE + timedelta(hours=1), SINCE + timedelta(hours=2)],
        }
    )
    window = monitoring.summarise(frame, features, labels, profile, since=SINCE, until=UNTIL)[0]
    assert (window.labelled, sum(window.negatives)) == (1, 1)


def test_windows_of_days_add_up_to_that_of_the_month(log: Log, profile: monitoring.Profile) -> None:
    frame, features, labels = log
    days = [
        window
        for day in range(31)
        for window in monitoring.summarise(
            frame, features, labels, profile, since=SINCE + timedelta(days=day), until=SINCE + timedelta(days=day + 1)
        )
    ]
    month = monitoring.summarise(frame, features, labels, profile, since=SINCE, until=UNTIL)
    assert monitoring.merge_all(days) == month


def test_features_come_out_of_the_log_as_json(profile: monitoring.Profile) -> None:
    frame = pl.DataFrame(
        {
            "request": ['{"carrier":"UA","hour":7,"id":3}', '{"carrier":null,"hour":8}'],
            "features": ['{"temp":3.5,"rain":0}', '{"temp":null,"rain":1.5}'],
        }
    )
    found = monitoring.features_of(frame, profile)
    assert found.to_dict(as_series=False) == {
        "temp": [3.5, None],
        "rain": [0.0, 1.5],
        "hour": [7.0, 8.0],
        "carrier": ["UA", None],
    }


def test_a_logged_feature_of_another_kind_is_an_error(profile: monitoring.Profile) -> None:
    frame = pl.DataFrame({"request": ['{"hour":"soon"}'], "features": ["{}"]})
    with pytest.raises(monitoring.BadFrame):
        monitoring.features_of(frame, profile)


def test_a_missing_feature_is_named_with_the_near_miss(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    with pytest.raises(monitoring.FeatureMissing) as failed:
        monitoring.summarise(frame, features.rename({"carrier": "carier"}), None, profile, since=SINCE, until=UNTIL)
    assert failed.value.at == "carrier"
    assert failed.value.fix == "Did you mean 'carier'?"


def test_a_missing_column_of_the_log_is_named(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    with pytest.raises(monitoring.BadFrame, match="latency_us"):
        monitoring.summarise(frame.drop("latency_us"), features, None, profile, since=SINCE, until=UNTIL)


def test_features_that_do_not_pair_up_are_refused(log: Log, profile: monitoring.Profile) -> None:
    frame, features, _ = log
    with pytest.raises(monitoring.BadFrame, match="pair up"):
        monitoring.summarise(frame, features.head(5), None, profile, since=SINCE, until=UNTIL)


@pytest.mark.parametrize("labels", [pl.DataFrame({"entity": ["f1"]}), None])
def test_labels_that_are_no_labels_are_refused(log: Log, profile: monitoring.Profile, labels: object) -> None:
    frame, features, known = log
    bad = labels if labels is not None else known.with_columns(label=pl.lit(2))
    with pytest.raises(monitoring.BadFrame):
        monitoring.summarise(frame, features, bad, profile, since=SINCE, until=UNTIL)  # type: ignore[arg-type]


def test_no_row_gives_no_window(log: Log, profile: monitoring.Profile) -> None:
    frame, features, labels = log
    later = UNTIL + timedelta(days=1)
    assert monitoring.summarise(frame, features, labels, profile, since=UNTIL, until=later) == []
    assert monitoring.summarise(frame.head(0), features.head(0), labels, profile, since=SINCE, until=UNTIL) == []
