from __future__ import annotations

from pathlib import Path

import pytest
from onnx import parser

from doors.cli.typed import Bucle

MODEL = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1] x) => (float[N,1] probability) { probability = Sigmoid(x) }'
)


@pytest.fixture
def brought(bucle: Bucle, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a model from elsewhere, registered by ana."""
    monkeypatch.setenv("BUCLE_ACTOR", "ana")
    (empty / "m.onnx").write_bytes(parser.parse_model(MODEL).SerializeToString())
    said = bucle("model", "register", "m", str(empty / "m.onnx"), "--project", str(empty), "--json")
    assert (said.status, said.record["version"], said.record["author"]) == (0, 1, "ana")
    return empty


def test_nobody_approves_their_own_work(bucle: Bucle, brought: Path) -> None:
    where = ["--project", str(brought)]
    assert bucle("model", "approve", "m@1", *where).status == 4
    assert bucle("model", "approve", "model/m@1", "--as", "eva", "--reason", "seen", *where).status == 0
    assert bucle("model", "show", "m@1", "--json", *where).record["approvals"][0]["principal"] == "eva"


def test_what_no_gate_has_passed_gets_no_traffic(bucle: Bucle, brought: Path) -> None:
    said = bucle("deploy", "roll", "front", "m@1", "--project", str(brought))
    assert said.status == 5
    assert "fix:" in said.err


def test_a_model_from_elsewhere_has_no_rows_to_be_judged_on(bucle: Bucle, brought: Path) -> None:
    assert bucle("gate", "judge", "m@1", "--project", str(brought)).status == 3
    loop = '\n[loop.m]\npipeline = "p"\nlabels = { table = "t", entity = "e", label = "l", known_at = "k" }\n'
    with (brought / "bucle.toml").open("a") as file:
        file.write(loop)
    said = bucle("gate", "judge", "m@1", "--project", str(brought))
    assert (said.status, "no rows to judge model/m@1 on" in said.err) == (2, True)
    check = bucle("config", "check", "--project", str(brought))
    assert (check.status, "There is no pipeline 'p'." in check.out) == (7, True)


def test_a_version_by_hand_goes_all_the_way_and_back(bucle: Bucle, brought: Path) -> None:
    where = ["--project", str(brought)]
    assert bucle("model", "stage", "m@1", "production", *where).status == 6
    assert bucle("model", "stage", "m@1", "validated", "--reason", "by hand", *where).status == 0
    assert bucle("deploy", "roll", "front", "m@1", *where).status == 0
    assert bucle("model", "show", "m@champion", "--json", *where).record["version"]["stage"] == "production"
    assert bucle("deploy", "rollback", "front", *where).status == 6
    assert bucle("model", "alias", "m@1", "old", *where, "--json").record["version"] == 1
    assert bucle("model", "alias", "m@1", "old", "--remove", *where, "--json").record["version"] is None


def test_a_file_that_is_no_model_is_refused(bucle: Bucle, empty: Path) -> None:
    (empty / "no.onnx").write_bytes(b"no")
    assert bucle("model", "register", "m", str(empty / "no.onnx"), "--project", str(empty)).status == 2
    assert bucle("model", "register", "m", str(empty / "none.onnx"), "--project", str(empty)).status == 3
    assert bucle("model", "register", "m", "--project", str(empty)).status == 2
