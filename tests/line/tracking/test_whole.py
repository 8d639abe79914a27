"""Whole runs: taken over many at once, read back as they were."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Circumstances, Dataset, ModelUse, WholeRun
from bucle.line.tracking.chunk import Points, decode_points, encode_points
from bucle.line.tracking.fold import FULL

LARGE = "549831549939176145"
"""An id as MLflow's file store gives them."""
NOON = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def whole(number: int, **given: object) -> WholeRun:
    curves = tracking.gather_curves(
        ["loss"] * 5 + ["one"], [4, 2, 0, 2, 1, 7], [9, 8, 7, 8, 6, 5], [1.5, math.nan, -0.0, math.nan, 3.0, 2.0]
    )
    about: dict[str, object] = {
        "id": f"{number:032x}",
        "experiment_id": "0",
        "name": f"run {number}",
        "status": "finished",
        "actor": "bo",
        "started_at": NOON,
        "ended_at": NOON.replace(hour=13),
        "params": {"lr": "0.1", "long": "x" * 7000, "empty": ""},
        "tags": {"note": "two\nlines", "ünïcode": "ñ"},
        "curves": curves,
        "datasets": (Dataset(name="train", digest="d1", context="training", tags={"fold": "1"}),),
        "models": (ModelUse(model="m-1", direction="output", step=3),),
        "circumstances": Circumstances(code_commit="abc", inputs=("commit/9a0b",), seed=7),
        **given,
    }
    return WholeRun(**about)  # type: ignore[arg-type]


def test_runs_come_back_as_they_were_taken_over(any_project: Project) -> None:
    tracking.experiment(any_project, id="0")
    runs = [whole(1), whole(2, lifecycle="deleted", deleted_at=NOON), whole(3, status="running", ended_at=None)]
    assert tracking.adopt_runs(any_project, runs) == 3
    back = tracking.whole_runs(any_project, [run.id for run in runs])
    assert [run.digest() for run in back] == [run.digest() for run in runs]
    assert back[0].circumstances == runs[0].circumstances
    assert back[0].curves["loss"].steps.tolist() == [0, 1, 2, 4]
    assert tracking.whole_runs(any_project, ["f" * 32]) == []


def test_what_is_there_already_is_left_as_it_is(any_project: Project) -> None:
    tracking.experiment(any_project, id="0")
    tracking.adopt_runs(any_project, [whole(1)])
    assert tracking.adopt_runs(any_project, [whole(1, name="other"), whole(2)]) == 1
    assert tracking.run(any_project, f"{1:032x}").name == "run 1"


def test_a_text_no_database_keeps_is_refused_and_nothing_is_written(any_project: Project) -> None:
    tracking.experiment(any_project, id="0")
    with pytest.raises(tracking.BadText):
        tracking.adopt_runs(any_project, [whole(1), whole(2, tags={"note": "a\0b"})])
    assert tracking.runs(any_project) == []


def test_they_are_found_sealed_and_go_on_like_any_other(any_project: Project) -> None:
    tracking.experiment(any_project, id="0")
    tracking.adopt_runs(any_project, [whole(1), whole(3, status="running", ended_at=None)])
    assert tracking.seal(any_project) == 1
    assert tracking.verify_runs(any_project) == []
    tracking.log(any_project, f"{3:032x}", points=[tracking.Point(key="one", value=5.0, at=6, step=8)])
    (going,) = tracking.whole_runs(any_project, [f"{3:032x}"])
    assert going.curves["one"].values.tolist() == [2.0, 5.0]
    wanted = "metrics.one >= 2 and params.lr = '0.1'"
    found = tracking.search_runs(any_project, ["0"], filter=wanted, order_by=["metrics.one"])
    assert [run.metrics["one"] for run in found.items] == [2.0, 5.0]


