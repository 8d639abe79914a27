"""How far an output is from what it was: nothing counts as close that is farther than the tolerance says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.line.pipelines import Tolerance
from bucle.line.pipelines.deviation import deviation_of

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e300, max_value=1e300)


@given(st.lists(numbers, min_size=1, max_size=20), st.integers(0, 19), st.floats(0, 1e6))
def test_an_array_is_close_exactly_when_every_number_is(values: list[float], place: int, shift: float) -> None:
    then = np.array(values)
    now = then.copy()
    now[place % len(values)] += shift
    tolerance = Tolerance(relative=1e-3, absolute=1e-2)
    allowed = tolerance.absolute + tolerance.relative * np.abs(then)
    found = deviation_of("x", then, now, tolerance)
    assert found.is_close == bool((np.abs(now - then) <= allowed).all())
    assert found.largest == pytest.approx(float(np.abs(now - then).max()))


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | numbers,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_value_is_close_to_itself(value: Any) -> None:
    assert deviation_of("x", value, value, Tolerance(relative=0, absolute=0)).is_close


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        (np.array([1.0, 2.0]), np.array([1.0]), "float64"),
        (np.array([1.0]), np.array([1.0], dtype=np.float32), "float32"),
        (np.array([math.inf]), np.array([1.0]), "differ"),
        (np.array([math.nan]), np.array([1.0]), "differ"),
        ({"a": 1}, {"b": 1}, "became"),
        ({"a": [1, "x"]}, {"a": [1, "y"]}, "x became y"),
        ([1, 2], [1], "became"),
        (True, 1, "became"),
        (b"one", b"two!", "other 4 bytes"),
        (pl.DataFrame({"a": [1.0]}), pl.DataFrame({"a": [1.0, 2.0]}), "2 rows"),
        (pl.DataFrame({"a": [1.0, None]}), pl.DataFrame({"a": [1.0, 0.0]}), "nulls"),
        (pl.DataFrame({"a": ["x"]}), pl.DataFrame({"a": ["y"]}), "column a"),
        (pl.DataFrame({"a": [1.0]}), pl.DataFrame({"a": [1.1]}), "1 of 1 numbers differ"),
    ],
)
def test_what_is_no_matter_of_rounding_is_never_close(then: Any, now: Any, why: str) -> None:
    found = deviation_of("x", then, now, Tolerance())
    assert not found.is_close
    assert why in found.why


def test_rounding_is_told_with_its_size() -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0, math.nan], "n": ["x", "y", "z"]})
    found = deviation_of("x", frame, frame.with_columns(pl.col("a") * (1 + 1e-9)), Tolerance())
    assert found.is_close
    assert 0 < found.largest < 1e-8
    assert "2 of 3 numbers differ" in found.why
