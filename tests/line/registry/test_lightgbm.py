from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bucle.line.registry.lightgbm import UNSEEN, to_onnx

CARRIERS = ("AA", "B6", "UA")
COLUMNS: dict[str, tuple[str, ...] | None] = {"carrier": CARRIERS, "wind": None, "gust": None, "delay": None}
ROWS = 4_000

Floats = npt.NDArray[np.float32]


def example_rows(rows: int = ROWS) -> Floats:
    """Codes of carriers, a column without gaps, one with many, one centred on zero."""
    noise = np.random.default_rng(7)
    table = noise.normal(size=(rows, 4)).astype(np.float32)
    table[:, 0] = noise.integers(0, len(CARRIERS), rows)
    table[:, 2][noise.random(rows) < 0.4] = np.nan
    return table


def fit(rows: Floats, categories: Sequence[str] = (), **changed: object) -> lightgbm.Booster:
    score = rows[:, 0] + rows[:, 1] * np.nan_to_num(rows[:, 2], nan=2.0) + rows[:, 3]
    params: dict[str, Any] = {
        "objective": "binary",
        "seed": 7,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "num_leaves": 15,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "verbose": -1,
    } | changed
    late = (score > 1).astype(float)
    data = lightgbm.Dataset(
        rows.astype(np.float64), late, feature_name=list(COLUMNS), categorical_feature=list(categories)
    )
    return lightgbm.train(params, data, 30)


def words(codes: Floats) -> npt.NDArray[np.object_]:
    known = [CARRIERS[int(code)] if code >= 0 else "Aer Lingus" for code in codes]
    return np.array(known, dtype=object).reshape(-1, 1)


def answer(package: bytes, rows: Floats, *, threads: int = 1) -> Floats:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(package, options, providers=["CPUExecutionProvider"])
    inputs = {name: rows[:, [place]] for place, name in enumerate(COLUMNS)} | {"carrier": words(rows[:, 0])}
    (probability,) = session.run(["probability"], inputs)
    return np.asarray(probability)


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return fit(example_rows())


@pytest.fixture(scope="module")
def package(booster: lightgbm.Booster) -> bytes:
    return to_onnx(booster, COLUMNS)


def test_inputs_bear_the_columns_names_and_types(package: bytes) -> None:
    session = onnxruntime.InferenceSession(package, providers=["CPUExecutionProvider"])
    inputs = {each.name: (each.type, each.shape) for each in session.get_inputs()}
    outputs = {each.name: (each.type, each.shape) for each in session.get_outputs()}
    assert inputs == {
        "carrier": ("tensor(string)", ["N", 1]),
        "wind": ("tensor(float)", ["N", 1]),
        "gust": ("tensor(float)", ["N", 1]),
        "delay": ("tensor(float)", ["N", 1]),
    }
    assert list(inputs) == list(COLUMNS)
    assert outputs == {"probability": ("tensor(float)", ["N"])}


def test_answers_are_the_boosters_where_training_saw_every_kind_of_row(
    booster: lightgbm.Booster, package: bytes
) -> None:
    rows = example_rows()
    np.testing.assert_allclose(answer(package, rows), booster.predict(rows.astype(np.float64)), rtol=0, atol=1e-6)


def test_a_gap_where_training_saw_none_is_taken_for_zero_as_lightgbm_does(
    booster: lightgbm.Booster, package: bytes
) -> None:
    rows = example_rows()
    rows[:, 1] = np.nan
    rows[::2, 3] = np.nan
    np.testing.assert_allclose(answer(package, rows), booster.predict(rows.astype(np.float64)), rtol=0, atol=1e-6)


