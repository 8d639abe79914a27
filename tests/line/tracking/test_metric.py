"""Metrics: any batches, in any order, as often as one likes, are the set of their points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import store
from bucle.line.tracking.tables import METRIC_CHUNKS, METRIC_TAIL
from conftest import START

folding = import_module("bucle.line.tracking.fold")  # the face has a verb of the same name
Exact = tuple[str, int, int, str]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project for many examples, each with a run of its own."""
    root: Path = tmp_path_factory.mktemp("metrics")
    (root / "bucle.toml").write_text('[project]\nname = "test"\n')
    url = "" if request.param == "sqlite" else request.getfixturevalue("metrics_url")
    opened = Project.open(root, clock=SimulatedClock(START), database=url, actor="ana")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def metrics_url(postgres_server: str) -> Iterator[str]:
    import sqlalchemy as sa

    url = sa.make_url(postgres_server).set(drivername="postgresql+psycopg")
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE bucle_metrics")
    yield url.set(drivername="postgresql", database="bucle_metrics").render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE bucle_metrics WITH (FORCE)")
    admin.dispose()


def new_run(project: Project) -> str:
    return tracking.create_run(project, "0").id


POINTS = st.builds(
    tracking.Point,
    key=st.sampled_from(["loss", "auc", "größe/1"]),
    value=st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -2.25, 1e-300, 0.1])
    | st.floats(allow_nan=True, allow_infinity=True),
    at=st.integers(0, 3) | st.integers(-(1 << 63), (1 << 63) - 1),
    step=st.integers(-2, 4) | st.integers(-(1 << 63), (1 << 63) - 1),
)
BATCHES = st.lists(st.lists(POINTS, min_size=1, max_size=8), min_size=1, max_size=5)


def exact(point: tracking.Point) -> Exact:
    return (point.key, point.step, point.at, (point.value + 0.0).hex())


def in_order(points: set[Exact], key: str) -> list[Exact]:
    def place(point: Exact) -> tuple[int, int, bool, float]:
        value = float.fromhex(point[3])
        return (point[1], point[2], math.isnan(value), 0.0 if math.isnan(value) else value)

    return sorted((point for point in points if point[0] == key), key=place)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, data=st.data())
def test_any_batches_in_any_order_with_retries_are_the_set_of_their_points(
    shared: Project, batches: list[list[tracking.Point]], data: st.DataObject
) -> None:
    run = new_run(shared)
    order = data.draw(st.permutations([*batches, *data.draw(st.lists(st.sampled_from(batches), max_size=2))]))
    for batch in order:
        tracking.log(shared, run, points=batch)
        if data.draw(st.integers(0, 3)) == 0:
            tracking.fold(shared, [run])
    if data.draw(st.booleans()):
        tracking.update_run(shared, run, status="finished")
        tracking.seal(shared, [run])
    every = {exact(point) for batch in batches for point in batch}
    summaries = {one.key: one for one in tracking.summaries(shared, run)}
    assert set(summaries) == {key for key, *_ in every}
    for key, summary in summaries.items():
        expected = in_order(every, key)
        assert [exact(point) for point in tracking.history(shared, run, key).items] == expected
        _, step, at, last = expected[-1]
        assert (summary.step, summary.at, summary.last.hex()) == (step, at, last)
        numbers = [(float.fromhex(value), where) for _, where, _, value in expected if value != "nan"]
        if numbers:
            least = min(value for value, _ in numbers)
            greatest = max(value for value, _ in numbers)
            assert (summary.least, summary.greatest) == (least, greatest)
            assert summary.least_step == min(where for value, where in numbers if value == least)
            assert summary.greatest_step == min(where for value, where in numbers if value == greatest)
        else:
            assert math.isnan(summary.least)
            assert math.isnan(summary.greatest)
    assert tracking.verify_runs(shared) == []


def test_a_point_that_comes_after_the_end_does_not_push_out_a_single_one(any_project: Project) -> None:
    run = new_run(any_project)
    tracking.log(any_project, run, points=[tracking.Point("acc", 0.5, 1000, 0)])
    tracking.update_run(any_project, run, status="finished")
    assert tracking.seal(any_project) == 1
    with any_project.database.reading() as connection:
        assert connection.execute(METRIC_CHUNKS.select()).all() == []
        assert connection.execute(METRIC_TAIL.select()).all() == []
    tracking.log(any_project, run, points=[tracking.Point("acc", 0.75, 2000, 1)])
    assert [point.value for point in tracking.history(any_project, run, "acc").items] == [0.5, 0.75]
    tracking.update_run(any_project, run, status="running")
    tracking.update_run(any_project, run, status="finished")
    tracking.seal(any_project)
    assert [point.value for point in tracking.history(any_project, run, "acc").items] == [0.5, 0.75]


def test_a_run_that_goes_on_keeps_its_single_points(any_project: Project) -> None:
    run = new_run(any_project)
    tracking.log(any_project, run, points=[tracking.Point("acc", 0.5, 1000, 0)])
    tracking.update_run(any_project, run, status="failed")
    tracking.seal(any_project)
    tracking.update_run(any_project, run, status="running")
    tracking.log(any_project, run, points=[tracking.Point("acc", 0.75, 2000, 1)])
    assert [point.value for point in tracking.history(any_project, run, "acc").items] == [0.5, 0.75]


def long_curve(project: Project, count: int) -> tuple[str, tracking.Points]:
    run = new_run(project)
    generator = np.random.default_rng(0)
    whole = tracking.Points(
        np.arange(count), 1_700_000_000_000 + np.cumsum(generator.integers(1, 200, count)), generator.random(count)
    )
    for start in range(0, count, 5000):
        part = whole.part(start, start + 5000)
        tracking.log(project, run, columns={"loss": tracking.Points(*part)})
    return run, whole


