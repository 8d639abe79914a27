"""The docs are true: generated pages are up to date, links lead somewhere, commands exist, every room has its page."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bucle.doors.cli.main import NOUNS
from test_house import LINE

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_page_of_errors_is_what_the_code_says() -> None:
    script = str(ROOT / "scripts" / "make_docs.py")
    told = f"import runpy; print(runpy.run_path({script!r})['errors_document'](), end='')"
    fresh = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "errors.md").read_text() == fresh, "run: python scripts/make_docs.py"


def test_the_page_of_commands_is_what_the_parsers_say() -> None:
    fresh = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))["document"]()
    assert (ROOT / "docs" / "cli.md").read_text() == fresh, "run: python scripts/make_docs.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+?)\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("room", [*LINE, "loop", "ground", "ui", "server"])
def test_every_room_has_its_page(room: str) -> None:
    assert (ROOT / "docs" / "rooms" / f"{room}.md").exists()


def commands(page: Path) -> Iterator[list[str]]:
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for line in block.splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words and words[0] == "bucle":
                    yield words[1:]


@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_every_command_in_the_readme_exists(name: str) -> None:
    nouns = {noun for group in NOUNS.values() for noun in group}
    found = list(commands(ROOT / name))
    assert len(found) > 8
    for words in found:
        assert words[0] in nouns, words
        verbs = {verb.name for verb in importlib.import_module(f"bucle.doors.cli.{words[0]}").VERBS}
        assert verbs == {""} or words[1] in verbs, words


def test_both_readmes_give_the_same_commands() -> None:
    in_words = re.compile("nothing|nada|PREDIC")
    english, spanish = (
        [[word for word in words if not in_words.search(word)] for words in commands(ROOT / name)]
        for name in ("README.md", "README.es.md")
    )
    assert english == spanish
