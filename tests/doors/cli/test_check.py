from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx import parser

from doors.cli.typed import Bucle

STEP = '''
from bucle.line.pipelines import pipeline, step


@step
def fit(seed: int) -> int:
    {doc}return seed


@pipeline
def train(seed: int = 7) -> int:
    """From nothing to a model."""
    return fit(seed)
'''
DOC = '"""A model, so to speak."""\n    '
MODEL = (
    '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1] x) => (float[N,1] probability) { probability = Sigmoid(x) }'
)


def commit(folder: Path) -> None:
    names = ["-c", "user.name=ana", "-c", "user.email=ana@example.org"]
    for arguments in (["init"], ["add", "-A"], [*names, "commit", "-m", "as it is"]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def small(empty: Path) -> Iterator[Path]:
    (empty / "bucle.toml").write_text('[project]\nname = "small"\nmodules = ["small_flow"]\n')
    (empty / "small_flow.py").write_text(STEP.replace("{doc}", ""))
    commit(empty)
    sys.modules.pop("small_flow", None)
    yield empty
    sys.modules.pop("small_flow", None)


def document(folder: Path) -> None:
    (folder / "small_flow.py").write_text(STEP.replace("{doc}", DOC))
    sys.modules.pop("small_flow", None)
    commit(folder)


def test_an_undocumented_step_fails_only_when_strict(bucle: Bucle, small: Path) -> None:
    said = bucle("check", "--project", str(small))
    assert (said.status, "The step has no docstring." in said.out) == (0, True)
    assert "ML Test Score 0" in said.err
    assert bucle("check", "--strict", "--project", str(small)).status == 7
    document(small)
    assert bucle("check", "--strict", "--project", str(small)).status == 0


def test_what_cannot_be_loaded_is_an_error(bucle: Bucle, small: Path) -> None:
    (small / "small_flow.py").write_text("import nothing_of_this_name\n")
    sys.modules.pop("small_flow", None)
    said = bucle("check", "--project", str(small))
    assert (said.status, "cannot be imported" in said.err) == (2, True)


def test_a_test_is_attested_and_the_score_tells_by_whom(
    bucle: Bucle, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--project", str(small)]
    monkeypatch.setenv("BUCLE_ACTOR", "ana")
    assert bucle("check", "--attest", "data-2", "notes.md", *where).status == 2  # there is no model yet
    (small / "m.onnx").write_bytes(parser.parse_model(MODEL).SerializeToString())
    assert bucle("model", "register", "m", str(small / "m.onnx"), *where).status == 0
    assert bucle("check", "--attest", "data-9", "notes.md", *where).status == 3
    assert bucle("check", "--attest", "data-2", "notes.md", *where, "--json").record["actor"] == "ana"
    said = bucle("check", *where, "--json").record
    (score,) = said["scores"]
    assert [(one["id"], one["points"]) for one in score["items"] if one["points"]] == [("data-2", 0.5)]
    assert (score["model"], score["sections"]["data"], said["score"], len(score["items"])) == ("m", 0.5, 0.0, 28)
    assert "attested by ana" in bucle("check", "--model", "m", *where).out
    assert bucle("check", "--model", "n", *where).status == 3
