"""Promotion by hand or by a foreign client: nothing gets past what the model's policy wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import parser

from bucle import loop
from bucle.ground import governance
from bucle.ground.core import ConfigError
from bucle.ground.ledger import Transaction
from bucle.ground.project import Project
from bucle.line import deploy, gates, registry
from bucle.line.deploy.store import put_routes
from bucle.line.registry.tables import ALIASES, VERSIONS
from bucle.line.serving import Arm, Routes
from line.registry.rival import overtaken
from loop.guarded import ONNX, POLICY, approve, judge, write


def missing(project: Project) -> list[str]:
    """What the one open wish lacks."""
    (wish,) = loop.promotions(project)
    return [lack.what for lack in wish.missing]


def test_without_a_policy_nothing_stands_in_the_way(guarded: Project) -> None:
    loop.set_alias(guarded, "unguarded", "champion", 1)
    assert loop.move(guarded, "unguarded", 1, "production").stage == "production"
    assert loop.promotions(guarded) == []


def test_the_champion_needs_a_verdict_and_approvals_and_then_the_same_call_succeeds(guarded: Project) -> None:
    def call() -> registry.ModelVersion | None:
        return loop.set_alias(guarded, "m", "champion", 1, actor="mlflow", reason="go live")

    with pytest.raises(loop.NotYetPromotable) as caught:
        call()
    assert "no gate has judged it" in caught.value.what
    assert "0 of 2 approvals" in caught.value.what
    assert caught.value.fix.startswith("bucle gate judge m@1 && bucle model approve m@1 --as NAME")
    judge(guarded, "model/m@1", good=True)
    approve(guarded, 1, "eva")
    with pytest.raises(loop.NotYetPromotable, match=r"1 of 2 approvals \(by eva\)"):
        call()
    approve(guarded, 1, "bob")
    found = call()
    assert found is not None
    assert found.aliases == ("champion",)
    assert loop.promotions(guarded) == []


def test_each_request_stands_on_the_ledger_once(guarded: Project) -> None:
    for _ in range(3):
        with pytest.raises(loop.NotYetPromotable):
            loop.set_alias(guarded, "m", "champion", 1, actor="mlflow", reason="go live")
    (event,) = guarded.ledger.events(kinds=["registry.promotion_requested"])
    assert (event.subject, event.actor, event.reason) == ("model/m@1", "mlflow", "go live")
    assert event.data["digest"] == registry.version(guarded, "m", 1).digest
    approve(guarded, 1, "eva")
    with pytest.raises(loop.NotYetPromotable):
        loop.set_alias(guarded, "m", "champion", 1)
    assert len(guarded.ledger.events(kinds=["registry.promotion_requested"])) == 2
    (wish,) = loop.promotions(guarded, "m")
    assert (wish.version, wish.target, len(wish.missing)) == (1, "alias champion", 2)
    assert registry.changes(guarded, "m")[-1].what == "promotion to alias champion"


def test_production_is_guarded_and_other_stages_are_not(guarded: Project) -> None:
    assert loop.move(guarded, "m", 1, "validated").stage == "validated"
    for call in (loop.move, loop.transition):
        with pytest.raises(loop.NotYetPromotable, match="stage production"):
            call(guarded, "m", 1, "production")
    assert loop.move(guarded, "m", 1, "archived").stage == "archived"
    judge(guarded, "model/m@2", good=True)
    approve(guarded, 2, "eva", "bob")
    assert loop.move(guarded, "m", 2, "production", archive_others=True).stage == "production"


def test_other_aliases_are_free_and_the_policys_own_are_not(guarded: Project) -> None:
    assert loop.set_alias(guarded, "m", "candidate", 1) is not None
    with pytest.raises(loop.NotYetPromotable):
        loop.set_alias(guarded, "m", "fallback", 1)


def test_a_refusal_or_a_verdict_of_other_gates_does_not_count(guarded: Project) -> None:
    approve(guarded, 1, "eva", "bob")
    judge(guarded, "model/m@1", good=True, minimum=0.5)
    with pytest.raises(loop.NotYetPromotable, match="gates were changed since"):
        loop.set_alias(guarded, "m", "champion", 1)
    judge(guarded, "model/m@1", good=False)
    with pytest.raises(loop.NotYetPromotable, match="refused it: minimum"):
        loop.set_alias(guarded, "m", "champion", 1)
    judge(guarded, "model/m@2", good=True)
    assert len(missing(guarded)) == 1


def test_approvals_count_for_the_bytes_that_were_looked_at(guarded: Project) -> None:
    judge(guarded, "model/m@2", good=True)
    other = registry.version(guarded, "m", 1).digest
    for name in ("eva", "bob"):
        governance.approve(guarded, "model/m@2", digest=other, principal=name, author="ana", reason="")
    governance.approve(
        guarded,
        "model/m@2",
        digest=registry.version(guarded, "m", 2).digest,
        principal="policy:m@1",
        author="ana",
        reason="",
    )
    with pytest.raises(loop.NotYetPromotable, match="0 of 2 approvals"):
        loop.set_alias(guarded, "m", "champion", 2)


def test_a_champion_is_not_left_without_a_version(guarded: Project) -> None:
    registry.set_alias(guarded, "m", "champion", 1, actor="loop", reason="")
    with pytest.raises(loop.GuardedAlias):
        loop.set_alias(guarded, "m", "champion", None)
    for call in (
        lambda: loop.delete_version(guarded, "m", 1),
        lambda: loop.delete_model(guarded, "m"),
        lambda: loop.rename_model(guarded, "m", "n"),
        lambda: loop.rename_model(guarded, "unguarded", "m"),
    ):
        with pytest.raises(registry.ModelInUse):
            call()
    with pytest.raises(loop.GuardedAlias):
        loop.retire(guarded, "m", 1, successor="unguarded@1")
    with pytest.raises(loop.NotYetPromotable):
        loop.retire(guarded, "m", 1, successor="m@2")
    judge(guarded, "model/m@2", good=True)
    approve(guarded, 2, "eva", "bob")
    loop.retire(guarded, "m", 1, successor="m@2")
    assert registry.version(guarded, "m", "champion").version == 2


def test_what_answers_traffic_goes_nowhere(guarded: Project) -> None:
    registry.move(guarded, "unguarded", 1, "validated", actor="ana", reason="")
    deploy.start(guarded, "front", "unguarded", 1, steps=())
    for call in (
        lambda: loop.delete_version(guarded, "unguarded", 1),
        lambda: loop.delete_model(guarded, "unguarded"),
        lambda: loop.rename_model(guarded, "unguarded", "n"),
        lambda: loop.move(guarded, "unguarded", 1, "archived"),
        lambda: loop.retire(guarded, "unguarded", 1, successor="m@1"),
    ):
        with pytest.raises(registry.ModelInUse, match="endpoint 'front'"):
            call()
    assert registry.version(guarded, "unguarded", 1).stage == "validated"


def test_files_cannot_be_judged_and_the_error_says_so(guarded: Project) -> None:
    registry.register_reference(guarded, "m", registry.Reference(provider="x", id="y"), author="eva")
    with pytest.raises(loop.NotYetPromotable, match="not an ONNX package"):
        loop.set_alias(guarded, "m", "champion", 3)
    registry.move(guarded, "m", 3, "validated", actor="ana", reason="")
    with pytest.raises(registry.NotPackaged):
        deploy.start(guarded, "front", "m", 3, steps=())


def test_a_policy_that_cannot_be_read_lets_nothing_pass(guarded: Project, root: Path) -> None:
    write(root, POLICY.replace("approvals", "aprovals"))
    broken = Project.open(root, database=guarded.database.url, clock=guarded.clock, actor="ana")
    with pytest.raises(ConfigError, match="aprovals"):
        loop.set_alias(broken, "m", "champion", 1)
    broken.close()


def test_a_verdict_of_other_bytes_or_of_none_does_not_count(guarded: Project) -> None:
    approve(guarded, 1, "eva", "bob")
    labels = np.array([False, True] * 50)
    evidence = gates.Evidence(labels=labels, challenger=np.where(labels, 0.9, 0.1))
    judges = gates.gates_of({"minimum": {"metric": "auc", "minimum": 0.6}})
    gates.judge(guarded, "model/m@1", judges, evidence)
    with pytest.raises(loop.NotYetPromotable, match="from before verdicts named what they judged"):
        loop.set_alias(guarded, "m", "champion", 1)
    other = gates.judge(guarded, "model/m@1", judges, evidence, digest=registry.version(guarded, "m", 2).digest)
    with pytest.raises(loop.NotYetPromotable, match=f"verdict {other.id} is of the digest"):
        loop.set_alias(guarded, "m", "champion", 1)
    own = gates.judge(guarded, "model/m@1", judges, evidence, digest=registry.version(guarded, "m", 1).digest)
    assert own.id != other.id
    assert loop.set_alias(guarded, "m", "champion", 1) is not None


def test_retiring_a_whole_model_does_not_leave_a_guarded_alias_without_a_version(guarded: Project) -> None:
    registry.set_alias(guarded, "m", "champion", 1, actor="loop", reason="")
    size = guarded.ledger.size()
    for successor in ("unguarded", "unguarded@1"):
        with pytest.raises(loop.GuardedAlias):
            loop.retire(guarded, "m", None, successor=successor)
    assert guarded.ledger.size() == size
    assert registry.version(guarded, "m", "champion").version == 1
    assert [one.stage for one in registry.versions(guarded, "m")] == ["registered", "registered"]
    registry.set_alias(guarded, "m", "champion", None, actor="loop", reason="")
    assert len(loop.retire(guarded, "m", None, successor="unguarded")) == 2


def test_a_whole_model_that_answers_traffic_is_not_retired(guarded: Project) -> None:
    registry.move(guarded, "unguarded", 1, "validated", actor="ana", reason="")
    deploy.start(guarded, "front", "unguarded", 1, steps=())
    with pytest.raises(registry.ModelInUse, match="endpoint 'front'"):
        loop.retire(guarded, "unguarded", None, successor="m")


def test_a_successor_that_changes_meanwhile_is_asked_for_as_it_is_then(guarded: Project) -> None:
    registry.set_alias(guarded, "m", "champion", 1, actor="loop", reason="")
    registry.register(guarded, "m", registry.pack(guarded, parser.parse_model(ONNX % "3").SerializeToString()))
    registry.set_alias(guarded, "m", "next", 2, actor="ana", reason="")
    judge(guarded, "model/m@2", good=True)
    approve(guarded, 2, "eva", "bob")

    def to_the_third(tx: Transaction) -> None:
        tx.put(ALIASES, {"model": "m", "alias": "next", "version": 3})

    with pytest.raises(loop.NotYetPromotable, match="m@3"):
        overtaken(guarded, lambda: loop.retire(guarded, "m", 1, successor="m@next"), to_the_third)
    assert registry.version(guarded, "m", "champion").version == 1
    loop.retire(guarded, "m", 1, successor="m@2")
    assert registry.version(guarded, "m", "champion").version == 2


def test_an_alias_that_comes_meanwhile_is_guarded_too(guarded: Project) -> None:
    def champion(tx: Transaction) -> None:
        tx.put(ALIASES, {"model": "m", "alias": "champion", "version": 1})

    with pytest.raises(registry.ModelInUse, match="the champion"):
        overtaken(guarded, lambda: loop.delete_version(guarded, "m", 1), champion)
    with pytest.raises(loop.GuardedAlias):
        overtaken(guarded, lambda: loop.retire(guarded, "m", 1, successor="unguarded@1"), champion)
    assert registry.version(guarded, "m", "champion").version == 1


def test_what_gets_traffic_meanwhile_goes_nowhere(guarded: Project) -> None:
    registry.move(guarded, "unguarded", 1, "validated", actor="ana", reason="")
    digest = registry.version(guarded, "unguarded", 1).digest

    def answers(tx: Transaction) -> None:
        arm = Arm(name="champion", model="unguarded", version=1, package=digest, share=1.0)
        put_routes(tx, Routes(endpoint="front", generation=1, salt="s", arms=(arm,), shadows=()))

    with pytest.raises(registry.ModelInUse, match="endpoint 'front'"):
        overtaken(guarded, lambda: loop.transition(guarded, "unguarded", 1, "archived"), answers)
    assert registry.version(guarded, "unguarded", 1).stage == "validated"


def test_what_is_archived_meanwhile_gets_no_traffic(guarded: Project) -> None:
    registry.move(guarded, "unguarded", 1, "validated", actor="ana", reason="")

    def archived(tx: Transaction) -> None:
        tx.update(VERSIONS, {"model": "unguarded", "version": 1}, {"stage": "archived"})

    with pytest.raises(deploy.NotDeployable):
        overtaken(guarded, lambda: deploy.start(guarded, "front", "unguarded", 1, steps=()), archived)
    assert deploy.endpoints(guarded) == []


def test_content_that_changes_meanwhile_is_what_is_asked_about(guarded: Project) -> None:
    judge(guarded, "model/m@1", good=True)
    approve(guarded, 1, "eva", "bob")
    other = registry.version(guarded, "m", 2).digest

    def swapped(tx: Transaction) -> None:
        tx.update(VERSIONS, {"model": "m", "version": 1}, {"digest": other})

    with pytest.raises(loop.NotYetPromotable, match="0 of 2 approvals"):
        overtaken(guarded, lambda: loop.set_alias(guarded, "m", "champion", 1), swapped)
    assert registry.model(guarded, "m").aliases == {}
