"""The native API: the rooms' own records, and a document that says so."""

from __future__ import annotations

import json

import msgspec
import pytest

from bucle.doors.server import API, RESOURCES, Problem, document
from bucle.doors.server.writes import WRITES
from bucle.doors.ui import result_type
from bucle.ground.ledger import Event
from bucle.line.gates import Verdict
from bucle.line.tracking import Run
from doors.conftest import Site


@pytest.fixture(scope="module")
def names(site: Site) -> dict[str, str]:
    """Something for every parameter of a path."""
    return {
        "seq": "0",
        "name": "flights",
        "table": "flights",
        "model": "flights",
        "version": "1",
        "number": "1",
        "endpoint": "flights",
        "run": site.json("/runs.json")["runs"][0]["id"],
        "verdict": site.json("/gates.json")["verdicts"][0]["id"],
    }


def test_every_resource_answers_with_what_the_document_promises(site: Site, names: dict[str, str]) -> None:
    first = {
        "/runs": names["run"],
        "/executions": site.json("/pipelines.json")["executions"][0]["execution"]["id"],
        "/verdicts": names["verdict"],
        "/rollouts": site.json("/deployments.json")["rollouts"][0]["id"],
    }
    for resource in RESOURCES:
        own = {**names, "id": first.get("/" + resource.path.lstrip("/").split("/")[0], "")}
        path = API + resource.path.format(**own)
        query = {"of": "model/flights@1"} if resource.path == "/lineage" else {}
        query |= (
            {"runs": ",".join(one["id"] for one in site.json("/runs.json")["runs"][:2])} if "compare" in path else {}
        )
        answer = site.client.get(path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        msgspec.json.decode(answer.content, type=result_type(resource.read))


def test_records_are_those_the_rooms_return(site: Site) -> None:
    events = msgspec.json.decode(site.client.get(f"{API}/events?kind=gates.*&limit=2").content, type=list[Event])
    assert events == site.project.ledger.events(kinds=["gates.*"], limit=2)
    runs = msgspec.json.decode(site.client.get(f"{API}/runs?limit=1").content, type=list[Run])
    verdicts = msgspec.json.decode(site.client.get(f"{API}/verdicts").content, type=list[Verdict])
    assert len(runs) == 1
    assert verdicts[0].checks


def test_the_document_is_openapi_and_every_reference_in_it_resolves(site: Site) -> None:
    told = site.json("/api/openapi.json")
    assert told == json.loads(json.dumps(document()))
    assert told["openapi"] == "3.1.0"
    operations = [one["operationId"] for methods in told["paths"].values() for one in methods.values()]
    assert len(set(operations)) == len(operations) == len(RESOURCES) + len(WRITES) + len(("rows", "query"))
    for ref in references(told):
        node = told
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for one in value.values() for ref in references(one)]
    return [ref for one in value for ref in references(one)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{API}/models/nobody", 404, "BU09"),
        (f"{API}/runs/zzzz", 404, "BU08"),
        (f"{API}/runs?limit=0", 422, "BU1603"),
        (f"{API}/runs?limt=3", 422, "BU1603"),
        (f"{API}/lineage", 422, "BU1603"),
        (f"{API}/lineage?of=nonsense", 200, ""),
        (f"{API}/events/999999", 404, "BU0304"),
        (f"{API}/nothing/here", 404, "BU1609"),
        ("/models/..%2f..%2fetc.json", 404, "BU1609"),
        ("/models/%2e%2e/1.json", 422, "BU1603"),
        ("/models/a%3Ab/1.json", 422, "BU1603"),
        ("/static/..%2fview.py", 404, "BU1609"),
        ("/static/view.py", 404, "BU0102"),
        ("/lineage.json?of=nonsense", 422, "BU0109"),
        ("/compare.json?runs=a", 422, "BU1606"),
        ("/loop/flights/99.json", 404, "BU1605"),
        ("/monitor/nobody.json", 404, "BU1607"),
        ("/models/flights/1.csv", 404, "BU1604"),
    ],
)
def test_an_error_is_a_record_with_the_right_status(site: Site, path: str, status: int, code: str) -> None:
    answer = site.client.get(path, headers={"accept": "application/json"})
    assert answer.status_code == status, answer.text
    if status != 200:
        problem = msgspec.json.decode(answer.content, type=Problem)
        assert problem.code.startswith(code)
        assert problem.what
        assert "Traceback" not in answer.text


def test_other_methods_are_not_possible(site: Site) -> None:
    answer = site.client.post(f"{API}/models", json={})
    assert answer.status_code == 405
    assert answer.json()["code"] == "BU1610"


def test_health_is_told_as_mlflow_s_server_tells_it(empty_site: Site) -> None:
    answer = empty_site.client.get("/health")
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["content-type"].startswith("text/plain")
