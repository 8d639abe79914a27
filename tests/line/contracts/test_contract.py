import copy
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bucle.ground.core import NotFound
from bucle.ground.project import Project
from bucle.line import contracts, data
from bucle.line.contracts import ColumnRule, Contract, Relation

FLIGHTS_DATA = Path(data.__file__).parents[2] / "examples" / "flights" / "data"
START = datetime(2013, 1, 1, tzinfo=UTC)
GOOD = pl.DataFrame(
    {
        "id": range(200),
        "origin": ["EWR", "JFK", "LGA", "JFK"] * 50,
        "temp": [float(30 + i % 40) for i in range(200)],
        "dewp": [float(20 + i % 40) for i in range(200)],
        "at": [START + timedelta(hours=i // 4) for i in range(200)],
        "gust": [None, 10.0] * 100,
    }
)


def broken(frame: pl.DataFrame, contract: Contract) -> dict[tuple[str, str], int]:
    return {(b.column, b.rule): b.count for b in contracts.check(frame, contract).breaches}


def test_each_rule_finds_its_own_breach_and_counts_it() -> None:
    contract = Contract(
        table="t",
        columns=(
            ColumnRule(name="n", type="long", minimum=1, maximum=3, unique=True),
            ColumnRule(name="x", type="double", nullable=False, mean_minimum=0.0, mean_maximum=10.0),
            ColumnRule(name="s", type="string", allowed=("a", "b"), max_null_share=0.1),
            ColumnRule(name="p", type="string", pattern="[A-Z]{3}"),
            ColumnRule(name="d", type="timestamptz", minimum="2013-01-01T00:00:00Z"),
            ColumnRule(name="gone"),
            ColumnRule(name="typed", type="long"),
        ),
        unique=(("s", "p"),),
        relations=(Relation(left="n", op="<", right="x"),),
        min_rows=10,
        max_rows=3,
    )
    frame = pl.DataFrame(
        {
            "n": [0, 2, 2, 9],
            "x": [float("nan"), 1.0, None, 99.0],
            "s": ["a", None, "c", "a"],
            "p": ["ABC", "AB", None, "ABC"],
            "d": [START - timedelta(days=1), START, START, None],
            "typed": ["1", "2", "3", "4"],
            "extra": [1, 1, 1, 1],
        }
    )
    assert broken(frame, contract) == {
        ("gone", "required"): 1,
        ("typed", "type"): 1,
        ("extra", "extra_columns"): 1,
        ("n", "minimum"): 1,
        ("n", "maximum"): 1,
        ("n", "unique"): 1,
        ("x", "nullable"): 2,
        ("x", "mean"): 4,
        ("s", "max_null_share"): 1,
        ("s", "allowed"): 1,
        ("p", "pattern"): 1,
        ("d", "minimum"): 1,
        ("s, p", "unique"): 1,
        ("n, x", "relation"): 1,
        ("", "min_rows"): 1,
        ("", "max_rows"): 1,
    }


def test_a_breach_shows_the_first_bad_rows() -> None:
    contract = Contract(table="t", columns=(ColumnRule(name="x", minimum=0),))
    frame = pl.DataFrame({"x": [1, -1, 2, *([-5] * 10)]})
    (breach,) = contracts.check(frame, contract).breaches
    assert (breach.count, breach.rows[0]) == (11, {"row": 1, "x": -1})
    assert len(breach.rows) == 5
    assert breach.sentence().startswith("t.x breaks minimum (at least 0): 11 of 13 rows do not")


def test_a_tolerance_lets_few_rows_through() -> None:
    contract = Contract(table="t", columns=(ColumnRule(name="x", minimum=0, tolerance=0.1),))
    assert not broken(pl.DataFrame({"x": [-1, *([1] * 9)]}), contract)
    assert broken(pl.DataFrame({"x": [-1, -1, *([1] * 8)]}), contract)


def test_a_narrower_number_is_accepted_and_a_wider_one_is_not() -> None:
    contract = Contract(table="t", columns=(ColumnRule(name="x", type="long"), ColumnRule(name="y", type="int")))
    frame = pl.DataFrame({"x": pl.Series([1], dtype=pl.Int16), "y": [1]})
    assert broken(frame, contract) == {("y", "type"): 1}


def test_rows_keep_the_contract_inferred_from_them() -> None:
    contract = contracts.infer(GOOD, "weather")
    assert contracts.check(GOOD, contract).passed
    rules = {rule.name: rule for rule in contract.columns}
    assert rules["id"].unique
    assert rules["origin"].allowed == ("EWR", "JFK", "LGA")
    assert (rules["temp"].minimum, rules["temp"].maximum) == (26.1, 72.9)
    assert (rules["temp"].nullable, rules["gust"].nullable) == (False, True)
    assert Relation(left="dewp", op="<=", right="temp") in contract.relations


def test_a_temperature_in_another_unit_breaks_the_contract_of_real_weather_in_every_month() -> None:
    weather = pl.read_parquet(FLIGHTS_DATA / "weather.parquet")
    month = pl.col("observed_at").dt.month()
    contract = contracts.infer(weather, "weather")
    assert contract.unique == (("origin", "observed_at"),)
    assert Relation(left="dewp", op="<=", right="temp") in contract.relations
    for number in range(1, 13):
        batch = weather.filter(month == number)
        assert contracts.check(batch, contract).passed
        celsius = batch.with_columns(((pl.col("temp") - 32) / 1.8).alias("temp"))
        assert not contracts.check(celsius, contract).passed


VALUES = st.lists(st.one_of(st.none(), st.floats(allow_infinity=False), st.integers(-(10**6), 10**6)), max_size=80)


@given(VALUES, st.lists(st.one_of(st.none(), st.sampled_from("abc"), st.text(max_size=4)), max_size=80))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_rows_they_keep_their_own_contract(numbers: list[float | None], texts: list[str | None]) -> None:
    size = min(len(numbers), len(texts))
    frame = pl.DataFrame(
        {"x": pl.Series(numbers[:size], dtype=pl.Float64, strict=False), "s": pl.Series(texts[:size], dtype=pl.String)}
    )
    contract = contracts.infer(frame, "t", slack=0.0)
    report = contracts.check(frame, contract)
    assert [b for b in report.breaches if b.rule != "min_rows"] == []
    assert contracts.parse(contracts.dump(contract)) == contract


def test_a_contract_survives_yaml_and_leaves_out_what_is_default(project: Project) -> None:
    contract = contracts.infer(GOOD, "weather")
    path = contracts.path_of(project, "weather")
    contracts.save(contract, path)
    assert contracts.load(path) == contract
    assert contracts.of_project(project) == {"weather": contract}
    text = path.read_text()
    assert "allowed: [EWR, JFK, LGA]" in text
    assert "pattern" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table: t\ncolumns:\n- name: x\n  minimun: 1\n", "minimun"),
        ("table: t\nuniqe: []\n", "uniqe"),
        ("table: [\n", "no valid YAML"),
        ("just text", "no table of settings"),
        ("table: t\ncolumns:\n- name: x\n  nullable: maybe\n", "nullable"),
        ("table: t\ncolumns:\n- {name: x, pattern: '('}\n", "pattern"),
        ("table: t\ncolumns:\n- name: x\nunique: [[y]]\n", "'y'"),
        ("table: t\ncolumns:\n- name: x\n- name: x\n", "two rules"),
        ("columns: []\n", "table"),
    ],
)
def test_a_contract_that_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(contracts.ContractInvalid, match=message):
        contracts.parse(text, "t.yaml")


