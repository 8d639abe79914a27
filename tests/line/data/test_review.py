"""Protected branches and reviews."""

from __future__ import annotations

import polars as pl
import pytest

from bucle.ground.core import BadName
from bucle.ground.governance import OwnWork
from bucle.ground.project import Project
from bucle.line import contracts, data


def rows(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"x": list(values)})


def values(project: Project, at: str = "main") -> list[int]:
    return data.scan(project, "t", at=at)["x"].to_list()


POSITIVE = contracts.Contract(table="t", columns=(contracts.ColumnRule(name="x", minimum=0),))


def prepared(project: Project) -> None:
    """A protected main with a row, and a branch with one more."""
    data.commit(project, {"t": rows(1)}, message="start")
    data.protect(project, "main", approvals=1)
    data.create_branch(project, "trial")
    data.commit(project, {"t": rows(2)}, branch="trial", message="there")


def test_a_protected_branch_moves_by_a_review_that_was_approved(any_project: Project) -> None:
    prepared(any_project)
    with pytest.raises(data.BranchProtected, match="review"):
        data.commit(any_project, {"t": rows(9)}, message="straight")
    with pytest.raises(data.BranchProtected):
        data.merge(any_project, "trial", message="straight")
    with pytest.raises(data.BranchProtected):
        data.revert(any_project, "main")
    opened = data.open_review(any_project, "trial", title="a row more")
    report = data.inspect_review(any_project, opened.number)
    assert [(one.table, one.rows_before, one.rows_after) for one in report.tables] == [("t", 1, 2)]
    assert report.problems == ("It has 0 of 1 approvals of what stands there now.",)
    with pytest.raises(data.ReviewBlocked, match="0 of 1"):
        data.merge_review(any_project, opened.number)
    assert values(any_project) == [1]
    data.approve_review(any_project, opened.number, principal="eva", reason="looks right")
    made = data.merge_review(any_project, opened.number)
    assert values(any_project) == [1, 2]
    ended = data.review(any_project, opened.number)
    assert (ended.state, ended.merged) == ("merged", made.id)
    with pytest.raises(data.ReviewClosed):
        data.merge_review(any_project, opened.number)
    assert data.reviews(any_project) == []


def test_an_approval_is_for_what_stood_there(any_project: Project) -> None:
    prepared(any_project)
    opened = data.open_review(any_project, "trial", title="a row more")
    data.approve_review(any_project, opened.number, principal="eva")
    data.commit(any_project, {"t": rows(-5)}, branch="trial", message="slipped in")
    with pytest.raises(data.ReviewBlocked, match="0 of 1"):
        data.merge_review(any_project, opened.number)
    assert values(any_project) == [1]


def test_nobody_approves_what_they_made(project: Project) -> None:
    prepared(project)
    opened = data.open_review(project, "trial", title="a row more")
    with pytest.raises(OwnWork):
        data.approve_review(project, opened.number)
    project.actor = "eva"
    data.commit(project, {"t": rows(3)}, branch="trial", message="eva's")
    with pytest.raises(OwnWork):
        data.approve_review(project, opened.number)
    data.approve_review(project, opened.number, principal="ida")
    data.merge_review(project, opened.number)


def test_a_broken_contract_or_a_conflict_keeps_a_review_out(project: Project) -> None:
    (project.root / "contracts").mkdir(exist_ok=True)
    contracts.save(POSITIVE, contracts.path_of(project, "t"))
    data.commit(project, {"t": rows(1), "u": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"t": rows(-1)}, branch="trial", message="wrong")
    opened = data.open_review(project, "trial", title="wrong")
    assert "t.x breaks minimum" in data.inspect_review(project, opened.number).problems[0]
    with pytest.raises(data.ReviewBlocked, match="minimum"):
        data.merge_review(project, opened.number)
    data.commit(project, {"t": rows(5)}, branch="trial", mode="overwrite", message="mended")
    data.commit(project, {"t": rows(6)}, mode="overwrite", message="here")
    assert "table 't'" in data.inspect_review(project, opened.number).problems[0]
    with pytest.raises(data.Conflict):
        data.merge_review(project, opened.number)
    assert values(project) == [6]
    data.close_review(project, opened.number, reason="another way")
    with pytest.raises(data.ReviewClosed):
        data.approve_review(project, opened.number, principal="eva")


def test_two_sides_that_break_a_contract_only_together_stay_apart(project: Project) -> None:
    (project.root / "contracts").mkdir(exist_ok=True)
    unique = contracts.Contract(table="t", columns=(contracts.ColumnRule(name="x", unique=True),))
    contracts.save(unique, contracts.path_of(project, "t"))
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "trial")
    data.commit(project, {"t": rows(2)}, branch="trial", message="there")
    data.commit(project, {"t": rows(2)}, message="here")
    opened = data.open_review(project, "trial", title="twice")
    with pytest.raises(data.ReviewBlocked, match="unique"):
        data.merge_review(project, opened.number)
    assert values(project) == [1, 2]


def test_a_batch_that_keeps_its_contract_may_land_on_a_protected_branch(any_project: Project) -> None:
    prepared(any_project)
    data.land(any_project, {"t": rows(3)}, contracts={"t": POSITIVE}, message="checked")
    assert values(any_project) == [1, 3]
    with pytest.raises(data.BranchProtected):
        data.land(any_project, {"t": rows(4)}, contracts={}, message="unchecked")
    data.protect(any_project, "m*", landings=False)
    with pytest.raises(data.BranchProtected):
        data.land(any_project, {"t": rows(4)}, contracts={"t": POSITIVE}, message="checked")
    assert values(any_project) == [1, 3]


def test_protections_by_pattern_join_and_go(project: Project) -> None:
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "release-1")
    data.protect(project, "release-*", approvals=2)
    assert data.protections(project) == [data.Protection(branch="release-*", approvals=2, landings=True)]
    with pytest.raises(data.BranchProtected):
        data.commit(project, {"t": rows(2)}, branch="release-1", message="straight")
    with pytest.raises(data.BranchProtected):
        data.delete_branch(project, "release-1")
    with pytest.raises(data.NoSuchProtection):
        data.unprotect(project, "release-1")
    data.unprotect(project, "release-*")
    data.commit(project, {"t": rows(2)}, branch="release-1", message="straight")
    for bad in ("", "a b", "a/../b"):
        with pytest.raises(BadName):
            data.protect(project, bad)
    with pytest.raises(BadName):
        data.protect(project, "main", approvals=-1)


def test_there_must_be_something_to_review(project: Project) -> None:
    data.commit(project, {"t": rows(1)}, message="start")
    data.create_branch(project, "trial")
    with pytest.raises(data.EmptyCommit):
        data.open_review(project, "trial", title="nothing")
    with pytest.raises(data.NoSuchBranch):
        data.open_review(project, "tryal", title="nothing")
    with pytest.raises(data.NoSuchReview):
        data.inspect_review(project, 7)
