"""The pages in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
    page.wait_for_selector("[data-curve=auc] canvas")
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
        page.locator("input[name=ids]").nth(place).check()
    page.click("text=Compare the ticked ones")
    assert page.locator("h1").inner_text() == "Compare 2 runs"
    context.close()
