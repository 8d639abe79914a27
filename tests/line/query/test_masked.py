"""What those are shown who may not see what is personal."""

from __future__ import annotations

import polars as pl
import pytest

from bucle.ground import governance
from bucle.ground.project import Project
from bucle.line import data, query
from bucle.line.data import ColumnTag

PEOPLE = pl.DataFrame(
    {"id": [1, 2], "mail": ["ana@example.org", "eva@example.org"], "tags": [["x"], ["y"]], "age": [34, 57]}
)


@pytest.fixture
def people(any_project: Project) -> Project:
    data.commit(any_project, {"people": PEOPLE}, message="people")
    tags = {"mail": ColumnTag("email", "hash"), "tags": ColumnTag(), "age": ColumnTag("birth", "null")}
    data.tag_columns(any_project, "people", tags)
    return any_project


def test_a_query_sees_masks_only(people: Project) -> None:
    answer = query.sql(people, "FROM people ORDER BY id")
    assert answer.masked == {"people": ("mail", "tags", "age")}
    rows = answer.polars()
    assert (rows["tags"].to_list(), rows["age"].to_list(), rows["id"].to_list()) == ([None, None], [None, None], [1, 2])
    assert "example" not in str(rows.to_dicts())
    for text in (
        "SELECT id FROM people WHERE mail = 'ana@example.org'",
        "SELECT id FROM people WHERE mail LIKE 'ana%'",
        "SELECT a.id FROM people a JOIN (VALUES ('ana@example.org')) v(m) ON a.mail = v.m",
        "SELECT id FROM people WHERE age = 34",
    ):
        assert query.sql(people, text).rows() == []
    for text in ("SUMMARIZE people", "EXPLAIN ANALYZE FROM people", "SELECT to_json(people) AS j FROM people"):
        assert "ana@" not in str(query.sql(people, text).rows())


def test_pseudonyms_join(people: Project) -> None:
    found = query.sql(people, "SELECT count(*) AS n FROM people a JOIN people b USING (mail)").rows()
    assert found == [{"n": 2}]


def test_the_function_that_masks_cannot_be_called_to_try_values_out(people: Project) -> None:
    plan = str(query.sql(people, "EXPLAIN SELECT mail FROM people").rows())
    names = {word for word in plan.replace("(", " ").split() if word.startswith("mask_")}
    for name in names:
        with pytest.raises(query.BadQuery):
            query.sql(people, f"SELECT {name}('ana@example.org') FROM people")


def test_who_may_sees_what_is_there(people: Project) -> None:
    governance.grant(people, "eva", "unmask", "table/people", reason="works on it")
    assert query.sql(people, "SELECT mail FROM people ORDER BY id", principal="eva").rows()[0] == {
        "mail": "ana@example.org"
    }
    assert query.preview(people, "people", principal="eva").rows[0]["age"] == 34
    shown = query.preview(people, "people", principal="luz")
    assert (shown.masked, shown.rows[0]["age"]) == (("mail", "tags", "age"), None)
    governance.revoke(people, "eva", "unmask", "table/people")
    assert query.preview(people, "people", principal="eva").masked


def test_who_is_denied_reads_nothing(people: Project) -> None:
    governance.grant(people, "*", "read", "table/*", effect="deny")
    governance.grant(people, "eva", "read", "table/people")
    assert query.preview(people, "people", principal="eva").rows
    for ask in (
        lambda: query.preview(people, "people", principal="luz"),
        lambda: query.sql(people, "SELECT count(*) FROM people", principal="luz"),
        lambda: query.sql(people, 'FROM "people@main"', principal="luz"),
    ):
        with pytest.raises(governance.Denied):
            ask()


def test_what_was_committed_before_the_tags_stays_masked_when_the_table_is_renamed(any_project: Project) -> None:
    first = data.commit(any_project, {"people": PEOPLE}, message="people")
    data.create_branch(any_project, "old")
    data.tag_columns(any_project, "people", {"mail": ColumnTag("email", "hash")})
    data.rename_table(any_project, "people", "persons", message="another name")
    for name, at in (("people", first.id), ("people", "old"), ("persons", "main")):
        assert "ana@" not in str(query.sql(any_project, f"SELECT mail FROM {name}", at=at, principal="luz").rows())


def test_the_narrowest_grant_counts(any_project: Project) -> None:
    def may(who: str, subject: str) -> bool:
        return governance.may(any_project, who, "read", subject)

    assert may("ana", "table/raw.x")
    governance.grant(any_project, "*", "read", "table/raw.*", effect="deny")
    assert (may("ana", "table/raw.x"), may("ana", "table/refined.x")) == (False, True)
    governance.grant(any_project, "ana", "read", "table/raw.*")
    assert (may("ana", "table/raw.x"), may("eva", "table/raw.x")) == (True, False)
    governance.grant(any_project, "ana", "read", "table/raw.secret", effect="deny")
    assert (may("ana", "table/raw.x"), may("ana", "table/raw.secret")) == (True, False)


def test_a_token_is_kept_as_its_digest(any_project: Project) -> None:
    token = governance.make_token(any_project, "eva")
    assert governance.principal_of(any_project, f"Bearer {token}") == "eva"
    assert governance.principal_of(any_project, "") == "anonymous"
    assert token not in str([(event.data, event.state) for event in any_project.ledger.events()])
    assert governance.revoke_tokens(any_project, "eva") == 1
    for wrong in (f"Bearer {token}", "Basic x", "Bearer"):
        with pytest.raises(governance.BadToken):
            governance.principal_of(any_project, wrong)
