"""The pages in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bucle.line import tracking
from bucle.line.tracking import Point
from doors.conftest import Site, served, some_addresses

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def shots(page: Any) -> list[str]:
    """Errors of the console and of scripts, as they come."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.mark.parametrize(
    ("width", "scheme", "locale"),
    [
        (1440, "light", "en"),
        pytest.param(1440, "dark", "es", marks=pytest.mark.full),
        (390, "light", "es"),
    ],
)
def test_no_page_has_an_error_or_overflows(browser: Any, site: Site, width: int, scheme: str, locale: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, locale=locale)
    page = context.new_page()
    errors = shots(page)
    for path in some_addresses(site):
        page.goto(site.url + path)
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path} is {over} px too wide at {width}"
        assert page.evaluate("document.querySelectorAll('*').length") <= 2500, path
        assert errors == [], f"{path}: {errors}"
    context.close()


def test_no_browser_asks_another_host(browser: Any, site: Site) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/monitor/flights", "/runs"):
        page.goto(site.url + path)
    assert asked
    assert all(url.startswith(site.url) for url in asked)
    page.close()


def test_curves_are_drawn(browser: Any, site: Site) -> None:
    run = site.json("/runs.json?experiment=tuning")["runs"][0]["id"]
    page = browser.new_page()
    page.goto(f"{site.url}/runs/{run}")
    page.wait_for_selector("[data-key=auc] canvas")
    page.close()


def test_a_filter_changes_the_address_and_the_table_in_place(browser: Any, site: Site) -> None:
    page = browser.new_page()
    errors = shots(page)
    page.goto(f"{site.url}/runs")
    page.evaluate("window.same = true")
    page.select_option("select[name=experiment]", "tuning")
    page.wait_for_url("**/runs?experiment=tuning*")
    page.wait_for_function("document.querySelectorAll('tbody tr').length === 6")
    assert page.evaluate("window.same") is True
    assert errors == []
    page.close()


def test_a_page_follows_the_ledger_by_itself(browser: Any, root: Path) -> None:
    page = browser.new_page()
    errors = shots(page)
    with served(root) as site:
        page.goto(f"{site.url}/audit")
        page.wait_for_selector("#live[data-on]")
        site.project.ledger.record("test.happened", subject="test/live", actor="ana", reason="somebody came by")
        page.wait_for_selector("text=somebody came by", timeout=15_000)
        page.close()
    assert errors == []


def test_everything_is_there_without_scripts(browser: Any, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/runs")
    page.fill("input[name=q]", "rounds-2")
    page.click("form.filter button")
    assert page.locator("tbody tr").count() == 1
    page.goto(f"{site.url}/runs?experiment=tuning")
    for place in (0, 2):
        page.locator("input[name=runs]").nth(place).check()
    page.click("text=Compare the ticked ones")
    assert page.locator("h1").inner_text() == "Compare 2 runs"
    context.close()


@pytest.fixture(scope="module")
def runs_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project of its own, because its runs are logged to while the browser looks."""
    root = tmp_path_factory.mktemp("live") / "project"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "live"\n')
    with served(root) as found:
        yield found


def begin(site: Site, name: str, values: list[float]) -> str:
    experiment = tracking.ensure_experiment(site.project, "live")
    run = tracking.create_run(site.project, experiment.id, name=name, params={"rate": str(len(name))})
    log_values(site, run.id, values)
    return run.id


def log_values(site: Site, run: str, values: list[float], start: int = 0) -> None:
    points = [Point("loss", value, 1000 * step, step) for step, value in enumerate(values, start)]
    tracking.log(site.project, run, points=points)


def test_a_curve_grows_while_its_run_goes_on_and_the_page_tells_its_end(browser: Any, runs_site: Site) -> None:
    run = begin(runs_site, "growing", [3.0, 2.0])
    page = browser.new_page()
    errors = shots(page)
    page.goto(f"{runs_site.url}/runs/{run}")
    page.wait_for_selector(".read:has-text('step 1: 2')")
    log_values(runs_site, run, [1.25], start=2)
    page.wait_for_selector(".read:has-text('step 2: 1.25')", timeout=15_000)
    tracking.update_run(runs_site.project, run, status="finished")
    page.wait_for_selector(".stamp .ok:has-text('finished')", timeout=15_000)
    assert errors == []
    page.close()


def test_a_curve_is_read_with_the_keyboard_and_its_settings_stand_in_the_address(browser: Any, runs_site: Site) -> None:
    run = begin(runs_site, "read", [3.0, 2.0, 1.0])
    page = browser.new_page()
    errors = shots(page)
    page.goto(f"{runs_site.url}/runs/{run}")
    page.wait_for_selector("[data-key=loss] canvas")
    page.focus("[data-key=loss]")
    page.keyboard.press("Home")
    page.wait_for_selector(".read:has-text('step 0: 3')")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".read:has-text('step 1: 2')")
    page.check("input[name=log]")
    page.select_option("select[name=x]", "time")
    page.wait_for_url("**?log=1&x=time")
    page.reload()
    page.wait_for_selector(".read:has-text('2 s: 1')")
    assert page.is_checked("input[name=log]")
    assert errors == []
    page.close()


def test_rows_are_ticked_and_compared_with_the_keyboard(browser: Any, runs_site: Site) -> None:
    ids = {begin(runs_site, name, [1.0, 0.5]) for name in ("one", "two", "three")}
    page = browser.new_page()
    errors = shots(page)
    page.goto(f"{runs_site.url}/runs?q=attributes.run_name IN ('one', 'two', 'three')")
    page.wait_for_selector("path[data-run][d]", state="attached")
    for key in "jxjjx":
        page.keyboard.press(key)
    assert page.inner_text("#pick [data-count]").endswith("(2)")
    page.keyboard.press("c")
    page.wait_for_url("**/compare?runs=*")
    assert page.locator("h1").inner_text() == "Compare 2 runs"
    page.wait_for_selector("[data-key=loss] canvas")
    compared = set(page.get_attribute("[data-key=loss]", "data-runs").split(","))
    assert len(compared) == 2
    assert compared < ids
    assert errors == []
    page.close()


def test_a_column_is_added_and_a_broken_filter_told_without_leaving_the_page(browser: Any, runs_site: Site) -> None:
    begin(runs_site, "columns", [1.0])
    page = browser.new_page()
    page.goto(f"{runs_site.url}/runs")
    page.evaluate("window.same = true")
    page.click("details.more summary")
    with page.expect_response("**/runs/names.json*") as names:
        page.click("input[name=add]")
    assert "metrics.loss" in names.value.json()["names"]
    page.fill("input[name=add]", "actor")
    page.keyboard.press("Enter")
    page.wait_for_selector("th:has-text('By')")
    page.fill("input[name=q]", "metrics.loss >> 1")
    page.keyboard.press("Enter")
    page.wait_for_selector("#broken:has-text('character 14')")
    assert page.evaluate("window.same") is True
    page.close()


def test_a_link_an_mlflow_client_prints_leads_to_the_run(browser: Any, site: Site) -> None:
    run = tracking.runs(site.project, limit=1)[0]
    page = browser.new_page()
    page.goto(f"{site.url}/#/experiments/{run.experiment_id}/runs/{run.id}")
    page.wait_for_url(f"**/runs/{run.id}")
    page.close()
