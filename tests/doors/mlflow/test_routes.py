"""Everything a client of MLflow may call is either answered or refused in MLflow's own words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bucle
from bucle.doors.protocols.mlflow import ABSENT, ROUTES, MlflowError, Route, Wire
from bucle.doors.protocols.mlflow.routes import Table
from doors.conftest import Site

FILLED = {"artifact_path": "1/0123456789abcdef/artifacts/a", "model_id": "m-0123"}


def endpoints() -> list[tuple[str, str]]:
    from mlflow.server import app  # its Flask application knows what it serves besides the protocol files
    from mlflow.server.handlers import get_endpoints

    found = {(method, path) for path, _, methods in get_endpoints() for method in methods}
    for rule in app.url_map.iter_rules():
        found |= {(method, rule.rule) for method in rule.methods - {"HEAD", "OPTIONS"}}
    pages = ("/static-files/", "/health", "/build/")
    return sorted((m, p) for m, p in found if p != "/" and not p.startswith(pages) and "/static/" not in p)


def filled(path: str) -> str:
    return re.sub(r"[<{](?:path:)?(\w+)(?::path)?[>}]", lambda found: FILLED.get(found[1], "x1"), path)


def test_every_endpoint_of_mlflow_is_answered_or_refused_with_a_reason(sqlite_server: Site) -> None:
    wire = Wire(sqlite_server.project)
    strange = []
    for method, path in endpoints():
        try:
            wire.find(method, filled(path))
        except MlflowError as error:
            if error.error_code != "NOT_IMPLEMENTED":
                strange.append(f"{method} {path}")
    assert strange == []


def test_what_is_not_offered_answers_501_with_the_reason(sqlite_server: Site) -> None:
    answer = sqlite_server.client.get("/api/3.0/mlflow/gateway/secrets/list")
    assert answer.status_code == 501
    assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
    assert "AI gateway" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/nothing", "/api/3.0/nothing", "/ajax-api/2.0/mlflow/runs/nothing"])
def test_an_unknown_path_is_endpoint_not_found(sqlite_server: Site, path: str) -> None:
    answer = sqlite_server.client.post(path, json={})
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_a_known_path_with_another_method_says_which_it_is_for(sqlite_server: Site) -> None:
    answer = sqlite_server.client.put("/api/2.0/mlflow/runs/create", json={})
    assert answer.status_code == 405
    assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert "POST" in answer.json()["message"]


def test_the_mirror_for_pages_answers_the_same(sqlite_server: Site) -> None:
    get = sqlite_server.client.get
    ask = "mlflow/experiments/get?experiment_id=0"
    assert get(f"/ajax-api/2.0/{ask}").json() == get(f"/api/2.0/{ask}").json()


def test_every_route_is_declared_once() -> None:
    Table(ROUTES)
    with pytest.raises(ValueError, match="twice"):
        Table([*ROUTES, Route(ROUTES[0].method, ROUTES[0].path, ROUTES[0].kind, ROUTES[0].answer)])


def test_the_page_of_what_is_not_offered_lists_exactly_that() -> None:
    page = (Path(bucle.__file__).parents[2] / "docs" / "mlflow.md").read_text()
    listed = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    assert [tuple(cell.strip() for cell in row) for row in listed] == [(one.under, one.what, one.why) for one in ABSENT]
