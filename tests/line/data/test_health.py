"""How tables fare: told from commits, lists of files and verdicts, whatever was done to the rows."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle import loop
from bucle.ground import keys
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import contracts, data
from bucle.line.contracts import ColumnRule, Contract

START = datetime(2013, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(*days: int, missing: int = 0) -> pl.DataFrame:
    at = pl.Series([START + day * DAY for day in days], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"k": days, "at": at, "note": [None if n < missing else "x" for n in range(len(days))]})


def test_a_table_is_told_after_each_change(any_project: Project, clock: SimulatedClock) -> None:
    data.commit(any_project, {"visits": rows(0, 1, missing=1), "other": rows(0)}, message="first")
    clock.advance(3 * DAY)
    data.commit(any_project, {"other": rows(1)}, message="elsewhere")
    clock.advance(DAY)
    last = data.commit(any_project, {"visits": rows(3, 4)}, message="second")
    assert data.health(any_project, "visits").newest is None
    data.describe(any_project, "visits", event_at="at", owner="ana")
    found = data.health(any_project, "visits")
    assert [(one.rows, one.newest, one.filled) for one in found.points] == [
        (2, START + DAY, pytest.approx(5 / 6)),
        (4, START + 4 * DAY, pytest.approx(11 / 12)),
    ]
    assert [one.at for one in found.points] == [START, START + 4 * DAY]
    assert (found.rows, found.changed_at, found.newest) == (4, last.at, START + 4 * DAY)
    assert found.filled == {"k": 1.0, "at": 1.0, "note": 0.75}
    files = data.load_manifest(any_project, data.resolve(any_project).tables["visits"].manifest).data
    assert found.size_bytes == found.points[-1].size_bytes == sum(file.size_bytes for file in files)
    assert (found.score, found.kept, found.batches) == (None, None, ())
    assert found.dataset.owner == "ana"
    now = {one.table: one for one in data.healths(any_project)}
    assert (now["visits"].rows, now["visits"].points) == (4, ())
    assert now["other"].changed_at == START + 3 * DAY


def test_batches_tell_the_quality(project: Project) -> None:
    contract = Contract(
        table="visits", columns=(ColumnRule(name="k", type="long", minimum=0), ColumnRule(name="at", type="timestamptz",
        max_age_hours=1e6), ColumnRule(name="note", type="string"))
    )  # fmt: skip
    data.land(project, {"visits": rows(1, 2)}, contracts={"visits": contract}, message="good")
    with pytest.raises(contracts.ContractViolated):
        data.land(project, {"visits": rows(-1, 2)}, contracts={"visits": contract}, message="bad")
    found = data.health(project, "visits")
    assert [one.passed for one in found.batches] == [True, False]
    assert found.kept == 0.5
    assert found.score is not None
    assert found.score < 1
    assert found.newest == START + 2 * DAY  # by the contract's rule about age


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=5), min_size=1, max_size=5))
def test_figures_are_those_of_the_rows(project: Project, clock: SimulatedClock, batches: list[list[int]]) -> None:
    table = f"t{len(data.log(project))}"
    for number, batch in enumerate(batches):
        clock.advance(DAY)
        data.commit(project, {table: rows(*batch, missing=number)}, message="x")
    data.describe(project, table, event_at="at")
    found = data.health(project, table)
    assert len(found.points) == len(batches)
    held = data.scan(project, table)
    assert found.rows == held.height
    assert found.newest == held["at"].max()
    assert found.filled["note"] == pytest.approx(1 - held["note"].null_count() / held.height)


def test_only_so_much_is_looked_through(project: Project) -> None:
    for number in range(70):
        data.commit(project, {"t": rows(number)}, message="x")
    found = data.health(project, "t")
    assert (len(found.points), found.looked_through, found.rows) == (60, 70, 70)
    assert [one.rows for one in found.points] == list(range(11, 71))


def test_a_table_made_anew_after_its_key_was_destroyed_is_told(
    root: Path, tmp_path: Path, clock: SimulatedClock
) -> None:
    (root / "bucle.toml").write_text(
        f'[project]\nname = "x"\n[data.encryption]\ntables = ["secret*"]\nkeyring = "{tmp_path}/ring/keyring"\n'
    )
    opened = Project.open(root, clock=clock, actor="ana")
    keys.make_keyring(opened)
    data.commit(opened, {"secrets": rows(0, 1), "open": rows(0)}, message="first")
    data.destroy_key(opened, "secrets", reason="asked to forget")
    told = {one.table: one for one in data.healths(opened)}
    assert (told["secrets"].rows, told["secrets"].filled, told["open"].problem) == (2, {}, "")
    assert "was destroyed" in told["secrets"].problem
    data.drop_table(opened, "secrets", message="gone")
    data.commit(opened, {"secrets": rows(3)}, message="made anew")
    found = data.health(opened, "secrets")
    assert (found.rows, found.problem, found.filled["k"]) == (1, "", 1.0)
    assert [(one.rows, one.filled) for one in found.points] == [(2, None), (1, 1.0)]
    opened.close()


def test_upkeep_removes_what_is_too_old_once_a_day(project: Project, clock: SimulatedClock) -> None:
    assert loop.upkeep(project) is None
    data.commit(project, {"visits": rows(0, 40)}, message="first")
    assert loop.upkeep(project) is None
    data.describe(project, "visits", retention="30d", event_at="at")
    clock.advance(35 * DAY)
    done = loop.upkeep(project)
    assert done is not None
    assert done.tables[0].rows == 1
    assert loop.upkeep(project) is None
    clock.advance(DAY)
    assert loop.upkeep(project) is not None


class Once(threading.Event):
    """Stops at the first rest."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


def test_the_upkeep_says_what_it_could_not_do_and_does_the_rest(
    project: Project, clock: SimulatedClock, caplog: pytest.LogCaptureFixture
) -> None:
    data.commit(project, {"undated": rows(0, 40), "visits": rows(0, 40)}, message="first")
    data.describe(project, "undated", retention="30d")
    data.describe(project, "visits", retention="30d", event_at="at")
    clock.advance(35 * DAY)
    loop.keep_up(project, Once())
    assert data.scan(project, "visits").height == 1
    (said,) = caplog.messages
    assert said.startswith("rows of undated that are too old: no column says when")


def test_the_upkeep_goes_on_after_what_went_wrong(root: Path, clock: SimulatedClock) -> None:
    opened = Project.open(root, clock=clock, actor="ana")
    data.commit(opened, {"t": rows(0)}, message="by hand")
    stop = threading.Event()
    thread = threading.Thread(target=loop.keep_up, args=(opened, stop))
    thread.start()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    opened.close()