def test_an_unseen_category_is_answered_as_its_code(booster: lightgbm.Booster, package: bytes) -> None:
    rows = example_rows()
    rows[:, 0] = UNSEEN
    np.testing.assert_allclose(answer(package, rows), booster.predict(rows.astype(np.float64)), rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    codes=hnp.arrays(np.float32, 5, elements=st.sampled_from([UNSEEN, 0.0, 1.0, 2.0])),
    numbers=hnp.arrays(np.float32, (5, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)),
)
def test_answers_are_the_boosters_on_any_floats(codes: Floats, numbers: Floats) -> None:
    rows = np.column_stack([codes, numbers])
    expected = BOOSTER.predict(rows.astype(np.float64))
    np.testing.assert_allclose(answer(PACKAGE, rows), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("column", [1, 2, 3])
def test_a_value_on_a_threshold_goes_the_boosters_way(booster: lightgbm.Booster, package: bytes, column: int) -> None:
    thresholds = np.array(sorted(set(thresholds_of(booster, column))))
    near = np.concatenate([np.nextafter(thresholds.astype(np.float32), side) for side in (-np.inf, np.inf)])
    values = np.concatenate([thresholds.astype(np.float32), near.astype(np.float32)])
    rows = example_rows(len(values))
    rows[:, column] = values
    np.testing.assert_allclose(answer(package, rows), booster.predict(rows.astype(np.float64)), rtol=0, atol=1e-6)


def thresholds_of(booster: lightgbm.Booster, column: int) -> list[float]:
    found: list[float] = []
    waiting: list[Mapping[str, Any]] = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_feature" not in node:
            continue
        waiting += [node["left_child"], node["right_child"]]
        found += [node["threshold"]] * (node["split_feature"] == column)
    return found


def test_a_row_alone_and_in_a_batch_gets_the_same_bits(package: bytes) -> None:
    rows = example_rows(200)
    alone = np.concatenate([answer(package, rows[[place]], threads=2) for place in range(50)])
    assert alone.tobytes() == answer(package, rows, threads=2)[:50].tobytes()


def test_two_processes_that_train_and_pack_give_the_same_bytes(package: bytes) -> None:
    source = "import runpy, sys, hashlib\nspace = runpy.run_path(sys.argv[1])\n"
    source += "packed = space['to_onnx'](space['fit'](space['example_rows']()), space['COLUMNS'])\n"
    source += "sys.stdout.write(hashlib.sha256(packed).hexdigest())"
    command = [sys.executable, "-c", source, __file__]
    digests = {subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)}
    assert len(digests) == 1
    assert to_onnx(fit(example_rows()), COLUMNS) == package


def test_a_booster_without_a_single_split_still_answers() -> None:
    rows = example_rows()
    constant = fit(rows, min_data_in_leaf=ROWS)
    np.testing.assert_allclose(
        answer(to_onnx(constant, COLUMNS), rows), constant.predict(rows.astype(np.float64)), atol=1e-6
    )


def test_the_scale_of_the_sigmoid_is_kept() -> None:
    rows = example_rows()
    steep = fit(rows, sigmoid=2.5)
    np.testing.assert_allclose(
        answer(to_onnx(steep, COLUMNS), rows), steep.predict(rows.astype(np.float64)), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"objective": "regression"}, "not 'regression'; train with objective='binary'"),
        ({"categories": ["carrier"], "min_data_per_group": 1, "cat_smooth": 0}, "sets of categories"),
        ({"linear_tree": True}, "linear_tree=False"),
        ({"zero_as_missing": True}, "zero_as_missing=False"),
        ({"boosting": "rf"}, "boosting='gbdt'"),
    ],
)
def test_a_booster_that_cannot_be_packed_is_refused_with_the_fix(changed: dict[str, Any], sentence: str) -> None:
    rows = example_rows()
    if changed.get("zero_as_missing"):
        rows[::3, 3] = 0
    with pytest.raises(ValueError, match=sentence):
        to_onnx(fit(rows, **changed), COLUMNS)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"wind": None, "carrier": CARRIERS, "gust": None, "delay": None}, "in its order"),
        ({"carrier": CARRIERS}, "in its order"),
        (COLUMNS | {"carrier": ()}, "is empty or repeats"),
        (COLUMNS | {"carrier": ("AA", "AA")}, "is empty or repeats"),
        (COLUMNS | {"carrier": "AA"}, "give a list of values"),
    ],
)
def test_columns_that_do_not_fit_are_refused_with_the_fix(
    booster: lightgbm.Booster, columns: dict[str, tuple[str, ...] | None], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        to_onnx(booster, columns)


if __name__ != "<run_path>":
    # Hypothesis runs a test many times; the fixtures of pytest are not for that.
    BOOSTER = fit(example_rows())
    PACKAGE = to_onnx(BOOSTER, COLUMNS)