def test_a_curve_longer_than_a_chunk_comes_back_whole(any_project: Project) -> None:
    tracking.experiment(any_project, id="0")
    count = FULL + 10
    steps = np.arange(count, dtype=np.int64)
    curve = Points(steps, steps * 3, np.sin(steps))
    tracking.adopt_runs(any_project, [whole(1, curves={"long": curve})])
    (back,) = tracking.whole_runs(any_project, [f"{1:032x}"])
    assert np.array_equal(back.curves["long"].values, curve.values)
    assert tracking.run(any_project, f"{1:032x}").metrics["long"] == curve.values[-1]


points = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=True, allow_infinity=True),
    ),
    max_size=30,
)


def _exact(value: float) -> str:
    return "nan" if math.isnan(value) else (float(value) + 0.0).hex()


@given(points)
def test_gathering_keeps_every_point_once_and_in_order(given_points: list[tuple[str, int, int, float]]) -> None:
    keys, steps, at, values = ([point[which] for point in given_points] for which in range(4))
    found = tracking.gather_curves(keys, steps, at, values)
    wanted: dict[str, set[tuple[int, int, str]]] = {}
    for key, step, instant, value in given_points:
        wanted.setdefault(key, set()).add((step, instant, _exact(value)))
    told = {
        key: [(step, instant, _exact(value)) for step, instant, value in zip(*map(list, curve), strict=True)]
        for key, curve in found.items()
    }
    assert {key: set(rows) for key, rows in told.items()} == wanted
    assert all(len(rows) == len(set(rows)) for rows in told.values())
    assert all([row[:2] for row in rows] == sorted(row[:2] for row in rows) for rows in told.values())


rows = st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(width=32) | st.floats())


@given(st.lists(rows, min_size=1, max_size=20))
def test_few_points_are_encoded_bit_for_bit(few: list[tuple[int, float]]) -> None:
    steps = np.array([row[0] for row in few], dtype=np.int64)
    curve = Points(steps, steps[::-1].copy(), np.array([row[1] for row in few]))
    back = decode_points(encode_points(curve))
    assert [one.tobytes() for one in back] == [one.tobytes() for one in curve]


def test_experiments_keep_free_ids_and_merge_by_name(any_project: Project) -> None:
    ours = tracking.create_experiment(any_project, "ours")
    found = [
        tracking.Experiment(
            id=id_, name=name, lifecycle="active", artifact_location="s3://x", created_at=NOON, updated_at=NOON,
            tags={"team": "vision"},
        )
        for id_, name in (("1", "theirs"), ("0", "Default"), ("7", "ours"), (LARGE, "large"), ("x", "odd"))
    ]  # fmt: skip
    ids = tracking.adopt_experiments(any_project, found)
    assert ids == {"0": "0", "7": ours.id, LARGE: LARGE, "1": ids["1"], "x": ids["x"]}
    assert {ids["1"], ids["x"]} == {str(int(LARGE) + 1), str(int(LARGE) + 2)}
    theirs = tracking.experiment(any_project, name="theirs")
    assert (theirs.created_at, theirs.tags, theirs.artifact_location) == (NOON, {"team": "vision"}, "")
    size = any_project.ledger.size()
    assert tracking.adopt_experiments(any_project, found) == ids
    assert any_project.ledger.size() == size


def test_logged_models_keep_ids_instants_and_measurements(any_project: Project) -> None:
    tracking.experiment(any_project, id="0")
    point = tracking.ModelPoint(key="acc", value=0.9, at=5, step=1, run_id="r")
    model = tracking.LoggedModel(
        id=f"m-{1:032x}", experiment_id="0", name="clf", kind="", status="ready", status_message="", lifecycle="active",
        run_id="", actor="bo", created_at=NOON, updated_at=NOON, params={"p": "1"}, tags={"t": "x"}, metrics=(point,),
    )  # fmt: skip
    assert tracking.adopt_logged_models(any_project, [model]) == 1
    assert tracking.adopt_logged_models(any_project, [model]) == 0
    assert tracking.logged_model(any_project, model.id) == model
