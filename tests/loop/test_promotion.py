"""Promotion by hand or by a foreign client: nothing gets past what the model's policy wants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import parser

from bucle import loop
from bucle.ground import governance
from bucle.ground.core import ConfigError, SimulatedClock
from bucle.ground.project import Project
from bucle.line import deploy, gates, registry

if TYPE_CHECKING:
    from bucle.line.gates import Verdict

POLICY = """
[loop.m]
pipeline = "p"
approvals = 2
guarded = ["champion", "fallback"]
labels = { table = "t", entity = "e", label = "l", known_at = "k" }
[loop.m.gates.minimum]
metric = "auc"
minimum = 0.6
"""
ONNX = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1] x) => (float[N,1] probability) '
    "<float w = {%s}> { y = Mul(x, w) probability = Sigmoid(y) }"
)


def write(root: Path, policy: str) -> None:
    (root / "bucle.toml").write_text(f'[project]\nname = "t"\n{policy}')


@pytest.fixture(params=["sqlite", "postgresql"])
def guarded(request: pytest.FixtureRequest, root: Path, clock: SimulatedClock) -> Iterator[Project]:
    """A project whose policy guards m; m@1 and m@2 by ana, and unguarded@1."""
    write(root, POLICY)
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = Project.open(root, clock=clock, database=url, actor="ana")
    for model, weight in (("m", "1"), ("m", "2"), ("unguarded", "1")):
        content = parser.parse_model(ONNX % weight).SerializeToString()
        registry.register(opened, model, registry.pack(opened, content))
    yield opened
    opened.close()


def judge(project: Project, ref: str, *, good: bool, minimum: float = 0.6) -> Verdict:
    labels = np.array([False, True] * 50)
    scores = np.where(labels, 0.9, 0.1) if good else np.where(labels, 0.1, 0.9)
    judges = gates.gates_of({"minimum": {"metric": "auc", "minimum": minimum}})
    return gates.judge(project, ref, judges, gates.Evidence(labels=labels, challenger=scores))


def approve(project: Project, number: int, *names: str) -> None:
    found = registry.version(project, "m", number)
    for name in names:
        governance.approve(project, found.ref, digest=found.digest, principal=name, author=found.author, reason="")


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
