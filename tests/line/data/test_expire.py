"""Garbage is collected, and nothing that any branch, tag or kept commit needs ever is."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from polars.testing import assert_frame_equal

from bucle.ground.core import SimulatedClock, make_ref
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.files import keep_files
from line.data.machine import OfProject, check

NOW = timedelta(seconds=-5)
"""Older than a moment from now: everything."""


def rows(*keys: int) -> pl.DataFrame:
    return pl.DataFrame({"k": keys})


def lake_files(project: Project) -> set[str]:
    return {str(path) for path in (project.state / "lake").rglob("*") if path.is_file()}


def grown(project: Project, count: int = 6) -> list[data.Commit]:
    return [data.commit(project, {"t": rows(number)}, message="x", mode="overwrite") for number in range(count)]


def test_what_nothing_holds_is_given_up_and_its_files_go(any_project: Project) -> None:
    commits = grown(any_project)
    data.create_tag(any_project, "kept", commits[1].id)
    done = data.expire(any_project, older_than=NOW, keep=2)
    assert done.commits == (commits[0].id, commits[2].id, commits[3].id)
    before = lake_files(any_project)
    swept = data.sweep(any_project, older_than=NOW)
    assert swept.files == len(before - lake_files(any_project)) > 0
    for commit in (commits[1], commits[4], commits[5]):
        assert data.scan(any_project, "t", at=commit.id).height == 1
    with pytest.raises(data.CommitExpired, match="given up"):
        data.scan(any_project, "t", at=commits[0].id)
    with pytest.raises(data.CommitExpired):
        data.create_branch(any_project, "back", commits[0].id)
    assert len(data.log(any_project)) == len(commits)
    assert data.verify_files(any_project) == []
    assert data.expire(any_project, older_than=NOW, keep=2).commits == ()


def test_young_commits_and_those_something_was_made_from_stay(project: Project, clock: SimulatedClock) -> None:
    old = grown(project, 3)
    clock.advance(timedelta(days=40))
    young = grown(project, 2)
    with project.ledger.transaction("run.started", subject="run/1", actor="ana") as transaction:
        transaction.edge(make_ref("table", "t", old[0].id), "run/1", "read")
    told = data.expire(project, older_than=timedelta(days=30), keep=1, dry_run=True)
    assert told == data.Expiry(commits=(old[1].id, old[2].id), used=(old[0].id,))
    assert data.expire(project, older_than=timedelta(days=30), keep=1) == told
    assert data.expire(project, older_than=timedelta(days=30), keep=1, also_used=True).commits == (old[0].id,)
    assert data.scan(project, "t", at=young[0].id).height == 1


def test_a_sweep_leaves_what_expired_a_moment_ago(project: Project) -> None:
    commits = grown(project, 3)
    data.expire(project, older_than=NOW, keep=1)
    before = lake_files(project)
    assert data.sweep(project, older_than=timedelta(days=1)).files == 0
    assert lake_files(project) == before
    assert commits[0].id in {one.id for one in data.log(project)}


def test_what_clients_said_of_files_that_no_commit_has_is_forgotten(
    any_project: Project, clock: SimulatedClock
) -> None:
    project, told = any_project, {"a.txt": {"x-owner": "ana"}, "b.txt": {"x-owner": "eva"}}
    entries = keep_files(project, {"a.txt": b"one", "b.txt": b"two"})
    both = data.change_files(project, entries, message="put", notes=told)
    data.change_files(project, {"a.txt": None}, message="gone")
    assert both is not None

    def noted() -> dict[str, dict[str, str]]:
        there = {path: entry for path, entry in entries.items() if entry is not None}
        return {path: note.told for path, note in data.changed_at(project, both, there).items()}

    clock.advance(timedelta(days=2))
    data.sweep(project)
    assert noted() == told
    data.expire(project, older_than=NOW, keep=1)
    data.sweep(project)
    assert noted() == told, "what expired a moment ago is needed"
    clock.advance(timedelta(days=2))
    data.sweep(project)
    assert noted() == {"a.txt": {}, "b.txt": told["b.txt"]}


class Lake(OfProject):
    """Anything that can happen to tables, in any order; what each ref shows is remembered."""

    @initialize()
    def begin(self) -> None:
        self.project = self.fresh()
        self.branches, self.next = ["main"], 0
        data.commit(self.project, {"t": self._rows(3)}, message="start")
        self.shown: dict[str, pl.DataFrame] = {}
        self._look("main")

    def _rows(self, count: int) -> pl.DataFrame:
        made = rows(*range(self.next, self.next + count))
        self.next += count
        return made

    def _look(self, ref: str) -> None:
        commit = data.resolve(self.project, ref)
        self.shown[ref] = self.shown[commit.id] = data.scan(self.project, "t", at=ref)

    @rule(count=st.integers(1, 5), place=st.integers(0, 9))
    def append(self, count: int, place: int) -> None:
        branch = self.branches[place % len(self.branches)]
        data.commit(self.project, {"t": self._rows(count)}, branch=branch, message="x")
        self._look(branch)

    @rule(step=st.integers(2, 4), place=st.integers(0, 9))
    def delete(self, step: int, place: int) -> None:
        branch = self.branches[place % len(self.branches)]
        data.delete(self.project, "t", pl.col("k") % step == 0, branch=branch, message="x")
        self._look(branch)

    @rule(place=st.integers(0, 9))
    def compact(self, place: int) -> None:
        branch = self.branches[place % len(self.branches)]
        before = self.shown[branch]
        data.compact(self.project, "t", branch=branch)
        self._look(branch)
        assert_frame_equal(self.shown[branch], before)

    @rule(place=st.integers(0, 9))
    def branch(self, place: int) -> None:
        source, name = self.branches[place % len(self.branches)], f"b{len(self.shown)}-{self.next}"
        if name not in self.shown:
            data.create_branch(self.project, name, source)
            self.branches.append(name)
            self._look(name)

    @rule(place=st.integers(0, 9))
    def merge(self, place: int) -> None:
        source = self.branches[place % len(self.branches)]
        try:
            data.merge(self.project, source, message="x")
        except data.Conflict:
            return
        self._look("main")

    @rule(place=st.integers(1, 9))
    def forget(self, place: int) -> None:
        if len(self.branches) > 1:
            name = self.branches.pop(1 + place % (len(self.branches) - 1))
            data.delete_branch(self.project, name)
            del self.shown[name]

    @rule(keep=st.integers(1, 3))
    def expire(self, keep: int) -> None:
        self.clock.advance(timedelta(hours=1))
        for gone in data.expire(self.project, older_than=timedelta(minutes=30), keep=keep).commits:
            self.shown.pop(gone, None)

    @rule()
    def sweep(self) -> None:
        data.sweep(self.project, older_than=NOW)

    @invariant()
    def everything_kept_reads_as_it_did(self) -> None:
        for ref, expected in getattr(self, "shown", {}).items():
            assert_frame_equal(data.scan(self.project, "t", at=ref), expected)

    def teardown(self) -> None:
        if hasattr(self, "shown"):
            assert data.verify_files(self.project) == []
            self.project.close()


def test_nothing_that_a_ref_or_a_kept_commit_needs_is_ever_removed(migrated_file: Path, tmp_path: Path) -> None:
    check(Lake, migrated_file, tmp_path, examples=8, steps=12)


@pytest.mark.full
def test_nothing_that_is_needed_is_removed_in_long_histories(migrated_file: Path, tmp_path: Path) -> None:
    check(Lake, migrated_file, tmp_path, examples=100, steps=50)
