import contextlib
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.line import contracts
from bucle.line.contracts import Check, ColumnRule, Comparator, Contract, Measure, Reference, Relation
from bucle.line.data.schema import storage_type, type_name

NOW = datetime(2013, 2, 1, tzinfo=UTC)


def broken(frame: pl.DataFrame, contract: Contract, **given: object) -> dict[tuple[str, str], int]:
    report = contracts.check(frame, contract, **given)  # type: ignore[arg-type]
    lazily = contracts.check(frame.lazy(), contract, **given)  # type: ignore[arg-type]
    assert lazily == report
    return {(b.column, b.rule): b.count for b in report.breaches}


def of(*rules: ColumnRule, **more: object) -> Contract:
    return Contract(table="t", columns=rules, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "values", "found"),
    [
        (ColumnRule(name="x", min_length=2, max_length=3), ["a", "ab", "abcd", None],
         {"min_length": 1, "max_length": 1}),
        (ColumnRule(name="x", max_length=1), [[1], [1, 2]], {"max_length": 1}),
        (ColumnRule(name="x", min_distinct=3), ["a", "b", None, "b"], {"min_distinct": 4}),
        (ColumnRule(name="x", max_distinct=1), ["a", "b"], {"max_distinct": 2}),
        (ColumnRule(name="x", minimum=0, where="x > -5"), [-9, -1, 3], {"minimum": 1}),
        (ColumnRule(name="x", minimum=0, tolerances={"minimum": 0.5}, maximum=2), [-1, 1, 3], {"maximum": 1}),
        (ColumnRule(name="x", nullable=False, severities={"nullable": "warn"}), [None, 1], {}),
        (ColumnRule(name="x", unique=True, where="x > 1"), [1, 1, 2, 2], {"unique": 1}),
        (ColumnRule(name="x", max_age_hours=24), [NOW - timedelta(hours=30), NOW - timedelta(hours=25)],
         {"max_age_hours": 2}),
        (ColumnRule(name="x", max_age_hours=24), [NOW - timedelta(hours=30), NOW - timedelta(hours=2)], {}),
        (ColumnRule(name="x", max_age_hours=24), [None, None], {"max_age_hours": 2}),
        (ColumnRule(name="x", max_age_hours=25), [(NOW - timedelta(hours=24)).date()], {}),
    ],
)  # fmt: skip
def test_a_rule_finds_what_breaks_it(rule: ColumnRule, values: list[object], found: dict[str, int]) -> None:
    frame = pl.DataFrame({"x": values})
    assert {what: count for (_, what), count in broken(frame, of(rule), at=NOW).items()} == found


WORDS = st.one_of(
    st.none(), st.sampled_from(["ab-1", "ab-2", "xy", "a longer word than a dozen bytes", ""]), st.text(max_size=3)
)


