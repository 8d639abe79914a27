import pytest

from bucle.ground import governance
from bucle.ground.project import Project


def test_an_approval_is_bound_to_the_digest_it_was_given_for(any_project: Project) -> None:
    governance.approve(any_project, "model/x@1", digest="aa", principal="eva", author="ana", reason="looks right")
    assert [a.principal for a in governance.approvals(any_project, "model/x@1", digest="aa")] == ["eva"]
    assert governance.approvals(any_project, "model/x@1", digest="bb") == []


def test_nobody_approves_their_own_work(any_project: Project) -> None:
    with pytest.raises(governance.OwnWork):
        governance.approve(any_project, "model/x@1", digest="aa", principal="ana", author="ana", reason="mine")
    assert any_project.ledger.size() == 0


def test_approving_twice_is_one_event(any_project: Project) -> None:
    for _ in range(2):
        governance.approve(any_project, "model/x@1", digest="aa", principal="eva", author="ana", reason="yes")
    assert any_project.ledger.size() == 1
