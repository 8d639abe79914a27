"""Tags: written, changed and taken off, each time with a trace."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Reference


@pytest.fixture
def tagged(any_project: Project) -> Project:
    registry.register_reference(any_project, "m", Reference(provider="x", id="y"))
    return any_project


def test_tags_are_kept_whole_whatever_their_length(tagged: Project) -> None:
    for length in (0, 1, 127, 128, 129, 100_000):
        registry.set_version_tag(tagged, "m", 1, f"k{length}", "é" * length)
        registry.set_model_tag(tagged, "m", f"k{length}", "é" * length)
    assert [len(value) for value in registry.version(tagged, "m", 1).tags.values()] == [0, 1, 100_000, 127, 128, 129]
    assert registry.model(tagged, "m").tags == registry.version(tagged, "m", 1).tags
    assert not verify_log(tagged.database, tagged.anchor).faults


def test_every_change_says_from_what_to_what(tagged: Project) -> None:
    for value in ("a", "b", "b"):
        registry.set_version_tag(tagged, "m", 1, "k", value, actor="eva", reason="why")
    registry.delete_version_tag(tagged, "m", 1, "k", actor="eva")
    registry.delete_version_tag(tagged, "m", 1, "k", actor="eva")
    told = [(one.what, one.before, one.after) for one in registry.changes(tagged, "m") if one.actor == "eva"]
    assert told == [("tag k", "", "a"), ("tag k", "a", "b"), ("tag k", "b", "")]


def test_a_long_value_stands_on_the_ledger_as_a_blob(tagged: Project) -> None:
    registry.set_model_tag(tagged, "m", "long", "x" * 5000)
    event = registry.history(tagged, "m")[-1]
    assert registry.in_full(tagged, event.data["to"]) == "x" * 5000
    assert registry.changes(tagged, "m")[-1].after.startswith("blob ")


@pytest.mark.parametrize(
    ("key", "value"), [("", "v"), (" ", "v"), ("k" * 251, "v"), ("k", "v" * 100_001), ("k", "\x00")]
)
def test_a_tag_no_database_keeps_is_refused(project: Project, key: str, value: str) -> None:
    registry.create_model(project, "m")
    size = project.ledger.size()
    with pytest.raises((registry.BadTag, registry.BadText)):
        registry.set_model_tag(project, "m", key, value)
    assert project.ledger.size() == size


def test_tags_of_nothing_are_refused(tagged: Project) -> None:
    for call in (
        lambda: registry.set_model_tag(tagged, "n", "k", "v"),
        lambda: registry.delete_model_tag(tagged, "n", "k"),
        lambda: registry.set_version_tag(tagged, "m", 2, "k", "v"),
        lambda: registry.delete_version_tag(tagged, "n", 1, "k"),
    ):
        with pytest.raises((registry.NoSuchModel, registry.NoSuchVersion)):
            call()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.text(max_size=200)), max_size=10))
def test_tags_are_a_dictionary(project: Project, steps: list[tuple[str, str | None]]) -> None:
    number = registry.register_reference(project, "m", Reference(provider="x", id="y")).version
    kept: dict[str, str] = {}
    for key, value in steps:
        if value is None:
            registry.delete_version_tag(project, "m", number, key)
            kept.pop(key, None)
        elif "\x00" not in value and all(not 0xD800 <= ord(one) < 0xE000 for one in value):
            registry.set_version_tag(project, "m", number, key, value)
            kept[key] = value
    assert registry.version(project, "m", number).tags == kept
