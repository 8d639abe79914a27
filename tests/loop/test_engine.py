from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.loop import RetrainPolicy, RolloutPolicy
from loop.world import World, policy

ACTS = ["hour", "day", "month", "commit", "ask", "crash"]


def first_champion(world: World) -> None:
    """Ask for versions until one serves."""
    world.commit()
    while world.state().champion == 0:
        world.ask()
        world.settle()


def test_the_first_version_takes_all_traffic_without_a_canary() -> None:
    world = World(policy(), seed=3)
    first_champion(world)
    kinds = [d.kind for d in world.carried]
    assert kinds[-4:] == ["judge", "approve", "roll", "promote"]
    assert next(d for d in world.carried if d.kind == "roll").share == 1.0


def test_nothing_is_decided_before_anybody_asked() -> None:
    world = World(policy())
    world.commit()
    assert world.tick() is None


def test_rows_that_a_merge_or_a_revert_brings_are_news() -> None:
    for kind in ("data.merged", "data.picked", "data.reverted"):
        world = World(policy())
        world.happen(kind, "branch/main", {"branch": "main", "commit": "c9", "tables": {"rows": {"rows_added": 3}}})
        assert (world.state().commit, world.state().fresh) == ("c9", True)
        elsewhere = World(policy())
        elsewhere.happen(kind, "branch/trial", {"branch": "trial", "commit": "c9", "tables": {"rows": {}}})
        elsewhere.happen(kind, "branch/main", {"branch": "main", "commit": "c8"})
        assert (elsewhere.state().commit, elsewhere.state().fresh) == ("", False)


def test_a_champion_made_by_hand_is_the_champion() -> None:
    world = World(policy(), seed=3)
    world.commit()
    world.happen("registry.alias_set", "model/m", {"alias": "champion", "version": 7})
    assert world.state().champion == 7
    while not any(d.kind == "roll" for d in world.carried):
        world.ask()
        world.settle()
        world.pass_time(days=1)
    assert next(d for d in world.carried if d.kind == "roll").share < 1.0
    world.happen("registry.alias_set", "model/other", {"alias": "champion", "version": 9})
    assert world.state().champion != 9


def test_a_champion_that_goes_along_with_something_greater_is_seen_to_go() -> None:
    world = World(policy())
    world.happen("registry.model_adopted", "model/m", {"aliases": {"champion": {"from": None, "to": 7}}})
    assert world.state().champion == 7
    world.happen("registry.retired", "model/m@7", {"aliases": {"champion": {"from": 7, "to": 8}}})
    assert world.state().champion == 8
    world.happen("registry.retired", "model/other@7", {"aliases": {"champion": {"from": 7, "to": 9}}})
    world.happen("registry.version_deleted", "model/m@6", {"aliases": {}})
    world.happen("registry.version_deleted", "model/m@5", {})
    assert world.state().champion == 8
    world.happen("registry.version_deleted", "model/m@8", {"aliases": {"champion": {"from": 8, "to": None}}})
    assert world.state().champion == 0


def test_a_commit_to_another_table_or_branch_is_no_news() -> None:
    world = World(policy())
    world.commit(table="predictions")
    world.commit(branch="ingest")
    assert world.state().commit == ""


def test_a_person_must_approve_when_the_policy_asks_for_one() -> None:
    world = World(policy(approvals=1), seed=3)
    world.commit()
    while world.state().cycle is None:
        world.ask()
        world.settle()
    cycle = world.state().cycle
    assert cycle.phase == "approving"
    world.happen("governance.approved", f"model/m@{cycle.candidate}", {"digest": "another"}, "eva")
    assert world.tick() is None
    world.happen("governance.approved", f"model/m@{cycle.candidate}", {"digest": cycle.digest}, "eva")
    world.settle()
    assert world.state().champion == cycle.candidate


def test_every_window_ends_in_a_retraining_or_a_stated_hold() -> None:
    world = World(policy(), seed=3)
    first_champion(world)
    before = len(world.carried)
    world.pass_time(days=40)
    world.settle()
    kinds = [d.kind for d in world.carried[before:]]
    assert kinds[0] == "watch"
    assert kinds[1] in {"hold", "retrain"}


