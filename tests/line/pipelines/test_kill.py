"""The runner is killed at any moment; whoever asks again goes on, and nothing is lost, doubled or left running."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from bucle.ground.core import digest_of_value
from bucle.ground.ledger import Anchor, verify_log
from bucle.ground.project import Project
from bucle.ground.store import METADATA
from bucle.line import pipelines

from .conftest import Flow

LINE = """
    @step
    def start(rows: int) -> pl.DataFrame:
        ran("begin:start")
        frame = pl.DataFrame({"a": np.arange(rows)})
        ran("end:start")
        return frame

    @step
    def grow(frame: pl.DataFrame, by: int) -> pl.DataFrame:
        ran(f"begin:grow{by}")
        helper = subprocess.Popen(["sleep", "60"], start_new_session=by % 2 == 0)
        time.sleep(0.02)
        helper.kill()
        helper.wait()
        ran(f"end:grow{by}")
        return frame.with_columns(pl.col("a") * 31 % 1009 + by)

    @step
    def weigh(frame: pl.DataFrame, at: int) -> int:
        ran(f"begin:weigh{at}")
        time.sleep(0.01)
        ran(f"end:weigh{at}")
        return int(frame["a"].sum()) + at

    @pipeline
    def line(rows: int, length: int) -> dict[str, object]:
        frame = start(rows)
        for by in range(length):
            frame = grow(frame, by=by)
        weights = weigh.map([{"frame": frame, "at": at} for at in range(4)], at_once=2)
        return {"frame": frame, "weights": weights}
"""

DRIVER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
import sys
from bucle.ground.project import Project
from bucle.line import pipelines

project = Project.open(sys.argv[1], actor="ana")
print(pipelines.run(project, "line", {"rows": 1000, "length": int(sys.argv[2])}, key="k").result)
project.close()
"""


class Runner:
    """A process that runs the pipeline, and everything that comes of it."""

    def __init__(self, flow: Flow, length: int) -> None:
        self.flow = flow
        self.length = length
        self.token = uuid.uuid4().hex

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(self.flow.root), str(self.length)],
            env={**os.environ, "BUCLE_TEST_TOKEN": self.token},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def offspring(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("BUCLE_TEST_TOKEN") == self.token:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def nothing_is_left(self) -> bool:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not self.offspring():
                return True
        return False


@contextmanager
def looking(flow: Flow) -> Iterator[Project]:
    project = Project.open(flow.root, actor="eva")
    try:
        yield project
    finally:
        project.close()


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not holds() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)


def check_after_kill(runner: Runner) -> set[str]:
    """What the journal says is finished."""
    assert runner.nothing_is_left()
    with looking(runner.flow) as project:
        assert verify_log(project.database, Anchor(project.state / "ledger.anchor")).faults == ()
        known = pipelines.executions(project)
        assert len(known) <= 1
        assert [one.id for one in pipelines.recover(project)] == [one.id for one in known if one.status != "succeeded"]
        runs = [run for one in known for run in pipelines.step_runs(project, one.id)]
        for run in runs:
            if run.status == "succeeded":
                assert all(project.blobs.path(digest) for digest in run.outputs.values())
        return {name_of(run) for run in runs if run.status == "succeeded"}


def name_of(run: pipelines.StepRun) -> str:
    return f"{run.step}{run.params.get('by', run.params.get('at', ''))}"


def begun(flow: Flow) -> Counter[str]:
    return Counter(line.removeprefix("begin:") for line in flow.ran() if line.startswith("begin:"))


def kill_and_resume(flow: Flow, kills: int, length: int, seed: int) -> int:
    """Kill `kills` times at random, then let it end. Returns how many kills hit a running process."""
    chance, runner, hits = random.Random(seed), Runner(flow, length), 0
    for _ in range(kills):
        process = runner.start()
        if chance.random() < 0.2:
            moment = time.monotonic() + chance.uniform(0.0, 2.0)
            wait_until(lambda moment=moment: time.monotonic() > moment, process)
        else:
            lines = len(flow.ran()) + chance.randint(1, 4)
            wait_until(lambda lines=lines: len(flow.ran()) >= lines, process)
            moment = time.monotonic() + chance.uniform(0.0, 0.08)
            wait_until(lambda moment=moment: time.monotonic() > moment, process)
        hits += process.poll() is None
        process.kill()
        process.communicate()
        finished, before = check_after_kill(runner), begun(flow)
        last = finished, before

    finished, before = last
    process = runner.start()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    after = begun(flow)
    assert all(after[name] == before[name] for name in finished)
    assert sum(after.values()) <= length + 5 + 2 * kills
    assert runner.nothing_is_left()
    check_the_end(flow, length)
    assert out
    return hits


