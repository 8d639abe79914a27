import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.line import contracts
from bucle.line.contracts import ROW_COLUMN, RULES_COLUMN, Check, ColumnRule, Contract, Reference, Relation

CONTRACT = Contract(
    table="t",
    columns=(
        ColumnRule(name="id", unique=True),
        ColumnRule(name="x", minimum=0, nullable=False, tolerances={"minimum": 0.2}),
        ColumnRule(name="s", allowed=("a", "b"), pattern="[a-z]"),
        ColumnRule(name="w", maximum=1, severity="warn"),
    ),
    relations=(Relation(left="id", op=">=", right="x"),),
    checks=(Check(name="sane", holds="s = 'a' OR x < 3"),),
    references=(Reference(columns=("s",), table="o"),),
    max_quarantine_share=1.0,
)
OTHER = {"o": pl.LazyFrame({"s": ["a", "b"]})}


def test_bad_rows_are_set_aside_with_the_names_of_what_they_break() -> None:
    frame = pl.DataFrame({"id": [1, 2, 2, 3, 9], "x": [1, 1, 1, None, 1], "s": ["a", "Q", "b", "b", "a"], "w": [9] * 5})
    made = contracts.split(frame, CONTRACT, tables=OTHER, existing=pl.LazyFrame({"id": [9]}))
    assert made.good["id"].to_list() == [1, 2]
    assert made.good["s"].to_list() == ["a", "b"]
    assert made.bad.select("id", ROW_COLUMN, RULES_COLUMN).rows() == [
        (2, 1, ["s.allowed", "s.pattern", "s.reference"]),
        (3, 3, ["x.nullable"]),
        (9, 4, ["id.unique"]),
    ]
    report = made.report
    assert report.passed
    assert (report.rows, report.rows_set_aside, len(report.warnings)) == (2, 3, 1)
    assert {(b.column, b.rule): b.count for b in report.set_aside}[("s", "allowed")] == 1


def test_too_many_bad_rows_and_rules_about_the_batch_are_breaches() -> None:
    few = Contract(table="t", columns=(ColumnRule(name="x", minimum=0, mean_maximum=5),), max_quarantine_share=0.5)
    made = contracts.split(pl.DataFrame({"x": [-1, -1, 1]}), few)
    assert [b.rule for b in made.report.breaches] == ["max_quarantine_share", "minimum"]
    made = contracts.split(pl.DataFrame({"x": [-1, 9, 9]}), few)
    assert [b.rule for b in made.report.breaches] == ["mean"]
    assert contracts.split(pl.DataFrame({"x": [1, 2]}), few).bad.height == 0


def test_a_twin_of_a_row_that_is_set_aside_stays() -> None:
    frame = pl.DataFrame(
        {"id": [1, 1, 1], "x": [None, 0, 0], "s": ["a"] * 3, "w": [0] * 3}, schema_overrides={"x": pl.Int64}
    )
    made = contracts.split(frame, CONTRACT, tables=OTHER)
    assert made.bad[ROW_COLUMN].to_list() == [0, 2]
    assert made.good.height == 1


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 12)), st.one_of(st.none(), st.integers(-2, 6)),
        st.one_of(st.none(), st.sampled_from(["a", "b", "Q", "zz"])), st.integers(0, 3),
    ),
    max_size=30,
)  # fmt: skip
SCHEMA = {"id": pl.Int64, "x": pl.Int64, "s": pl.String, "w": pl.Int64}


@given(ROWS, st.lists(st.integers(0, 12), max_size=4))
@settings(deadline=None, max_examples=150)
def test_good_and_bad_are_all_rows_and_the_good_pass(rows: list[tuple[object, ...]], there: list[int]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    existing = pl.LazyFrame({"id": there}, schema={"id": pl.Int64})
    made = contracts.split(frame, CONTRACT, tables=OTHER, existing=existing)
    both = pl.concat([made.good, made.bad.select(frame.columns)])
    assert both.sort(pl.all()).equals(frame.sort(pl.all()))
    assert frame[made.bad[ROW_COLUMN].to_list()].equals(made.bad.select(frame.columns))
    assert contracts.check(made.good, CONTRACT, tables=OTHER, existing=existing).passed
    assert made.bad[RULES_COLUMN].list.len().min() != 0
    again = contracts.split(made.good, CONTRACT, tables=OTHER, existing=existing)
    assert again.bad.height == 0


@pytest.mark.parametrize("size", [0, 1])
def test_a_batch_of_nothing_is_all_good(size: int) -> None:
    frame = pl.DataFrame({"id": [1] * size, "x": [0] * size, "s": ["a"] * size, "w": [0] * size})
    made = contracts.split(frame, CONTRACT, tables=OTHER)
    assert (made.good.height, made.bad.height) == (size, 0)
