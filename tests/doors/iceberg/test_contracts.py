"""A contract guards its table whoever writes: what a client brings is held against it before it is visible."""

from __future__ import annotations

from typing import Any

import duckdb
import polars as pl
import pytest
from pyiceberg.exceptions import BadRequestError
from pyiceberg.expressions import EqualTo

from bucle.line import contracts, data
from bucle.line.contracts import ColumnRule, Contract, Reference
from doors.conftest import Site
from doors.iceberg.conftest import Connect, flights
from doors.iceberg.test_duckdb import duck  # noqa: F401  the fixture
from doors.iceberg.test_pyiceberg import arrow

CONTRACT = Contract(
    table="flights",
    columns=(
        ColumnRule(name="id", type="long", unique=True),
        ColumnRule(name="delay", type="double", minimum=0, maximum=1000),
        ColumnRule(name="origin", nullable=True, allowed=("JFK", "LGA"), severity="warn"),
    ),
)


@pytest.fixture
def guarded(lake: Site) -> Site:
    """The table `flights` of `main` has a contract; that of `dev` has none."""
    data.land(lake.project, {"flights": flights(2, 100)}, contracts={"flights": CONTRACT}, message="landed")
    return lake


def late(first: int) -> pl.DataFrame:
    return flights(1, first).with_columns(delay=pl.lit(-5.0))


def test_what_breaks_the_contract_is_refused_by_rule_and_column(guarded: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    head = data.resolve(guarded.project).id
    with pytest.raises(BadRequestError, match=r"flights\.delay breaks minimum") as refused:
        table.append(arrow(late(10)))
    assert "ValidationException" in str(refused.value)
    with pytest.raises(BadRequestError, match=r"flights\.id breaks unique"):
        table.append(arrow(flights(1, 101)))
    assert data.resolve(guarded.project).id == head
    assert data.scan(guarded.project, "flights").height == 5
    told = data.verdicts(guarded.project, "flights")
    assert [(one.passed, [b.rule for b in one.breaches]) for one in told[:2]] == [
        (False, ["unique"]),
        (False, ["minimum"]),
    ]
    assert data.verify_files(guarded.project) == []


def test_what_keeps_it_is_visible_and_has_its_verdict(guarded: Site, connect: Connect) -> None:
    rows = flights(1, 10).with_columns(origin=pl.lit("EWR"))
    connect().load_table("default.flights").append(arrow(rows))
    verdict = data.verdicts(guarded.project, "flights")[0]
    assert (verdict.passed, verdict.rows, [one.rule for one in verdict.warnings]) == (True, 1, ["allowed"])
    assert verdict.commit == data.resolve(guarded.project).id


def test_a_branch_without_the_contract_is_free(guarded: Site, connect: Connect) -> None:
    connect("dev").load_table("default.flights").append(arrow(late(10)))
    assert data.scan(guarded.project, "flights", at="dev").height == 4


def test_rows_that_replace_others_are_held_to_it_and_removals_are_not(guarded: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    with pytest.raises(BadRequestError, match=r"flights\.delay breaks minimum"):
        table.overwrite(arrow(late(100)), overwrite_filter=EqualTo("id", 100))
    assert data.scan(guarded.project, "flights").height == 5
    table.refresh()
    table.overwrite(arrow(flights(1, 100)), overwrite_filter=EqualTo("id", 100))
    table.delete(EqualTo("id", 100))
    table.delete("id >= 0")
    assert data.scan(guarded.project, "flights").height == 0


def test_a_transaction_is_refused_as_a_whole(guarded: Site, connect: Connect) -> None:
    catalog = connect()
    table = catalog.load_table("default.flights")
    head = data.resolve(guarded.project).id
    transaction = table.transaction()
    transaction.append(arrow(flights(1, 10)))
    transaction.append(arrow(late(11)))
    with pytest.raises(BadRequestError, match=r"flights\.delay"):
        transaction.commit_transaction()
    assert data.resolve(guarded.project).id == head


def test_duckdb_is_held_to_it_too(guarded: Site, duck: Any) -> None:  # noqa: F811  the fixture
    with pytest.raises(duckdb.Error, match="breaks maximum"):
        duck.execute("INSERT INTO main_lake.default.flights VALUES (10, 'JFK', 5000)")
    with pytest.raises(duckdb.Error, match="breaks minimum"):
        duck.execute("UPDATE main_lake.default.flights SET delay = -1 WHERE id = 100")
    duck.execute("INSERT INTO main_lake.default.flights VALUES (10, 'JFK', 5)")
    duck.execute("UPDATE main_lake.default.flights SET delay = 7 WHERE id = 10")
    assert data.scan(guarded.project, "flights").filter(id=10)["delay"].to_list() == [7.0]


def test_references_are_looked_up_in_every_table(lake: Site, connect: Connect) -> None:
    ports = pl.DataFrame({"code": ["JFK"]})
    data.commit(lake.project, {"ports": ports}, message="ports")
    known = Reference(columns=("origin",), table="ports", to=("code",))
    delay = ColumnRule(name="delay")
    rule = Contract(table="flights", columns=(delay,), extra_columns="allow", references=(known,))
    data.land(lake.project, {"flights": flights(1, 50)}, contracts={"flights": rule}, message="landed")
    table = connect().load_table("default.flights")
    table.append(arrow(flights(1, 60)))
    with pytest.raises(BadRequestError, match="ports"):
        table.append(arrow(flights(1, 70).with_columns(origin=pl.lit("XXX"))))


def test_a_name_given_to_other_rows_is_held_to_it(guarded: Site, connect: Connect) -> None:
    other = connect().create_table("default.other", schema=connect().load_table("default.flights").schema())
    other.append(arrow(late(10)))
    body = {"name": "flights", "metadata-location": other.metadata_location, "overwrite": True}
    answer = guarded.client.post("/iceberg/v1/main/namespaces/default/register", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "ValidationException")
    assert contracts.ContractViolated.code in answer.json()["error"]["message"]
