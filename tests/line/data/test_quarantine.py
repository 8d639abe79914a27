from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from bucle.ground import governance
from bucle.ground.ledger import verify_log
from bucle.ground.project import Project
from bucle.line import contracts, data, query
from bucle.line.contracts import ColumnRule, Comparator, Contract, Reference

CONTRACT = Contract(
    table="weather",
    columns=(
        ColumnRule(name="hour", type="long", unique=True),
        ColumnRule(name="temp", type="double", minimum=-20, maximum=120),
    ),
    quarantine=True,
    max_quarantine_share=0.5,
)


def weather(*temps: float, first: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"hour": range(first, first + len(temps)), "temp": list(temps)})


def land(project: Project, frame: pl.DataFrame, contract: Contract = CONTRACT, **more: object) -> data.Commit:
    given = {contract.table: frame}
    return data.land(project, given, contracts={contract.table: contract}, message="a batch", **more)  # type: ignore[arg-type]


def test_good_rows_land_and_bad_ones_stand_aside_in_the_same_commit(any_project: Project) -> None:
    made = land(any_project, weather(50, 300, 60), key="one")
    assert data.scan(any_project, "weather", at=made.id)["temp"].to_list() == [50, 60]
    aside = data.scan(any_project, "weather__quarantine", at=made.id)
    assert aside.rows() == [(1, 300.0, 1, ["temp.maximum"])]
    land(any_project, pl.concat([weather(70, 80, first=10), weather(50)]))
    assert data.scan(any_project, "weather")["hour"].to_list() == [0, 2, 10, 11]
    assert data.scan(any_project, "weather__quarantine")[contracts.RULES_COLUMN].to_list() == [
        ["temp.maximum"],
        ["hour.unique"],
    ]
    assert land(any_project, weather(50, 300, 60), key="one") == made
    assert not verify_log(any_project.database, any_project.ledger._anchor).faults
    assert data.verify_files(any_project) == []


def test_too_many_bad_rows_refuse_all_and_the_rows_can_be_looked_at(project: Project) -> None:
    with pytest.raises(contracts.ContractViolated) as refused:
        land(project, weather(300, 300, 60))
    assert [b.rule for b in refused.value.report.breaches] == ["max_quarantine_share", "maximum"]
    assert data.log(project) == []
    event = project.ledger.events(kinds=["data.refused"])[0]
    assert data.scan(project, "weather", at=event.data["refused"]).height == 3
    assert [branch.name for branch in data.branches(project)] == ["main"]


def test_the_argument_goes_before_the_contract(project: Project) -> None:
    with pytest.raises(contracts.ContractViolated):
        land(project, weather(50, 300, 60), quarantine=False)
    strict = contracts.Contract(table="weather", columns=CONTRACT.columns, max_quarantine_share=0.5)
    with pytest.raises(contracts.ContractViolated):
        land(project, weather(50, 300, 60), strict)
    land(project, weather(50, 300, 60), strict, quarantine=True)
    assert data.tables(project) == ["weather", "weather__quarantine"]


def test_a_quarantine_goes_the_way_of_its_table(project: Project) -> None:
    land(project, weather(50, 300, 60))
    land(project, weather(50, 60), mode="overwrite")
    assert data.scan(project, "weather__quarantine").height == 0
    frames = {"weather": weather(1), "weather__quarantine": weather(1)}
    with pytest.raises(contracts.ContractInvalid):
        data.land(project, frames, contracts={"weather": CONTRACT}, message="x")


def test_a_commit_holds_the_contract_its_rows_were_held_against(any_project: Project) -> None:
    first = land(any_project, weather(50))
    tighter = contracts.Contract(table="weather", columns=(*CONTRACT.columns[:1], ColumnRule(name="temp", maximum=99)))
    second = land(any_project, weather(50, first=5), tighter)
    assert data.contract_of(any_project, "weather", at=first.id) == CONTRACT
    assert data.contract_of(any_project, "weather") == tighter
    assert data.files(any_project, second.id).keys() == {".contracts/weather.yaml"}
    third = land(any_project, weather(50, first=9), tighter)
    assert third.files == second.files
    data.commit(any_project, {"other": weather(1)}, message="no contract")
    assert data.contract_of(any_project, "other") is None
    with pytest.raises(data.NoSuchTable):
        data.contract_of(any_project, "none")
    assert [one.effect for one in contracts.diff(CONTRACT, tighter)].count("stricter") >= 1


def test_every_batch_has_its_verdict_and_time_finds_it(any_project: Project) -> None:
    land(any_project, weather(50, 300, 60))
    with pytest.raises(contracts.ContractViolated):
        land(any_project, weather(300, first=20))
    with pytest.raises(contracts.ContractViolated):
        land(any_project, pl.DataFrame({"hour": ["x"], "temp": [1.0]}))
    data.commit(any_project, {"weather": weather(1, first=30)}, message="not landed, so not judged")
    found = data.verdicts(any_project, "weather")
    assert [(one.passed, one.rows, one.rows_set_aside) for one in found] == [(False, 1, 0), (False, 0, 1), (True, 2, 1)]
    assert [one.breaches[0].rule for one in found[:2]] == ["type", "max_quarantine_share"]
    assert found[2].set_aside[0].count == 1
    assert found[2].set_aside[0].rows == ()
    assert 0 < found[2].score < 1
    assert found[2].commit == data.log(any_project)[1].id
    assert data.verdicts(any_project, "weather", limit=1) == found[:1]
    assert data.verdicts(any_project, "weather", until=found[1].at + timedelta(0)) == [
        one for one in found if one.at < found[1].at
    ]
    assert data.verdicts(any_project, since=datetime.now(UTC) + timedelta(days=1)) == []
    assert data.verdicts(any_project, branch="elsewhere") == []


