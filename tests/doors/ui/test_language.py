"""Every text stands in both languages."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from jinja2 import nodes

import bucle.doors.ui
from bucle.doors.ui import choose, language
from bucle.doors.ui.language import Language
from bucle.doors.ui.render import MENU, _environment
from bucle.doors.ui.states import STATES
from doors.conftest import addresses

UI = Path(bucle.doors.ui.__file__).parent
TEMPLATES = sorted((UI / "templates").glob("*.html"))
SAME = {"Bucle", "JSON", "CSV", "OpenAPI", "AUC", "PSI", "ECE", "Brier", "log", "loss", "p", "ms"}
"""Names, which are the same in every language."""


def catalogue() -> dict[str, str]:
    return json.loads(files("bucle.doors.ui").joinpath("locale", "es.json").read_text())


def said_by_templates() -> set[str]:
    found = {word for word, _ in MENU} | {state.word for state in STATES.values()}
    for path in TEMPLATES:
        for call in _environment().parse(path.read_text()).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "_" and isinstance(call.args[0], nodes.Const):
                found.add(call.args[0].value)
    return found


def test_every_text_of_the_templates_is_in_the_catalogue() -> None:
    assert said_by_templates() - set(catalogue()) == set()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_says_a_word_outside_the_catalogue(path: Path) -> None:
    blocks = _environment().parse(path.read_text()).find_all(nodes.TemplateData)
    text = re.sub(r"<pre>.*?</pre>|<[^>]*>", " ", "\x00".join(block.data for block in blocks), flags=re.S)
    text = re.sub(r"&\w+;", " ", text)
    for command in COMMANDS:
        text = text.replace(command, " ")
    assert set(re.findall(r"[^\W\d_]+", text)) - SAME == set()


COMMANDS = ("bucle audit verify", "bucle run --resume", "bucle data infer", "bucle data describe", "bucle serve",
            "bucle gate judge", "bucle loop request", "bucle runs restore")  # fmt: skip
"""Commands stand as they are typed."""


def test_the_catalogue_keeps_every_place_to_fill_in() -> None:
    places = re.compile(r"{(\w+)}")
    wrong = [said for said, es in catalogue().items() if set(places.findall(said)) != set(places.findall(es))]
    assert wrong == []


def test_no_page_of_a_filled_project_asks_for_a_word_that_is_missing(
    site: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, missing, say = catalogue(), set[str](), Language.say

    def listening(self: Language, text: str, /, **values: object) -> str:
        if self.code == "es" and text not in known:
            missing.add(text)
        return say(self, text, **values)

    monkeypatch.setattr(Language, "say", listening)
    for address in addresses(site):  # type: ignore[arg-type]
        assert site.get(address, "es").status_code == 200  # type: ignore[attr-defined]
    assert missing == set()


@pytest.mark.parametrize(
    ("asked", "cookie", "accepted", "code"),
    [
        ("es", "en", "en", "es"),
        ("", "es", "en", "es"),
        ("", "", "fr, es-MX;q=0.8, en;q=0.5", "es"),
        ("", "", "en-GB", "en"),
        ("xx", "../etc", "*;q=bad", "en"),
        ("", "", "", "en"),
    ],
)
def test_the_language_is_what_was_asked_for_then_the_cookie_then_the_browser(
    asked: str, cookie: str, accepted: str, code: str
) -> None:
    assert choose(asked, cookie, accepted).code == code


def test_numbers_and_dates_are_written_as_each_language_does() -> None:
    english, spanish, at = language("en"), language("es"), datetime(2013, 3, 1, 9, 5, tzinfo=UTC)
    assert (english.number(1234567), spanish.number(1234567)) == ("1,234,567", "1\u202f234\u202f567")
    assert (english.number(0.71234, 3), spanish.number(0.71234, 3)) == ("0.712", "0,712")
    assert (english.share(0.125, 1), spanish.share(0.125, 1)) == ("12.5%", "12,5\u202f%")
    assert (english.instant(at), spanish.day(at)) == ("1 Mar 2013, 09:05", "1 mar 2013")
    assert [english.span(one) for one in (0.0123, 12.34, 3725.0, 90000.0)] == [
        "12 ms",
        "12.3 s",
        "1 h 2 min",
        "1 d 1 h",
    ]
