from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.line import contracts
from bucle.line.contracts import ColumnRule, Comparator, Contract

COUNTS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=30).filter(
    lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
)


@given(COUNTS)
@pytest.mark.parametrize("measure", [contracts.l_infinity, contracts.jensen_shannon], ids=["l_infinity", "jensen"])
def test_a_distance_is_symmetric_bounded_and_zero_on_equal(measure, pairs) -> None:  # type: ignore[no-untyped-def]
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    assert measure(one, other) == pytest.approx(measure(other, one), abs=1e-12)
    assert 0 <= measure(one, other) <= 1
    assert measure(one, one) == 0
    assert measure(one, [3 * count for count in one]) == pytest.approx(0, abs=1e-7)


CONTRACT = Contract(
    table="t",
    columns=(
        ColumnRule(name="n", drift=Comparator(threshold=0.15)),
        ColumnRule(name="c", drift=Comparator(threshold=0.1), skew=Comparator(threshold=0.1)),
        ColumnRule(name="at", drift=Comparator(threshold=0.2)),
        ColumnRule(name="b", drift=Comparator(threshold=0.1)),
    ),
)
START = datetime(2013, 1, 1, tzinfo=UTC)


def rows(seed: int, *, shift: float = 0.0, tilt: float = 0.0, days: int = 0, size: int = 5000) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "n": random.normal(shift, 1, size),
            "c": random.choice(["x", "y", "z"], size, p=[0.5 - tilt, 0.3 + tilt, 0.2]),
            "at": [START + timedelta(days=days, minutes=int(m)) for m in random.integers(0, 40000, size)],
            "b": random.random(size) < 0.4 + tilt,
        }
    )


def drifted(now: pl.DataFrame, before: pl.DataFrame, which: str = "previous") -> list[tuple[str, str]]:
    report = contracts.check(now, CONTRACT, **{which: contracts.distributions(before, CONTRACT)})  # type: ignore[arg-type]
    return [(b.column, b.rule) for b in report.breaches]


def test_another_sample_of_the_same_does_not_drift_and_a_changed_one_does() -> None:
    assert drifted(rows(1), rows(2)) == []
    assert drifted(rows(1, shift=1.0), rows(2)) == [("n", "drift")]
    assert drifted(rows(1, tilt=0.2), rows(2)) == [("c", "drift"), ("b", "drift")]
    assert drifted(rows(1, days=20), rows(2)) == [("at", "drift")]
    assert drifted(rows(1, tilt=0.2), rows(2), "training") == [("c", "skew")]


def test_a_value_never_seen_before_counts() -> None:
    now = rows(1).with_columns(c=pl.when(pl.col("c") == "z").then(pl.lit("new")).otherwise("c"))
    assert drifted(now, rows(2)) == [("c", "drift")]


def test_without_rows_to_compare_with_a_comparator_is_skipped_and_the_report_says_so() -> None:
    report = contracts.check(rows(1), CONTRACT)
    assert report.passed
    assert len(report.skipped) == 5
    assert drifted(rows(1).clear(), rows(2)) == []
    assert drifted(rows(1), rows(2).clear()) == []


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-3, 3)), max_size=60), st.lists(st.text(max_size=1)))
@settings(deadline=None)
def test_rows_never_drift_from_themselves(numbers: list[float | None], texts: list[str]) -> None:
    for name, values in (
        ("n", pl.Series(numbers, dtype=pl.Float64, strict=False)),
        ("c", pl.Series(texts, dtype=pl.String)),
    ):
        frame = pl.DataFrame({name: values})
        contract = Contract(table="t", columns=(ColumnRule(name=name, drift=Comparator(threshold=0.0)),))
        before = contracts.distributions(frame, contract)
        assert contracts.check(frame, contract, previous=before).passed
        assert before[name].total == frame[name].fill_nan(None).drop_nulls().len() if name == "n" else True
