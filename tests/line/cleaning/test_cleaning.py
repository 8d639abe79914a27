import math
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucle.ground.core import encode
from bucle.line import cleaning
from bucle.line.cleaning import Cleaning, ColumnCleaning, Deduplication, Imputation, Outliers

POLICY = cleaning.parse("""
dedupe: {by: [id]}
columns:
- name: city
  strip: true
  case: lower
  missing: [n/a, '?']
  replace: {nyc: new york}
  impute: {method: mode}
- name: weight
  units: {kg: 1, g: 0.001, lb: 0.45359237}
  outliers: {rule: range, low: 0, high: 200, action: missing}
  impute: {method: median, by: [city], flag: true}
- name: seats
  type: long
  outliers: {rule: iqr, factor: 1.5, action: clip}
  impute: {method: constant, value: 0}
- name: speed
  outliers: {rule: quantile, low: 0.01, high: 0.99, action: flag}
- name: ok
  type: boolean
  impute: {method: mode}
""")
TRAIN = pl.DataFrame(
    {
        "id": [1, 2, 2, 3, 4, 5],
        "city": [" NYC", "new york", "new york", "Paris", "?", None],
        "weight": ["10 kg", "20", "20", "500 g", "44.0924524 lb", "9000 kg"],
        "seats": ["1", "2.0", "2.0", "3", "2.5", "900"],
        "speed": [1.0, 2.0, 2.0, 3.0, float("nan"), 4.0],
        "ok": ["yes", "YES", "YES", "no", "maybe", None],
    }
)


def test_each_step_mends_what_it_should_and_the_report_says_what_and_why() -> None:
    fitted = cleaning.fit(TRAIN, POLICY)
    made = cleaning.prepare(fitted, TRAIN)
    assert made.frame["city"].to_list() == ["new york", "new york", "paris", "new york", "new york"]
    assert made.frame["weight"].to_list() == pytest.approx([10.0, 20.0, 0.5, 20.0, 20.0])
    assert made.frame["weight_was_missing"].to_list() == [False, False, False, False, True]
    assert made.frame["seats"].to_list()[:4] == [1, 2, 3, 0]
    assert made.frame["ok"].to_list() == [True, True, False, True, True]
    assert made.frame.schema["speed_is_outlier"] == pl.Boolean
    told = {(one.column, one.step): (one.rows, one.dropped) for one in made.report.changes}
    assert told[("", "dedupe")] == (1, True)
    assert told[("city", "text")] == (3, False)
    assert told[("city", "impute")] == (2, False)
    assert told[("weight", "outliers")] == (1, False)
    assert told[("seats", "type")] == (1, False)
    assert told[("seats", "outliers")] == (1, False)
    assert told[("ok", "type")] == (1, False)
    assert (made.report.rows_before, made.report.rows_after, made.report.cleaning) == (6, 5, fitted.digest)


def test_a_fitted_cleaning_is_json_with_a_digest() -> None:
    fitted = cleaning.fit(TRAIN, POLICY)
    again = cleaning.read_fitted(encode(fitted))
    assert again == fitted
    assert again.digest == cleaning.fit(TRAIN.clone(), POLICY).digest
    assert again.digest != cleaning.fit(TRAIN.head(4), POLICY).digest
    assert cleaning.parse(cleaning.dump(POLICY)) == POLICY


def test_what_is_learned_comes_from_the_training_rows_alone() -> None:
    rows = pl.DataFrame({"x": [1.0, 2.0, 3.0, None], "part": ["train"] * 4})
    for judged in ([1e9, None], [-1e9, -1e9]):
        whole = pl.concat([rows, pl.DataFrame({"x": judged, "part": ["judged"] * 2}, schema=rows.schema)])
        policy = Cleaning(
            columns=(ColumnCleaning(name="x", outliers=Outliers(rule="z", factor=2), impute=Imputation(method="mean")),)
        )
        fitted = cleaning.fit(whole.filter(pl.col("part") == "train"), policy)
        assert fitted.columns[0].fill == 2.0
        made = cleaning.apply(fitted, whole.filter(pl.col("part") == "judged")).frame
        assert made["x"].max() <= 3.7
        assert cleaning.fit(whole, policy).columns[0].fill != 2.0


TEXTS = st.one_of(st.none(), st.sampled_from([" NYC", "paris", "?", "N/A", "new york ", "", "12", "x"]))
NUMBERS = st.one_of(st.none(), st.floats(allow_infinity=False), st.sampled_from([0.0, 1.5, 200.0, -3.0]))
ROWS = st.lists(
    st.tuples(
        TEXTS,
        st.one_of(st.none(), st.sampled_from(["1 kg", "12", "3 lb", "5 stone", "heavy", "-1 g", "1e3 kg"])),
        st.one_of(st.none(), st.sampled_from(["1", "2.5", "7", "one", "1000000"])),
        NUMBERS,
        st.one_of(st.none(), st.sampled_from(["yes", "no", "1", "maybe"])),
    ),
    max_size=12,
)
SCHEMA = {"city": pl.String, "weight": pl.String, "seats": pl.String, "speed": pl.Float64, "ok": pl.String}


def same(one: object, other: object) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or one == other


