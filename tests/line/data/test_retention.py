"""Rows that are too old are gone: from tables, from commits that nothing holds, and from the disk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle import loop
from bucle.ground import keys
from bucle.ground.core import ConfigError, SimulatedClock
from bucle.ground.project import Project
from bucle.line import data

DAY = timedelta(days=1)
NOW = timedelta(seconds=-5)
SECRET = "a-name-nobody-else-has"
START = datetime(2013, 1, 1, tzinfo=UTC)


def rows(*days: int, who: str = "x") -> pl.DataFrame:
    at = pl.Series([START + day * DAY for day in days], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"k": days, "at": at, "who": [who] * len(days)})


def days_of(project: Project, table: str = "visits", at: str = "main") -> list[int]:
    return data.scan(project, table, at=at)["k"].to_list()


def said_on_disk(project: Project) -> bool:
    """Whether any Parquet file of the lake has the secret in it."""
    files = (project.state / "lake").rglob("*.parquet")
    return any(
        SECRET in pl.read_parquet(file)["who"].to_list() for file in files if "who" in pl.read_parquet_schema(file)
    )


@pytest.fixture
def visits(any_project: Project) -> Project:
    data.commit(any_project, {"visits": rows(0, 1, 2, who=SECRET)}, message="first")
    data.commit(any_project, {"visits": rows(3, 20, 40)}, message="mixed")
    data.describe(any_project, "visits", retention="30d", event_at="at")
    return any_project


def test_old_rows_go_from_the_table_its_commits_and_the_disk(visits: Project, clock: SimulatedClock) -> None:
    old = [commit.id for commit in data.log(visits)]
    clock.advance(timedelta(days=45))
    told = data.retain(visits, dry_run=True)
    assert [(one.table, one.rows, one.problem) for one in told.tables] == [("visits", 4, "")]
    assert days_of(visits) == [0, 1, 2, 3, 20, 40]
    assert data.retained_at(visits) is None

    done = data.retain(visits, older_than=NOW)
    assert days_of(visits) == [20, 40]
    assert set(done.commits) >= set(old)
    assert done.held == ()
    assert not said_on_disk(visits)
    for commit in old:
        with pytest.raises(data.CommitExpired):
            days_of(visits, at=commit)
    assert data.verify_files(visits) == []
    event = visits.ledger.events(kinds=["data.retained"])[-1]
    assert event.data["tables"] == {"visits": 4}
    assert data.retained_at(visits) == event.at
    again = data.retain(visits, older_than=NOW)
    assert (again.tables[0].rows, again.commits, again.held) == (0, (), ())


def test_what_is_held_is_told(project: Project, clock: SimulatedClock) -> None:
    first = data.commit(project, {"visits": rows(0, who=SECRET)}, message="first")
    data.create_tag(project, "trained-on", first.id)
    data.create_branch(project, "dev")
    second = data.commit(project, {"visits": rows(1)}, message="second")
    with project.ledger.transaction("run.started", subject="run/1", actor="ana") as transaction:
        transaction.edge(f"commit/{second.id}", "run/1", "read")
    data.describe(project, "visits", retention="30d", event_at="at")
    clock.advance(timedelta(days=60))
    done = data.retain(project, older_than=NOW)
    held = {one.commit: one.by for one in done.held}
    assert held == {first.id: ("branch/dev", "tag/trained-on"), second.id: ("run/1",)}
    assert all(one.tables == ("visits",) for one in done.held)
    assert days_of(project) == []
    assert days_of(project, at="trained-on") == [0]
    done = data.retain(project, older_than=NOW, also_used=True)
    assert done.commits == (second.id,)
    assert [one.commit for one in done.held] == [first.id]


def test_commits_stay_a_while_after_their_rows_are_too_old(visits: Project, clock: SimulatedClock) -> None:
    clock.advance(timedelta(days=31, hours=1))
    done = data.retain(visits)
    assert days_of(visits) == [2, 3, 20, 40]
    assert done.commits == ()
    assert days_of(visits, at=data.log(visits)[-1].id) == [0, 1, 2]
    clock.advance(timedelta(days=7))
    assert data.log(visits)[-1].id in data.retain(visits).commits


def test_a_table_without_a_column_of_time_is_told_and_others_go_on(visits: Project, clock: SimulatedClock) -> None:
    data.commit(visits, {"other": rows(0), "dated": rows(0).with_columns(pl.lit(date(2013, 1, 1)).alias("on"))},
                message="more")  # fmt: skip
    data.describe(visits, "other", retention="1d")
    data.describe(visits, "dated", retention="1d", event_at="on")
    clock.advance(timedelta(days=45))
    told = {one.table: one for one in data.retain(visits).tables}
    assert "--event-at" in told["other"].problem
    assert (told["visits"].rows, told["dated"].rows) == (4, 1)
    assert days_of(visits, "dated") == []
    assert days_of(visits, "other") == [0]


def test_a_protected_branch_keeps_its_rows_and_says_so(project: Project, clock: SimulatedClock) -> None:
    data.commit(project, {"visits": rows(0)}, message="first")
    data.describe(project, "visits", retention="1d", event_at="at")
    data.protect(project, "main")
    clock.advance(timedelta(days=45))
    done = data.retain(project)
    assert "protected" in done.tables[0].problem
    assert days_of(project) == [0]
    assert {one.by for one in done.held} == {("branch/main",)}


def test_a_wrong_duration_is_refused_before_anything_is_removed(root: Path, clock: SimulatedClock) -> None:
    (root / "bucle.toml").write_text('[project]\nname = "x"\n[data]\nkeep_history = "long"\n')
    opened = Project.open(root, clock=clock, actor="ana")
    with pytest.raises(ConfigError, match="keep_history"):
        data.retain(opened)
    opened.close()


def test_a_table_made_anew_is_told_apart_from_the_one_before(project: Project, clock: SimulatedClock) -> None:
    other = pl.DataFrame({"note": ["zzzzzzzz"], "text": ["aaaaaaaa"]})
    before = data.commit(project, {"visits": other}, message="another table of that name")
    data.drop_table(project, "visits", message="gone")
    data.commit(project, {"visits": rows(0)}, message="first")
    data.describe(project, "visits", retention="30d", event_at="at")
    clock.advance(timedelta(days=60))
    done = data.retain(project)
    assert before.id not in done.commits
    assert (done.tables[0].rows, len(done.commits)) == (1, 2)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=4), min_size=1, max_size=4),
    kept=st.integers(1, 50),
)
def test_no_row_in_time_goes_and_no_kept_commit_has_one_that_is_not(
    project: Project, clock: SimulatedClock, batches: list[list[int]], kept: int
) -> None:
    clock.set(max(START, clock.now()))
    table = f"t{len(data.log(project))}"
    for batch in batches:
        data.commit(project, {table: rows(*batch)}, message="x")
    data.describe(project, table, retention=f"{kept}d", event_at="at")
    now = max(clock.now(), START + timedelta(days=45))
    clock.set(now)
    data.retain(project)
    limit = (now - START).days - kept
    landed = [day for batch in batches for day in batch]
    assert days_of(project, table) == [day for day in landed if START + day * DAY >= now - kept * DAY]
    for commit in data.log(project):
        try:
            found = data.scan(project, table, at=commit.id)["k"].to_list()
        except (data.CommitExpired, data.NoSuchTable):
            continue
        assert all(day >= limit - 8 for day in found)


@pytest.fixture
def sealed(root: Path, tmp_path: Path, project: Project, clock: SimulatedClock) -> Iterator[Project]:
    """Three tables whose rows are kept for a time; `secrets` is encrypted."""
    project.close()
    (root / "bucle.toml").write_text(
        f'[project]\nname = "x"\n[data.encryption]\ntables = ["secrets"]\nkeyring = "{tmp_path}/ring/keyring"\n'
        '[data.zones.all]\ntables = "*"\nretention = "30d"\n'
    )
    opened = Project.open(root, clock=clock, actor="ana")
    keys.make_keyring(opened)
    data.commit(opened, {"a": rows(0, 40), "secrets": rows(0, 40), "visits": rows(0, 40)}, message="first")
    for name in ("a", "secrets", "visits"):
        data.describe(opened, name, event_at="at")
    clock.advance(timedelta(days=45))
    yield opened
    opened.close()


def test_a_destroyed_key_leaves_no_rows_and_the_other_tables_go_on(sealed: Project, clock: SimulatedClock) -> None:
    old = data.log(sealed)[-1].id
    data.destroy_key(sealed, "secrets", reason="asked to forget")
    told = {one.table: one for one in data.retain(sealed, dry_run=True).tables}
    assert {name: (one.rows, one.problem) for name, one in told.items()} == {
        "a": (1, ""), "secrets": (0, ""), "visits": (1, "")
    }  # fmt: skip
    done = data.retain(sealed, older_than=NOW)
    assert (days_of(sealed, "a"), days_of(sealed)) == ([40], [40])
    assert old in done.commits
    assert all(not one.problem for one in (*done.tables, done))
    clock.advance(timedelta(days=60))
    assert [one.problem for one in loop.upkeep(sealed).tables] == ["", "", ""]
    data.drop_table(sealed, "secrets", message="gone")
    data.commit(sealed, {"secrets": rows(0)}, message="made anew")
    assert {one.table: one.rows for one in data.retain(sealed).tables}["secrets"] == 1


def test_rows_from_before_a_table_was_encrypted_and_its_key_destroyed_are_found(
    root: Path, tmp_path: Path, project: Project, clock: SimulatedClock
) -> None:
    plain = data.commit(project, {"secrets": rows(0)}, message="not encrypted yet")
    data.describe(project, "secrets", retention="30d", event_at="at")
    project.close()
    (root / "bucle.toml").write_text(
        f'[project]\nname = "x"\n[data.encryption]\ntables = ["secrets"]\nkeyring = "{tmp_path}/ring/keyring"\n'
    )
    opened = Project.open(root, clock=clock, actor="ana")
    keys.make_keyring(opened)
    data.encrypt(opened, "secrets")
    data.destroy_key(opened, "secrets", reason="asked to forget")
    clock.advance(timedelta(days=60))
    assert plain.id in data.retain(opened).commits
    opened.close()


def test_a_missing_key_is_told_of_its_table_and_the_others_go_on(sealed: Project, tmp_path: Path) -> None:
    data.commit(sealed, {"secrets": rows(41)}, message="only of the encrypted table")
    ring = tmp_path / "ring" / "keyring"
    ring.rename(tmp_path / "elsewhere")
    sealed.close()
    opened = Project.open(sealed.root, clock=sealed.clock, actor="ana")
    done = data.retain(opened, older_than=NOW)
    told = {one.table: one for one in done.tables}
    assert (days_of(opened, "a"), days_of(opened)) == ([40], [40])
    assert "key" in told["secrets"].problem
    assert (told["a"].problem, told["visits"].problem) == ("", "")
    assert "key" in done.problem  # which files are needed cannot be told
    event = opened.ledger.events(kinds=["data.retained"])[-1]
    assert list(event.data["problems"]) == ["secrets"]
    (tmp_path / "elsewhere").rename(ring)
    opened.close()
    again = Project.open(sealed.root, clock=sealed.clock, actor="ana")
    assert all(not one.problem for one in data.retain(again).tables)
    assert days_of(again, "secrets") == [40, 41]
    again.close()


@pytest.mark.parametrize("days", [999_999, 4_000_000, 999_999_999])
def test_what_is_kept_longer_than_time_is_old_is_never_too_old(
    root: Path, project: Project, clock: SimulatedClock, days: int
) -> None:
    data.commit(project, {"visits": rows(0)}, message="first")
    data.describe(project, "visits", retention=f"{days}d", event_at="at")
    (told,) = data.retain(project).tables
    assert (told.rows, told.problem) == (0, "")
    data.describe(project, "visits", retention="999999999w")
    assert data.retain(project).tables[0].rows == 0
    data.describe(project, "visits", retention="30d")
    project.close()
    (root / "bucle.toml").write_text(f'[project]\nname = "x"\n[data]\nkeep_history = "{days}d"\n')
    opened = Project.open(root, clock=clock, actor="ana")
    clock.advance(timedelta(days=60))
    done = data.retain(opened)
    assert (done.tables[0].rows, done.commits) == (1, ())
    opened.close()
