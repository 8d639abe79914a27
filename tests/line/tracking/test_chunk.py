"""Chunks: what goes in comes out bit for bit, in few bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.core import CorruptRecord
from bucle.line.tracking.chunk import Points, decode_points, encode_one, encode_points, merged

INTS = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def points(rows: list[tuple[int, int, float]]) -> Points:
    steps, at, values = zip(*rows, strict=True) if rows else ((), (), ())
    return Points(np.array(steps, np.int64), np.array(at, np.int64), np.array(values, np.float64))


def rows(found: Points) -> list[tuple[int, int, str]]:
    columns = (found.steps.tolist(), found.at.tolist(), (value.hex() for value in found.values.tolist()))
    return list(zip(*columns, strict=True))


@given(st.lists(st.tuples(INTS, INTS, FLOATS), max_size=40))
def test_whatever_goes_in_comes_out_bit_for_bit(given_: list[tuple[int, int, float]]) -> None:
    whole = points(given_)
    found = decode_points(encode_points(whole))
    assert (found.steps == whole.steps).all()
    assert (found.at == whole.at).all()
    assert (found.values.view(np.int64) == whole.values.view(np.int64)).all()


@given(INTS, INTS, FLOATS)
def test_one_point_has_the_bytes_of_a_curve_of_one(step: int, at: int, value: float) -> None:
    assert encode_one(step, at, value) == encode_points(points([(step, at, value)]))


@given(
    st.integers(-(1 << 40), 1 << 40),
    st.integers(1, 1 << 20),
    st.lists(st.integers(0, 255), min_size=2, max_size=200),
)
def test_a_step_each_time_and_an_instant_soon_after_the_last_cost_a_byte(
    first: int, stride: int, gaps: list[int]
) -> None:
    count = len(gaps)
    at = np.cumsum(np.array(gaps, np.int64))
    values = np.random.default_rng(0).standard_normal(count)
    whole = Points(first + stride * np.arange(count, dtype=np.int64), at, values)
    assert len(encode_points(whole)) <= 4 + 17 + 17 + 1 + 9 * count


def test_numbers_of_32_bits_stay_at_four_bytes() -> None:
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32).astype(np.float64)
    whole = Points(np.arange(1000), np.arange(1000), values)
    assert len(encode_points(whole)) < 4100
    assert (decode_points(encode_points(whole)).values == values).all()


POINTS = st.tuples(
    st.integers(-3, 3), st.integers(0, 3), st.sampled_from([0.0, 1.5, -1.5, math.inf, -math.inf, math.nan])
)


@given(st.lists(st.lists(POINTS, min_size=1, max_size=12), min_size=1, max_size=5))
def test_merging_gives_each_point_once_in_order(pieces: list[list[tuple[int, int, float]]]) -> None:
    found = rows(merged([points(piece) for piece in pieces]))
    every = {(step, at, value.hex()) for piece in pieces for step, at, value in piece}
    assert set(found) == every
    assert len(found) == len(every)
    order = [(step, at, math.isnan(float.fromhex(v)), float.fromhex(v)) for step, at, v in found]
    assert [one[:3] for one in order] == sorted(one[:3] for one in order)
    assert [one for one in order if not one[2]] == sorted(one for one in order if not one[2])


@given(st.binary(max_size=60))
def test_bytes_that_hold_no_curve_are_an_error_of_ours(data: bytes) -> None:
    try:
        found = decode_points(data)
    except CorruptRecord:
        return
    assert found.count == len(found.at) == len(found.values)


def test_a_chunk_cut_short_is_named_so() -> None:
    data = encode_points(points([(1, 2, 3.5), (2, 4, 1.0), (5, 5, 5.0)]))
    with pytest.raises(CorruptRecord, match="cannot be read"):
        decode_points(data[:-1])