@given(st.lists(WORDS, min_size=1, max_size=12), st.lists(st.tuples(st.integers(0, 10_999), WORDS), max_size=3))
@settings(max_examples=40, deadline=None)
def test_of_many_rows_each_word_is_asked_once_and_the_answer_is_the_same(
    words: list[str | None], rare: list[tuple[int, str | None]]
) -> None:
    values = (words * (11_000 // len(words) + 1))[:11_000]
    for place, word in rare:
        values[place] = word
    allowed = ("ab-1", "xy", "", "a longer word than a dozen bytes")
    rules = (
        ColumnRule(name="x", allowed=allowed, pattern="[a-z]*(-[0-9])?", min_length=1, max_length=4),
        ColumnRule(name="y", allowed=allowed, tolerance=0.1),
        ColumnRule(name="z", pattern=".*", where="x = 'xy'"),
    )
    found = broken(pl.DataFrame(dict.fromkeys("xyz", values), schema=dict.fromkeys("xyz", pl.String)), of(*rules))
    wrong = sum(one is not None and one not in allowed for one in values)
    assert found.get(("x", "allowed"), 0) == wrong
    assert found.get(("y", "allowed"), 0) == (wrong if wrong > 1_100 else 0)
    assert found.get(("x", "min_length"), 0) == sum(one == "" for one in values)


def test_a_rule_that_only_warns_lets_the_batch_pass() -> None:
    rules = (ColumnRule(name="x", maximum=1, severity="warn"), ColumnRule(name="gone", severity="warn"))
    report = contracts.check(pl.DataFrame({"x": [2]}), of(*rules))
    assert report.passed
    assert [(b.column, b.rule) for b in report.warnings] == [("gone", "required"), ("x", "maximum")]
    assert 0 < report.score < 1


def test_checks_and_measures_of_ones_own() -> None:
    contract = of(
        ColumnRule(name="a"),
        ColumnRule(name="b"),
        checks=(
            Check(name="small_together", holds="a + b < 10 OR b IS NULL"),
            Check(name="lower", holds="a < 3", where="b = 1", severity="warn"),
        ),
        measures=(Measure(name="ratio", value="SUM(a) / COUNT(*)", minimum=0, maximum=2),),
    )
    report = contracts.check(pl.DataFrame({"a": [1, 9, 5], "b": [1, 9, 1]}), contract)
    assert [(b.rule, b.count, b.column) for b in report.breaches] == [("small_together", 1, "a, b"), ("ratio", 3, "a")]
    assert report.breaches[1].found == "it is 5"
    assert [(b.rule, b.count, b.share) for b in report.warnings] == [("lower", 1, 0.5)]


def test_rows_that_lead_nowhere_are_found_in_the_other_table() -> None:
    carriers = pl.LazyFrame({"code": ["AA", "UA"], "year": [1, 2]})
    one = Reference(columns=("carrier",), table="carriers", to=("code",))
    two = Reference(columns=("carrier", "year"), table="carriers", to=("code", "year"))
    frame = pl.DataFrame({"carrier": ["AA", "XX", None, "UA"], "year": [1, 1, 1, 1]})
    columns = (ColumnRule(name="carrier"), ColumnRule(name="year"))
    contract = of(*columns, references=(one, two))
    (first, second) = contracts.check(frame, contract, tables={"carriers": carriers}).breaches
    assert (first.count, first.rows) == (1, ({"row": 1, "carrier": "XX"},))
    assert [row["row"] for row in second.rows] == [1, 3]
    skipped = contracts.check(frame, contract)
    assert skipped.passed
    assert len(skipped.skipped) == 2
    gone = contracts.check(frame, contract, tables={}).breaches[0]
    assert (gone.count, gone.found) == (3, "the table 'carriers' is not there")


def test_columns_are_looked_at_only_in_their_environment() -> None:
    contract = of(ColumnRule(name="x"), ColumnRule(name="label", environments=("training",)))
    served = pl.DataFrame({"x": [1]})
    assert contracts.check(served, contract, environment="serving").passed
    assert not contracts.check(served, contract, environment="training").passed
    assert contracts.check(served.with_columns(label=1), contract, environment="serving").passed


def test_a_column_called_row_is_shown_with_its_own_value_left_out() -> None:
    frame = pl.DataFrame({"row": [7, 8], "x": [0, 1]})
    (breach,) = contracts.check(frame, of(ColumnRule(name="row"), ColumnRule(name="x", minimum=1))).breaches
    assert breach.rows == ({"row": 0, "x": 0},)


def test_a_rule_that_cannot_be_computed_is_named() -> None:
    contract = of(ColumnRule(name="x", mean_minimum=1), ColumnRule(name="y", minimum="red"))
    with pytest.raises(contracts.ContractInvalid, match="minimum of y"):
        contracts.check(pl.DataFrame({"x": [1], "y": [1]}), contract)


def test_contract_types_are_those_the_lake_keeps() -> None:
    kept: list[pl.DataType] = [
        pl.Boolean(), pl.Int8(), pl.Int64(), pl.UInt32(), pl.Float32(), pl.Float64(), pl.Date(), pl.Time(), pl.String(),
        pl.Categorical(), pl.Binary(), pl.Datetime("us"), pl.Datetime("ns", "Europe/Madrid"), pl.Decimal(10, 2),
        pl.List(pl.Int16()), pl.Struct({"a": pl.String(), "b": pl.List(pl.Date())}),
    ]  # fmt: skip
    for dtype in kept:
        assert contracts.type_of(dtype) == type_name(storage_type(dtype, "x"))


FRAME = pl.DataFrame(
    {"a": [1, 2, None], "x": [0.5, float("nan"), 2.0], "s": ["ab", "it's", None], "d": [NOW, NOW, None]}
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a IN (1, 3)", [True, False, None]),
        ("a NOT IN (1) AND NOT a = 5", [False, True, None]),
        ("x IS NULL", [False, True, False]),
        ("x IS NOT NULL OR a = 2", [True, True, True]),
        ("a BETWEEN 2 AND 3", [False, True, None]),
        ("a NOT BETWEEN 2 AND 3", [True, False, None]),
        ("s LIKE 'a_'", [True, False, None]),
        ("s ILIKE 'IT%'", [False, True, None]),
        ("s == 'ab'", [True, False, None]),
        ("s = 'it''s'", [False, True, None]),
        ("-a + 2 * (a - 1) % 2 >= -1", [True, False, None]),
        ("COALESCE(x, 9) + ABS(-1)", [1.5, 10.0, 3.0]),
        ("CASE WHEN a = 1 THEN 'one' WHEN a = 2 THEN 'two' ELSE 'none' END", ["one", "two", "none"]),
        ("CAST(s AS DOUBLE) IS NULL", [True, True, True]),
        ('"a" <> 1', [False, True, None]),
        ("d >= TIMESTAMP '2013-02-01T00:00:00Z'", [True, True, None]),
        ("YEAR(d) = 2013 AND LENGTH(s) < 3", [True, False, None]),
        ("UPPER(SUBSTR(s, 1, 1)) || '!'", ["A!", "I!", None]),
        ("x > AVG(x)", [False, None, True]),
        ("TRUE", [True]),
    ],
)
def test_an_expression_computes_what_sql_says(text: str, values: list[object]) -> None:
    assert FRAME.select(contracts.compile_expression(text, FRAME.schema)).to_series().to_list() == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SUM(a)", 3), ("COUNT(*)", 3), ("COUNT(a)", 2), ("COUNT(DISTINCT s)", 2), ("QUANTILE(x, 0.5)", 1.25),
        ("MAX(x) - MIN(x)", 1.5), ("AVG(x) / 2", 0.625), ("STDDEV(a)", 0.5**0.5), ("ROUND(AVG(x), 1)", 1.2),
    ],
)  # fmt: skip
def test_a_measure_computes_what_sql_says(text: str, value: float) -> None:
    assert FRAME.select(contracts.compile_expression(text, FRAME.schema)).item() == pytest.approx(value, abs=0.06)


