"""Every page of a real server, on an empty project and on a filled one."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import msgspec
import pytest

from bucle.doors.ui import VIEWS, language
from bucle.line import registry
from doors.conftest import Site, addresses
from doors.filled import NASTY

VOID = {"meta", "link", "input", "br", "hr", "img", "path", "circle", "line", "rect", "use"}
EMPTY = [view.path for view in VIEWS if "{" not in view.path and view.path != "/compare"] + ["/api"]


class Reader(HTMLParser):
    """Checks that what is opened is closed, and gathers ids, links and whatever could run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.running: list[str] = []
        self.labelled = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src", "action", "hx-get"):
                self.links.append(value or "")
            if name == "style" or name.startswith(("on", "hx-on")):
                self.running.append(f"{tag} {name}")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids), "an id stands twice"
    assert reader.running == [], "something inline that the policy forbids"
    return reader


@pytest.mark.parametrize("code", ["en", "es"])
@pytest.mark.parametrize("path", EMPTY)
def test_every_page_of_an_empty_project_teaches(empty_site: Site, path: str, code: str) -> None:
    answer = empty_site.get(path, code)
    assert answer.status_code == 200
    assert f'<html lang="{code}"' in answer.text
    read(answer.text)
    if path not in ("/doctor", "/api"):
        assert 'class="empty"' in answer.text


@pytest.mark.parametrize("code", ["en", "es"])
def test_every_page_of_a_filled_project_is_sound(site: Site, code: str) -> None:
    for path in addresses(site):
        answer = site.get(path, code)
        assert answer.status_code == 200, f"{path}: {answer.text[:400]}"
        reader = read(answer.text)
        outside = [link for link in reader.links if not link.startswith(("/", "#")) or link.startswith("//")]
        assert outside == [], path
        assert 'class="empty"' not in answer.text or path in ("/lineage",), path


def test_every_link_of_the_pages_leads_somewhere(site: Site) -> None:
    found = {link.partition("#")[0] for path in addresses(site) for link in read(site.get(path).text).links}
    inner = sorted(
        one for one in found if one.startswith("/") and not re.search(r"lineage\?of=|lang=|theme=|/compare$", one)
    )
    by_page: dict[str, list[str]] = {}
    for link in inner:
        by_page.setdefault(re.sub(r"[0-9a-f]{8,}|[0-9]+|r\d+", "#", link), []).append(link)
    for links in by_page.values():
        for link in links[:2]:
            assert site.client.get(link).status_code == 200, link


def test_names_from_the_project_are_only_text(site: Site) -> None:
    pages = ["/runs", "/data", "/audit?kind=data.refused"]
    texts = [site.get(path).text for path in pages]
    assert all(NASTY not in text for text in texts)
    assert all("&lt;script&gt;alert(" in text for text in texts)


def test_json_of_a_page_is_the_very_record(site: Site) -> None:
    models = site.json("/models.json")["models"]
    own = registry.models(site.project)
    assert msgspec.convert([one["model"] for one in models], list[registry.Model]) == own


def test_every_table_is_there_as_csv(site: Site) -> None:
    for path in ("/runs.csv", "/audit.csv?limit=5", "/models/flights.csv", "/monitor/flights.csv", "/index.csv"):
        answer = site.client.get(path)
        assert answer.headers["content-type"].startswith("text/csv")
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) >= 1, path


def test_the_passport_of_a_version_leads_to_all_it_came_from(site: Site) -> None:
    text = site.get("/models/flights/1").text
    version = registry.version(site.project, "flights", 1)
    for part in (f"/runs/{version.run}", f"/data?at={version.commit}", f"/pipelines/{version.execution}", "/gates/",
                 "bucle reproduce flights@1"):  # fmt: skip
        assert part in text


def test_the_total_of_the_runs_is_true_and_paging_reaches_them_all(site: Site) -> None:
    page = site.json("/runs.json?limit=4")
    total, pages = page["total"], [page]
    while page["after"]:
        page = site.json(f"/runs.json?limit=4&page={page['after']}")
        pages.append(page)
    seen = [one["id"] for page in pages for one in page["runs"]]
    assert len(seen) == len(set(seen)) == total
    assert all(page["total"] == total for page in pages)
    back = site.json(f"/runs.json?limit=4&page={pages[2]['before']}")
    assert back["runs"] == pages[1]["runs"]
    assert pages[1]["before"] == ""
    assert pages[0]["before"] is None


def test_runs_can_be_sorted_by_a_metric(site: Site) -> None:
    values = [one["metrics"]["auc"] for one in site.json("/runs.json?sort=-auc")["runs"]]
    assert values == sorted(values, reverse=True)


def test_the_audit_page_verifies_the_chain(site: Site) -> None:
    size = site.project.ledger.size()
    assert f"Chain verified to event {size - 1}." in site.get("/audit").text
    assert f"Cadena verificada hasta el evento {size - 1}." in site.get("/audit", "es").text


def test_an_error_stands_in_place_of_the_page_with_its_fix(site: Site) -> None:
    answer = site.get("/models/flihts")
    assert answer.status_code == 404
    assert "BU09" in answer.text
    assert "Did you mean &#39;flights&#39;?" in answer.text
    read(answer.text)


def test_language_and_theme_are_kept_in_a_cookie_without_a_redirect(empty_site: Site) -> None:
    answer = empty_site.client.get("/runs?lang=es&theme=dark&next=//evil.example", headers={"accept": "text/html"})
    assert answer.status_code == 200
    cookies = answer.headers.get_list("set-cookie")
    assert any("bucle_lang=es" in one and "HttpOnly" in one for one in cookies)
    assert 'data-theme="dark"' in answer.text
    empty_site.client.cookies.clear()


def test_a_language_nobody_has_is_not_kept(empty_site: Site) -> None:
    assert "set-cookie" not in empty_site.get("/?lang=xx").headers


def test_no_page_ships_more_script_than_its_budget() -> None:
    import gzip
    from importlib.resources import files

    static = files("bucle.doors.ui").joinpath("static")
    size = sum(len(gzip.compress(static.joinpath(name).read_bytes()))
               for name in ("htmx-4.0.1.min.js", "uplot-1.6.32.min.js", "bucle.js", "charts.js"))  # fmt: skip
    assert size < 50_000
    assert language("es").say("Runs") == "Ejecuciones"
