from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import BucleError, NotFound
from bucle.ground.project import Project
from bucle.line import deploy, registry
from bucle.line.registry import ModelVersion

Make = Callable[..., ModelVersion]


def begin(project: Project, make: Make) -> deploy.Rollout:
    """A rollout of version 2 behind version 1."""
    first, second = make(1.0), make(2.0)
    deploy.start(project, "flights", "delay", first.version)
    return deploy.start(project, "flights", "delay", second.version, steps=(0.1, 0.5), reason="better")


def kinds(project: Project) -> list[str]:
    return [event.kind for event in project.ledger.events(kinds=["deploy.*"])]


def test_the_first_version_is_promoted_at_once(any_project: Project, make_any: Make) -> None:
    version = make_any()
    made = deploy.start(any_project, "flights", "delay", version.version)
    assert (made.state, made.share, made.champion) == ("promoted", 1.0, None)
    routes = deploy.routes(any_project, "flights")
    assert [(arm.name, arm.version, arm.share, arm.package) for arm in routes.arms] == [
        ("champion", 1, 1.0, version.digest)
    ]
    assert deploy.endpoints(any_project) == ["flights"]


def test_a_rollout_goes_through_its_steps_to_the_end_with_one_event_each(any_project: Project, make_any: Make) -> None:
    made = begin(any_project, make_any)
    assert (made.state, made.share, made.champion, made.candidate, made.steps) == ("canary", 0.1, 1, 2, (0.1, 0.5))
    assert deploy.shift(any_project, made.id, 0.5).share == 0.5
    arms = deploy.routes(any_project, "flights").arms
    assert [(arm.name, arm.version, arm.share) for arm in arms] == [("champion", 1, 0.5), ("canary", 2, 0.5)]
    done = deploy.promote(any_project, made.id, reason="as good as promised")
    assert (done.state, done.share, done.reason) == ("promoted", 1.0, "as good as promised")
    assert done.ended_at is not None
    assert [(arm.name, arm.version) for arm in deploy.routes(any_project, "flights").arms] == [("champion", 2)]
    assert kinds(any_project) == [
        "deploy.rollout_started",
        "deploy.rollout_started",
        "deploy.rollout_shifted",
        "deploy.rollout_promoted",
    ]
    assert deploy.routes(any_project, "flights").generation == 4
    assert [each.id for each in deploy.rollouts(any_project, "flights")][-1] == made.id


def test_rollback_restores_the_share_of_the_previous_version(project: Project, make: Make) -> None:
    made = begin(project, make)
    deploy.shift(project, made.id, 0.5)
    done = deploy.roll_back(project, made.id, reason="it fails")
    assert (done.state, done.share, done.reason) == ("rolled_back", 0.0, "it fails")
    arms = deploy.routes(project, "flights").arms
    assert [(arm.name, arm.version, arm.share) for arm in arms] == [("champion", 1, 1.0)]


def test_each_verb_given_twice_is_one_event(project: Project, make: Make) -> None:
    made = begin(project, make)
    for _ in range(2):
        deploy.shift(project, made.id, 0.5)
    for _ in range(2):
        deploy.promote(project, made.id)
    with pytest.raises(deploy.RolloutOver):
        deploy.shift(project, made.id, 0.5)
    assert kinds(project).count("deploy.rollout_shifted") == 1
    assert kinds(project).count("deploy.rollout_promoted") == 1


def test_with_a_key_a_start_is_made_once(any_project: Project, make_any: Make) -> None:
    make_any(1.0)
    first = deploy.start(any_project, "flights", "delay", 1, key="cycle-1")
    assert deploy.start(any_project, "flights", "delay", 1, key="cycle-1") == first
    assert len(kinds(any_project)) == 1


def test_a_verb_with_a_key_that_was_used_changes_nothing(project: Project, make: Make) -> None:
    made = begin(project, make)
    deploy.shift(project, made.id, 0.5, key="step-1")
    deploy.shift(project, made.id, 0.7)
    assert deploy.shift(project, made.id, 0.5, key="step-1").share == 0.7


def test_a_rollout_that_ended_cannot_end_the_other_way(project: Project, make: Make) -> None:
    made = begin(project, make)
    deploy.roll_back(project, made.id, reason="no")
    with pytest.raises(deploy.RolloutOver, match="rolled back"):
        deploy.promote(project, made.id)


