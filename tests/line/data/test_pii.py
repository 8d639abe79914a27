"""PII: what is found, how it is masked, and that it leaves nowhere unmasked."""

from __future__ import annotations

import contextlib
import json
import stat
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground import governance
from bucle.ground.core import BadName, SimulatedClock
from bucle.ground.project import Project
from bucle.line import contracts, data
from bucle.line.data import ColumnTag
from bucle.line.data.pii import is_card, is_iban

KEY = bytes(range(32))
PEOPLE = pl.DataFrame(
    {
        "n": [1, 2, 3],
        "contact": ["ana@example.org", None, "eva.luz@mail.example.com"],
        "reach": ["+34 600 123 456", "(91) 555-0199", "600-12-34-56"],
        "paid_with": ["4111 1111 1111 1111", "5500005555555559", "340000000000009"],
        "bank": ["ES91 2100 0418 4502 0005 1332", "DE89370400440532013000", None],
        "surname": ["Luz", "Mar", "Sol"],
        "birth_date": [date(1980, 5, 6), date(1999, 12, 31), None],
        "price": [1.5, 2.5, 1234.5],
        "seen": ["2013-01-01", "2013-01-02", "2013-01-03"],
        "product": ["4111111111111112", "4111111111111113", "4111111111111114"],
    }
)


@pytest.fixture
def people(project: Project) -> Project:
    data.commit(project, {"people": PEOPLE}, message="people")
    return project


def test_what_seems_personal_is_proposed(people: Project) -> None:
    found = {one.column: one.tag.kind for one in data.find_pii(people, "people")}
    assert found == {"contact": "email", "reach": "phone", "paid_with": "card", "bank": "iban", "surname": "name",
                     "birth_date": "birth"}  # fmt: skip


def test_a_tag_of_a_kind_there_is_not_is_refused(people: Project) -> None:
    with pytest.raises(BadName, match="shoe size"):
        data.tag_columns(people, "people", {"contact": data.ColumnTag("shoe size")})  # type: ignore[arg-type]
    assert data.scan(people, "people").height


def test_a_tag_is_kept_with_the_table_and_covers_what_was_before_it(people: Project) -> None:
    before = data.resolve(people).id
    data.create_branch(people, "dev")
    data.tag_columns(people, "people", {"contact": ColumnTag("email", "hash"), "reach": ColumnTag("phone", "partial")})
    for at in ("main", before, "dev"):
        assert sorted(data.pii_tags(people, "people", at=at)) == ["contact", "reach"]
    data.tag_columns(people, "people", {"reach": None})
    assert sorted(data.pii_tags(people, "people")) == ["contact"]
    data.merge(people, "main", "dev", message="m")
    assert sorted(data.pii_tags(people, "people", at="dev")) == ["contact"]
    with pytest.raises(data.NoSuchColumn, match="contact"):
        data.tag_columns(people, "people", {"contakt": ColumnTag()})


@pytest.mark.parametrize(
    ("mask", "expected"),
    [("redact", ["***", None]), ("partial", ["***.org", None]), ("null", [None, None]), ("generalise", ["an…", None])],
)
def test_texts_are_masked(mask: str, expected: list[str | None]) -> None:
    values = pl.Series("v", ["ana@example.org", None])
    assert data.mask_series(values, ColumnTag("email", mask), KEY).to_list() == expected  # type: ignore[arg-type]


def test_numbers_and_dates_are_made_coarser() -> None:
    coarse = ColumnTag("other", "generalise")
    assert data.mask_series(pl.Series([0, 7, 1234, -55, None]), coarse, KEY).to_list() == [0, 7, 1200, -55, None]
    assert data.mask_series(pl.Series([date(1980, 5, 6), None]), coarse, KEY).to_list() == [date(1980, 1, 1), None]
    assert data.mask_series(pl.Series([[1], [2]]), coarse, KEY).to_list() == [None, None]


@given(st.lists(st.none() | st.text(max_size=8), max_size=12))
def test_a_pseudonym_is_the_same_for_the_same_value_and_no_other(texts: list[str | None]) -> None:
    made = data.mask_series(pl.Series("v", texts, dtype=pl.String), ColumnTag("email", "hash"), KEY).to_list()
    pairs = {(text, other) for text, other in zip(texts, made, strict=True)}
    assert len(pairs) == len(set(texts)) == len(set(made))
    assert [other is None for other in made] == [text is None for text in texts]


def test_the_key_of_pseudonyms_is_the_projects_own(people: Project) -> None:
    key = data.project_key(people)
    assert (len(key), data.project_key(people)) == (32, key)
    assert stat.S_IMODE((people.state / "mask.key").stat().st_mode) == 0o600


def test_rows_that_break_a_contract_are_masked_in_the_log_and_in_the_error(people: Project) -> None:
    data.tag_columns(people, "people", {"contact": ColumnTag("email", "redact")})
    contract = contracts.Contract(
        table="people",
        columns=(
            contracts.ColumnRule(name="contact", pattern=".*@example.org"),
            contracts.ColumnRule(name="n", maximum=3),
        ),
    )
    batch = pl.DataFrame({"n": [9], "contact": ["secret@elsewhere.net"]})
    with pytest.raises(contracts.ContractViolated) as raised:
        data.land(people, {"people": batch}, contracts={"people": contract}, message="bad")
    told = repr(raised.value.report) + json.dumps([event.data for event in people.ledger.events()])
    assert "elsewhere" not in told
    assert "***" in told


