"""A rollout by hand: nobody takes over without what the model's policy wants."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bucle import loop
from bucle.ground.core import SimulatedClock
from bucle.ground.ledger import Transaction, verify_log
from bucle.ground.project import Project
from bucle.line import deploy, registry
from bucle.line.registry.tables import VERSIONS
from line.registry.rival import overtaken
from loop.guarded import approve, judge


@pytest.fixture
def live(guarded: Project, clock: SimulatedClock) -> Project:
    """m@1 has all it needs and answers at `front`; m@2 is validated."""
    for number in (1, 2):
        registry.transition(guarded, "m", number, "validated", actor="ana", reason="")
    make_fit(guarded, 1)
    take_over(guarded, 1)
    clock.advance(timedelta(hours=1))
    return guarded


def make_fit(project: Project, number: int) -> None:
    judge(project, f"model/m@{number}", good=True)
    approve(project, number, "eva", "bob")


def roll(
    project: Project, number: int, *, model: str = "m", endpoint: str = "front", share: float = 1.0
) -> deploy.Rollout:
    found = registry.version(project, model, number)
    return loop.roll(project, endpoint, found, steps=(0.5,), share=share, reason="by hand")


def take_over(project: Project, number: int, **where: str) -> deploy.Rollout:
    made = roll(project, number, **where)
    loop.crown(project, made)
    return made


def standing(project: Project) -> tuple[object, ...]:
    """All that a promotion would change."""
    model = registry.model(project, "m")
    arms = [[(arm.version, arm.share) for arm in deploy.routes(project, one).arms] for one in deploy.endpoints(project)]
    rollouts = [(one.id, one.state, one.share) for one in deploy.rollouts(project)]
    return model.aliases, [one.stage for one in registry.versions(project, "m")], arms, rollouts


def test_a_canary_without_verdict_and_approvals_is_not_promoted_and_nothing_changes(live: Project) -> None:
    canary = roll(live, 2, share=0.5)
    before, size = standing(live), live.ledger.size()
    with pytest.raises(loop.NotYetPromotable, match="no gate has judged it") as caught:
        loop.promote(live, canary, reason="hurry")
    assert "bucle gate judge m@2 && bucle model approve m@2" in caught.value.fix
    assert standing(live) == before
    (wish,) = loop.promotions(live)
    assert (wish.version, wish.target) == (2, "stage production")
    assert live.ledger.size() == size + 1


def test_the_same_promotion_succeeds_once_all_is_there(live: Project) -> None:
    canary = roll(live, 2, share=0.5)
    make_fit(live, 2)
    loop.crown(live, loop.promote(live, canary))
    assert registry.version(live, "m", "champion").version == 2
    assert [one.stage for one in registry.versions(live, "m")] == ["validated", "production"]
    assert loop.promotions(live) == []
    assert not verify_log(live.database, live.anchor).faults


@pytest.mark.parametrize("endpoint", ["front", "another"])
def test_all_the_traffic_at_once_is_a_promotion_too(live: Project, endpoint: str) -> None:
    before = standing(live)
    with pytest.raises(loop.NotYetPromotable):
        roll(live, 2, endpoint=endpoint)
    assert standing(live) == before


def test_a_crown_asks_again(live: Project) -> None:
    made = deploy.start(live, "another", "m", 2, steps=())
    with pytest.raises(loop.NotYetPromotable):
        loop.crown(live, made)
    assert registry.version(live, "m", "champion").version == 1


def test_a_version_whose_content_changes_meanwhile_is_not_promoted(live: Project) -> None:
    canary = roll(live, 2, share=0.5)
    make_fit(live, 2)
    other = registry.version(live, "m", 1).digest

    def swapped(tx: Transaction) -> None:
        tx.update(VERSIONS, {"model": "m", "version": 2}, {"digest": other})

    with pytest.raises(loop.NotYetPromotable):
        overtaken(live, lambda: loop.promote(live, canary), swapped)
    assert deploy.rollout(live, canary.id).state == "canary"


def test_an_old_rollout_promoted_again_takes_nothing_back(live: Project) -> None:
    (old,) = deploy.rollouts(live, "front")
    make_fit(live, 2)
    take_over(live, 2)
    before = standing(live)
    loop.crown(live, loop.promote(live, old))
    assert standing(live) == before


def test_a_version_of_another_model_that_answered_before_demotes_nobody(live: Project, clock: SimulatedClock) -> None:
    registry.transition(live, "unguarded", 1, "validated", actor="ana", reason="")
    take_over(live, 1, model="unguarded", endpoint="shared")
    clock.advance(timedelta(hours=1))
    made = take_over(live, 1, endpoint="shared")
    assert made.champion == 1
    assert registry.version(live, "m", 1).stage == "production"
    assert registry.version(live, "unguarded", 1).stage == "production"


def test_two_who_promote_at_once_leave_one_champion(live: Project) -> None:
    make_fit(live, 2)
    start = threading.Barrier(2)

    def promote(number: int, endpoint: str) -> None:
        start.wait(60)
        take_over(live, number, endpoint=endpoint)

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(promote, 1, "left"), pool.submit(promote, 2, "right")]:
            one.result(60)
    champion = registry.version(live, "m", "champion")
    assert [one.version for one in registry.versions(live, "m") if one.stage == "production"] == [champion.version]
