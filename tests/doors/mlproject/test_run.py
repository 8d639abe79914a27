"""MLflow Projects run unmodified: their client logs into the project, their end is on record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bucle.ground.project import Project
from bucle.line import environments, tracking
from doors.cli.typed import Bucle, Said

Run = Callable[..., Said]


def test_a_project_logs_into_ours_and_its_run_is_whole(run: Run, folder: Path, root: Path) -> None:
    git = ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    said = run("-P", "alpha=0.25", "--experiment", "wine", "--run-name", "first")
    assert said.status == 0, said.err
    with closing(Project.open(root)) as project:
        (found,) = tracking.runs(project, "wine")
        lock = tracking.get_artifact(project, f"run/{found.id}", "environment/requirements.lock").read_bytes()
    assert (said.record["run"]["id"], said.record["exit_status"]) == (found.id, 0)
    assert (found.status, found.name) == ("finished", "first")
    assert found.params == {"alpha": "0.25", "l1_ratio": "0.1"}
    assert 0.5 < found.metrics["r2"] < 1
    assert set(found.artifacts) == {"coefficients.json", "environment/requirements.lock"}
    assert found.code_commit == found.tags["mlflow.source.git.commit"] == commit
    assert found.tags["mlflow.project.entryPoint"] == "main"
    assert found.tags["mlflow.source.name"] == str(folder)
    assert found.tags["mlflow.source.type"] == "PROJECT"
    assert found.tags["mlflow.project.env"] == "local"
    assert b"scikit-learn==" in lock


def test_values_reach_the_command_as_they_are(run: Run, folder: Path, root: Path) -> None:
    said = run("-e", "validate", "-P", "words=two 'words' $HOME", "-P", f"data={root}", "-P", "more=1 2")
    assert said.status == 0, said.err
    told = json.loads((folder / "told.json").read_text())
    assert told["argv"] == ["two 'words' $HOME", str(root), "--more", "1 2"]
    assert run("--entry-point", "tell.py").status == 0
    assert json.loads((folder / "told.json").read_text())["argv"] == []


def test_a_command_that_fails_makes_a_failed_run_and_tells_its_exit_status(run: Run, root: Path) -> None:
    said = run("-e", "fails")
    assert (said.status, json.loads(said.out)["error"]["code"]) == (1, "BU1662")
    assert "exit status 3" in said.out
    killed = run("-e", "killed")
    assert "exit status -9" in killed.out
    with closing(Project.open(root)) as project:
        assert sorted((one.status, one.error) for one in tracking.runs(project)) == [
            ("failed", "exit status 3"),
            ("killed", "exit status -9"),
        ]


def test_what_cannot_begin_leaves_no_run(run: Run, bucle: Bucle, root: Path) -> None:
    assert (run("-P", "alpha=much").status, run("-e", "mian").status) == (2, 2)
    assert "Did you mean 'main'" in run("-e", "mian").out
    for address in ("https://github.com/mlflow/mlflow-example", "git@github.com:mlflow/mlflow-example.git"):
        said = bucle("run", address, "--project", str(root))
        assert (said.status, "git clone" in said.err) == (2, True)
    with closing(Project.open(root)) as project:
        assert tracking.runs(project) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_command_and_all_it_started(folder: Path, root: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "bucle", "run", str(folder), "-e", "waits", "--env-manager", "local"]
    running = subprocess.Popen(
        [*command, "--project", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A suite that runs in the background has SIGINT ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    until = time.monotonic() + 60
    while not (folder / "started").exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    child = int((folder / "child.pid").read_text())
    running.send_signal(number)
    try:
        running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    with closing(Project.open(root)) as project:
        assert [one.status for one in tracking.runs(project)] == ["killed"]
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < until
        time.sleep(0.02)
    assert os.getpgid(0) != child


def test_an_environment_is_made_once_with_uv(bucle: Bucle, folder: Path, root: Path) -> None:
    arguments = ["run", str(folder), "-e", "look.py", "--project", str(root), "--json"]
    (folder / "look.py").write_text(
        "import json, six, sys\njson.dump([six.__version__, sys.prefix], open('told', 'w'))"
    )
    (folder / "python_env.yaml").write_text("python: '3.11'\ndependencies: [-r requirements.txt]\n")
    try:
        environments.locked("six==1.17.0\n", "3.11")
    except (environments.NotLocked, environments.UvMissing) as error:
        pytest.skip(f"nothing can be locked here: {error.what[:80]}")
    first = bucle(*arguments)
    assert first.status == 0, first.out + first.err
    version, prefix = json.loads((folder / "told").read_text())
    assert (version, Path(prefix).parent) == ("1.17.0", root / ".bucle" / "environments")
    assert first.record["run"]["tags"]["mlflow.project.env"] == "uv"
    assert bucle(*arguments).status == 0
    assert json.loads((folder / "told").read_text()) == [version, prefix]
    with closing(Project.open(root)) as project:
        found, other = tracking.runs(project)
        assert "six==1.17.0" in project.blobs.get(found.lock).decode()
        assert "--hash=sha256:" in project.blobs.get(found.lock).decode()
        assert found.lock == other.lock


@pytest.mark.full
def test_mlflow_and_scikit_learn_are_installed_and_log_from_an_environment_without_bucle(
    bucle: Bucle, folder: Path, root: Path
) -> None:
    (folder / "requirements.txt").write_text("mlflow>=3.17,<3.19\nscikit-learn>=1.8,<2\n")
    said = bucle("run", str(folder), "-P", "alpha=0.25", "--project", str(root), "--json")
    assert said.status == 0, said.out + said.err
    with closing(Project.open(root)) as project:
        (found,) = tracking.runs(project)
    assert (found.status, 0.5 < found.metrics["r2"] < 1) == ("finished", True)