def check_the_end(flow: Flow, length: int) -> None:
    with looking(flow) as project:
        (execution,) = pipelines.executions(project)
        assert execution.status == "succeeded"
        runs = pipelines.step_runs(project, execution.id)
        assert [run.status for run in runs] == ["succeeded"] * (length + 5)
        kinds = Counter(event.kind for event in project.ledger.events(kinds=["pipelines.*"]))
        assert kinds["pipelines.execution_started"] == kinds["pipelines.execution_succeeded"] == 1
        assert kinds["pipelines.step_succeeded"] == length + 5
        assert verify_log(project.database, Anchor(project.state / "ledger.anchor")).faults == ()
        assert list((project.state / "steps").iterdir()) == []
        plain = pipelines.pipelines_of(project)["line"](rows=1000, length=length)
        assert execution.result["weights"] == plain["weights"]
        import polars as pl

        assert pipelines.value_of(project, execution.result["frame"]["blob"], pl.DataFrame).equals(plain["frame"])


def test_a_runner_killed_at_six_random_points_ends_as_if_it_had_not_been(flow: Flow) -> None:
    flow.write(LINE)
    assert kill_and_resume(flow, kills=6, length=8, seed=1) >= 3


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_runner_killed_at_many_random_points_ends_as_if_it_had_not_been(flow: Flow, seed: int) -> None:
    flow.write(LINE)
    assert kill_and_resume(flow, kills=12, length=20, seed=seed) >= 8


def test_a_runner_that_stood_still_and_was_taken_over_cannot_write_any_more(flow: Flow) -> None:
    flow.write(LINE)
    runner = Runner(flow, 3)
    process = runner.start()
    wait_until(lambda: "begin:grow0" in flow.ran(), process)
    process.send_signal(signal.SIGSTOP)
    with looking(flow) as project:
        id_ = digest_of_value({"execution": "k"})[:16]
        with pytest.raises(pipelines.ExecutionBusy):
            pipelines.resume(project, id_)
        leases = METADATA.tables["leases"]
        with project.database.writing() as connection:
            connection.execute(sa.update(leases).values(expires_at=0.0))
        assert [one.id for one in pipelines.recover(project)] == [id_]
        execution = pipelines.resume(project, id_)
        size = project.ledger.size()
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        assert b"LeaseLost" in err
        assert project.ledger.size() == size
        assert pipelines.execution(project, id_) == execution
    assert runner.nothing_is_left()
    check_the_end(flow, 3)


def test_an_interrupted_runner_leaves_nothing_behind_and_can_be_resumed_at_once(flow: Flow) -> None:
    flow.write(LINE)
    runner = Runner(flow, 3)
    process = runner.start()
    wait_until(lambda: "begin:grow1" in flow.ran(), process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert runner.nothing_is_left()
    finished = check_after_kill(runner)
    assert {"start", "grow0"} <= finished
    with looking(flow) as project:
        (lost,) = pipelines.recover(project)
        assert pipelines.resume(project, lost.id).status == "succeeded"
    check_the_end(flow, 3)


def test_when_the_process_that_starts_steps_is_killed_its_steps_die_and_the_next_run_has_a_new_one(flow: Flow) -> None:
    flow.write(LINE)
    runner = Runner(flow, 3)
    process = runner.start()
    wait_until(lambda: "begin:grow1" in flow.ran(), process)
    for child in psutil.Process(process.pid).children():
        child.kill()
    _, err = process.communicate(timeout=60)
    assert b"has ended" in err
    with looking(flow) as project:
        (failed,) = pipelines.executions(project)
        assert failed.status == "failed"
        assert pipelines.resume(project, failed.id).status == "succeeded"


SCRIPT = """
    @step
    def double(x: int) -> int:
        ran("double")
        return 2 * x

    @pipeline
    def line(x: int) -> int:
        return double(x)

    def main() -> None:
        project = Project.open({root!r}, actor="ana")
        from bucle.line import pipelines
        print(pipelines.run(project, line, {{"x": 21}}).result)
        project.close()

    if __name__ == "__main__":
        main()
"""

FROM_STDIN = """
from bucle.ground.project import Project
from bucle.line import pipelines
project = Project.open({root!r}, actor="ana")
print(pipelines.run(project, "line", {{"x": 21}}).result)
project.close()
"""


@pytest.mark.parametrize(
    "how",
    [
        "script",
        "-m",
        "stdin",
        pytest.param("relative", marks=pytest.mark.full),
        pytest.param("entry", marks=pytest.mark.full),
    ],
)
def test_it_works_whatever_the_main_program_is(flow: Flow, how: str, tmp_path: Path) -> None:
    flow.write(SCRIPT.format(root=str(flow.root)))
    entry = tmp_path / "entry"
    entry.write_text(f"import sys; sys.path.insert(0, {str(flow.root)!r}); from flow import main; sys.exit(main())")
    command = {
        "script": [str(flow.root / "flow.py")],
        "relative": ["flow.py"],
        "-m": ["-m", "flow"],
        "entry": [str(entry)],
        "stdin": ["-"],
    }[how]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=flow.root,
        input=FROM_STDIN.format(root=str(flow.root)).encode() if how == "stdin" else b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.strip() == b"42"
    assert done.stderr == b""
    assert flow.ran() == ["double"]