def test_windows_missed_while_nobody_turned_the_loop_are_one_window() -> None:
    world = World(policy(), seed=3)
    first_champion(world)
    before = len(world.carried)
    world.pass_time(days=400)
    world.settle()
    watches = [d for d in world.carried[before:] if d.kind == "watch"]
    assert len(watches) == 1
    assert watches[0].until is not None
    assert (world.now - watches[0].until).days < 31


def test_hysteresis_waits_for_the_second_look_in_a_row() -> None:
    always = RetrainPolicy(on=("quality",), min_auc=0.99, consecutive=2)
    world = World(policy(retrain=always), seed=3)
    first_champion(world)
    world.pass_time(days=31)
    world.settle()
    assert world.carried[-1].kind == "hold"
    assert "1 of 2" in world.carried[-1].reason
    world.pass_time(days=31)
    world.settle()
    assert any(d.kind == "retrain" and d.cycle > 1 for d in world.carried)


def test_the_budget_stops_retraining() -> None:
    rules = RetrainPolicy(on=("quality",), min_auc=0.99, budget=2, budget_period="365d")
    world = World(policy(retrain=rules), seed=3)
    first_champion(world)
    for _ in range(60):
        world.pass_time(days=3)
        world.settle()
    retrained = [d for d in world.carried if d.kind == "retrain" and "request" not in d.params]
    assert len(retrained) == 2
    assert any("budget" in d.reason for d in world.carried if d.kind == "hold")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.sampled_from(ACTS), max_size=60))
def test_laws_of_the_loop(seed: int, script: list[str]) -> None:
    rules = policy(retrain=RetrainPolicy(on=("quality", "drift", "schedule", "data"), min_interval="2d", budget=5))
    world = World(rules, seed=seed)
    for act in script:
        if act == "crash":
            world.tick(crash_before_done=True)
        elif act == "commit":
            world.commit()
        elif act == "ask":
            world.ask()
        else:
            world.pass_time(**{"hour": {"hours": 7}, "day": {"days": 1}, "month": {"days": 31}}[act])
            world.settle()
    world.settle()
    done = [e.data["decision"] for e in world.log if e.kind == "loop.done"]
    decided = [e.data["id"] for e in world.log if e.kind == "loop.decided"]
    assert len(done) == len(set(done)), "a decision is done once"
    assert done == decided, "what is decided is done, in order"
    promoted = {d.version for d in world.carried if d.kind == "promote"}
    assert promoted <= world.good, "only what passed the gates is promoted"
    cycles = world.state().cycles
    assert [c.number for c in cycles] == list(range(1, len(cycles) + 1))
    assert all(c.outcome in {"promoted", "refused", "rolled_back", "failed"} for c in cycles)
    rolled = [c for c in cycles if c.outcome == "rolled_back"]
    assert not {c.candidate for c in rolled} & promoted


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_crash_changes_no_decision(seed: int, crash_at: int) -> None:
    def play(crash: bool) -> list[str]:
        world = World(policy(), seed=seed)
        world.commit()
        for turn in range(60):
            world.ask() if turn % 20 == 0 else world.pass_time(hours=13)
            if crash and turn == crash_at:
                world.tick(crash_before_done=True)
            world.settle()
        return [d.id for d in world.carried]

    assert play(crash=True) == play(crash=False)


@pytest.mark.parametrize("status", ["failing", "healthy", "undecided"])
def test_the_canary_goes_where_the_evidence_says(status: str) -> None:
    rollout = RolloutPolicy(steps=(0.1, 0.5), hold="12h", look_every="6h", min_rows=200, timeout="3d")
    world = World(policy(rollout=rollout), seed=3)
    first_champion(world)
    look = {"at": "", "status": status, "rows": 1000, "reasons": [status]}
    world.do_look = lambda _: {"look": {**look, "at": world.now.isoformat()}}  # type: ignore[method-assign]
    world.do_judge = lambda d: {"passed": True, "verdict": "v", "failures": []}  # type: ignore[method-assign]
    world.do_retrain = lambda d: {"version": 99, "digest": "d99"}  # type: ignore[method-assign]
    world.ask()
    for _ in range(20):
        world.settle()
        world.now += timedelta(hours=6)
    cycle = world.state().cycles[-1]
    expected = {"failing": "rolled_back", "healthy": "promoted", "undecided": "rolled_back"}
    assert cycle.outcome == expected[status]
    shares = [d.share for d in world.carried if d.cycle == cycle.number and d.kind in {"roll", "shift"}]
    assert shares == ([0.1, 0.5] if status == "healthy" else [0.1])
