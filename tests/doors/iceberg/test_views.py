"""Views through the catalog: pyiceberg's own client, DuckDB beside it, and the wire for what pyiceberg cannot ask."""

from __future__ import annotations

from typing import Any

import httpx
import polars as pl
import pytest
from pyiceberg.exceptions import NoSuchViewError, RESTError, TableAlreadyExistsError, ViewAlreadyExistsError
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField
from pyiceberg.view.metadata import SQLViewRepresentation, ViewVersion

from bucle.ground import governance
from bucle.line import data, query
from doors.conftest import Site
from doors.iceberg.conftest import Connect, flights
from doors.iceberg.test_duckdb import duck  # noqa: F401  the fixture

BASE = "/iceberg/v1/main"
VIEWS = f"{BASE}/namespaces/default/views"
SCHEMA = Schema(NestedField(field_id=1, name="n", field_type=LongType(), required=False))


def version(query: str = "SELECT count(*) AS n FROM flights", dialect: str = "duckdb", number: int = 1) -> ViewVersion:
    made = SQLViewRepresentation(type="sql", sql=query, dialect=dialect)
    return ViewVersion(version_id=number, schema_id=0, representations=[made], default_namespace=("default",))


def sql(metadata: dict[str, Any]) -> str:
    (current,) = (one for one in metadata["versions"] if one["version-id"] == metadata["current-version-id"])
    return str(current["representations"][0]["sql"])


def replaced(lake: Site, query: str, *, branch: str = "main", uuid: str = "", **more: Any) -> httpx.Response:
    path = f"/iceberg/v1/{branch}/namespaces/default/views/counts"
    asked = {"type": "assert-view-uuid", "uuid": uuid or lake.json(path)["metadata"]["view-uuid"]}
    new = version(query, **more).model_dump(mode="json", by_alias=True, exclude_none=True)
    updates = [
        {"action": "add-view-version", "view-version": new},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]
    return lake.client.post(path, json={"requirements": [asked], "updates": updates})


def test_a_view_is_made_found_renamed_and_dropped(lake: Site, connect: Connect) -> None:
    catalog = connect("dev")
    catalog.create_namespace("sales")
    made = catalog.create_view("sales.counts", SCHEMA, version(), properties={"owner": "ana"})
    assert made.metadata.properties == {"owner": "ana"}
    assert catalog.list_views("sales") == [("sales", "counts")]
    assert catalog.list_tables("sales") == []
    assert catalog.view_exists("sales.counts")
    assert catalog.load_view("sales.counts").metadata == made.metadata
    assert not connect("main").view_exists("sales.counts")
    names = {"source": ("sales", "counts"), "destination": ("default", "numbers")}
    body = {key: {"namespace": [levels], "name": name} for key, (levels, name) in names.items()}
    assert lake.client.post("/iceberg/v1/dev/views/rename", json=body).status_code == 204
    assert catalog.load_view("default.numbers").metadata.view_uuid == made.metadata.view_uuid
    catalog.drop_view("default.numbers")
    with pytest.raises(NoSuchViewError):
        catalog.load_view("default.numbers")
    with pytest.raises(NoSuchViewError):
        catalog.drop_view("default.numbers")
    with pytest.raises(RESTError, match="NoSuchNamespaceException"):
        catalog.create_view("nowhere.counts", SCHEMA, version())
    assert data.verify_files(lake.project) == []


def test_a_view_that_was_dropped_is_registered_again(lake: Site, connect: Connect) -> None:
    catalog = connect()
    catalog.create_view("default.counts", SCHEMA, version())
    location = lake.json(f"{VIEWS}/counts")["metadata-location"]
    catalog.drop_view("default.counts")
    again = catalog.register_view("default.again", location)
    assert again.metadata.current_version_id == 1
    kept = data.commit(lake.project, {}, files={"notes.txt": b"{}"}, message="a file")
    digest = data.files(lake.project, kept.id)["notes.txt"].digest
    for hostile in (
        location.replace("/views/", "/lake/"),
        f"{location.rpartition('/')[0]}/{digest}.metadata.json",
        f"{location.rpartition('/')[0]}/{'0' * 64}.metadata.json",
        "file:///etc/passwd",
    ):
        body = {"name": "hostile", "metadata-location": hostile}
        answer = lake.client.post(f"{BASE}/namespaces/default/register-view", json=body)
        assert answer.status_code == 400, hostile


def test_a_replacement_keeps_the_versions_before(lake: Site, connect: Connect) -> None:
    connect().create_view("default.counts", SCHEMA, version())
    for n in range(12):
        answer = replaced(lake, f"SELECT {n} AS n")
        assert answer.status_code == 200, answer.text
    found = lake.json(f"{VIEWS}/counts")["metadata"]
    assert sql(found) == "SELECT 11 AS n"
    assert [one["version-id"] for one in found["versions"]] == list(range(4, 14))
    assert [one["version-id"] for one in found["version-log"]] == list(range(4, 14))
    assert replaced(lake, "SELECT 11 AS n").status_code == 200
    assert lake.json(f"{VIEWS}/counts")["metadata"] == found
    before = data.log(lake.project)[3]
    assert sql(lake.json(f"/iceberg/v1/{before.id}/namespaces/default/views/counts")["metadata"]) == "SELECT 8 AS n"


