"""A project with sales, shops, and the views over them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data, features

START = datetime(2013, 1, 1, tzinfo=UTC)

VIEWS = """
from datetime import timedelta
import polars as pl
from bucle.line.features import Source, feature_view, request_view

@feature_view(keys=["shop"], schema={"size": pl.Int64, "city": pl.String}, sources=["shops"])
def shop_facts(shops):
    return shops.with_columns(event_at=pl.lit(0, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")))

@feature_view(
    keys=["shop"], schema={"last": pl.Float64, "count": pl.Int64}, sources=[Source("sales", known_at="known_at")],
    ttl=timedelta(days=3),
)
def shop_sales(sales):
    rows = sales.sort("known_at", "amount").with_columns(count=pl.int_range(1, pl.len() + 1).over("shop"))
    rows = rows.group_by("shop", "known_at", maintain_order=True).last()
    return rows.select("shop", event_at="known_at", last="amount", count="count")

@request_view(inputs=["asked", "last"], schema={"ratio": pl.Float64})
def asked_against_last(frame):
    return frame.select(ratio=pl.col("asked") / pl.col("last"))
"""


@pytest.fixture
def shop_project(root: Path, clock: SimulatedClock) -> Project:
    (root / "bucle.toml").write_text('[project]\nname = "shops"\nmodules = ["shop_views"]\n')
    (root / "shop_views.py").write_text(VIEWS)
    project = Project.open(root, clock=clock, actor="ana")
    shops = pl.DataFrame({"shop": ["a", "b", "c"], "size": [1, 2, 3], "city": ["x", None, "z"]})
    data.commit(project, {"shops": shops, "sales": sales(400)}, message="begin")
    return project


def sales(count: int) -> pl.DataFrame:
    hours = [(i * 7919) % 997 for i in range(count)]
    return pl.DataFrame(
        {
            "shop": [("a", "b", "d")[i % 3] for i in range(count)],
            "known_at": [START + timedelta(hours=hour) for hour in hours],
            "amount": [float((i * 31) % 101) for i in range(count)],
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )


def views(project: Project) -> list[features.View]:
    return list(features.views_of(project.modules()).values())
