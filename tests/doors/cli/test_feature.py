from __future__ import annotations

from pathlib import Path

import pytest

from doors.cli.typed import Bucle

VIEWS = '''
import polars as pl

from bucle.line.features import Source, feature_view


@feature_view(keys=["shop"], schema={"sold": pl.Float64}, sources=[Source("sales", "known_at")])
def honest(sales: pl.DataFrame) -> pl.DataFrame:
    """What was sold so far."""
    return sales.sort("known_at").select("shop", pl.col("known_at").alias("event_at"), sold=pl.col("price").cum_sum())


@feature_view(keys=["shop"], schema={"most": pl.Float64}, sources=[Source("sales", "known_at")])
def peeking(sales: pl.DataFrame) -> pl.DataFrame:
    """The highest price ever, also before it was paid."""
    return sales.select("shop", pl.col("known_at").alias("event_at"), most=pl.col("price").max())
'''


@pytest.fixture
def shop(bucle: Bucle, empty: Path) -> Path:
    (empty / "bucle.toml").write_text('[project]\nname = "shop"\nmodules = ["views"]\n')
    (empty / "views.py").write_text(VIEWS)
    rows = "".join(f"a,{day}.5,2024-01-{day:02}T00:00:00Z\n" for day in range(1, 9))
    (empty / "sales.csv").write_text("shop,price,known_at\n" + rows)
    assert bucle("data", "add", str(empty / "sales.csv"), "--table", "sales", "--project", str(empty)).status == 0
    return empty


def test_a_view_that_sees_the_future_is_found_with_7(bucle: Bucle, shop: Path) -> None:
    said = bucle("feature", "check", "--project", str(shop), "--json")
    assert said.status == 7
    assert {one["view"]: one["passed"] for one in said.record} == {"honest": True, "peeking": False}
    assert bucle("feature", "check", "honest", "--cuts", "5", "--project", str(shop)).status == 0


def test_rows_are_put_into_the_online_store(bucle: Bucle, shop: Path) -> None:
    said = bucle("feature", "materialise", "honest", "--since", "2024-01-03", "--project", str(shop), "--json")
    assert said.record == [{"view": "honest", "rows": 6}]


def test_a_view_is_shown_with_its_code(bucle: Bucle, shop: Path) -> None:
    said = bucle("feature", "show", "honest", "--project", str(shop))
    assert "def honest(" in said.out
    assert bucle("feature", "show", "honets", "--project", str(shop)).status == 3
