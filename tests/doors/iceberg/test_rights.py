"""Who may change what: a token names the principal, `bucle access` says what it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import ForbiddenError, UnauthorizedError

from bucle.ground import governance
from bucle.line import data
from doors.conftest import Site
from doors.iceberg.conftest import flights

BASE = "/iceberg/v1/main"
FLIGHTS = f"{BASE}/namespaces/default/tables/flights"
SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "id", "type": "long", "required": False}]}
OTHERS = {"namespace": ["default"], "name": "others"}

Write = tuple[str, str, Any]
WRITES: dict[str, Write] = {
    "commit": ("POST", FLIGHTS, {"requirements": [], "updates": []}),
    "drop": ("DELETE", FLIGHTS, None),
    "create": ("POST", f"{BASE}/namespaces/default/tables", {"name": "others", "schema": SCHEMA}),
    "draft": ("POST", f"{BASE}/namespaces/default/tables", {"name": "others", "schema": SCHEMA, "stage-create": True}),
    "register": ("POST", f"{BASE}/namespaces/default/register", {"name": "others", "metadata-location": "file:///x"}),
    "rename": (
        "POST",
        f"{BASE}/tables/rename",
        {"source": {"namespace": ["default"], "name": "flights"}, "destination": OTHERS},
    ),
    "transact": (
        "POST",
        f"{BASE}/transactions/commit",
        {"table-changes": [{"identifier": {"namespace": ["default"], "name": "flights"}, "updates": []}]},
    ),
    "namespace": ("POST", f"{BASE}/namespaces", {"namespace": ["sales"]}),
    "properties": ("POST", f"{BASE}/namespaces/default/properties", {"updates": {"a": "b"}}),
    "drop namespace": ("DELETE", f"{BASE}/namespaces/default", None),
}


@pytest.fixture
def ask(lake: Site) -> Callable[..., httpx.Response]:
    """Ask as somebody."""
    tokens = {name: governance.make_token(lake.project, name) for name in ("ana", "ben")}

    def asked(who: str, write: Write) -> httpx.Response:
        method, path, body = write
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who else {}
        return lake.client.request(method, path, json=body, headers=headers)

    return asked


@pytest.mark.parametrize("action", ["write", "push"])
def test_who_may_not_write_changes_nothing(lake: Site, ask: Any, action: str) -> None:
    governance.grant(lake.project, "*", action, "table/*", effect="deny")
    governance.grant(lake.project, "ana", action, "table/*")
    head = data.resolve(lake.project).id
    for name, write in WRITES.items():
        for who in ("", "ben"):
            answer = ask(who, write)
            assert (answer.status_code, answer.json()["error"]["type"]) == (403, "ForbiddenException"), name
            assert "may not write" in answer.json()["error"]["message"]
    assert data.resolve(lake.project).id == head
    for name, write in WRITES.items():
        assert ask("ana", write).status_code not in (401, 403), name


def test_where_nothing_was_said_everybody_writes_as_before(lake: Site, ask: Any) -> None:
    assert ask("", WRITES["create"]).status_code == 200
    assert ask("ben", WRITES["drop"]).status_code == 204


def test_a_grant_is_about_its_tables_only(lake: Site, ask: Any) -> None:
    governance.grant(lake.project, "*", "write", "table/*", effect="deny")
    governance.grant(lake.project, "ben", "write", "table/sales.*")
    assert ask("ben", WRITES["namespace"]).status_code == 200
    made = ("POST", f"{BASE}/namespaces/sales/tables", {"name": "orders", "schema": SCHEMA})
    assert ask("ben", made).status_code == 200
    moved = {"source": {"namespace": ["sales"], "name": "orders"}, "destination": OTHERS}
    assert ask("ben", ("POST", f"{BASE}/tables/rename", moved)).status_code == 403
    both = [
        {"identifier": {"namespace": ["sales"], "name": "orders"}, "updates": []},
        {"identifier": {"namespace": ["default"], "name": "flights"}, "updates": []},
    ]
    assert ask("ben", ("POST", f"{BASE}/transactions/commit", {"table-changes": both})).status_code == 403
    assert data.tables(lake.project) == ["flights", "sales.orders"]


def test_a_name_is_no_way_round_what_may_not_be_read(lake: Site, ask: Any) -> None:
    governance.grant(lake.project, "ben", "read", "table/flights", effect="deny")
    assert ask("ben", WRITES["rename"]).status_code == 403
    assert ask("ben", WRITES["commit"]).status_code == 403
    assert data.tables(lake.project) == ["flights"]


@pytest.mark.parametrize("renamed", [False, True])
def test_a_table_that_may_not_be_read_gets_no_other_name_by_its_metadata(lake: Site, ask: Any, renamed: bool) -> None:
    place = lake.json(FLIGHTS)["metadata-location"]
    if renamed:
        data.rename_table(lake.project, "flights", "trips", message="renamed")
    copy = ("POST", f"{BASE}/namespaces/default/register", {"name": "copy", "metadata-location": place})
    governance.grant(lake.project, "ben", "read", "table/trips" if renamed else "table/flights", effect="deny")
    assert ask("ben", copy).status_code == 403
    data.drop_table(lake.project, "trips" if renamed else "flights", message="dropped")
    assert ask("ben", copy).status_code == 403
    assert ask("ana", copy).status_code == 200


def test_a_transaction_shows_nobody_what_is_personal(lake: Site, ask: Any) -> None:
    data.tag_columns(lake.project, "flights", {"id": data.ColumnTag(kind="name", mask="redact")})
    governance.grant(lake.project, "ben", "unmask", "table/flights", effect="deny")
    renamed = {**SCHEMA, "schema-id": 1}
    updates = [{"action": "add-schema", "schema": renamed}, {"action": "set-current-schema", "schema-id": -1}]
    change = {"identifier": {"namespace": ["default"], "name": "flights"}, "updates": updates}
    for write in (("POST", FLIGHTS, {"updates": updates}),
                  ("POST", f"{BASE}/transactions/commit", {"table-changes": [change]})):  # fmt: skip
        assert ask("ben", write).status_code == 403


def test_stock_clients_say_whose_they_are(lake: Site) -> None:
    governance.grant(lake.project, "*", "write", "table/*", effect="deny")
    governance.grant(lake.project, "ben", "write", "table/flights")
    token = governance.make_token(lake.project, "ben")
    of_ben = RestCatalog("b", uri=f"{lake.url}/iceberg", token=token)
    rows = flights(1, 10).to_arrow().cast(of_ben.load_table("default.flights").schema().as_arrow())
    of_ben.load_table("default.flights").append(rows)
    assert data.log(lake.project)[0].message.endswith(" of ben")
    with pytest.raises(ForbiddenError, match="may not write"):
        RestCatalog("n", uri=f"{lake.url}/iceberg").load_table("default.flights").append(rows)
    with pytest.raises(ForbiddenError, match="may not write"):
        of_ben.create_namespace("sales")
    governance.revoke_tokens(lake.project, "ben")
    with pytest.raises(UnauthorizedError):
        of_ben.load_table("default.flights")
    assert data.scan(lake.project, "flights").height == 4
