"""Every noun and every verb has help, an example that parses, and a page."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

import bucle as package
from bucle.doors.cli.main import NOUNS, main, make_parser
from bucle.doors.cli.verb import Verb

ROOT = Path(__file__).parents[3]
NAMES = [noun for group in NOUNS.values() for noun in group]


def verbs_of(noun: str) -> tuple[Verb, ...]:
    verbs: tuple[Verb, ...] = importlib.import_module(f"bucle.doors.cli.{noun}").VERBS
    return verbs


VERBS = [pytest.param(noun, verb, id=f"{noun} {verb.name}".strip()) for noun in NAMES for verb in verbs_of(noun)]


@pytest.mark.parametrize("noun", NAMES)
def test_a_noun_is_a_module_with_verbs(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_spec(f"bucle.doors.cli.{noun}") is not None
    assert main([noun, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb.name in shown for verb in verbs_of(noun))


@pytest.mark.parametrize(("noun", "verb"), VERBS)
def test_a_verb_has_help_and_an_example_that_parses(noun: str, verb: Verb) -> None:
    assert verb.help
    program, first, *rest = shlex.split(verb.example)
    assert (program, first) == ("bucle", noun)
    assert not verb.name or rest[0] == verb.name
    make_parser(noun, verbs_of(noun)).parse_args(rest)


@pytest.mark.parametrize("noun", NAMES)
def test_no_two_verbs_have_one_name(noun: str) -> None:
    names = [verb.name for verb in verbs_of(noun)]
    assert len(names) == len(set(names))
    assert "" not in names or len(names) == 1


@pytest.mark.parametrize(("noun", "verb"), VERBS)
def test_no_argument_hides_what_the_frame_keeps(noun: str, verb: Verb) -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser()
    verb.arguments(parser)
    assert {"carry_out", "json", "quiet", "project", "database", "verb"} & {
        one.dest for one in parser._actions
    } == set()


def test_the_page_is_what_the_parsers_say() -> None:
    document = runpy.run_path(str(ROOT / "scripts" / "make_docs.py"))["document"]
    assert (ROOT / "docs" / "cli.md").read_text() == document(), "run: python scripts/make_docs.py"


def test_every_command_that_a_message_names_is_there() -> None:
    source = Path(package.__file__).parent
    named = set()
    for path in [*source.rglob("*.py"), *source.rglob("*.html"), *source.rglob("*.in")]:
        for noun, verb in re.findall(r"(?<![.\w])bucle (\w+)(?: ([a-z][a-z0-9-]*))?", path.read_text()):
            if noun in NAMES and verb and {one.name for one in verbs_of(noun)} != {""}:
                named.add(f"{noun} {verb}")
            elif noun == "run" and verb in {"list", "show", "log", "code"}:
                named.add(f"run {verb}")
    known = {f"{noun} {verb.name}" for noun in NAMES for verb in verbs_of(noun)}
    assert named - known == set()
