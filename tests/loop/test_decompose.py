from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.loop import Contribution, decompose
from bucle.loop.cuts import NoSuchColumn, cut
from bucle.loop.decompose import concentration, headline

ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 40)), min_size=1, max_size=60)


def sides(rows: list[tuple[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([value for _, value in rows]), np.array([name for name, _ in rows], dtype=object)


def total(parts: tuple[Contribution, ...]) -> float:
    return math.fsum(part.change for part in parts)


@given(ROWS, ROWS)
def test_contributions_add_up_to_the_change(before: list[tuple[str, float]], after: list[tuple[str, float]]) -> None:
    (old, left), (new, right) = sides(before), sides(after)
    parts = decompose("c", old, new, left, right)
    change = math.fsum(new.tolist()) / len(after) - math.fsum(old.tolist()) / len(before)
    assert total(parts) == pytest.approx(change, abs=1e-12)
    assert all(part.change == part.mix + part.within for part in parts)
    assert math.fsum(part.share_after for part in parts) == pytest.approx(1, abs=1e-12)


@given(ROWS, st.randoms(use_true_random=False))
def test_on_the_same_rows_nothing_is_owed_to_shares(rows: list[tuple[str, float]], chance: object) -> None:
    old, groups = sides(rows)
    new = old[::-1].copy()
    parts = decompose("c", old, new, groups, groups)
    assert {part.mix for part in parts} == {0.0}
    assert total(parts) == pytest.approx(0.0, abs=1e-12)


def test_two_rates_are_parted_as_kitagawa_did() -> None:
    """Rates 10 and 30 with shares 1/2 each; then 10 and 40 with shares 1/4 and 3/4: worked by hand."""
    old, left = np.array([10.0, 30.0] * 2), np.array(["young", "old"] * 2, dtype=object)
    new, right = np.array([10.0, 40.0, 40.0, 40.0]), np.array(["young", "old", "old", "old"], dtype=object)
    parts = {part.slice: part for part in decompose("age", old, new, left, right)}
    assert total(tuple(parts.values())) == 32.5 - 20
    assert sum(part.within for part in parts.values()) == (0.5 + 0.75) / 2 * 10
    assert sum(part.mix for part in parts.values()) == 0.25 * 35 - 0.25 * 10


def test_a_slice_that_came_adds_its_share_only() -> None:
    old, new = np.zeros(2), np.array([0.0, 1.0])
    parts = {p.slice: p for p in decompose("c", old, new, np.array(["a", "a"]), np.array(["a", "b"]))}
    assert (parts["c=b"].before, parts["c=b"].after, parts["c=b"].within) == (None, 1.0, 0.0)
    assert total(tuple(parts.values())) == 0.5


def test_the_slice_that_holds_the_change_is_named_and_a_spread_one_is_not() -> None:
    groups = np.array(list("abcd") * 5, dtype=object)
    old, bad = np.zeros(20), np.where(groups == "c", 1.0, 0.0)
    parts = decompose("c", old, bad, groups, groups)
    assert headline({"c": parts}, 0.25) == parts[0]
    assert (parts[0].slice, concentration(parts[0], 0.25)) == ("c=c", 0.75)
    assert headline({"c": decompose("c", old, old + 1, groups, groups)}, 1.0) is None
    assert headline({"c": parts}, 0.0) is None


def test_rows_are_cut_by_words_and_by_quarters() -> None:
    import polars as pl

    before = pl.DataFrame({"id": [f"{n}" for n in range(40)], "x": [float(n) for n in range(40)], "r": ["n", "s"] * 20})
    after = before.with_columns(x=pl.when(pl.col("x") < 5).then(None).otherwise(pl.col("x")), r=pl.lit(None, pl.String))
    found = cut(before, after)
    assert list(found) == ["x", "r"]  # one value a row names rows, not slices
    assert set(found["r"][1]) == {"missing"}
    assert [sorted(set(side)) for side in found["x"]][1][-1] == "missing"
    assert len(set(found["x"][0])) == 4
    with pytest.raises(NoSuchColumn, match="'y'"):
        cut(before, after, ["y"])
