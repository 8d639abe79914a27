from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from bucle.ground.project import Project
from bucle.line import deploy, serving
from bucle.line.deploy import LocalTarget
from bucle.line.registry import ModelVersion

Make = Callable[..., ModelVersion]


@pytest.fixture
def target(project: Project) -> Iterator[LocalTarget]:
    yield LocalTarget(start=True, stay=False)
    serving.stop_process(project.state, "flights")


def test_apply_stages_packages_and_routes_without_a_process(project: Project, make: Make) -> None:
    version = make(1.0)
    deploy.start(project, "flights", "delay", 1)
    applied = deploy.apply(project, "flights", LocalTarget())
    assert (applied.generation, applied.answering, applied.staged) == (1, False, (version.digest,))
    folder = serving.endpoint_folder(project.state, "flights")
    assert serving.load_routes(folder) == deploy.routes(project, "flights")
    assert deploy.apply(project, "flights", LocalTarget()) == applied


def test_an_older_generation_never_replaces_a_newer_one(project: Project, make: Make) -> None:
    make(1.0)
    make(2.0)
    deploy.start(project, "flights", "delay", 1)
    old = deploy.routes(project, "flights")
    deploy.start(project, "flights", "delay", 2, share=0.5)
    deploy.apply(project, "flights", LocalTarget())
    assert LocalTarget().roll_to(project, old).generation == 2
    assert serving.load_routes(serving.endpoint_folder(project.state, "flights")).generation == 2


def test_a_rollout_moves_live_traffic_and_a_rollback_takes_it_back(
    project: Project, make: Make, target: LocalTarget
) -> None:
    make(1.0)
    make(failing=True)
    deploy.start(project, "flights", "delay", 1)
    assert deploy.apply(project, "flights", target).answering
    process = serving.find_process(project.state, "flights")
    assert process is not None
    with serving.Client(process.url) as client:

        def arms(count: int) -> set[tuple[int, str]]:
            answers = [client.infer("delay", {"hour": [9.0]}) for _ in range(count)]
            return {(answer.version, answer.arm) for answer in answers}

        assert arms(5) == {(1, "champion")}
        made = deploy.start(project, "flights", "delay", 2, share=0.5)
        deploy.apply(project, "flights", target)
        assert arms(40) == {(1, "champion"), (1, "fallback")}
        deploy.roll_back(project, made.id, reason="it fails")
        deploy.apply(project, "flights", target)
        assert arms(20) == {(1, "champion")}
        make(3.0)
        made = deploy.start(project, "flights", "delay", 3, share=0.5)
        deploy.apply(project, "flights", target)
        assert arms(40) == {(1, "champion"), (3, "canary")}
        deploy.promote(project, made.id)
        deploy.apply(project, "flights", target)
        assert arms(5) == {(3, "champion")}
    frame, _ = serving.live(project, "flights")
    failed = frame.filter(status="error")
    assert failed["arm"].unique().to_list() == ["canary"]
    staged = serving.endpoint_folder(project.state, "flights") / "packages"
    assert len(list(staged.iterdir())) == 1


APPLY = """
import os, signal, sys, threading
from bucle.ground.project import Project
from bucle.line import deploy
project = Project.open(sys.argv[1])
threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGKILL)).start()
deploy.apply(project, "flights", deploy.LocalTarget())
os._exit(0)
"""


def killed_apply(project: Project, after_s: float) -> None:
    subprocess.run([sys.executable, "-c", APPLY, str(project.root), str(after_s)], check=False, timeout=60)


@pytest.mark.parametrize("after_s", [0.0, 0.01])
def test_an_apply_that_was_killed_is_done_by_the_next_one(project: Project, make: Make, after_s: float) -> None:
    make(1.0)
    deploy.start(project, "flights", "delay", 1)
    killed_apply(project, after_s)
    deploy.apply(project, "flights", LocalTarget())
    folder = serving.endpoint_folder(project.state, "flights")
    assert serving.load_routes(folder).champion.version == 1
    assert serving.load_model(folder / "packages" / deploy.routes(project, "flights").champion.package)


@pytest.mark.full
def test_ten_killed_applies_leave_a_whole_endpoint_each_time(project: Project, make: Make) -> None:
    make(1.0)
    deploy.start(project, "flights", "delay", 1)
    folder = serving.endpoint_folder(project.state, "flights")
    for at in range(10):
        make(2.0 + at)
        deploy.start(project, "flights", "delay", 2 + at, share=1.0)
        killed_apply(project, at * 0.004)
        if (folder / "routes.json").exists():
            serving.load_model(folder / "packages" / serving.load_routes(folder).champion.package)
        deploy.apply(project, "flights", LocalTarget())
        assert serving.load_routes(folder).champion.version == 2 + at


def test_a_process_that_cannot_load_goes_on_with_the_old_routes(
    project: Project, make: Make, target: LocalTarget
) -> None:
    make(1.0)
    deploy.start(project, "flights", "delay", 1)
    deploy.apply(project, "flights", target)
    process = serving.find_process(project.state, "flights")
    assert process is not None
    folder = serving.endpoint_folder(project.state, "flights")
    good = (folder / "routes.json").read_bytes()
    (folder / "routes.json").write_bytes(
        good.replace(b'"generation":1', b'"generation":2').replace(b'"package":"', b'"package":"00')
    )
    with pytest.raises(serving.EndpointFailed, match="refused"):
        serving.ask(process, "/bucle/reload")
    with serving.Client(process.url) as client:
        assert client.infer("delay", {"hour": [9.0]}).version == 1
    assert os.getpid() != process.pid