def test_rows_that_refer_to_a_row_of_the_same_batch_land(project: Project) -> None:
    carriers = Contract(table="carriers", columns=(ColumnRule(name="code", unique=True),))
    flights = Contract(
        table="flights",
        columns=(ColumnRule(name="carrier"),),
        references=(Reference(columns=("carrier",), table="carriers", to=("code",)),),
    )
    both = {"carriers": carriers, "flights": flights}

    def bring(codes: list[str], flown: list[str], quarantine: bool = False) -> data.Commit:
        frames = {"flights": pl.DataFrame({"carrier": flown})}
        frames |= {"carriers": pl.DataFrame({"code": codes})} if codes else {}
        return data.land(project, frames, contracts=both, message="m", quarantine=quarantine)

    with pytest.raises(contracts.ContractViolated, match="reference"):
        bring([], ["AA"])
    bring(["AA"], ["AA", "AA"])
    bring([], ["AA"])
    with pytest.raises(contracts.ContractViolated, match="lead nowhere"):
        bring(["UA"], ["XX"])
    bring(["UA"], ["UA"] * 20 + ["XX"], quarantine=True)
    assert data.scan(project, "flights__quarantine")["carrier"].to_list() == ["XX"]


def test_a_batch_that_drifted_from_the_one_before_is_refused(project: Project) -> None:
    def rule(against: str) -> Contract:
        columns = (ColumnRule(name="x", drift=Comparator(threshold=0.3)),)
        return Contract(table="t", columns=columns, drift_against=against)

    def batch(shift: int) -> pl.DataFrame:
        return pl.DataFrame({"x": [(value % 50) + shift for value in range(500)]})

    land(project, batch(0), rule("previous"))
    land(project, batch(5), rule("previous"))
    first = land(project, batch(10), rule("previous"))
    land(project, batch(15), rule("previous"))
    land(project, batch(20), rule("previous"))
    with pytest.raises(contracts.ContractViolated, match="drift"):
        land(project, batch(60), rule("previous"))
    with pytest.raises(contracts.ContractViolated, match="drift"):
        land(project, batch(45), rule(first.id))
    data.create_branch(project, "side", first.id)
    with pytest.raises(contracts.ContractViolated, match="drift"):
        land(project, batch(40), rule("table"))


def test_a_batch_that_comes_too_late_is_refused(project: Project) -> None:
    contract = Contract(table="t", columns=(ColumnRule(name="at", max_age_hours=24),))
    now = project.clock.now()
    land(project, pl.DataFrame({"at": [now - timedelta(hours=3)]}), contract)
    with pytest.raises(contracts.ContractViolated, match="hours old"):
        land(project, pl.DataFrame({"at": [now - timedelta(hours=30)]}), contract)


def test_two_branches_that_landed_by_one_contract_merge(project: Project) -> None:
    land(project, weather(50))
    data.create_branch(project, "side")
    land(project, weather(51, first=5), branch="side")
    land(project, weather(52, first=9))
    data.merge(project, "side", message="both")
    assert data.scan(project, "weather").height == 3


def test_few_verdicts_are_found_behind_many_commits_without_one(project: Project) -> None:
    land(project, weather(50))
    for number in range(12):
        data.commit(project, {"other": weather(number)}, message="no contract")
    (found,) = data.verdicts(project, "weather", limit=1)
    assert found.passed
    assert data.verdicts(project, "other", limit=1) == []


def test_rows_set_aside_are_seen_by_those_who_may_see_their_table(any_project: Project) -> None:
    project, aside = any_project, f"people{contracts.QUARANTINE}"
    rules = tuple(contracts.ColumnRule(name=name) for name in ("n", "mail"))
    contract = contracts.Contract(
        table="people", quarantine=True, max_quarantine_share=0.5,
        columns=(contracts.ColumnRule(name="pay", maximum=10), *rules),
    )  # fmt: skip
    rows = pl.DataFrame({"n": [1, 2, 3], "mail": ["a@x.org", "b@x.org", "c@x.org"], "pay": [1, 2, 81234]})
    data.land(project, {"people": rows}, contracts={"people": contract}, message="one is set aside")
    data.tag_columns(project, "people", {"mail": data.ColumnTag("email", "redact")})
    assert [row["mail"] for row in query.preview(project, aside).rows] == ["***"]
    assert query.sql(project, f"SELECT mail FROM {aside}").rows() == [{"mail": "***"}]
    governance.grant(project, "eva", "unmask", "table/people")
    assert [row["mail"] for row in query.preview(project, aside, principal="eva").rows] == ["c@x.org"]
    governance.grant(project, "*", "read", "table/people", effect="deny")
    governance.grant(project, "eva", "read", "table/people")
    for table in ("people", aside):
        assert not data.may_access(project, "luz", "read", table)
        assert data.may_access(project, "eva", "read", table)
        with pytest.raises(governance.Denied):
            query.preview(project, table, principal="luz")
        with pytest.raises(governance.Denied):
            query.sql(project, f"SELECT n FROM {table}", principal="luz")
    governance.grant(project, "eva", "read", f"table/{aside}", effect="deny")
    with pytest.raises(governance.Denied, match="__quarantine"):
        data.check_access(project, "eva", "read", aside)
    assert data.may_access(project, "eva", "read", "people")
    governance.grant(project, "luz", "read", f"table/{aside}")
    assert not data.may_access(project, "luz", "read", aside)
