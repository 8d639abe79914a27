"""Rollouts at the command line: a version takes over only with what its model's policy wants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import parser

from doors.cli.typed import Bucle

MODEL = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1] x) => (float[N,1] probability) '
    "<float w = {%s}> { y = Mul(x, w) probability = Sigmoid(y) }"
)
POLICY = """
[loop.m]
pipeline = "p"
approvals = 1
labels = { table = "t", entity = "e", label = "l", known_at = "k" }
"""


@pytest.fixture
def policed(bucle: Bucle, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """m@1 is champion at `front`; m@2 is validated, and the policy now wants one approval."""
    monkeypatch.setenv("BUCLE_ACTOR", "ana")
    where = ["--project", str(empty)]
    for number in (1, 2):
        (empty / "m.onnx").write_bytes(parser.parse_model(MODEL % number).SerializeToString())
        assert bucle("model", "register", "m", str(empty / "m.onnx"), *where).status == 0
        assert bucle("model", "stage", f"m@{number}", "validated", *where).status == 0
    assert bucle("deploy", "roll", "front", "m@1", *where).status == 0
    with (empty / "bucle.toml").open("a") as file:
        file.write(POLICY)
    return empty


def standing(bucle: Bucle, where: list[str]) -> Any:
    """All that a promotion would change."""
    shown = bucle("deploy", "show", "front", *where, "--json").record
    versions = bucle("model", "versions", "m", *where, "--json").record
    return shown["routes"], shown["rollout"], [(one["stage"], one["aliases"]) for one in versions]


def test_promote_asks_the_policy_first(bucle: Bucle, policed: Path) -> None:
    where = ["--project", str(policed)]
    assert bucle("deploy", "roll", "front", "m@2", "--share", "0.5", *where).status == 0
    before = standing(bucle, where)
    said = bucle("deploy", "promote", "front", *where)
    assert (said.status, "BU1505" in said.err) == (5, True)
    assert "0 of 1 approvals" in said.err
    assert "bucle model approve m@2" in said.err
    assert standing(bucle, where) == before
    (wish,) = bucle("model", "requests", *where, "--json").record
    assert (wish["version"], wish["target"]) == (2, "stage production")
    assert bucle("model", "approve", "m@2", "--as", "eva", *where).status == 0
    assert bucle("deploy", "promote", "front", *where).status == 0
    assert standing(bucle, where)[2] == [("validated", []), ("production", ["champion"])]
    assert bucle("model", "requests", *where, "--json").record == []


def test_all_the_traffic_at_once_asks_the_policy_first(bucle: Bucle, policed: Path) -> None:
    where = ["--project", str(policed)]
    before = standing(bucle, where)
    for asked in (["front", "m@2", "--share", "1"], ["another", "m@2"]):
        assert bucle("deploy", "roll", *asked, *where).status == 5
    assert standing(bucle, where) == before
    assert bucle("deploy", "show", "another", *where).status == 3
