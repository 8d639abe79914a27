"""The wire itself, as a client writes it by hand: odd names, hostile paths, what a requirement means."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from bucle.line import data
from doors.conftest import Site
from doors.iceberg.conftest import flights

BASE = "/iceberg/v1/main"
TABLE = f"{BASE}/namespaces/default/tables/flights"
SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}


def post(lake: Site, path: str, body: Any) -> httpx.Response:
    return lake.client.post(path, json=body)


def load(lake: Site, path: str = TABLE) -> dict[str, Any]:
    return lake.json(path)["metadata"]


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return answer.status_code, error["type"]


def change(lake: Site, *updates: dict[str, Any], requirements: tuple[dict[str, Any], ...] = ()) -> httpx.Response:
    return post(lake, TABLE, {"requirements": list(requirements), "updates": list(updates)})


def test_config_sends_a_client_to_its_branch(lake: Site) -> None:
    found = lake.json("/iceberg/v1/config?warehouse=dev")
    assert found["overrides"] == {"prefix": "dev"}
    assert "POST /v1/{prefix}/transactions/commit" in found["endpoints"]
    assert lake.json("/iceberg/v1/config")["overrides"] == {"prefix": "main"}
    assert kind_of(lake.client.get("/iceberg/v1/config?warehouse=no")) == (404, "NoSuchWarehouseException")


def test_names_keep_their_slashes_and_parts(lake: Site) -> None:
    odd = lake.client.get(f"{BASE}/namespaces/default/tables/a%2Fb")
    assert kind_of(odd) == (404, "NoSuchTableException")
    assert "a/b" in odd.json()["error"]["message"]
    assert post(lake, f"{BASE}/namespaces", {"namespace": ["sales", "eu"]}).status_code == 200
    assert lake.json(f"{BASE}/namespaces/sales%1Feu")["namespace"] == ["sales", "eu"]
    assert lake.json(f"{BASE}/namespaces?parent=sales")["namespaces"] == [["sales", "eu"]]
    assert lake.client.head(f"{BASE}/namespaces/sales%1Feu").status_code == 204
    assert kind_of(lake.client.get(f"{BASE}/namespaces/sales.eu")) == (404, "NoSuchNamespaceException")
    assert kind_of(lake.client.get(f"{BASE}/namespaces/%FF")) == (400, "BadRequestException")


@pytest.mark.parametrize("name", ["a.b", "", "a/b", "../x", "ñandú", "x" * 129, ".", "\x00"])
def test_names_that_cannot_be_kept_are_refused(lake: Site, name: str) -> None:
    answer = post(lake, f"{BASE}/namespaces/default/tables", {"name": name, "schema": SCHEMA})
    assert kind_of(answer) == (400, "BadRequestException")
    assert kind_of(post(lake, f"{BASE}/namespaces", {"namespace": ["default", name]})) == (400, "BadRequestException")


def test_what_cannot_be_read_is_refused(lake: Site) -> None:
    assert kind_of(lake.client.post(TABLE, content=b"{")) == (400, "BadRequestException")
    assert kind_of(lake.client.post(TABLE, content=b"[" * 10**6)) == (400, "BadRequestException")
    assert kind_of(lake.client.post(TABLE, content=b" " * (17 << 20))) == (413, "BadRequestException")
    assert kind_of(post(lake, TABLE, {"updates": [{"action": "explode"}]})) == (400, "BadRequestException")
    assert kind_of(post(lake, TABLE, {"requirements": [{"type": "guess"}]})) == (400, "BadRequestException")
    assert kind_of(lake.client.put(TABLE)) == (405, "UnsupportedOperationException")
    assert kind_of(lake.client.get(f"{BASE}/nothing")) == (404, "NotFoundException")
    assert post(lake, f"{TABLE}/metrics", {}).status_code == 204
    both = {"updates": {"a": "1"}, "removals": ["a"]}
    answer = post(lake, f"{BASE}/namespaces/default/properties", both)
    assert kind_of(answer) == (422, "UnprocessableEntityException")


def test_every_requirement_holds_or_stops_the_commit(lake: Site) -> None:
    found = load(lake)
    good = [
        {"type": "assert-table-uuid", "uuid": found["table-uuid"]},
        {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": found["current-snapshot-id"]},
        {"type": "assert-ref-snapshot-id", "ref": "other", "snapshot-id": None},
        {"type": "assert-ref-snapshot-id", "ref": "other"},
        {"type": "assert-last-assigned-field-id", "last-assigned-field-id": found["last-column-id"]},
        {"type": "assert-current-schema-id", "current-schema-id": found["current-schema-id"]},
        {"type": "assert-last-assigned-partition-id", "last-assigned-partition-id": found["last-partition-id"]},
        {"type": "assert-default-spec-id", "default-spec-id": found["default-spec-id"]},
        {"type": "assert-default-sort-order-id", "default-sort-order-id": found["default-sort-order-id"]},
    ]
    bad = [
        {"type": "assert-create"},
        {"type": "assert-table-uuid", "uuid": str(uuid.uuid4())},
        {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": None},
        {"type": "assert-ref-snapshot-id", "ref": "main"},
        {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": 7},
        {"type": "assert-ref-snapshot-id", "ref": "other", "snapshot-id": 7},
        {"type": "assert-last-assigned-field-id", "last-assigned-field-id": 77},
        {"type": "assert-current-schema-id", "current-schema-id": 77},
        {"type": "assert-last-assigned-partition-id", "last-assigned-partition-id": 77},
        {"type": "assert-default-spec-id", "default-spec-id": 77},
        {"type": "assert-default-sort-order-id", "default-sort-order-id": 77},
    ]
    update = {"action": "set-properties", "updates": {"n": "1"}}
    for one in bad:
        assert kind_of(change(lake, update, requirements=(one,))) == (409, "CommitFailedException"), one
    assert "n" not in load(lake)["properties"]
    assert change(lake, update, requirements=tuple(good)).status_code == 200
    assert load(lake)["properties"]["n"] == "1"


def test_a_change_that_changes_nothing_makes_no_commit(lake: Site) -> None:
    head = data.resolve(lake.project).id
    assert change(lake).status_code == 200
    assert change(lake, {"action": "remove-properties", "removals": ["never there"]}).status_code == 200
    assert data.resolve(lake.project).id == head


def test_a_transaction_moves_both_tables_or_none(lake: Site) -> None:
    data.commit(lake.project, {"weather": flights(2)}, message="second table")

    def both(requirement: dict[str, Any], value: str) -> httpx.Response:
        update = {"action": "set-properties", "updates": {"n": value}}
        named = [
            {"identifier": {"namespace": ["default"], "name": n}, "updates": [update]} for n in ("flights", "weather")
        ]
        return post(
            lake,
            f"{BASE}/transactions/commit",
            {"table-changes": [{**named[0], "requirements": []}, {**named[1], "requirements": [requirement]}]},
        )

    before = len(data.log(lake.project))
    failed = both({"type": "assert-current-schema-id", "current-schema-id": 77}, "1")
    assert kind_of(failed) == (409, "CommitFailedException")
    assert "n" not in load(lake)["properties"]
    assert both({"type": "assert-current-schema-id", "current-schema-id": 0}, "2").status_code == 204
    assert load(lake)["properties"]["n"] == "2"
    assert load(lake, TABLE.replace("flights", "weather"))["properties"]["n"] == "2"
    assert len(data.log(lake.project)) == before + 1


def test_a_staged_table_has_folders_and_is_nowhere_yet(lake: Site) -> None:
    answer = post(
        lake, f"{BASE}/namespaces/default/tables", {"name": "weather", "schema": SCHEMA, "stage-create": True}
    )
    found = answer.json()
    assert "metadata-location" not in found
    folder = Path(found["metadata"]["location"].removeprefix("file://"))
    assert (folder / "data").is_dir()
    assert (folder / "metadata").is_dir()
    assert lake.client.head(f"{BASE}/namespaces/default/tables/weather").status_code == 404


def test_no_client_moves_a_table_or_lets_files_be_removed(lake: Site, tmp_path: Path) -> None:
    moved = change(lake, {"action": "set-location", "location": f"file://{tmp_path}/elsewhere"})
    assert kind_of(moved) == (400, "BadRequestException")
    assert change(lake, {"action": "set-properties", "updates": {"gc.enabled": "true"}}).status_code == 200
    assert load(lake)["properties"]["gc.enabled"] == "false"
    elsewhere = {"action": "set-properties", "updates": {"write.data.path": f"file://{tmp_path}/elsewhere"}}
    assert kind_of(change(lake, elsewhere)) == (400, "BadRequestException")
    located = {"name": "weather", "schema": SCHEMA, "location": f"file://{tmp_path}/elsewhere"}
    assert kind_of(post(lake, f"{BASE}/namespaces/default/tables", located)) == (400, "BadRequestException")


def test_no_path_of_a_client_is_followed_out_of_the_table(lake: Site, tmp_path: Path) -> None:
    found = load(lake)
    here = found["location"].removeprefix("file://")
    listed = found["snapshots"][0]["manifest-list"].removeprefix("file://")
    (tmp_path / "list.avro").write_bytes(Path(listed).read_bytes())
    (Path(here) / "metadata" / "link.avro").symlink_to(tmp_path / "list.avro")
    (Path(here) / "metadata" / "torn.avro").write_bytes(Path(listed).read_bytes()[:100])
    for path in (
        f"file://{tmp_path}/list.avro",
        f"{here}/metadata/../../../../../list.avro",
        f"{here}/metadata/link.avro",
        f"{here}/metadata/torn.avro",
        f"{here}/metadata/none.avro",
        f"{here}/metadata/%2e%2e/list.avro",
        f"{here}/metadata",
        f"s3:/{here}/metadata/torn.avro",
        "/etc/passwd",
        "\x00",
    ):
        snapshot = {**found["snapshots"][0], "snapshot-id": 5, "sequence-number": 2, "manifest-list": path}
        pointed = {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 5}
        answer = change(lake, {"action": "add-snapshot", "snapshot": snapshot}, pointed)
        assert kind_of(answer) == (400, "BadRequestException"), path
        statistics = {"snapshot-id": found["current-snapshot-id"], "statistics-path": path}
        if not path.endswith("torn.avro") or path.startswith("s3"):
            puffin = {**statistics, "file-size-in-bytes": 1, "file-footer-size-in-bytes": 1, "blob-metadata": []}
            answer = change(lake, {"action": "set-statistics", "statistics": puffin})
            assert kind_of(answer) == (400, "BadRequestException"), path
        registered = {"name": "stolen", "metadata-location": path}
        answer = post(lake, f"{BASE}/namespaces/default/register", registered)
        assert kind_of(answer) == (400, "BadRequestException"), path
    assert load(lake) == found
    assert data.verify_files(lake.project) == []