def test_a_near_miss_is_offered_for_a_wrong_rule() -> None:
    with pytest.raises(contracts.ContractInvalid) as error:
        contracts.parse("table: t\ncolumns:\n- name: x\n  minimun: 1\n")
    assert error.value.fix == "Did you mean 'minimum'?"


def test_a_bare_date_in_yaml_is_an_instant() -> None:
    contract = contracts.parse("table: t\ncolumns:\n- {name: d, type: date, minimum: 2013-01-01}\n")
    frame = pl.DataFrame({"d": [START.date() - timedelta(days=1), START.date()]})
    assert broken(frame, contract) == {("d", "minimum"): 1}


def test_a_limit_that_cannot_be_compared_is_an_invalid_contract() -> None:
    contract = Contract(table="t", columns=(ColumnRule(name="x", minimum="red"),))
    with pytest.raises(contracts.ContractInvalid):
        contracts.check(pl.DataFrame({"x": [1]}), contract)


def test_a_missing_contract_says_how_to_make_one(project: Project) -> None:
    with pytest.raises(NotFound, match="no contract"):
        contracts.load(contracts.path_of(project, "t"))


def test_a_refusal_crosses_a_process_border_with_its_report() -> None:
    report = contracts.check(pl.DataFrame(), Contract(table="t", min_rows=1))
    error = contracts.ContractViolated("no", report=report, why="w", fix="f", at="a")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (again.report, again.as_dict()) == (report, error.as_dict())
