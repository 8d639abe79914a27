"""What an address may say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bucle.doors.ui
from bucle.doors.ui import VIEWS, BadParameter, Limit, bind, parameters, result_type
from bucle.doors.ui.links import link_of
from bucle.doors.ui.parameters import Name
from bucle.doors.ui.view import Address, View, as_csv
from bucle.ground.core import Record


def look(project: object, *, model: Name, limit: Limit = 10, deep: bool = False) -> list[int]:
    return []


def test_values_become_what_the_function_declares() -> None:
    assert bind(look, {"model": "m", "limit": "5", "deep": "true"}, strict=True) == {
        "model": "m",
        "limit": 5,
        "deep": True,
    }
    assert [one.name for one in parameters(look)] == ["model", "limit", "deep"]


@pytest.mark.parametrize(
    "given", [{}, {"model": "../x"}, {"model": ""}, {"model": "m", "limit": "0"}, {"model": "m", "limit": "x"},
              {"model": "m", "limt": "3"}]
)  # fmt: skip
def test_what_does_not_fit_is_an_error_that_names_it(given: dict[str, str]) -> None:
    with pytest.raises(BadParameter):
        bind(look, given, strict=True)


def test_a_near_miss_is_offered() -> None:
    with pytest.raises(BadParameter) as raised:
        bind(look, {"model": "m", "limt": "3"}, strict=True)
    assert raised.value.fix == "Did you mean 'limit'?"


def test_an_address_keeps_its_query_and_drops_what_is_empty() -> None:
    at = Address("/runs", {"q": "a b", "offset": "100"})
    assert at.with_(offset=None, sort="-auc") == "/runs?q=a+b&sort=-auc"
    assert at.as_("json") == "/runs.json?q=a+b&offset=100"
    assert Address("/", {}).as_("json") == "/index.json"


@pytest.mark.parametrize(
    ("ref", "url"),
    [
        ("model/flights@3", "/models/flights/3"),
        ("model/flights", "/models/flights"),
        ("run/4f", "/runs/4f"),
        ("event/17", "/audit?before=18&limit=1"),
        ("step_run/4f.2", "/pipelines/4f?step=2"),
        ("view/calendar@ab", "/features#calendar"),
        ("branch/main", "/data"),
        ("branch/ingest-1", "/audit?subject=branch%2Fingest-1"),
        ("blob/ab", "/lineage?of=blob%2Fab"),
        ("model///evil.example", "/models/%2F%2Fevil.example"),
        ("nonsense", "/lineage?of=nonsense"),
        ("javascript:alert(1)", "/lineage?of=javascript%3Aalert%281%29"),
    ],
)
def test_a_ref_always_leads_to_a_page_of_ours(ref: str, url: str) -> None:
    assert link_of(ref) == url
    assert url.startswith("/")
    assert not url.startswith("//")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.path)
def test_every_page_has_its_template_and_its_table(view: View) -> None:
    assert (Path(bucle.doors.ui.__file__).parent / "templates" / view.template).is_file()
    assert not view.rows or view.rows in result_type(view.read).__struct_fields__
    assert set(re.findall(r"{(\w+)", view.path)) <= {one.name for one in parameters(view.read)}
    assert view.read.__doc__


def test_no_text_of_a_table_runs_in_a_spreadsheet() -> None:
    class Row(Record, frozen=True):
        name: str
        facts: dict[str, float]

    class Table(Record, frozen=True):
        rows: tuple[Row, ...]

    table = Table(rows=(Row(name="=HYPERLINK(1)", facts={"auc": 0.5}), Row(name='a,"b"', facts={"f1": 1.0})))
    lines = as_csv(View("/x", look, "x.html", "", "rows"), table).splitlines()
    assert lines == ["name,facts.auc,facts.f1", "'=HYPERLINK(1),0.5,", '"a,""b""",,1.0']
