"""Searches: the same answers from both databases and from plain Python, page by page."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import BadFilter, SimulatedClock
from bucle.ground.project import Project
from bucle.line import registry, tracking
from bucle.line.registry import Reference

TEXTS = ["", "a", "A", "ab", "a_b", "a%b", "a*b", "a[b]", "a\\b", "é", "x" * 127 + "ab", "x" * 128 + "ab", "100%"]

SMALL = {65 + letter: 97 + letter for letter in range(26)}


def add(project: Project, model: str, **kwargs: Any) -> registry.ModelVersion:
    return registry.register_reference(project, model, Reference(provider="x", id="y"), **kwargs)


@pytest.fixture
def many(any_project: Project, clock: SimulatedClock) -> Project:
    """Seven versions of three models, and a prompt; each a minute after the other."""
    for number, model in enumerate(["b", "a", "c", "a", "b", "a", "a"]):
        clock.advance(timedelta(minutes=1))
        add(any_project, model, tags={"text": TEXTS[number], "n": str(number)})
    registry.register_prompt(any_project, "p", "text")
    return any_project


def all_pages(search: Any, project: Project, limit: int, **kwargs: Any) -> list[Any]:
    found, token = list[Any](), ""
    while True:
        page = search(project, limit=limit, token=token, **kwargs)
        assert len(page.items) <= limit
        found += page.items
        token = page.token
        if not token:
            return found


def names(found: list[registry.ModelVersion]) -> list[str]:
    return [f"{one.model}@{one.version}" for one in found]


def test_the_default_orders_are_newest_version_and_models_name(many: Project) -> None:
    assert names(list(registry.search_versions(many).items)) == ["a@4", "a@3", "b@2", "a@2", "c@1", "a@1", "b@1"]
    assert [one.name for one in registry.search_models(many).items] == ["a", "b", "c"]


ORDERS = {
    (): "a4 a3 b2 a2 c1 a1 b1",
    ("name DESC",): "c1 b2 b1 a4 a3 a2 a1",
    ("version_number ASC",): "a1 b1 c1 a2 b2 a3 a4",
    ("version_number", "name DESC"): "c1 b1 a1 b2 a2 a3 a4",
    ("creation_timestamp ASC",): "b1 a1 c1 a2 b2 a3 a4",
    ("last_updated_timestamp DESC",): "a4 a3 b2 a2 c1 a1 b1",
}


def test_pages_give_every_version_once_in_order(many: Project) -> None:
    for order, expected in ORDERS.items():
        for limit in (1, 2, 3, 7, 8):
            found = all_pages(registry.search_versions, many, limit, order_by=order)
            assert " ".join(f"{one.model}{one.version}" for one in found) == expected


def test_models_are_paged_by_the_time_of_their_change(many: Project, clock: SimulatedClock) -> None:
    clock.advance(timedelta(minutes=1))
    registry.describe_model(many, "c", description="touched")
    found = all_pages(registry.search_models, many, 1, order_by=["last_updated_timestamp DESC"])
    assert [one.name for one in found] == ["c", "a", "b"]


def test_a_version_registered_between_two_pages_moves_none(many: Project, clock: SimulatedClock) -> None:
    first = registry.search_versions(many, limit=3)
    clock.advance(timedelta(minutes=1))
    add(many, "a")
    rest = registry.search_versions(many, limit=10, token=first.token)
    assert names([*first.items, *rest.items]) == ["a@4", "a@3", "b@2", "a@2", "c@1", "a@1", "b@1"]


def test_a_token_fits_only_the_search_it_came_from(many: Project) -> None:
    token = registry.search_versions(many, limit=2).token
    for wrong in ({"filter": "name = 'a'"}, {"order_by": ["name ASC"]}):
        with pytest.raises(tracking.BadToken):
            registry.search_versions(many, limit=2, token=token, **wrong)
    for made_up in ("x", token[:-2], "é", "a" * 5000, registry.search_models(many, limit=1).token):
        with pytest.raises(tracking.BadToken):
            registry.search_versions(many, limit=2, token=made_up)


def test_prompts_show_only_to_those_who_ask(many: Project) -> None:
    for asked in ("tags.`mlflow.prompt.is_prompt` = 'true'", "tag.`mlflow.prompt.is_prompt` != 'false'"):
        assert [one.name for one in registry.search_models(many, filter=asked).items] == ["p"]
        assert names(list(registry.search_versions(many, filter=asked).items)) == ["p@1"]
    for hidden in ("tags.`mlflow.prompt.is_prompt` != 'true'", "tags.`mlflow.prompt.is_prompt` = 'false'", ""):
        assert len(registry.search_models(many, filter=hidden).items) == 3
        assert len(registry.search_versions(many, filter=hidden).items) == 7


def test_numbers_too_large_for_any_version_are_no_error(many: Project) -> None:
    for number in (str(2**31), str(2**63), "9" * 19, f"-{'9' * 19}"):
        for op in ("=", ">", "<=", "!="):
            found = registry.search_versions(many, filter=f"version_number {op} {number}").items
            assert len(found) in (0, 7)


@pytest.mark.parametrize("wrong", ["version_number = 1.5", "tags.k IN ('a')", "source_path IN ('a')", "stage = 'x'"])
def test_what_cannot_be_asked_is_refused(project: Project, wrong: str) -> None:
    with pytest.raises(BadFilter):
        registry.search_versions(project, filter=wrong)


def python_like(pattern: str, text: str, *, fold: bool) -> bool:
    """LIKE as MLflow means it: % and _ are the only special characters."""
    if fold:
        pattern, text = pattern.translate(SMALL), text.translate(SMALL)
    expression = "".join(".*" if one == "%" else "." if one == "_" else re.escape(one) for one in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_comparisons_of_texts_mean_the_same_in_every_database(texts: Project, data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(["=", "!=", "LIKE", "ILIKE"]))
    letters = st.text(st.sampled_from("aAbx%_*[]\\?é"), max_size=5)
    value = data.draw(st.sampled_from(TEXTS) | letters)
    found = registry.search_versions(texts, filter=f"tags.text {op} '{value}'", order_by=["version_number ASC"])
    compare = {
        "=": lambda text: text == value,
        "!=": lambda text: text != value,
        "LIKE": lambda text: python_like(value, text, fold=False),
        "ILIKE": lambda text: python_like(value, text, fold=True),
    }[op]
    assert [one.tags["text"] for one in found.items] == [text for text in TEXTS if compare(text)]


@pytest.fixture
def texts(any_project: Project) -> Project:
    """A version for each text, in a tag."""
    for text in TEXTS:
        add(any_project, "m", tags={"text": text})
    return any_project
