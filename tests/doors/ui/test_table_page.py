"""The page of a table: what it is, how it fares over time, who trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from bucle.line import contracts, data
from bucle.line.contracts import ColumnRule, Contract
from doors.conftest import Site, served
from doors.ui.test_browser import browser, shots

__all__ = ["browser"]

ODD = '<b>ana</b> & "son"'


def rows(*days: int) -> pl.DataFrame:
    at = [datetime.now(UTC) - timedelta(days=day) for day in days]
    return pl.DataFrame({"k": days, "at": pl.Series(at, dtype=pl.Datetime("us", "UTC"))})


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("clinic")
    (root / "bucle.toml").write_text('[project]\nname = "clinic"\n[data.zones.raw]\ntables = "raw.*"\n')
    with served(root) as found:
        project = found.project
        columns = (ColumnRule(name="k", type="long", minimum=0), ColumnRule(name="at", type="timestamptz"))
        kept = {"raw.visits": Contract(table="raw.visits", columns=columns)}
        for day in (9, 5, 1):
            data.land(project, {"raw.visits": rows(day, day + 1)}, contracts=kept, message=f"day {day}")
        with pytest.raises(contracts.ContractViolated):
            data.land(project, {"raw.visits": rows(-1)}, contracts=kept, message="bad")
        data.describe(
            project, "raw.visits", owner=ODD, purposes=["care"], basis="consent", retention="730d", event_at="at"
        )
        data.scan(project.reading("care"), "raw.visits")
        with pytest.raises(data.PurposeRefused):
            data.scan(project.reading("advertising"), "raw.visits")
        yield found


def test_the_page_says_what_a_table_is_and_how_it_fares(clinic: Site) -> None:
    page = clinic.get("/data/raw.visits").text
    for told in ("&lt;b&gt;ana&lt;/b&gt;", "care", "consent", "730d", "raw", "advertising", "kept out"):
        assert told in page
    assert ODD not in page
    record = clinic.json("/data/raw.visits.json")
    assert len(record["health"]["points"]) == 3
    assert [one["allowed"] for one in record["uses"]] == [False, True]
    assert [one["passed"] for one in record["verdicts"]] == [False, True, True, True]
    (row,) = clinic.json("/data.json")["tables"]
    assert (row["health"]["dataset"]["zone"], row["health"]["kept"]) == ("raw", 0.75)
    assert "Responsable" in clinic.get("/data/raw.visits", "es").text


def test_an_old_commit_is_told_as_it_was(clinic: Site) -> None:
    first = data.log(clinic.project)[-1].id
    record = clinic.json(f"/data/raw.visits.json?at={first}")
    assert (record["health"]["rows"], len(record["health"]["points"])) == (2, 1)
    assert clinic.get(f"/data/raw.visits?at={first}").status_code == 200


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (400, "dark")])
def test_the_charts_are_drawn_and_nothing_overflows(browser: Any, clinic: Site, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    errors = shots(page)
    for path, charts in (("/data", 0), ("/data/raw.visits", 5)):
        page.goto(clinic.url + path)
        assert page.locator("svg.chart").count() == charts
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path} is {over} px too wide at {width}"
    assert page.locator("svg.chart path.s-a").first.bounding_box()["width"] > 100
    assert errors == []
    context.close()
