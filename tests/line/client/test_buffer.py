"""The buffer: all that is added comes out once, in order, whatever it is and however many add."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.line.client.buffer import PORTION, Buffer
from bucle.line.tracking.errors import BadMetric, BadText


def _taken(buffer: Buffer) -> dict[str, list[tuple[int, int, float]]]:
    """key -> (step, instant, value) of all that waits."""
    found: dict[str, list[tuple[int, int, float]]] = {}
    while (entry := buffer.take()) is not None:
        for stretch in entry.stretches:
            steps, at, values = stretch.points
            found.setdefault(stretch.key, []).extend(zip(steps.tolist(), at.tolist(), values.tolist(), strict=True))
    return found


def _clock() -> int:
    return 7


@pytest.fixture
def buffer() -> Buffer:
    return Buffer(_clock)


def test_steps_count_by_themselves_a_key(buffer: Buffer) -> None:
    buffer.add({"a": 1.0, "b": 2})
    buffer.add({"a": 3.0})
    buffer.add({"a": 4.0}, 10)
    buffer.add({"a": 5.0, "b": 6.0})
    assert _taken(buffer) == {
        "a": [(0, 7, 1.0), (1, 7, 3.0), (10, 7, 4.0), (11, 7, 5.0)],
        "b": [(0, 7, 2.0), (1, 7, 6.0)],
    }
    buffer.add({"a": 7.0})
    assert _taken(buffer) == {"a": [(12, 7, 7.0)]}


def test_the_same_step_again_counts_as_its_value_from_then_on(buffer: Buffer) -> None:
    buffer.add({"a": 9.0}, 3)
    buffer.add({"a": 1.0}, 3)
    buffer.add({"a": np.array([2.0, 0.5])}, np.array([2, 3]))
    assert _taken(buffer) == {"a": [(3, 7, 9.0), (3, 8, 1.0), (2, 9, 2.0), (3, 9, 0.5)]}


def test_every_kind_of_number_is_a_number(buffer: Buffer) -> None:
    for value in (
        1,
        True,
        np.int64(2),
        np.float32(0.5),
        np.array(0.5, dtype=np.float32),
        np.array([4.0]),
        math.nan,
        -math.inf,
    ):
        buffer.add({"a": value})
    values = [value for _, _, value in _taken(buffer)["a"]]
    assert values[:6] == [1, 1, 2, 0.5, 0.5, 4]
    assert math.isnan(values[6])
    assert values[7] == -math.inf


def test_arrays_and_single_values_keep_their_order(buffer: Buffer) -> None:
    buffer.add({"a": 0.0})
    buffer.add({"a": np.array([1.0, 2.0]), "b": [5, 6]})
    buffer.add({"a": 3.0})
    buffer.add({"a": np.array([9, 8], dtype=np.int32)}, np.array([20, 30]))
    buffer.add({"a": np.array([], dtype=float)})
    buffer.add({"a": 4.0})
    found = _taken(buffer)
    assert [(step, value) for step, _, value in found["a"]] == [
        (0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (20, 9.0), (30, 8.0), (31, 4.0),
    ]  # fmt: skip
    assert [(step, value) for step, _, value in found["b"]] == [(0, 5.0), (1, 6.0)]


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ({"a": "0.5"}, None), ({"a": None}, None), ({"a": object()}, None), ({"a": 1 + 2j}, None), ({"": 1.0}, None),
        ({"a" * 251: 1.0}, None), ({3: 1.0}, None), ({"a": 1.0}, 0.5), ({"a": 1.0}, "1"), ({"a": 1.0}, 2**63),
        ({"a": np.zeros((2, 2))}, None), ({"a": np.array(["x", "y"])}, None), ({"a": np.zeros(3)}, np.arange(2)),
        ({"a": np.zeros(2)}, np.array([0.5, 1.5])), ({"good": 1.0, "bad": "x"}, None), ({"good": 1.0, "": 1.0}, 3),
        ({"good": np.zeros(2), "bad": np.zeros((1, 2))}, None), ({"a": 10**400}, None),
        ({"a": np.zeros(3)}, 2**63 - 2),
    ],

)  # fmt: skip
def test_of_a_call_with_something_wrong_nothing_is_kept(
    buffer: Buffer, values: dict[str, object], step: object
) -> None:
    with pytest.raises((BadMetric, BadText)):
        buffer.add(values, step)  # type: ignore[arg-type]
    assert buffer.take() is None


numbers = st.floats(allow_nan=False)
steps = st.none() | st.integers(-(2**63), 2**62)
single = st.tuples(st.dictionaries(st.sampled_from("abc"), numbers, min_size=1), steps)
arrays = st.tuples(st.dictionaries(st.sampled_from("abc"), st.lists(numbers, max_size=5), min_size=1), st.none())


@settings(max_examples=50)
@given(st.lists(single | arrays, max_size=20), st.integers(1, 5))
def test_what_comes_out_is_what_went_in(calls: list[tuple[dict[str, object], int | None]], often: int) -> None:
    buffer, out, wanted = Buffer(_clock), dict[str, list[float]](), dict[str, list[float]]()
    for place, (values, step) in enumerate(calls):
        buffer.add(values, step)  # type: ignore[arg-type]
        for key, value in values.items():
            wanted.setdefault(key, []).extend(value if isinstance(value, list) else [value])
        if place % often == 0:
            for key, points in _taken(buffer).items():
                out.setdefault(key, []).extend(value for _, _, value in points)
    for key, points in _taken(buffer).items():
        out.setdefault(key, []).extend(value for _, _, value in points)
    assert out == {key: values for key, values in wanted.items() if values}


def test_much_comes_out_in_portions(buffer: Buffer) -> None:
    buffer.add({"a": np.arange(3 * PORTION), "b": np.arange(PORTION)})
    sizes = [entry.points for entry in iter(buffer.take, None)]
    assert sum(sizes) == 4 * PORTION
    assert max(sizes) <= PORTION


def test_params_and_tags_come_out_once_the_last_of_each(buffer: Buffer) -> None:
    buffer.note(params={"rate": "1"})
    buffer.note(params={"rate": "2"}, tags={"by": "ana"})
    entry = buffer.take()
    assert entry is not None
    assert (entry.params, entry.tags, entry.points) == ({"rate": "2"}, {"by": "ana"}, 0)
    assert buffer.take() is None


def _values(entries: Iterator[object]) -> int:
    return sum(entry.points for entry in entries)  # type: ignore[attr-defined]


def test_many_threads_lose_nothing(buffer: Buffer) -> None:
    done, count = threading.Event(), 0

    def add(key: str) -> None:
        for step in range(5_000):
            buffer.add({key: float(step), "all": 1.0})

    threads = [threading.Thread(target=add, args=(f"k{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    watcher = threading.Thread(target=lambda: ([thread.join() for thread in threads], done.set()))
    watcher.start()
    while not done.is_set():
        count += _values(iter(buffer.take, None))
    watcher.join()
    count += _values(iter(buffer.take, None))
    assert count == 4 * 5_000 * 2