def test_a_long_curve_is_pieces_of_the_same_size_and_costs_ten_bytes_a_point(
    any_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "FULL", 4096)
    run, whole = long_curve(any_project, 50_000)
    assert tracking.fold(any_project, [run]) == 10
    with any_project.database.reading() as connection:
        (number,) = store.run_numbers(connection, [run])
        (key,) = store.curve_keys(connection, number)
        spans = store.chunk_spans(connection, number, key)
        size = sum(len(data) for data in store.chunk_points(connection, number, key, [one.seq for one in spans]))
    assert [span.length for span in spans[:-1]] == [4096] * 12
    assert size < 10 * 50_000
    found = tracking.points(any_project, run, "loss")
    for one, other in zip(found, whole, strict=True):
        assert (one == other).all()


def test_late_points_go_where_they_belong_and_touch_only_their_pieces(
    any_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "FULL", 1000)
    run, whole = long_curve(any_project, 10_000)
    tracking.fold(any_project, [run])
    late = [tracking.Point("loss", 9.0, int(whole.at[4500]), 4500), tracking.Point("loss", 9.5, 5, -1)]
    tracking.log(any_project, run, points=late)
    before = tracking.points(any_project, run, "loss")
    tracking.fold(any_project, [run])
    after = tracking.points(any_project, run, "loss")
    assert all((one == other).all() for one, other in zip(before, after, strict=True))
    assert after.count == 10_002
    assert after.values[0] == 9.5
    page, values = tracking.history(any_project, run, "loss", limit=999), []
    while True:
        values += [point.value for point in page.items]
        if not page.token:
            break
        page = tracking.history(any_project, run, "loss", limit=999, token=page.token)
    assert values == after.values.tolist()


def test_a_curve_at_a_glance_has_the_extremes_of_each_bucket_and_the_exact_last(project: Project) -> None:
    run, whole = long_curve(project, 20_000)
    glance = tracking.curve(project, run, "loss", buckets=100)
    assert (glance.count, len(glance.steps)) == (20_000, 100)
    assert glance.last[-1] == whole.values[-1]
    assert glance.steps[-1] == 19_999
    buckets = whole.values.reshape(100, 200)
    assert (glance.least == buckets.min(axis=1)).all()
    assert (glance.greatest == buckets.max(axis=1)).all()
    few = tracking.curve(project, run, "nothing")
    assert (few.count, len(few.steps)) == (0, 0)


def test_a_bucket_without_a_number_says_so(project: Project) -> None:
    run = new_run(project)
    values = [1.0, math.nan, math.nan, math.nan, 5.0, 3.0]
    tracking.log(project, run, points=[tracking.Point("a", value, 0, step) for step, value in enumerate(values)])
    glance = tracking.curve(project, run, "a", buckets=3)
    assert [glance.least[0], glance.least[2]] == [1.0, 3.0]
    assert math.isnan(glance.least[1])
    assert glance.last[-1] == 3.0


def test_several_runs_are_thinned_out_evenly_with_both_ends_kept(project: Project) -> None:
    runs = [long_curve(project, 1000)[0] for _ in range(2)]
    found = tracking.sampled(project, [*runs, "none"], "loss", limit=11)
    assert list(found) == runs
    assert found[runs[0]].steps.tolist() == [0, 100, 200, 300, 400, 500, 599, 699, 799, 899, 999]
    between = tracking.sampled(project, runs[:1], "loss", start_step=10, end_step=12)
    assert between[runs[0]].steps.tolist() == [10, 11, 12]
    assert tracking.sampled(project, runs[:1], "loss", limit=1)[runs[0]].steps.tolist() == [999]


def test_a_token_of_another_curve_is_refused(project: Project) -> None:
    run, _ = long_curve(project, 100)
    token = tracking.history(project, run, "loss", limit=10).token
    for wrong in (token[:-3], "x", "ä", token + "AAAA", "AAAA"):
        with pytest.raises(tracking.BadToken):
            tracking.history(project, run, "loss", limit=10, token=wrong)
    with pytest.raises(tracking.BadToken, match="not one of ours"):
        tracking.history(project, run, "auc", limit=10, token=token)


@pytest.mark.parametrize(
    "point",
    [
        tracking.Point("a", "x", 0, 0),  # type: ignore[arg-type]
        tracking.Point("a", 1.0, 1 << 63, 0),
        tracking.Point("a", 1.0, 0, -(1 << 63) - 1),
        tracking.Point("a", 1.0, "now", 0),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_point_is_refused_by_name_with_all_that_came_with_it(
    project: Project, point: tracking.Point
) -> None:
    run = new_run(project)
    for points in ([point], [tracking.Point("fine", 1.0, 0, 0), point]):
        with pytest.raises(tracking.BadMetric) as caught:
            tracking.log(project, run, points=points)
        assert caught.value.at == "a"
    assert tracking.summaries(project, run) == []


@pytest.mark.parametrize("key", ["", "x" * 251, "a\0b", "\ud800"])
def test_what_is_no_key_is_refused(project: Project, key: str) -> None:
    run = new_run(project)
    with pytest.raises(tracking.BadText):
        tracking.log(project, run, points=[tracking.Point(key, 1.0, 0, 0)])


def test_the_last_points_of_many_runs_are_two_queries(any_project: Project) -> None:
    runs = [new_run(any_project) for _ in range(3)]
    for number, run in enumerate(runs[:2]):
        tracking.log(any_project, run, points=[tracking.Point("b", number, 7, 1), tracking.Point("a", math.inf, 5, 0)])
    found = tracking.last_points(any_project, runs)
    assert found[runs[0]] == [tracking.Point("a", math.inf, 5, 0), tracking.Point("b", 0.0, 7, 1)]
    assert found[runs[2]] == []
