"""A request that comes again: under its key it is answered and not done again, by its tag it is not sent again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from bucle.doors.protocols.iceberg import ROUTES, once
from bucle.ground import governance
from bucle.line import data
from doors.conftest import Site, served
from doors.iceberg.conftest import Connect, flights
from doors.iceberg.test_rights import SCHEMA
from doors.iceberg.test_views import version

BASE = "/iceberg/v1/main"
SPACE = f"{BASE}/namespaces/default"
FLIGHTS = f"{SPACE}/tables/flights"
NAMES = {
    "source": {"namespace": ["default"], "name": "flights"},
    "destination": {"namespace": ["default"], "name": "moved"},
}
VIEW = {
    "name": "counts",
    "schema": SCHEMA,
    "view-version": version().model_dump(mode="json", by_alias=True, exclude_none=True),
}
OWNER = {"action": "set-properties", "updates": {"owner": "ana"}}
SET = {"identifier": NAMES["source"], "requirements": [], "updates": [OWNER]}
VIEWS_AND_BACK = {
    "source": {"namespace": ["default"], "name": "there"},
    "destination": {"namespace": ["default"], "name": "moved"},
}

DONE: dict[str, tuple[str, str, Any]] = {
    "commit": ("POST", FLIGHTS, SET),
    "create": ("POST", f"{SPACE}/tables", {"name": "others", "schema": SCHEMA}),
    "draft": ("POST", f"{SPACE}/tables", {"name": "others", "schema": SCHEMA, "stage-create": True}),
    "drop": ("DELETE", FLIGHTS, None),
    "rename": ("POST", f"{BASE}/tables/rename", NAMES),
    "transact": ("POST", f"{BASE}/transactions/commit", {"table-changes": [SET]}),
    "namespace": ("POST", f"{BASE}/namespaces", {"namespace": ["sales"]}),
    "properties": ("POST", f"{SPACE}/properties", {"updates": {"a": "b"}, "removals": ["c"]}),
    "drop namespace": ("DELETE", f"{BASE}/namespaces/empty", None),
    "view": ("POST", f"{SPACE}/views", VIEW),
    "replace view": ("POST", f"{SPACE}/views/there", {"updates": [OWNER]}),
    "rename view": ("POST", f"{BASE}/views/rename", VIEWS_AND_BACK),
    "drop view": ("DELETE", f"{SPACE}/views/there", None),
    "register": ("POST", f"{SPACE}/register", {"name": "again"}),
    "register view": ("POST", f"{SPACE}/register-view", {"name": "again"}),
}
REFUSED: dict[str, tuple[str, str, Any, int]] = {
    "exists": ("POST", f"{SPACE}/tables", {"name": "flights", "schema": SCHEMA}, 409),
    "is not there": ("DELETE", f"{SPACE}/tables/nothing", None, 404),
    "is stale": ("POST", FLIGHTS, {"requirements": [{"type": "assert-create"}], "updates": [OWNER]}, 409),
    "is wrong": ("POST", FLIGHTS, {"updates": [{"action": "fly"}]}, 400),
}


@pytest.fixture
def ask(lake: Site) -> Callable[..., httpx.Response]:
    """Send one of the requests above under a key."""
    view = {**VIEW, "name": "there"}
    lake.client.post(f"{SPACE}/views", json=view)
    data.create_namespace(lake.project, "empty", {}, message="made")
    places = {
        "register": lake.json(FLIGHTS)["metadata-location"],
        "register view": lake.json(f"{SPACE}/views/there")["metadata-location"],
    }

    def asked(name: str, key: str) -> httpx.Response:
        method, path, body, *_ = {**DONE, **REFUSED}[name]
        if name in places:
            body = {**body, "metadata-location": places[name]}
        return lake.client.request(method, path, json=body, headers={"Idempotency-Key": key})

    return asked


def key() -> str:
    return str(uuid.uuid4())


def body_of(answer: httpx.Response) -> Any:
    return answer.json() if answer.content else None


def commits(lake: Site) -> int:
    return len(data.log(lake.project))


def test_every_route_that_changes_something_is_among_these() -> None:
    changing = [route for route in ROUTES if route.changes and route.method not in ("GET", "HEAD")]
    assert len(changing) == len(DONE) - 1  # a draft is asked of the route that makes


@pytest.mark.parametrize("name", DONE)
def test_what_was_done_is_answered_again_and_not_done_again(lake: Site, ask: Any, name: str) -> None:
    same, before = key(), commits(lake)
    first = ask(name, same)
    assert first.status_code in (200, 204), first.text
    assert commits(lake) == before + (name != "draft")
    again = ask(name, same.upper())
    assert (again.status_code, body_of(again)) == (first.status_code, body_of(first))
    assert commits(lake) == before + (name != "draft")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_stands_under_its_key(lake: Site, ask: Any, name: str) -> None:
    same = key()
    first = ask(name, same)
    assert first.status_code == REFUSED[name][3]
    # What stood in the way goes; a new key finds so, the same one does not.
    data.drop_table(lake.project, "flights", message="gone")
    data.create_table(lake.project, "nothing", {"schema": SCHEMA}, message="made")
    again = ask(name, same)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert body_of(ask(name, key())) != body_of(first)


def test_a_key_outlives_the_server(lake: Site, ask: Any) -> None:
    same, before = key(), lake.json(FLIGHTS)["metadata-location"]
    first = ask("commit", same)
    data.commit(lake.project, {"flights": flights(1, 10)}, message="meanwhile")
    with served(lake.project.root) as other:
        body = DONE["commit"][2]
        again = other.client.post(FLIGHTS, json=body, headers={"Idempotency-Key": same})
    assert again.json() == first.json()
    assert first.json()["metadata-location"] != before


def test_an_answer_that_was_lost_is_given_again(lake: Site, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    same, before, answer = key(), commits(lake), once._answer

    def cut(*given: Any) -> Any:
        answer(*given)
        raise OSError("the server went away")

    with monkeypatch.context() as patched:
        patched.setattr(once, "_answer", cut)
        assert ask("commit", same).status_code == 500
    assert ask("commit", same).status_code == 200
    assert commits(lake) == before + 1


def test_many_at_once_under_one_key_are_one(lake: Site, ask: Any) -> None:
    same, before = key(), commits(lake)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask("create", same), range(8)))
    assert {one.status_code for one in answers} == {200}
    assert len({one.content for one in answers}) == 1
    assert commits(lake) == before + 1


def test_a_key_is_for_one_request(lake: Site, ask: Any) -> None:
    same, refused = key(), key()
    assert ask("commit", same).status_code == 200
    assert ask("drop", same).status_code == 422
    assert ask("is not there", refused).status_code == 404
    assert ask("drop", refused).status_code == 422
    assert data.tables(lake.project) == ["flights"]
    assert ask("drop", "not-a-uuid").status_code == 400


OTHERS: dict[str, Any] = {
    "commit": {**SET, "updates": [{"action": "set-properties", "updates": {"owner": "eva"}}]},
    "create": {"name": "others", "schema": SCHEMA, "properties": {"a": "b"}},
    "draft": {"name": "others", "schema": SCHEMA, "properties": {"a": "b"}, "stage-create": True},
    "transact": {"table-changes": [{**SET, "updates": [{**OWNER, "updates": {"owner": "eva"}}]}]},
    "properties": {"updates": {"a": "other"}, "removals": ["c"]},
    "namespace": {"namespace": ["sales"], "properties": {"a": "b"}},
    "replace view": {"updates": [{**OWNER, "updates": {"owner": "eva"}}]},
    "exists": {"name": "flights", "schema": SCHEMA, "properties": {"a": "b"}},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_key_is_for_one_body(lake: Site, ask: Any, name: str) -> None:
    same = key()
    assert ask(name, same).status_code < 422
    before = commits(lake)
    method, path, body, *_ = {**DONE, **REFUSED}[name]
    other = lake.client.request(method, path, json=OTHERS[name], headers={"Idempotency-Key": same})
    assert (other.status_code, commits(lake)) == (422, before)
    if name != "exists":  # the same JSON, written in another way, is the same request
        text = json.dumps(dict(reversed(body.items())), indent=3)
        again = lake.client.request(method, path, content=text, headers={"Idempotency-Key": same})
        assert (again.status_code, commits(lake)) == (200 if name != "transact" else 204, before)


def test_a_key_is_of_one_principal_and_a_denial_is_not_final(lake: Site, ask: Any) -> None:
    governance.grant(lake.project, "anonymous", "write", "table/*", effect="deny")
    same = key()
    assert ask("commit", same).status_code == 403
    token = governance.make_token(lake.project, "ben")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": same}
    assert lake.client.delete(FLIGHTS, headers=headers).status_code == 204
    governance.revoke(lake.project, "anonymous", "write", "table/*")
    assert ask("commit", same).status_code == 404


def test_it_is_told_in_the_config(lake: Site) -> None:
    assert lake.json("/iceberg/v1/config")["idempotency-key-lifetime"] == "PT24H"


def test_a_table_that_a_client_has_is_not_sent_again(lake: Site, connect: Connect) -> None:
    first = lake.client.get(FLIGHTS)
    tag = first.headers["etag"]
    for told in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = lake.client.get(FLIGHTS, headers={"If-None-Match": told})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert lake.client.get(f"{FLIGHTS}?snapshots=refs", headers={"If-None-Match": tag}).status_code == 200
    assert lake.client.get(f"/iceberg/v1/dev/{FLIGHTS.partition('/main/')[2]}").headers["etag"] == tag
    made = lake.client.post(FLIGHTS, json=SET)
    assert made.headers["etag"] == lake.client.get(FLIGHTS).headers["etag"] != tag
    assert lake.client.get(FLIGHTS, headers={"If-None-Match": tag}).status_code == 200
    governance.grant(lake.project, "anonymous", "read", "table/flights", effect="deny")
    assert lake.client.get(FLIGHTS, headers={"If-None-Match": made.headers["etag"]}).status_code == 403