@pytest.mark.parametrize("stage", ["registered", "rejected", "archived"])
def test_a_version_that_passed_no_gate_gets_no_traffic(project: Project, make: Make, stage: str) -> None:
    make(1.0)
    deploy.start(project, "flights", "delay", 1)
    make(2.0, stage=stage)
    with pytest.raises(deploy.NotDeployable, match=stage):
        deploy.start(project, "flights", "delay", 2)
    assert [arm.version for arm in deploy.routes(project, "flights").arms] == [1]


def test_a_version_that_was_rejected_meanwhile_is_not_promoted(project: Project, make: Make) -> None:
    made = begin(project, make)
    registry.transition(project, "delay", 2, "rejected", actor="eva", reason="second look")
    with pytest.raises(deploy.NotDeployable):
        deploy.promote(project, made.id)
    assert deploy.rollout(project, made.id).state == "canary"


def test_an_endpoint_has_one_rollout_at_a_time(project: Project, make: Make) -> None:
    begin(project, make)
    make(3.0)
    with pytest.raises(deploy.RolloutActive, match="under way"):
        deploy.start(project, "flights", "delay", 3)


def test_the_champion_is_not_rolled_out_to_itself(project: Project, make: Make) -> None:
    make(1.0)
    deploy.start(project, "flights", "delay", 1)
    with pytest.raises(deploy.SameVersion):
        deploy.start(project, "flights", "delay", 1)


def test_a_candidate_that_wants_more_than_clients_send_is_refused_by_field(project: Project, make: Make) -> None:
    make(1.0)
    deploy.start(project, "flights", "delay", 1)
    make(2.0, wants="weather")
    with pytest.raises(deploy.IncompatibleRequest) as caught:
        deploy.start(project, "flights", "delay", 2)
    assert caught.value.at == "weather"
    assert deploy.start(project, "flights", "delay", 2, share=1.0).state == "promoted"


@pytest.mark.parametrize(("steps", "share"), [((0.5, 0.1), None), ((0.0,), None), ((0.1,), 1.5), ((0.1,), 0.0)])
def test_shares_that_make_no_sense_are_refused(
    project: Project, make: Make, steps: tuple[float, ...], share: float | None
) -> None:
    make(1.0)
    with pytest.raises(deploy.BadShare):
        deploy.start(project, "flights", "delay", 1, steps=steps, share=share)


def test_shadows_are_set_and_taken_away(project: Project, make: Make) -> None:
    make(1.0)
    make(2.0, stage="registered")
    deploy.start(project, "flights", "delay", 1)
    routes = deploy.set_shadows(project, "flights", [("delay", 2)])
    assert [(arm.name, arm.version) for arm in routes.shadows] == [("shadow", 2)]
    assert deploy.set_shadows(project, "flights", [("delay", 2)]) == routes
    assert deploy.set_shadows(project, "flights", []).shadows == ()
    assert kinds(project).count("deploy.shadows_set") == 2


def test_what_is_not_there_is_said_so(project: Project) -> None:
    with pytest.raises(deploy.NoSuchRollout):
        deploy.rollout(project, "none")
    with pytest.raises(NotFound):
        deploy.routes(project, "none")
    assert deploy.rollouts(project) == []


def test_lineage_leads_from_the_version_to_the_endpoint(project: Project, make: Make) -> None:
    made = begin(project, make)
    deploy.promote(project, made.id)
    edges = {(edge.source, edge.target) for edge in project.ledger.edges_of(["endpoint/flights"], upstream=True)}
    assert edges == {("model/delay@1", "endpoint/flights"), ("model/delay@2", "endpoint/flights")}


@given(verbs=st.lists(st.sampled_from(["start", "shift", "promote", "roll_back"]), max_size=12), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_there_is_one_champion_and_the_shares_add_up(
    project: Project, make: Make, verbs: list[str], seed: int
) -> None:
    endpoint = f"e{project.ledger.size()}"
    versions = [make(float(at)).version for at in range(3)]
    last = None
    for at, verb in enumerate(verbs):
        try:
            if verb == "start":
                last = deploy.start(project, endpoint, "delay", versions[(at + seed) % 3]).id
            elif last is not None and verb == "shift":
                deploy.shift(project, last, ((at * 7 + seed) % 11) / 10)
            elif last is not None and verb == "promote":
                deploy.promote(project, last)
            elif last is not None:
                deploy.roll_back(project, last, reason="")
        except BucleError:
            continue
    if endpoint in deploy.endpoints(project):
        routes = deploy.routes(project, endpoint)
        assert sum(arm.share for arm in routes.arms) == pytest.approx(1.0)
        assert [arm.name for arm in routes.arms].count("champion") == 1
        active = [made for made in deploy.rollouts(project, endpoint) if made.state == "canary"]
        assert len(active) == len(routes.arms) - 1
