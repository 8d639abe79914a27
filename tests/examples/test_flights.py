"""The flights example: what its data says, and that nothing in it knows the future."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from bucle.examples.flights.play import TABLES, make_project
from bucle.examples.flights.world import FlightsWorld, month_start, spoilt
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import contracts, data, features

KNOWN_ONLY_LATER = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "late", "known_at"}


@pytest.fixture(scope="module")
def world() -> FlightsWorld:
    return FlightsWorld()


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory, world: FlightsWorld) -> Iterator[Project]:
    """The example project with three months of data."""
    folder = tmp_path_factory.mktemp("flights")
    make_project(folder)
    project = Project.open(folder, clock=SimulatedClock(month_start(4)), actor="test")
    data.commit(project, world.fixed(), message="fixed")
    for month in (1, 2, 3):
        data.commit(project, world.month(month), message=f"2013-{month:02}")
    yield project
    project.close()


def all_views(project: Project) -> list[features.View]:
    project.modules()
    return list(importlib.import_module("features").VIEWS)


def test_the_data_is_the_whole_year(world: FlightsWorld) -> None:
    months = [world.month(month) for month in range(1, 13)]
    counted = sum(batch["flights"].height for batch in months)
    assert 336_600 < counted <= 336_776
    assert sum(batch["arrivals"].height for batch in months) < counted  # cancelled flights never get a label


def test_real_months_keep_their_contract_and_a_changed_unit_breaks_it(flights: Project, world: FlightsWorld) -> None:
    kept = {name: contracts.load(flights.root / "contracts" / f"{name}.yaml") for name in TABLES}
    for month in range(1, 13):
        for table, rows in world.month(month).items():
            assert contracts.check(rows, kept[table]).passed, (month, table)
        assert not contracts.check(spoilt(world.month(month))["weather"], kept["weather"]).passed, month


def test_no_feature_can_see_what_happens_after_scheduled_departure(flights: Project) -> None:
    """Outcomes reach features only through rows of other flights that were known before; see the peeking check."""
    assert not KNOWN_ONLY_LATER & set(data.snapshot(flights, "flights").columns)
    for view in all_views(flights):
        assert not KNOWN_ONLY_LATER & set(view.schema)
        if isinstance(view, features.FeatureView):
            assert "flight_id" not in view.keys  # no row of a view is about the flight itself
            assert all(source.known_at for source in view.sources if source.table in {"arrivals", "weather"})


@pytest.mark.parametrize("cut", [datetime(2013, 2, 8, 14, 37, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)])
def test_no_view_knows_the_future(flights: Project, cut: datetime) -> None:
    for view in all_views(flights):
        if isinstance(view, features.FeatureView):
            features.check_no_peeking(flights, view, until=month_start(4), cuts=[cut])


def test_changing_the_future_changes_no_training_row(flights: Project, world: FlightsWorld) -> None:
    """Rewrite every outcome from some instant on: rows before it must not move."""
    cut = datetime(2013, 2, 20, 11, 0, tzinfo=UTC)
    spine = world.month(2)["flights"].filter(pl.col("sched_dep_at") < cut)
    views = all_views(flights)
    before = features.training_set(flights, spine, views, instant="sched_dep_at")
    head = data.resolve(flights).id
    data.create_branch(flights, "rewritten", at=head)
    arrivals = data.scan(flights, "arrivals")
    changed = arrivals.with_columns(
        arr_delay=pl.when(pl.col("known_at") >= cut).then(pl.col("arr_delay") + 500).otherwise("arr_delay"),
        late=pl.when(pl.col("known_at") >= cut).then(~pl.col("late")).otherwise("late"),
    )
    data.commit(flights, {"arrivals": changed}, branch="rewritten", message="another future", mode="overwrite")
    after = features.training_set(flights, spine, views, instant="sched_dep_at", at="rewritten")
    assert after.equals(before)


def test_the_endpoint_sees_what_training_saw(flights: Project, world: FlightsWorld, tmp_path: Path) -> None:
    """Online and offline rows of a whole week of real flights are equal."""
    store = features.LocalOnline(tmp_path / "online.db")
    views = all_views(flights)
    until = datetime(2013, 3, 15, tzinfo=UTC)
    for view in views:
        if isinstance(view, features.FeatureView):
            features.push(store, view, features.compute(flights, view, until=until))
    week = world.month(3)["flights"].filter(pl.col("sched_dep_at").is_between(month_start(3), until, closed="left"))
    served = features.online(views, store, week, instant="sched_dep_at")
    assert served.equals(features.training_set(flights, week, views, instant="sched_dep_at"))
    assert served.height > 10_000


def test_questions_are_asked_once_and_in_order(world: FlightsWorld) -> None:
    questions = list(world.questions(3))
    assert [question.at for question in questions] == sorted(question.at for question in questions)
    assert len({question.id for question in questions}) == len(questions)
    asked = sum(len(question.columns["flight_id"]) for question in questions)
    assert asked == world.month(3)["flights"].height


def teardown_module() -> None:
    for name in ("features", "pipeline"):
        sys.modules.pop(name, None)