@pytest.mark.parametrize(
    "text",
    [
        "", "a >", "a = 1; b", "b = 1", "read_csv('/etc/passwd') = 1", "(SELECT 1) = 1", "a > ALL (SELECT 1)", "a = (1",
        "ABS()", "ABS(a, a, a)", "QUANTILE(x, a)", "a NOT 3", "'open", "a ~ 1", "CASE END", "CAST(a AS BLOB)",
        "DATE 'never' < d", "(" * 3000, "NOT " * 500 + "TRUE", "- " * 500 + "1", "a " * 3000, "AND", "__import__('os')",
        "x OVER ()", "1e999999 IN", "a IS 3", "NULL NULL",
    ],
)  # fmt: skip
def test_an_expression_that_is_not_understood_is_refused_in_our_words(text: str) -> None:
    with pytest.raises(contracts.BadExpression) as error:
        contracts.compile_expression(text, FRAME.schema)
    assert len(str(error.value)) < 1500


@given(st.text(alphabet="ab ()'\"0.,<=>!+-*/%|NOTANDORINCASE", max_size=40))
@settings(deadline=None, max_examples=300)
def test_no_text_makes_the_expressions_fail_otherwise(text: str) -> None:
    with contextlib.suppress(contracts.BadExpression):
        contracts.compile_expression(text, {"a": pl.Int64(), "b": pl.String()})


SEVERITIES = st.sampled_from(["error", "warn"])
SHARES = st.one_of(st.none(), st.floats(0, 1))
COMPARATORS = st.one_of(
    st.none(),
    st.builds(Comparator, threshold=st.floats(0, 1), measure=st.sampled_from(["auto", "l_infinity", "jensen_shannon"])),
)
SCALARS = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text(max_size=5))
RULES = st.builds(
    ColumnRule,
    name=st.just("a"),
    type=st.sampled_from(["", "long", "list<string>"]),
    nullable=st.booleans(),
    max_null_share=SHARES,
    minimum=st.one_of(st.none(), SCALARS.filter(lambda one: not isinstance(one, bool))),
    allowed=st.lists(SCALARS, max_size=3).map(tuple),
    pattern=st.sampled_from(["", "[a-z]+: #", "'\"\\\\"]),
    drift=COMPARATORS,
    skew=COMPARATORS,
    tolerances=st.dictionaries(st.sampled_from(["minimum", "pattern"]), st.floats(0, 1)),
    severities=st.dictionaries(st.sampled_from(["minimum", "pattern"]), SEVERITIES),
    severity=SEVERITIES,
    where=st.sampled_from(["", "a IS NOT NULL", "a = 'x: y # z'"]),
    environments=st.lists(st.sampled_from(["training", "serving"]), unique=True).map(tuple),
)
CONTRACTS = st.builds(
    Contract,
    table=st.just("t"),
    columns=RULES.map(lambda rule: (rule, ColumnRule(name="b"))),
    unique=st.sampled_from([(), (("a", "b"),)]),
    relations=st.lists(st.builds(Relation, left=st.just("a"), op=st.sampled_from(["<", "=="]), right=st.just("b"),
                                 severity=SEVERITIES), max_size=2).map(tuple),
    checks=st.sampled_from([(), (Check(name="c", holds="a = 1", tolerance=0.5),)]),
    measures=st.sampled_from([(), (Measure(name="m", value="SUM(a)", minimum=0.5),)]),
    references=st.sampled_from([(), (Reference(columns=("a",), table="o", to=("c",)),)]),
    drift_against=st.sampled_from(["previous", "table", "main@2013-03-01"]),
    quarantine=st.booleans(),
    max_quarantine_share=st.floats(0, 1),
)  # fmt: skip