def test_what_a_replacement_may_not_do(lake: Site, connect: Connect) -> None:
    connect().create_view("default.counts", SCHEMA, version())
    stale = replaced(lake, "SELECT 1", uuid="00000000-0000-0000-0000-000000000000")
    assert (stale.status_code, stale.json()["error"]["type"]) == (409, "CommitFailedException")
    lost = replaced(lake, "SELECT 1", dialect="spark")
    assert (lost.status_code, "duckdb" in lost.json()["error"]["message"]) == (400, True)
    for updates in (
        [{"action": "set-location", "location": "file:///elsewhere"}],
        [{"action": "add-view-version", "view-version": {"schema-id": 7}}],
        [{"action": "set-current-view-version", "view-version-id": 9}],
        [{"action": "add-snapshot"}],
        [{"action": "assign-uuid", "uuid": "x"}],
    ):
        assert lake.client.post(f"{VIEWS}/counts", json={"updates": updates}).status_code == 400, updates
    allowed = {"action": "set-properties", "updates": {"replace.drop-dialect.allowed": "true"}}
    assert lake.client.post(f"{VIEWS}/counts", json={"updates": [allowed]}).status_code == 200
    assert replaced(lake, "SELECT 1", dialect="spark").status_code == 200


def test_tables_and_views_share_their_names(lake: Site, connect: Connect) -> None:
    catalog = connect()
    with pytest.raises(ViewAlreadyExistsError):
        catalog.create_view("default.flights", SCHEMA, version())
    catalog.create_view("default.counts", SCHEMA, version())
    with pytest.raises(ViewAlreadyExistsError):
        catalog.create_view("default.counts", SCHEMA, version())
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table("default.counts", SCHEMA)
    with pytest.raises(data.ViewExists):
        data.commit(lake.project, {"counts": flights(1)}, message="rows")
    with pytest.raises(data.ViewExists):
        data.rename_table(lake.project, "flights", "counts", message="rows")
    assert data.tables(lake.project) == ["flights"]


def test_views_merge_as_everything_else(lake: Site, connect: Connect) -> None:
    connect("dev").create_view("default.counts", SCHEMA, version())
    data.commit(lake.project, {"flights": flights(1, 10)}, message="rows meanwhile")
    data.merge(lake.project, "dev", message="a view comes")
    assert connect().load_view("default.counts").metadata.current_version_id == 1
    data.delete_branch(lake.project, "dev")
    data.create_branch(lake.project, "dev")
    assert replaced(lake, "SELECT 1 AS n", branch="dev").status_code == 200
    assert replaced(lake, "SELECT 2 AS n").status_code == 200
    with pytest.raises(data.Conflict, match="view 'counts'"):
        data.merge(lake.project, "dev", message="both")


def test_a_table_and_a_view_of_one_name_do_not_merge(lake: Site, connect: Connect) -> None:
    connect("dev").create_view("default.counts", SCHEMA, version())
    data.commit(lake.project, {"counts": flights(1)}, message="a table")
    with pytest.raises(data.Conflict, match="'counts'"):
        data.merge(lake.project, "dev", message="both")


def test_duckdb_reads_tables_where_there_are_views(lake: Site, connect: Connect, duck: Any) -> None:  # noqa: F811
    connect().create_view("default.counts", SCHEMA, version())
    tables = duck.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'main_lake'").fetchall()
    assert ("flights",) in tables
    assert duck.execute("SELECT count(*) FROM main_lake.default.flights").fetchall() == [(3,)]
    duck.execute("INSERT INTO main_lake.default.flights VALUES (10, 'LGA', 2.5)")
    assert query.sql(lake.project, "SELECT n FROM counts").rows() == [{"n": 4}]


def test_a_namespace_that_holds_a_view_is_not_empty(lake: Site, connect: Connect) -> None:
    catalog = connect()
    catalog.create_namespace("sales")
    catalog.create_view("sales.counts", SCHEMA, version())
    assert lake.client.delete(f"{BASE}/namespaces/sales").json()["error"]["type"] == "NamespaceNotEmptyException"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_who_may_not_write_changes_no_view(lake: Site, connect: Connect, method: str) -> None:
    connect().create_view("default.counts", SCHEMA, version())
    governance.grant(lake.project, "*", "write", "table/counts", effect="deny")
    assert lake.client.request(method, f"{VIEWS}/counts", json={}).status_code == 403
    body = {
        "source": {"namespace": ["default"], "name": "counts"},
        "destination": {"namespace": ["default"], "name": "x"},
    }
    assert lake.client.post(f"{BASE}/views/rename", json=body).status_code == 403


def test_a_definition_that_is_none_is_told(lake: Site) -> None:
    data.commit(lake.project, {}, files={".iceberg/views/odd.json": b"{}"}, message="by hand")
    assert lake.client.get(f"{VIEWS}/odd").status_code == 400
    assert data.scan(lake.project, "flights").equals(flights(3).cast({"id": pl.Int64}))
