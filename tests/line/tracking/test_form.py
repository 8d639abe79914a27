"""Forms: what is kept of a sealed run is what it holds, whatever happens to it in between."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.tracking import Form, Point, Run


class Counted:
    """A form, and how often one was made."""

    def __init__(self, most: int = 1 << 20) -> None:
        self.made = list[str]()
        self.form = Form(self._make, columns=("params", "tags"), most=most)

    def _make(self, run: Run, points: Sequence[Point]) -> bytes:
        self.made.append(run.id)
        told = [f"{run.id} {run.status} {run.lifecycle}", *(f"{p.key}={p.value}" for p in points)]
        return " ".join(
            [*told, *(f"{key}={value}" for key, value in sorted({**run.params, **run.tags}.items()))]
        ).encode()

    def of(self, project: Project) -> tuple[bytes, ...]:
        """All runs of the experiment Default."""
        return tracking.search_forms(project, self.form, ["0"], lifecycle="all").items


def ended_run(project: Project, **params: str) -> str:
    run = tracking.create_run(project, "0", params=params)
    tracking.log(project, run.id, points=[Point("loss", 0.5, 1, 0)])
    tracking.update_run(project, run.id, status="finished")
    return run.id


def test_a_sealed_run_is_made_once(any_project: Project) -> None:
    counted = Counted()
    ids = {ended_run(any_project, rate=str(number)) for number in range(3)}
    tracking.seal(any_project)
    first, second = counted.of(any_project), counted.of(any_project)
    assert first == second
    assert sorted(counted.made) == sorted(ids)
    running = tracking.create_run(any_project, "0")
    counted.of(any_project)
    counted.of(any_project)
    assert counted.made.count(running.id) == 2


def test_only_so_many_bytes_are_kept(any_project: Project) -> None:
    counted = Counted(most=200)
    for number in range(8):
        ended_run(any_project, rate=str(number))
    tracking.seal(any_project)
    assert counted.of(any_project) == counted.of(any_project) == Counted().of(any_project)
    assert len(counted.made) > 8
    counted.form.close()


CHANGES = st.sampled_from(("tag", "untag", "metric", "seal", "delete", "restore", "rename", "params"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGES, max_size=8))
def test_what_is_kept_is_what_is_there(any_project: Project, changes: list[str]) -> None:
    kept = Counted()
    run = ended_run(any_project, rate="0.1")
    tracking.seal(any_project)
    kept.of(any_project)
    for number, change in enumerate(changes):
        _change(any_project, run, change, number)
        assert kept.of(any_project) == Counted().of(any_project)


def _change(project: Project, run: str, change: str, number: int) -> None:
    deleted = tracking.run_by_id(project, run).lifecycle == "deleted"
    if change == "seal":
        tracking.seal(project)
    elif change == "restore":
        tracking.restore_run(project, run)
    elif deleted:
        return
    elif change == "delete":
        tracking.delete_run(project, run)
    elif change == "metric":
        tracking.log(project, run, points=[Point("loss", number / 7, number, number)])
    elif change == "rename":
        tracking.update_run(project, run, name=f"run {number}")
    elif change == "params":
        tracking.log(project, run, params={f"p{number}": "1"})
    elif change == "tag":
        tracking.log(project, run, tags={"team": str(number)})
    elif "team" in tracking.run_by_id(project, run).tags:
        tracking.delete_tag(project, run, "team")
