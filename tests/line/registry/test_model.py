"""Models: things of their own, whose names and numbers mean one thing for ever."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import registry
from bucle.line.registry import Reference
from line.registry.guards import Busy

MODEL = Reference(provider="huggingface", id="some/model", version="1", licence="Apache-2.0")


def add(project: Project, name: str) -> registry.ModelVersion:
    return registry.register_reference(project, name, MODEL)


def sound(project: Project) -> bool:
    return verify_log(project.database, project.anchor).faults == ()


def test_a_model_is_there_before_it_has_a_version(any_project: Project) -> None:
    made = registry.create_model(any_project, "flights", description="delays", tags={"team": "ops"})
    assert (made.latest, made.versions, made.owner, made.kind) == (0, 0, "ana", "model")
    assert registry.models(any_project) == [made]
    with pytest.raises(registry.NoSuchVersion, match="no version"):
        registry.version(any_project, "flights")
    with pytest.raises(registry.ModelExists):
        registry.create_model(any_project, "flights")
    assert sound(any_project)


def test_registering_makes_the_model_and_its_author_owns_it(any_project: Project) -> None:
    registry.register_reference(any_project, "llm", MODEL, author="eva")
    assert registry.model(any_project, "llm").owner == "eva"
    (event,) = registry.history(any_project, "llm")
    assert (event.kind, event.data["made_model"]) == ("registry.version_registered", True)


def test_a_description_and_an_owner_are_changed_with_a_trace(any_project: Project) -> None:
    registry.create_model(any_project, "m", description="old")
    registry.describe_model(any_project, "m", description="new", owner="eva", actor="bob", reason="took over")
    assert (registry.model(any_project, "m").description, registry.model(any_project, "m").owner) == ("new", "eva")
    add(any_project, "m")
    registry.describe_version(any_project, "m", 1, "first")
    told = [(one.what, one.before, one.after, one.actor) for one in registry.changes(any_project, "m")]
    assert told[1:3] == [("description", "old", "new", "bob"), ("owner", "ana", "eva", "bob")]
    assert told[-1] == ("description", "", "first", "ana")


def test_prompts_show_when_they_are_asked_for(any_project: Project) -> None:
    registry.create_model(any_project, "m")
    registry.register_prompt(any_project, "p", "text")
    assert [one.name for one in registry.models(any_project)] == ["m"]
    assert [one.name for one in registry.models(any_project, kind="prompt")] == ["p"]
    assert len(registry.models(any_project, kind=None)) == 2


def test_a_renamed_model_keeps_all_but_its_name(any_project: Project) -> None:
    for _ in range(2):
        add(any_project, "old")
    registry.set_model_tag(any_project, "old", "k", "v")
    registry.set_version_tag(any_project, "old", 1, "k", "v")
    registry.set_alias(any_project, "old", "best", 2, actor="ana", reason="")
    registry.rename_model(any_project, "old", "new")
    found = registry.model(any_project, "new")
    assert (found.latest, found.aliases, found.tags) == (2, {"best": 2}, {"k": "v"})
    assert registry.version(any_project, "new", "best").tags == {}
    assert registry.version(any_project, "new", 1).tags == {"k": "v"}
    with pytest.raises(registry.NoSuchModel):
        registry.model(any_project, "old")
    assert [one.version for one in registry.versions(any_project, "new")] == [1, 2]
    assert ("model/old@1", "renamed") in {(e.source, e.kind) for e in any_project.ledger.lineage("model/new@1")}
    assert sound(any_project)


def test_a_name_that_had_versions_goes_to_no_others(any_project: Project) -> None:
    add(any_project, "first")
    registry.delete_model(any_project, "first")
    add(any_project, "second")
    with pytest.raises(registry.NameTaken, match="first@1"):
        registry.rename_model(any_project, "second", "first")
    registry.create_model(any_project, "third")
    with pytest.raises(registry.ModelExists):
        registry.rename_model(any_project, "second", "third")
    assert add(any_project, "first").version == 2


def test_what_is_deleted_stays_on_the_ledger(any_project: Project) -> None:
    made = add(any_project, "m")
    registry.set_version_tag(any_project, "m", 1, "k", "v")
    registry.set_alias(any_project, "m", "best", 1, actor="ana", reason="")
    registry.delete_version(any_project, "m", 1, actor="bob", reason="wrong licence")
    registry.delete_model(any_project, "m", actor="bob", reason="all wrong")
    told = [(one.what, one.before, one.after, one.reason) for one in registry.changes(any_project, "m")]
    assert told[-3:] == [
        ("alias best", "1", "", "wrong licence"),
        ("version", made.digest, "", "wrong licence"),
        ("model", "0 versions", "", "all wrong"),
    ]
    (gone,) = any_project.ledger.events(kinds=["registry.version_deleted"])
    assert (gone.data["tags"], gone.data["author"], gone.data["stage"]) == ({"k": "v"}, "ana", "registered")
    assert sound(any_project)


def test_what_is_in_use_is_not_deleted(any_project: Project) -> None:
    add(any_project, "m")

    for call in (
        lambda: registry.delete_version(any_project, "m", 1, guard=Busy()),
        lambda: registry.delete_model(any_project, "m", guard=Busy()),
        lambda: registry.rename_model(any_project, "m", "n", guard=Busy()),
    ):
        with pytest.raises(registry.ModelInUse, match="answers"):
            call()
    assert registry.version(any_project, "m", 1).version == 1


@pytest.mark.parametrize("name", ["a/b", "a:b", "", " ", ".", "..", "x" * 257, "a\tb", "a\x00b", "\ud800"])
def test_a_name_no_file_could_bear_is_refused(project: Project, name: str) -> None:
    with pytest.raises(registry.BadModelName):
        registry.create_model(project, name)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/:"), min_size=1, max_size=30)


@given(name=NAMES, version=st.none() | st.integers(1, 10**6))
def test_a_ref_gives_its_name_and_number_back(name: str, version: int | None) -> None:
    assert registry.model_of(registry.model_ref(name, version)) == (name, version)


STEPS = st.lists(st.tuples(st.sampled_from(["add", "delete", "drop", "rename"]), st.sampled_from("abc")), max_size=14)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_ref_ever_means_two_things(project: Project, steps: list[tuple[str, str]]) -> None:
    for name in "abc":
        if name in [one.name for one in registry.models(project)]:
            registry.delete_model(project, name)
    start = project.ledger.size()
    for step, name in steps:
        try:
            if step == "add":
                add(project, name)
            elif step == "delete":
                registry.delete_version(project, name, registry.version(project, name).version)
            elif step == "drop":
                registry.delete_model(project, name)
            else:
                registry.rename_model(project, name, {"a": "b", "b": "c", "c": "a"}[name])
        except (registry.NoSuchModel, registry.NoSuchVersion, registry.NameTaken, registry.ModelExists):
            continue
    given_out = [
        event.subject for event in project.ledger.events(kinds=["registry.version_registered"], after=start - 1)
    ]
    renamed = [
        edge.target
        for event in project.ledger.events(kinds=["registry.model_renamed"], after=start - 1)
        for edge in project.ledger.edges_of([event.subject], upstream=True)
    ]
    assert len(given_out) == len(set(given_out))
    assert not set(given_out) & {ref for ref in renamed if "@" in ref}
    assert sound(project)
