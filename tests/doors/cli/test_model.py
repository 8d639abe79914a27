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


def test_a_model_elsewhere_is_registered_tagged_retired_and_deleted(bucle: Bucle, empty: Path) -> None:
    where = ["--project", str(empty), "--json"]
    given = ["base", "huggingface", "some/model"]
    assert bucle("model", "reference", *given, "--licence", "MIT", *where).record["kind"] == "reference"
    assert bucle("model", "reference", *given, "--pin", "2", *where).record["version"] == 2
    assert bucle("model", "tag", "base@1", "team", "ops", *where).record["tags"] == {"team": "ops"}
    assert bucle("model", "tag", "base@1", "team", *where).record["tags"] == {}
    assert bucle("model", "tag", "base", "owner", "eva", *where).record["tags"] == {"owner": "eva"}
    assert bucle("model", "show", "base@1", *where).record["package"] is None
    assert bucle("model", "alias", "base@1", "best", *where).status == 0
    (gone,) = bucle("model", "retire", "base@1", "--successor", "base@2", "--reason", "old", *where).record
    assert (gone["stage"], gone["successor"]) == ("archived", "base@2")
    assert bucle("model", "show", "base@best", *where).record["version"]["version"] == 2
    assert bucle("model", "rename", "base", "ground", *where).record["name"] == "ground"
    assert bucle("model", "delete", "ground@1", *where).status == 0
    told = bucle("model", "history", "ground", *where).record
    assert [one["what"] for one in told][-2:] == ["name", "version"]
    assert bucle("model", "delete", "ground", *where).status == 0
    assert bucle("model", "history", "never-there", *where).status == 3


def test_a_version_is_copied_to_another_project(bucle: Bucle, brought: Path, tmp_path: Path) -> None:
    other = tmp_path / "live"
    assert bucle("init", str(other), "--example", "none", "--quiet").status == 0
    said = bucle("model", "copy", "m@1", str(other), "--as", "n", "--project", str(brought), "--json")
    assert (said.status, said.record["model"], said.record["author"]) == (0, "n", "ana")
    shown = bucle("model", "show", "n@1", "--project", str(other), "--json").record
    assert shown["version"]["digest"] == bucle("model", "show", "m@1", "--project", str(brought), "--json").record[
        "version"
    ]["digest"]  # fmt: skip


def test_a_promotion_waits_for_what_the_policy_wants(bucle: Bucle, brought: Path) -> None:
    where = ["--project", str(brought)]
    labels = 'labels = { table = "t", entity = "e", label = "l", known_at = "k" }'
    loop = f'\n[loop.m]\npipeline = "p"\napprovals = 1\n{labels}\n'
    with (brought / "bucle.toml").open("a") as file:
        file.write(loop)
    said = bucle("model", "alias", "m@1", "champion", *where)
    assert (said.status, "0 of 1 approvals" in said.err, "bucle model approve m@1" in said.err) == (5, True, True)
    (wish,) = bucle("model", "requests", *where, "--json").record
    assert (wish["target"], len(wish["missing"])) == ("alias champion", 1)
    assert bucle("model", "approve", "m@1", "--as", "eva", *where).status == 0
    assert bucle("model", "alias", "m@1", "champion", *where).status == 0
    assert bucle("model", "requests", *where, "--json").record == []
    assert bucle("model", "alias", "m@1", "champion", "--remove", *where).status == 4


def test_webhooks_are_shown_with_how_far_they_were_told(bucle: Bucle, empty: Path) -> None:
    from bucle.ground.project import Project
    from bucle.line import registry

    with_one = Project.open(empty)
    registry.create_webhook(with_one, "hook", "https://example.com/x", registry.HOOKS, secret="hush")
    with_one.close()
    said = bucle("model", "webhooks", "--project", str(empty), "--json")
    assert said.record[0]["webhook"]["has_secret"] is True
    assert said.record[0]["delivery"]["delivered"] == 0
    assert "hush" not in said.out
