"""Zones over the wire: whoever is kept from a zone gets 403 for the rows of all of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import polars as pl
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import ForbiddenError

from bucle.ground import governance
from bucle.line import data, query
from doors.conftest import Site, served

MINE = {"x-bucle-client": "test"}
ZONES = '[project]\nname = "test"\n[data.zones.raw]\ntables = "raw.*"\nowner = "rita"\n'


@pytest.fixture(scope="module")
def zoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("zones")
    (root / "bucle.toml").write_text(ZONES)
    with served(root) as found:
        rows = pl.DataFrame({"id": [1, 2, 3]})
        data.create_namespace(found.project, "raw", {}, message="raw")
        data.commit(found.project, {"raw.people": rows, "gold": rows}, message="rows")
        query.define_view(found.project, "shown", "SELECT * FROM raw.people")
        governance.grant(found.project, "*", "read", "zone/raw", effect="deny")
        governance.grant(found.project, "eva", "read", "zone/raw")
        data.describe(found.project, "raw.people", purposes=["billing"], licence="MIT")
        yield found


@pytest.fixture(scope="module")
def tokens(zoned: Site) -> dict[str, str]:
    return {name: governance.make_token(zoned.project, name) for name in ("eva", "luz")}


def ask(site: Site, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {**MINE, **({"authorization": f"Bearer {token}"} if token else {})}
    return site.client.request(method, path, json=body, headers=headers)


READS = {
    "rows": ("GET", "/api/v1/tables/raw.people/rows", None),
    "query": ("POST", "/api/v1/query", {"sql": "SELECT * FROM raw.people"}),
    "view": ("POST", "/api/v1/query", {"sql": "SELECT * FROM shown"}),
    "iceberg": ("GET", "/iceberg/v1/main/namespaces/raw/tables/people", None),
}


@pytest.mark.parametrize("way", READS)
def test_who_is_kept_from_a_zone_gets_403(zoned: Site, tokens: dict[str, str], way: str) -> None:
    assert ask(zoned, "", *READS[way]).status_code == 403
    assert ask(zoned, tokens["luz"], *READS[way]).status_code == 403
    assert ask(zoned, tokens["eva"], *READS[way]).status_code == 200
    elsewhere = ask(zoned, tokens["luz"], "GET", "/api/v1/tables/gold/rows")
    assert elsewhere.status_code == 200


def test_pyiceberg_is_kept_from_a_zone(zoned: Site, tokens: dict[str, str]) -> None:
    def catalog(token: str) -> RestCatalog:
        return RestCatalog("bucle", uri=f"{zoned.url}/iceberg", warehouse="main", token=token)

    with pytest.raises(ForbiddenError, match="zone/raw"):
        catalog(tokens["luz"]).load_table("raw.people")
    assert catalog(tokens["eva"]).load_table("raw.people").scan().to_arrow().num_rows == 3
    assert catalog(tokens["luz"]).load_table("default.gold").scan().to_arrow().num_rows == 3


def test_the_page_of_a_table_in_such_a_zone_shows_no_rows(zoned: Site) -> None:
    page = zoned.json("/data/raw.people.json")
    assert page["sample"] == []
    assert "zone/raw" in str(page["problems"])


def test_what_is_known_of_a_table_is_told(zoned: Site) -> None:
    found = zoned.json("/api/v1/tables/raw.people/dataset")
    assert (found["zone"], found["owner"], found["record"]["licence"]) == ("raw", "rita", "MIT")
    health = zoned.json("/api/v1/tables/raw.people/health")
    assert (health["rows"], len(health["points"])) == (3, 1)
    assert zoned.json("/api/v1/uses?table=raw.people") == []
    assert zoned.client.get("/api/v1/tables/nothing/dataset").status_code == 404
