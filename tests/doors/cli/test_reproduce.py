"""How a thing was made, and made again: in the code it had, with the difference named when it comes out otherwise."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from doors.cli.typed import Bucle, Said, installed

FLOW = """
import os

from bucle.ground.project import Project
from bucle.line import tracking
from bucle.line.pipelines import pipeline, step


@step
def fit(project: Project, rounds: int, seed: int) -> dict[str, str]:
    with tracking.start(project, "e", params={"rounds": rounds}, seed=seed) as run:
        run.log_metrics({"loss": 1 / rounds})
    return {"run": "one", "loss": str(1 / rounds)}


@step
def drifting() -> bytes:
    return os.urandom(4)


@pipeline
def train(rounds: int = 3, seed: int = 1) -> str:
    return fit(rounds, seed)["run"]


@pipeline
def shaky(rounds: int = 3) -> str:
    drifting()
    return "done"
"""


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=ana", "-c", "user.email=ana@example.org")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A project under git whose pipeline ran, with a change that was not committed."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "bucle.toml").write_text('[project]\nname = "made"\nmodules = ["flow"]\n')
    (folder / ".gitignore").write_text(".bucle/\n__pycache__/\n")
    (folder / "flow.py").write_text("# to be changed\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "flow.py").write_text(FLOW)
    return folder


def run_of(folder: Path) -> str:
    listed: list[dict[str, str]] = installed("runs", "list", "--json", cwd=folder).record
    return listed[0]["id"]


def test_a_run_is_made_again_with_the_code_it_had(made: Path) -> None:
    assert installed("run", "train", cwd=made).status == 0
    run = run_of(made)
    (made / "flow.py").write_text(FLOW.replace("1 / rounds", "2 / rounds"))
    git(made, "add", ".")
    git(made, "commit", "-q", "-m", "other")
    said = installed("reproduce", run, cwd=made)
    assert (said.status, "checking out the code it ran with" in said.err) == (0, True), said.err
    assert "Bit for bit the same." in said.err
    refused = installed("reproduce", run, "--here", cwd=made)
    assert refused.status != 0
    assert "The code of fit is not what" in refused.err
    assert git(made, "status", "--porcelain") == ""


def test_a_run_knows_the_pipeline_around_it(made: Path) -> None:
    execution = installed("run", "train", "-p", "rounds=4", "--json", cwd=made).record["id"]
    said = installed("why", run_of(made), "--json", cwd=made)
    recipe = said.record
    assert recipe["execution"]["id"] == execution
    kinds = [one["kind"] for one in recipe["ingredients"]]
    assert kinds == ["environment", "code", "execution", "step", "run"]
    step = recipe["ingredients"][3]
    assert (step["name"], step["detail"]["params"], step["detail"]["seed"]) == ("fit", {"rounds": 4, "seed": 1}, 1)
    assert recipe["missing"] == ["data: no commit is named as what it was made of"]
    told = installed("why", execution, cwd=made)
    assert "fit" in told.out
    assert f"next: bucle reproduce {execution}" in told.err


def test_what_comes_out_otherwise_is_named_with_what_may_have_caused_it(made: Path) -> None:
    execution = installed("run", "shaky", "--json", cwd=made).record["id"]
    said = installed("reproduce", execution, "--json", cwd=made)
    assert said.status == 7
    found = said.record
    assert (found["outcome"], found["first_different"]) == ("different", f"{execution}.0")
    assert any("seed" in reason and "drifting" in reason for reason in found["reasons"])
    assert found["steps"][0]["deviations"][0]["output"] == "result"
    events: Said = installed("audit", "list", "--json", cwd=made)
    assert "loop.rebuilt" in events.out


def test_a_thing_nobody_knows_is_told(made: Path) -> None:
    for command in ("why", "reproduce"):
        said = installed(command, "nothing", cwd=made)
        assert (said.status, "no model version, run or execution" in said.err) == (3, True)


def test_environments_are_kept_and_compared_and_a_lock_is_written(empty: Path, bucle: Bucle) -> None:
    def call(*arguments: str) -> Said:
        return bucle(*arguments, "--project", str(empty))

    assert call("env", "keep", "dev").status == 0
    assert call("env", "diff", "dev").status == 0
    (empty / "bucle.toml").write_text((empty / "bucle.toml").read_text() + "\n[server]\nport = 4999\n")
    said = call("env", "diff", "dev", "here", "--json")
    assert said.status == 7
    assert said.record == [{"part": "setting", "name": "server.port", "left": "4242", "right": "4999"}]
    shown = call("env", "show", "--json")
    other = json.loads(shown.out)
    other["environment"]["packages"]["polars"] = "0.1"
    (empty / "prod.json").write_text(json.dumps(other))
    said = call("env", "diff", str(empty / "prod.json"), "here")
    assert said.status == 7
    assert "polars" in said.out
    (empty / "wanted.txt").write_text("packaging==25.0\n")
    said = call("env", "lock", str(empty / "wanted.txt"), "--out", str(empty / "requirements.lock"))
    assert said.status == 0, said.err
    assert "--hash=sha256:" in (empty / "requirements.lock").read_text()
    said = call("env", "build", str(empty / "requirements.lock"))
    assert said.status != 0
    assert "Pin bucle in the lock too" in said.err
    assert call("env", "show", "nothing").status == 3


@pytest.mark.full
def test_a_pipeline_runs_in_the_environment_of_a_lock(made: Path) -> None:
    """The lock is what is here; its Python is another, which the project's settings name."""
    lock = made / "requirements.lock"
    here = installed("env", "show", "--json", cwd=made).record["environment"]
    packages, origin = here["packages"], here["origins"].get("bucle", "")
    lines = [f"{name}=={version}" for name, version in packages.items() if name != "bucle"]
    own = origin.removeprefix("file://")
    lock.write_text("\n".join([*lines, f"-e {own}" if own else f"bucle=={packages['bucle']}"]) + "\n")
    (made / "bucle.toml").write_text((made / "bucle.toml").read_text() + '\n[pipelines]\nlock = "requirements.lock"\n')
    (made / "flow.py").write_text(FLOW.replace('"one"', "__import__('sys').executable"))
    done = installed("run", "train", "--json", cwd=made)
    assert done.status == 0, done.out
    assert done.record["result"].startswith(str(made / ".bucle" / "environments"))
    assert installed("env", "diff", done.record["id"], cwd=made).status == 0
    assert installed("reproduce", done.record["id"], "--here", cwd=made).status == 7


def test_of_an_execution_that_failed_the_steps_that_ended_well_are_made_again(made: Path) -> None:
    failing = '    raise ValueError("no")\n    return {"run": "one", "loss": str(1 / rounds)}'
    text = FLOW.replace('    return {"run": "one", "loss": str(1 / rounds)}', failing)
    text = text.replace("    return fit(", '    steady("x")\n    return fit(')
    text = text.replace(
        "@pipeline\ndef train", "@step\ndef steady(word: str) -> str:\n    return word\n\n\n@pipeline\ndef train"
    )
    (made / "flow.py").write_text(text)
    assert installed("run", "train", cwd=made).status == 6
    (execution,) = installed("run", "--list", "--json", cwd=made).record
    told = installed("why", execution["id"], "--json", cwd=made).record
    assert "step fit: it failed" in told["missing"]
    said = installed("reproduce", execution["id"], "--json", cwd=made)
    assert (said.status, [one["step"] for one in said.record["steps"]]) == (0, ["steady"])
