"""Versions: numbered once, moved by the rules, every move on the ledger."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import BadName
from bucle.ground.ledger import AlreadyDone, Event, verify_log
from bucle.ground.project import Project
from bucle.line import data, registry
from bucle.line.registry import STAGES, TRANSITIONS

ModelMaker = Callable[[float], bytes]


def _kinds(events: list[Event]) -> list[str]:
    return [event.kind.removeprefix("registry.") for event in events]


@pytest.fixture
def flights(any_project: Project, model_onnx: ModelMaker) -> Project:
    """A project with flights@1 and flights@2."""
    for weight in (1.0, 2.0):
        registry.register(any_project, "flights", registry.pack(any_project, model_onnx(weight)))
    return any_project


def test_versions_are_numbered_and_say_where_they_came_from(any_project: Project, model_onnx: ModelMaker) -> None:
    package = registry.pack(any_project, model_onnx(1.0), files={"profile.json": b"{}"})
    commit = data.commit(any_project, {"flights": pl.DataFrame({"delay": [1.5]})}, message="rows").id
    origin = {"run": "r1", "execution": "e1", "commit": "main"}
    first = registry.register(any_project, "flights", package, **origin, metrics={"auc": 0.7}, reason="monthly")
    second = registry.register(any_project, "flights", registry.pack(any_project, model_onnx(2.0)).digest)
    assert (first.version, second.version) == (1, 2)
    assert (first.stage, first.author, first.metrics) == ("registered", "ana", {"auc": 0.7})
    assert first.created_at == any_project.clock.now()
    assert registry.version(any_project, "flights", 1) == first
    assert registry.version(any_project, "flights") == second
    above = {(edge.source, edge.kind) for edge in any_project.ledger.lineage(first.ref)}
    assert above >= {
        ("run/r1", "produced"),
        ("execution/e1", "produced"),
        (f"commit/{commit}", "trained_on"),
        (f"package/{package.digest}", "packaged"),
        (f"blob/{package.files['model.onnx']}", "contains"),
    }


def test_a_version_of_a_commit_that_is_not_there_is_refused(flights: Project, model_onnx: ModelMaker) -> None:
    with pytest.raises(data.NoSuchCommit, match="nowhere"):
        registry.register(flights, "flights", registry.pack(flights, model_onnx(3.0)), commit="nowhere")
    assert registry.version(flights, "flights").version == 2


def test_the_same_package_is_one_version(flights: Project, model_onnx: ModelMaker) -> None:
    size = flights.ledger.size()
    again = registry.register(flights, "flights", registry.pack(flights, model_onnx(1.0)))
    assert again.version == 1
    assert flights.ledger.size() == size
    other = registry.register(flights, "trains", registry.pack(flights, model_onnx(1.0)))
    assert (other.model, other.version) == ("trains", 1)


def test_a_key_registers_once(any_project: Project, model_onnx: ModelMaker) -> None:
    package = registry.pack(any_project, model_onnx(1.0))
    first = registry.register(any_project, "flights", package, key="cycle/1")
    again = registry.register(any_project, "flights", registry.pack(any_project, model_onnx(3.0)), key="cycle/1")
    assert again == first
    assert len(registry.versions(any_project, "flights")) == 1


def test_many_registering_at_once_get_numbers_without_gaps(any_project: Project, model_onnx: ModelMaker) -> None:
    packages = [registry.pack(any_project, model_onnx(float(weight % 6))) for weight in range(12)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda package: registry.register(any_project, "flights", package), packages))
    assert sorted({version.version for version in made}) == [1, 2, 3, 4, 5, 6]
    assert {version.digest for version in made} == {package.digest for package in packages}
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_a_version_goes_from_stage_to_stage_with_actor_and_reason(flights: Project) -> None:
    registry.transition(flights, "flights", 1, "validated", actor="policy:auto", reason="gates passed")
    moved = registry.transition(flights, "flights", 1, "production", actor="ana", reason="canary was healthy")
    assert moved.stage == "production"
    last = registry.history(flights, "flights")[-1]
    assert (last.kind, last.subject, last.actor) == ("registry.stage_changed", "model/flights@1", "ana")
    assert last.reason == "canary was healthy"
    assert (last.data["from"], last.data["to"]) == ("validated", "production")


@pytest.mark.parametrize("now", STAGES)
def test_only_the_written_transitions_are_legal(now: registry.Stage) -> None:
    from bucle.line.registry.stage import check_transition

    for to in STAGES:
        if to in TRANSITIONS[now]:
            assert check_transition("model/m@1", now, to) == to
        else:
            with pytest.raises(registry.IllegalTransition):
                check_transition("model/m@1", now, to)


def test_an_illegal_jump_is_refused_and_tells_the_way(flights: Project) -> None:
    size = flights.ledger.size()
    with pytest.raises(registry.IllegalTransition) as caught:
        registry.transition(flights, "flights", 1, "production", actor="ana", reason="hurry")
    assert caught.value.fix == "Go registered -> validated -> production."
    with pytest.raises(registry.IllegalTransition, match="cannot become gold"):
        registry.transition(flights, "flights", 1, "gold", actor="ana", reason="hurry")
    assert registry.version(flights, "flights", 1).stage == "registered"
    assert flights.ledger.size() == size


def test_nothing_reaches_production_but_from_validated() -> None:
    assert [stage for stage in STAGES if "production" in TRANSITIONS[stage]] == ["validated"]


def test_a_transition_with_a_key_happens_once(flights: Project) -> None:
    for _ in range(2):
        registry.transition(flights, "flights", 1, "validated", actor="ana", reason="", key="k1")
    registry.transition(flights, "flights", 1, "archived", actor="ana", reason="")
    late = registry.transition(flights, "flights", 1, "validated", actor="ana", reason="", key="k1")
    assert late.stage == "archived"
    assert _kinds(registry.history(flights, "flights")).count("stage_changed") == 2


def test_an_alias_moves_from_version_to_version(flights: Project) -> None:
    registry.set_alias(flights, "flights", "champion", 1, actor="ana", reason="first")
    assert registry.version(flights, "flights", "champion").version == 1
    registry.set_alias(flights, "flights", "champion", 2, actor="ana", reason="better")
    moved = registry.version(flights, "flights", "champion")
    assert (moved.version, moved.aliases) == (2, ("champion",))
    assert registry.version(flights, "flights", 1).aliases == ()
    assert registry.set_alias(flights, "flights", "champion", None, actor="ana", reason="gone") is None
    with pytest.raises(registry.NoSuchVersion):
        registry.version(flights, "flights", "champion")
    events = [event for event in registry.history(flights, "flights") if "alias" in event.kind]
    assert [(event.data["previous"], event.data["version"]) for event in events] == [(None, 1), (1, 2), (2, None)]


def test_setting_an_alias_again_writes_no_event(flights: Project) -> None:
    registry.set_alias(flights, "flights", "champion", 1, actor="ana", reason="", key="a")
    size = flights.ledger.size()
    registry.set_alias(flights, "flights", "champion", 1, actor="ana", reason="")
    registry.set_alias(flights, "flights", "champion", 2, actor="ana", reason="", key="a")
    registry.set_alias(flights, "flights", "other", None, actor="ana", reason="")
    assert flights.ledger.size() == size
    assert registry.version(flights, "flights", "champion").version == 1


def test_readers_never_see_an_alias_that_names_nothing(flights: Project) -> None:
    registry.set_alias(flights, "flights", "champion", 1, actor="ana", reason="")
    with ThreadPoolExecutor(1) as pool:
        swaps = pool.submit(
            lambda: [
                registry.set_alias(flights, "flights", "champion", 1 + turn % 2, actor="ana", reason="")
                for turn in range(20)
            ]
        )
        seen = set()
        while not swaps.done():
            seen.add(registry.version(flights, "flights", "champion").version)
        swaps.result()
    assert seen <= {1, 2}


def test_a_near_miss_is_offered(flights: Project) -> None:
    with pytest.raises(registry.NoSuchModel, match="Did you mean 'flights'"):
        registry.version(flights, "fligths")
    registry.set_alias(flights, "flights", "champion", 1, actor="ana", reason="")
    with pytest.raises(registry.NoSuchVersion, match="Did you mean 'champion'"):
        registry.version(flights, "flights", "champoin")
    for missing in (0, 3, "99"):
        with pytest.raises(registry.NoSuchVersion):
            registry.version(flights, "flights", missing)
    with pytest.raises(registry.NoSuchVersion):
        registry.set_alias(flights, "flights", "champion", 9, actor="ana", reason="")


@pytest.mark.parametrize("alias", ["7", "v7", "latest"])
def test_an_alias_that_reads_as_a_version_is_refused(project: Project, alias: str) -> None:
    with pytest.raises(registry.ReservedAlias):
        registry.set_alias(project, "flights", alias, None, actor="ana", reason="")


def test_a_bad_model_name_is_refused(project: Project, package: registry.Package) -> None:
    with pytest.raises(BadName):
        registry.register(project, "a/b", package)
    assert registry.models(project) == []


def test_models_are_summed_up(flights: Project) -> None:
    registry.transition(flights, "flights", 2, "validated", actor="ana", reason="")
    registry.set_alias(flights, "flights", "challenger", 2, actor="ana", reason="")
    (model,) = registry.models(flights)
    assert (model.name, model.latest, model.aliases) == ("flights", 2, {"challenger": 2})
    assert model.stages == {"registered": 1, "validated": 1}


def test_a_flipped_byte_in_a_package_is_found_and_named(flights: Project) -> None:
    assert registry.verify_packages(flights) == []
    digest = registry.load_package(flights, registry.version(flights, "flights", 2).digest).files["model.onnx"]
    file = flights.blobs.path(digest)
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    (fault,) = registry.verify_packages(flights)
    assert fault.where == "model.onnx of model/flights@2"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wishes=st.lists(st.sampled_from(STAGES), max_size=8))
def test_the_ledger_tells_the_same_story_as_the_state(
    project: Project, model_onnx: ModelMaker, wishes: list[registry.Stage]
) -> None:
    weight = float(len(registry.versions(project)))
    made = registry.register(project, "flights", registry.pack(project, model_onnx(weight)))
    for wish in wishes:
        try:
            registry.transition(project, "flights", made.version, wish, actor="ana", reason="")
        except registry.IllegalTransition:
            continue
    events = project.ledger.events(kinds=["registry.stage_changed"], subject=made.ref)
    path = ["registered", *(event.data["to"] for event in events)]
    assert registry.version(project, "flights", made.version).stage == path[-1]
    assert all(later in TRANSITIONS[earlier] for earlier, later in pairwise(path))  # type: ignore[index]


def test_a_key_that_stands_for_something_else_is_refused(any_project: Project) -> None:
    content = registry.reference_content(any_project, registry.Reference(provider="x", id="y"))
    registry.create_model(any_project, "a")
    registry.create_model(any_project, "b")
    made = registry.create_version(any_project, "a", content, key="k")
    assert registry.create_version(any_project, "a", content, key="k") == made
    any_project.ledger.record("test.done", subject="loop/a", actor="ana", key="other")
    for model, key in (("b", "k"), ("a", "other")):
        with pytest.raises(AlreadyDone, match="was used for"):
            registry.create_version(any_project, model, content, key=key)
    assert [one.version for one in registry.versions(any_project)] == [1]


@pytest.mark.parametrize("field", ["description", "author", "commit", "execution"])
def test_a_text_no_database_keeps_is_refused_when_a_package_is_registered(
    any_project: Project, model_onnx: ModelMaker, field: str
) -> None:
    made = registry.pack(any_project, model_onnx(1.0))
    with pytest.raises(registry.BadText):
        registry.register(any_project, "flights", made, **{field: "a\x00b"})  # type: ignore[arg-type]
    assert registry.models(any_project) == []