@given(CONTRACTS)
@settings(deadline=None)
def test_any_contract_survives_yaml(contract: Contract) -> None:
    assert contracts.parse(contracts.dump(contract)) == contract
    assert contracts.diff(contract, contract) == []


def test_a_contract_that_allows_other_columns_may_name_them() -> None:
    known = Reference(columns=("z",), table="o")
    contract = Contract(table="t", columns=(ColumnRule(name="a"),), extra_columns="allow", references=(known,))
    assert contracts.parse(contracts.dump(contract)) == contract


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("checks: [{name: c, hold: a}]", "hold"),
        ("checks: [{name: c, holds: z = 1}]", "'z'"),
        ("checks: [{name: c, holds: a = 1}, {name: c, holds: a = 2}]", "two checks"),
        ("measures: [{name: c, value: SUMM(a)}]", "SUMM"),
        ("references: [{columns: [z], table: o}]", "'z'"),
        ("references: [{columns: [a], table: o, to: [b, c]}]", "unequal"),
        ("columns: [{name: a, drift: {treshold: 1}}]", "treshold"),
        ("columns: [{name: a, drift: {threshold: 7}}]", "is 7"),
        ("columns: [{name: a, tolerance: 2}]", "is 2"),
        ("columns: [{name: a, severities: {minumum: warn}}]", "minumum"),
        ("columns: [{name: a, where: 'b >'}]", "'b >'"),
        ("max_quarantine_share: 2", "max_quarantine_share"),
    ],
)
def test_a_rule_that_is_not_understood_is_refused(text: str, message: str) -> None:
    columns = "" if text.startswith("columns") else "columns: [{name: a}]\n"
    with pytest.raises(contracts.ContractInvalid, match=message):
        contracts.parse(f"table: t\n{columns}{text}\n")


def test_what_got_stricter_and_what_looser() -> None:
    before = of(
        ColumnRule(name="a", minimum=0, maximum=9, allowed=(1, 2), drift=Comparator(threshold=0.2)),
        ColumnRule(name="b", nullable=False),
        checks=(Check(name="c", holds="a = 1"),),
        min_rows=5,
    )
    after = of(
        ColumnRule(name="a", minimum=1, maximum=None, allowed=(1, 2, 3), drift=Comparator(threshold=0.1)),
        ColumnRule(name="b", pattern="x", severity="warn"),
        ColumnRule(name="n"),
        unique=(("a", "b"),),
        max_rows=9,
        min_rows=5,
    )
    found = {(one.where, one.setting): one.effect for one in contracts.diff(before, after)}
    assert found == {
        ("a", "minimum"): "stricter",
        ("a", "maximum"): "looser",
        ("a", "allowed"): "looser",
        ("a.drift", "threshold"): "stricter",
        ("b", "nullable"): "looser",
        ("b", "pattern"): "stricter",
        ("b", "severity"): "looser",
        ("n", "rule"): "other",
        ("c", "rule"): "looser",
        ("a, b", "unique"): "stricter",
        ("", "max_rows"): "stricter",
    }


def test_a_key_that_is_unique_under_a_condition_is_held_against_the_table_under_it_too() -> None:
    contract = of(ColumnRule(name="id", unique=True, where="kind = 'sold'"), ColumnRule(name="kind"))
    there = pl.LazyFrame({"id": [1, 2], "kind": ["sold", "lost"]})
    batch = pl.DataFrame({"id": [1, 1, 2, 3], "kind": ["lost", "sold", "sold", "sold"]})
    (breach,) = contracts.check(batch, contract, existing=there).breaches
    assert (breach.count, breach.rows) == (1, ({"row": 1, "id": 1},))
