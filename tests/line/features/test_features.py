from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import features
from bucle.line.features import BadView, LocalOnline, PeekingView, ViewChanged, WrongRows, feature_view, request_view
from line.features.conftest import START, views

INSTANT = pl.Datetime("us", "UTC")


def requests(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "shop": [("a", "b", "c", "d", "nowhere", None)[i % 6] for i in range(count)],
            "asked": [float(i % 13) for i in range(count)],
            "at": [START + timedelta(minutes=(i * 104729) % 62000) for i in range(count)],
        },
        schema_overrides={"at": INSTANT},
    )


def fill(project: Project, store: LocalOnline, until: datetime) -> None:
    for view in views(project):
        if isinstance(view, features.FeatureView):
            features.push(store, view, features.compute(project, view, until=until))


def test_online_and_training_rows_are_equal_for_thousands_of_probes(shop_project: Project) -> None:
    store = features.local_online(shop_project)
    fill(shop_project, store, START + timedelta(days=60))
    asked = requests(6000)
    trained = features.training_set(shop_project, asked, views(shop_project), instant="at")
    served = features.online(views(shop_project), store, asked, instant="at")
    assert served.equals(trained)
    assert trained["last"].null_count() not in {0, trained.height}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 62000)), min_size=1, max_size=20))
def test_one_request_gets_what_its_row_in_a_large_set_gets(shop_project: Project, rows: list[tuple[str, int]]) -> None:
    store = features.local_online(shop_project)
    if not (shop_project.state / "online.db").exists():
        fill(shop_project, store, START + timedelta(days=60))
    asked = pl.DataFrame(
        {
            "shop": [shop for shop, _ in rows],
            "asked": [1.0] * len(rows),
            "at": [START + timedelta(minutes=minute) for _, minute in rows],
        },
        schema_overrides={"at": INSTANT},
    )
    together = features.online(views(shop_project), store, asked, instant="at")
    apart = pl.concat(features.online(views(shop_project), store, one, instant="at") for one in asked.iter_slices(1))
    assert together.equals(apart)
    assert together.equals(features.training_set(shop_project, asked, views(shop_project), instant="at"))


def test_a_row_older_than_its_ttl_is_not_used(shop_project: Project) -> None:
    late = {"shop": ["a"], "asked": [1.0], "at": [START + timedelta(days=365)]}
    spine = pl.DataFrame(late, schema_overrides={"at": INSTANT})
    row = features.training_set(shop_project, spine, views(shop_project), instant="at").row(0, named=True)
    assert row["last"] is None
    assert row["size"] == 1


def test_the_spine_keeps_its_order_and_its_columns(shop_project: Project) -> None:
    asked = requests(500).sample(fraction=1, shuffle=True, seed=1)
    trained = features.training_set(shop_project, asked, views(shop_project), instant="at")
    assert trained.select(asked.columns).equals(asked)


def test_an_honest_view_passes_the_peeking_check_and_a_peeking_one_does_not(shop_project: Project) -> None:
    cuts = [START + timedelta(days=days, hours=5) for days in (2, 11, 30)]
    for view in views(shop_project):
        if isinstance(view, features.FeatureView):
            features.check_no_peeking(shop_project, view, until=START + timedelta(days=60), cuts=cuts)

    @feature_view(keys=["shop"], schema={"best": pl.Float64}, sources=[features.Source("sales", known_at="known_at")])
    def best_ever(sales: pl.DataFrame) -> pl.DataFrame:
        return sales.select("shop", event_at="known_at", best=pl.col("amount").max().over("shop"))

    with pytest.raises(PeekingView, match="best_ever"):
        features.check_no_peeking(shop_project, best_ever, until=START + timedelta(days=60), cuts=cuts)


def test_what_is_not_known_yet_is_not_computed(shop_project: Project) -> None:
    view = next(view for view in views(shop_project) if view.name == "shop_sales")
    until = START + timedelta(days=5)
    rows = features.compute(shop_project, view, until=until)
    assert rows["event_at"].max() < until
    later = features.compute(shop_project, view, since=until, until=START + timedelta(days=60))
    assert later["event_at"].min() >= until


def test_a_changed_view_has_another_pin_and_is_refused(shop_project: Project, root: Path) -> None:
    before = features.views_of(shop_project.modules())
    pins = [view.pin for view in before.values()]
    assert [view.name for view in features.pinned_views(before, pins)] == list(before)
    source = (root / "shop_views.py").read_text().replace("timedelta(days=3)", "timedelta(days=4)")
    (root / "shop_views.py").write_text(source)
    del sys.modules["shop_views"]
    after = features.views_of(shop_project.modules())
    with pytest.raises(ViewChanged, match="shop_sales"):
        features.pinned_views(after, pins)


def test_wrong_declarations_are_refused_where_they_are_made() -> None:
    with pytest.raises(BadView, match="takes"):

        @feature_view(keys=["a"], schema={"b": pl.Float64}, sources=["t"])
        def wrong_parameter(u: pl.DataFrame) -> pl.DataFrame:
            return u

    with pytest.raises(BadView, match="Datetime"):

        @feature_view(keys=["a"], schema={"b": INSTANT}, sources=["t"])
        def wrong_type(t: pl.DataFrame) -> pl.DataFrame:
            return t

    with pytest.raises(BadView, match="features"):

        @feature_view(keys=["a"], schema={"a": pl.Float64}, sources=["t"])
        def key_as_feature(t: pl.DataFrame) -> pl.DataFrame:
            return t


def test_a_view_that_gives_other_columns_or_types_says_which() -> None:
    @request_view(inputs=["a"], schema={"b": pl.Float64})
    def halves(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(b=pl.col("a") // 2)

    with pytest.raises(WrongRows, match="Int64"):
        halves(pl.DataFrame({"a": [1, 2]}))

    @request_view(inputs=["a"], schema={"b": pl.Int64})
    def some(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(b=pl.col("a")).head(1)

    with pytest.raises(WrongRows, match="1 rows for 2"):
        some(pl.DataFrame({"a": [1, 2]}))


def test_pushing_twice_changes_nothing(shop_project: Project) -> None:
    store = features.local_online(shop_project)
    fill(shop_project, store, START + timedelta(days=60))
    once = features.online(views(shop_project), store, requests(200), instant="at")
    fill(shop_project, store, START + timedelta(days=60))
    assert features.online(views(shop_project), store, requests(200), instant="at").equals(once)


def test_materialise_is_on_the_ledger(shop_project: Project) -> None:
    store = features.local_online(shop_project)
    made = features.materialise(
        shop_project, views(shop_project), since=START, until=START + timedelta(days=3), store=store
    )
    (event,) = shop_project.ledger.events(kinds=["features.materialised"])
    assert event.data["rows"] == {name: rows.height for name, rows in made.items()}
