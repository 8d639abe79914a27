import polars as pl
import pytest

from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import contracts, data
from bucle.line.contracts import ColumnRule, Contract
from bucle.line.data import publish as publishing

CONTRACT = Contract(
    table="weather",
    columns=(
        ColumnRule(name="hour", type="long", unique=True),
        ColumnRule(name="temp", type="double", minimum=-20, maximum=120),
    ),
)


def weather(*hours: int, temp: float = 50.0) -> pl.DataFrame:
    return pl.DataFrame({"hour": list(hours), "temp": [temp] * len(hours)})


def land(project: Project, frame: pl.DataFrame, key: str | None = None) -> data.Commit:
    return data.land(project, {"weather": frame}, contracts={"weather": CONTRACT}, message="a batch", key=key)


def kinds(project: Project) -> list[str]:
    return [event.kind for event in project.ledger.events()]


def test_a_good_batch_becomes_visible_in_one_commit(any_project: Project) -> None:
    made = land(any_project, weather(1, 2), key="land/1")
    assert data.scan(any_project, "weather")["hour"].to_list() == [1, 2]
    assert data.resolve(any_project, "main").id == made.id
    assert kinds(any_project) == ["data.landed", "data.committed"]
    event = any_project.ledger.events(kinds=["data.committed"])[0]
    assert (event.subject, event.data["tables"]["weather"]["rows_added"]) == ("branch/main", 2)
    assert [branch.name for branch in data.branches(any_project)] == ["main"]
    assert land(any_project, weather(1, 2), key="land/1") == made
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_nothing_of_a_bad_batch_is_visible_and_the_report_says_why(any_project: Project) -> None:
    before = land(any_project, weather(1, 2))
    bad = pl.concat([weather(3), weather(4, temp=300.0)])
    with pytest.raises(contracts.ContractViolated) as refused:
        land(any_project, bad, key="land/2")
    (breach,) = refused.value.report.breaches
    assert (breach.column, breach.rule, breach.count) == ("temp", "maximum", 1)
    assert breach.rows == ({"row": 1, "temp": 300.0},)
    assert data.resolve(any_project, "main").id == before.id
    assert [branch.name for branch in data.branches(any_project)] == ["main"]
    event = any_project.ledger.events(kinds=["data.refused"])[0]
    assert (event.subject, event.data["report"]["breaches"][0]["column"]) == ("branch/main", "temp")
    assert data.scan(any_project, "weather", at=event.data["refused"])["temp"].max() == 300.0
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults


def test_a_refusal_is_noted_once_under_its_key_and_the_mended_batch_gets_in(any_project: Project) -> None:
    for _ in range(2):
        with pytest.raises(contracts.ContractViolated):
            land(any_project, weather(1, temp=300.0), key="land/1")
    assert kinds(any_project).count("data.refused") == 1
    assert [branch.name for branch in data.branches(any_project)] == ["main"]
    land(any_project, weather(1), key="land/1")
    assert data.scan(any_project, "weather").height == 1


def test_a_key_that_the_table_has_already_is_refused(project: Project) -> None:
    land(project, weather(1, 2, 3))
    with pytest.raises(contracts.ContractViolated) as refused:
        land(project, weather(9, 2))
    (breach,) = refused.value.report.breaches
    assert (breach.rule, breach.count, breach.rows) == ("unique", 1, ({"row": 1, "hour": 2},))


def test_one_bad_table_keeps_the_whole_batch_out(project: Project) -> None:
    with pytest.raises(contracts.ContractViolated):
        data.land(
            project,
            {"flights": pl.DataFrame({"x": [1]}), "weather": weather(1, temp=999.0)},
            contracts={"weather": CONTRACT},
            message="both",
        )
    assert data.log(project) == []


def test_a_column_of_another_type_is_a_breach_and_writes_nothing(project: Project) -> None:
    land(project, weather(1))
    with pytest.raises(contracts.ContractViolated) as refused:
        land(project, pl.DataFrame({"hour": [2], "temp": ["hot"]}))
    assert [(b.column, b.rule) for b in refused.value.report.breaches] == [("temp", "type")]
    assert kinds(project)[-1] == "data.refused"


def test_a_batch_checked_against_an_old_head_is_checked_again_on_the_new_one(project: Project) -> None:
    """The branch moves between landing and publishing: a rival brings the same hour."""
    land(project, weather(1))
    rival = iter([weather(2)])
    real = project.ledger.transaction

    def slow(kind: str, **kwargs: object):  # type: ignore[no-untyped-def]
        if kind == "data.committed":
            for frame in rival:
                data.commit(project, {"weather": frame}, message="rival")
        return real(kind, **kwargs)  # type: ignore[arg-type]

    project.ledger.transaction = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(contracts.ContractViolated):
        land(project, weather(2, 3))
    assert data.scan(project, "weather")["hour"].to_list() == [1, 2]
    land(project, weather(4))
    assert data.scan(project, "weather")["hour"].to_list() == [1, 2, 4]


def test_a_contract_under_another_name_is_refused(project: Project) -> None:
    with pytest.raises(contracts.ContractInvalid):
        data.land(project, {"flights": weather(1)}, contracts={"flights": CONTRACT}, message="x")
    with pytest.raises(data.EmptyCommit):
        data.land(project, {}, contracts={}, message="x")


def test_who_loses_every_race_commits_under_the_lock(any_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "RACES", 0)
    data.commit(any_project, {"weather": weather(1)}, message="locked", key="k")
    land(any_project, weather(2))
    with pytest.raises(contracts.ContractViolated):
        land(any_project, weather(2))
    assert data.commit(any_project, {"weather": weather(1)}, message="locked", key="k").tables["weather"].rows == 1
    assert data.scan(any_project, "weather")["hour"].to_list() == [1, 2]
    assert [branch.name for branch in data.branches(any_project)] == ["main"]


def test_a_race_is_won_on_the_new_head_without_writing_the_rows_again(project: Project) -> None:
    data.commit(project, {"weather": weather(1)}, message="start")
    rival = iter([weather(2)])
    real = publishing.head_of

    def overtaken(where: Project, branch: str) -> data.Commit | None:
        head = real(where, branch)
        for frame in rival:
            data.commit(project, {"weather": frame}, message="rival")
        return head

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "head_of", overtaken)
        data.commit(project, {"weather": weather(3)}, message="mine")
    assert data.scan(project, "weather")["hour"].to_list() == [1, 2, 3]
    assert len(list((project.state / "lake").rglob("*.parquet"))) == 3
    assert data.verify_files(project) == []
