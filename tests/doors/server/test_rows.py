"""Rows over HTTP: by whom they may be read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pyarrow as pa
import pytest

from bucle.ground import governance
from bucle.ground.project import Project
from bucle.line import data, query, sources
from bucle.line.data import ColumnTag
from doors.conftest import Site, served

MINE = {"x-bucle-client": "test"}


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    with served(root) as found:
        rows = pl.DataFrame({"id": [1, 2, 3], "mail": ["ana@example.org", None, "eva@example.org"]})
        data.commit(found.project, {"people": rows, "open": rows.select("id")}, message="rows")
        data.tag_columns(found.project, "people", {"mail": ColumnTag("email", "redact")})
        yield found


@pytest.fixture
def shop(site: Site) -> Project:
    return site.project


@pytest.fixture
def client(site: Site) -> httpx.Client:
    return site.client


def bearer(project: Project, principal: str) -> dict[str, str]:
    return {"authorization": f"Bearer {governance.make_token(project, principal)}"}


def test_rows_are_masked_for_who_comes_without_a_token(shop: Project, client: httpx.Client) -> None:
    found = client.get("/api/v1/tables/people/rows", params={"limit": 2}).json()
    assert [row["mail"] for row in found["rows"]] == ["***", None]
    assert found["masked"] == ["mail"]
    governance.grant(shop, "eva", "unmask", "table/people")
    found = client.get("/api/v1/tables/people/rows", headers=bearer(shop, "eva"), params={"offset": -1}).json()
    assert [row["mail"] for row in found["rows"]] == ["eva@example.org"]


def test_who_is_denied_gets_403_for_rows_and_queries(shop: Project, client: httpx.Client) -> None:
    governance.grant(shop, "*", "read", "table/people", effect="deny")
    governance.grant(shop, "eva", "read", "table/people")
    luz, eva = bearer(shop, "luz"), bearer(shop, "eva")
    for headers, status in ((luz, 403), (eva, 200), ({}, 403), ({"authorization": "Bearer wrong"}, 401)):
        assert client.get("/api/v1/tables/people/rows", headers=headers).status_code == status
        asked = client.post("/api/v1/query", json={"sql": "SELECT count(*) FROM people"}, headers={**MINE, **headers})
        assert asked.status_code == status
    assert client.get("/api/v1/tables/open/rows", headers=luz).status_code == 200
    assert "***" not in client.get("/data/people").text


def test_a_question_is_answered_as_json_and_as_arrow(client: httpx.Client) -> None:
    question = {"sql": "SELECT id FROM open ORDER BY id", "limit": 2}
    found = client.post("/api/v1/query", json=question, headers=MINE).json()
    assert (found["rows"], found["is_cut"], found["columns"]) == ([{"id": 1}, {"id": 2}], True, {"id": "int64"})
    stream = client.post(
        "/api/v1/query", json=question, headers={**MINE, "accept": "application/vnd.apache.arrow.stream"}
    )
    assert pa.ipc.open_stream(io.BytesIO(stream.content)).read_all().to_pylist() == found["rows"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"sql": "DROP TABLE open"}, 403), ({"sql": "FROM nothing"}, 404), ({"sql": "SELEC"}, 422), ({}, 422),
     ({"sql": "FROM open", "limit": 10**9}, 422), ({"sql": "FROM read_text('/etc/passwd')"}, 403)],
)  # fmt: skip
def test_what_cannot_be_asked_is_told(client: httpx.Client, body: dict[str, object], status: int) -> None:
    assert client.post("/api/v1/query", json=body, headers=MINE).status_code == status


def test_a_question_that_eats_memory_leaves_the_server_to_others(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bucle.doors.server.rows.LIMITS", query.Limits(memory_mb=128, timeout_s=60.0, threads=2))
    eater = {"sql": "SELECT list(a.x) FROM range(30000) a(x), range(30000) b(x), open"}
    answer = client.post("/api/v1/query", json=eater, headers=MINE)
    assert (answer.status_code, answer.json()["code"]) == (422, query.QueryTooLarge.code)
    assert client.get("/health").text == "OK"
    assert client.post("/api/v1/query", json={"sql": "SELECT 1 AS n"}, headers=MINE).json()["rows"] == [{"n": 1}]


def test_too_many_questions_at_once_are_turned_away(shop: Project, client: httpx.Client) -> None:
    few = shop.keep(query.Apart, lambda: query.Apart(shop))
    while few._places.acquire(blocking=False):
        pass
    answer = client.post("/api/v1/query", json={"sql": "SELECT 1"}, headers=MINE)
    assert (answer.status_code, answer.json()["code"]) == (503, query.QueryBusy.code)


def test_the_routes_stand_in_the_document_of_the_api(client: httpx.Client) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    rows, asked = paths["/tables/{name}/rows"]["get"], paths["/query"]["post"]
    assert [(one["name"], one["in"]) for one in rows["parameters"]] == [
        ("name", "path"), ("at", "query"), ("limit", "query"), ("offset", "query")]  # fmt: skip
    assert sorted(asked["responses"]["200"]["content"]) == ["application/json", "application/vnd.apache.arrow.stream"]
    for one in (rows, asked):
        assert {"401", "403"} <= set(one["responses"])


def test_a_page_of_another_site_cannot_ask(client: httpx.Client) -> None:
    assert client.post("/api/v1/query", json={"sql": "FROM open"}).status_code == 403


def test_the_dashboard_shows_no_personal_value(client: httpx.Client) -> None:
    page = client.get("/data/people", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "example.org" not in page.text
    assert "***" in page.text


def test_rows_are_pushed_to_a_stream(shop: Project, client: httpx.Client) -> None:
    sources.save_source(shop, sources.Source(name="clicks", kind="stream", table="clicks", sync="incremental"))
    body = {"rows": [{"n": 1}, {"n": 2}]}
    assert client.post("/api/v1/sources/clicks/rows", json=body).status_code == 403
    assert client.post("/api/v1/sources/clicks/rows", json=body, headers=MINE).json() == {"source": "clicks", "rows": 2}
    assert sources.run(shop, "clicks").rows == 2
    assert client.post("/api/v1/sources/none/rows", json=body, headers=MINE).status_code == 404


def test_who_may_not_push_to_a_table_gets_403(shop: Project, client: httpx.Client) -> None:
    sources.save_source(shop, sources.Source(name="clicks", kind="stream", table="clicks", sync="incremental"))
    governance.grant(shop, "*", "push", "table/clicks", effect="deny")
    governance.grant(shop, "eva", "push", "table/clicks")
    given = (({}, 403), (bearer(shop, "luz"), 403), ({"authorization": "Bearer x"}, 401), (bearer(shop, "eva"), 200))
    for headers, status in given:
        answer = client.post("/api/v1/sources/clicks/rows", json={"rows": [{"n": 1}]}, headers={**MINE, **headers})
        assert answer.status_code == status
    assert sources.run(shop, "clicks").rows == 1


def test_an_iceberg_client_that_may_not_read_is_not_told_where_a_table_lies(
    shop: Project, client: httpx.Client
) -> None:
    def load(table: str, headers: dict[str, str]) -> int:
        return client.get(f"/iceberg/v1/main/namespaces/default/tables/{table}", headers=headers).status_code

    eva = bearer(shop, "eva")
    assert (load("open", {}), load("people", {}), load("people", eva)) == (200, 403, 403)
    governance.grant(shop, "eva", "unmask", "table/people")
    governance.grant(shop, "anonymous", "read", "table/*", effect="deny")
    assert (load("open", {}), load("people", eva), load("open", {"authorization": "Bearer x"})) == (403, 200, 401)