def test_a_contract_inferred_from_rows_has_no_personal_value(project: Project) -> None:
    kinds = pl.Series(["ana@example.org", "eva@example.org"] * 30)
    rows = pl.DataFrame(
        {"n": range(60), "contact": kinds, "salary": range(70_001, 70_061), "carrier": ["UA", "AA"] * 30}
    )
    data.commit(project, {"people": rows}, message="people")
    assert "example.org" in contracts.dump(data.infer_contract(project, "people"))
    data.tag_columns(project, "people", {"contact": ColumnTag("email", "hash"), "salary": ColumnTag("other")})
    told = contracts.dump(data.infer_contract(project, "people", drift=0.2))
    assert not any(value in told for value in ("example.org", "70001", "70000", "700"))
    assert "AA" in told
    assert contracts.check(rows, contracts.parse(told, "people")).passed


@pytest.mark.parametrize("quarantine", [False, True])
def test_what_is_found_of_a_whole_batch_is_masked_in_every_event(project: Project, quarantine: bool) -> None:
    day, name = date(1980, 5, 6), "family, given"
    rows = pl.DataFrame({"n": [1], "born": [day], name: ["Luz"], "salary": [81234]})
    data.commit(project, {"people": rows, "known": pl.DataFrame({"who": ["Mar"]})}, message="people")
    data.tag_columns(project, "people", {"born": ColumnTag("birth"), name: ColumnTag("name"), "salary": ColumnTag()})
    contract = contracts.Contract(
        table="people",
        quarantine=quarantine,
        max_quarantine_share=0.0,
        columns=(
            contracts.ColumnRule(name="n", type="long", maximum=3),
            contracts.ColumnRule(name="born", max_age_hours=1.0),
            contracts.ColumnRule(name=name, allowed=("Mar",)),
            contracts.ColumnRule(name="salary", mean_maximum=10.0, severity="warn"),
        ),
        measures=(contracts.Measure(name="most", value="MAX(salary)", maximum=10.0),),
        references=(contracts.Reference(columns=(name,), table="known", to=("who",)),),
    )
    for batch in (rows, rows.with_columns(pl.col("n").cast(pl.String))):  # the second is refused before it is written
        with pytest.raises(contracts.ContractViolated) as raised:
            data.land(project, {"people": batch}, contracts={"people": contract}, message="bad")
        told = f"{raised.value} {raised.value.report!r}" + repr([event.data for event in project.ledger.events()])
        assert [value for value in ("1980", "Luz", "81234") if value in told] == []
    warns = tuple(msgspec.structs.replace(one, severity="warn") for one in contract.columns)
    mended = msgspec.structs.replace(contract, columns=warns, measures=(), references=())
    data.land(project, {"people": rows}, contracts={"people": mended}, message="good")
    assert [
        value for value in ("1980", "Luz", "81234") if value in repr([e.data for e in project.ledger.events()])
    ] == []


@given(st.text("0123456789", min_size=12, max_size=18))
def test_of_ten_last_digits_one_makes_a_card(digits: str) -> None:
    assert sum(is_card(f"{digits}{last}") for last in range(10)) == 1


def test_accounts_are_checked() -> None:
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB82WEST12345698765433")


DENIALS = [("anonymous", "table/people"), ("*", "table/peo*"), ("luz", "zone/private"), ("anonymous", "zone/private")]


@pytest.mark.parametrize("quarantine", [False, True])
@pytest.mark.parametrize("is_later", [False, True], ids=["before", "later"])
@pytest.mark.parametrize(("who", "subject"), DENIALS, ids=["table", "many", "one", "zone"])
def test_no_value_is_told_of_what_not_everybody_may_read(
    root: Path, clock: SimulatedClock, *, who: str, subject: str, is_later: bool, quarantine: bool
) -> None:
    (root / "bucle.toml").write_text('[project]\nname = "test"\n[data.zones.private]\ntables = "people"\n')
    project = Project.open(root, clock=clock, actor="ana")
    contract = contracts.Contract(
        table="people",
        quarantine=quarantine,
        columns=(contracts.ColumnRule(name="salary", maximum=10), contracts.ColumnRule(name="n", nullable=True)),
    )
    rows = pl.DataFrame({"n": [1, 2], "salary": [81234, 1]})
    governance.grant(project, "ana", "read", "table/people")
    if not is_later:
        governance.grant(project, who, "read", subject, effect="deny")
    said = ""
    try:
        data.land(project, {"people": rows}, contracts={"people": contract}, message="bad")
    except contracts.ContractViolated as error:
        said = f"{error} {error.report!r}"
    assert ("81234" in said) == is_later
    with contextlib.suppress(contracts.ContractViolated):
        data.land(project, {"open": rows}, contracts={"open": msgspec.structs.replace(contract, table="open")},
                  message="of a table for everybody")  # fmt: skip
    if is_later:
        governance.grant(project, who, "read", subject, effect="deny")
    events = data.told_to_all(project, project.ledger.events())
    shown = [*events, *data.verdicts(project)]
    assert not any("81234" in repr(one) for one in shown if "'people'" in repr(one) and "open" not in repr(one))
    assert "rules" in repr(data.verdicts(project, "people"))
    if not quarantine:
        assert "81234" in repr(data.verdicts(project, "open"))
    project.close()