@given(ROWS, st.sampled_from(["clip", "missing", "drop", "flag"]), st.sampled_from(["mean", "median", "mode"]))
@settings(deadline=None, max_examples=120)
def test_applying_twice_changes_nothing_and_a_row_is_cleaned_as_in_a_frame(
    rows: list[tuple[object, ...]], action: str, method: str
) -> None:
    columns = list(POLICY.columns)
    columns[3] = ColumnCleaning(
        name="speed",
        outliers=Outliers(rule="iqr", action=action),  # type: ignore[arg-type]
        impute=Imputation(method=method, by=("city",), flag=True),  # type: ignore[arg-type]
    )
    fitted = cleaning.fit(TRAIN, Cleaning(columns=tuple(columns)))
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    once = cleaning.apply(fitted, frame)
    twice = cleaning.apply(fitted, once.frame)
    assert twice.frame.equals(once.frame)
    assert twice.report.changes == ()
    one_by_one = [cleaning.apply_row(fitted, row) for row in frame.to_dicts()]
    kept = [row for row in one_by_one if row is not None]
    assert len(kept) == once.frame.height
    for alone, together in zip(kept, once.frame.to_dicts(), strict=True):
        assert alone.keys() == together.keys()
        assert all(same(alone[name], together[name]) for name in alone), (alone, together)
    dropped = sum(one.rows for one in once.report.changes if one.dropped)
    assert frame.height - once.frame.height == dropped


@pytest.mark.parametrize(
    ("outliers", "values", "made"),
    [
        (Outliers(rule="range", low=0), [-1.0, 5.0], [0.0, 5.0]),
        (Outliers(rule="range", high=3, action="drop"), [-1.0, 5.0], [-1.0]),
        (Outliers(rule="quantile", low=0.25, high=0.75), [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0, 3.0, 3.0]),
        (Outliers(rule="iqr", factor=1), [0.0, 1.0, 2.0, 3.0, 100.0], [0.0, 1.0, 2.0, 3.0, 5.0]),
        (Outliers(rule="z", factor=1, action="missing"), [0.0, 0.0, 0.0, 10.0], [0.0, 0.0, 0.0, None]),
    ],
)
def test_outliers_by_each_rule(outliers: Outliers, values: list[float], made: list[float | None]) -> None:
    frame = pl.DataFrame({"x": values})
    fitted = cleaning.fit(frame, Cleaning(columns=(ColumnCleaning(name="x", outliers=outliers),)))
    assert cleaning.apply(fitted, frame).frame["x"].to_list() == made


def test_a_unit_in_a_column_of_its_own() -> None:
    frame = pl.DataFrame({"temp": [32.0, 10.0, 5.0], "unit": ["in", "cm", "ell"]})
    rule = ColumnCleaning(name="temp", units={"cm": 1.0, "in": 2.54}, unit_column="unit")
    fitted = cleaning.fit(frame, Cleaning(columns=(rule,)))
    made = cleaning.apply(fitted, frame).frame
    assert made.rows() == [(81.28, "cm"), (10.0, "cm"), (None, "cm")]
    assert cleaning.apply(fitted, made).frame.equals(made)


def test_instants_and_constants() -> None:
    frame = pl.DataFrame({"at": ["2013-01-01T00:00:00Z", "soon", None]})
    rule = ColumnCleaning(
        name="at", type="timestamptz", impute=Imputation(method="constant", value="2020-01-01T00:00:00Z")
    )
    fitted = cleaning.fit(frame, Cleaning(columns=(rule,)))
    start, filled = datetime(2013, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    assert cleaning.apply(fitted, frame).frame["at"].to_list() == [start, filled, filled]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: [{name: x, strp: true}]", "strp"),
        ("columns: [{name: x}, {name: x}]", "two entries"),
        ("columns: [{name: x, replace: {a: b, b: c}}]", "replaced itself"),
        ("columns: [{name: x, units: {g: 0.1}, unit_column: u}]", "factor 1"),
        ("columns: [{name: x, impute: {method: constant}}]", "constant"),
        ("columns: [{name: x, impute: {method: mean, by: [x]}}]", "groups"),
        ("columns: [{name: x, outliers: {rule: range}}]", "no limit"),
        ("columns: [{name: x, outliers: {rule: quantile, low: 0.9, high: 0.1}}]", "wrong order"),
        ("columns: [{name: x, outliers: {rule: z, factor: -1}}]", "above 0"),
        ("columns: [", "expected"),
    ],
)
def test_a_policy_that_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(cleaning.CleaningInvalid, match=message):
        cleaning.parse(text)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (ColumnCleaning(name="y"), "no column 'y'"),
        (ColumnCleaning(name="s", impute=Imputation(method="mean")), "no value of 's'"),
        (ColumnCleaning(name="s", type="string", impute=Imputation(method="mean")), "needs numbers"),
        (ColumnCleaning(name="n", impute=Imputation(method="mean")), "no value of 'n'"),
        (ColumnCleaning(name="x", impute=Imputation(method="constant", value="red")), "cannot take the place"),
        (ColumnCleaning(name="x", impute=Imputation(method="mode", by=("g",))), "'g'"),
        (ColumnCleaning(name="s", type="date", impute=Imputation(method="constant", value="never")), "take the place"),
    ],
)
def test_rows_that_cannot_be_cleaned_so_are_told(rule: ColumnCleaning, message: str) -> None:
    frame = pl.DataFrame({"x": [1, 2], "s": ["a", "b"], "n": [None, None]})
    with pytest.raises(cleaning.CannotClean, match=message):
        cleaning.fit(frame, Cleaning(columns=(rule,)))


def test_of_rows_alike_the_last_can_stay() -> None:
    frame = pl.DataFrame({"id": [1, 1, 2], "x": [1.0, 2.0, 3.0]})
    policy = Cleaning(dedupe=Deduplication(by=("id",), keep="last"))
    assert cleaning.prepare(cleaning.fit(frame, policy), frame).frame["x"].to_list() == [2.0, 3.0]
