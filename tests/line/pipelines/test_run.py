from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import psutil
import pytest

from bucle.ground.core import SimulatedClock
from bucle.ground.ledger import Anchor, verify_log
from bucle.ground.project import Project
from bucle.line import pipelines
from bucle.line.pipelines import StepRun

from .conftest import Flow

Opener = Callable[[], Project]

LINE = """
    class Parts(NamedTuple):
        train: pl.DataFrame
        test: pl.DataFrame
        rows: int

    class Score(Record, frozen=True):
        mean: float
        rows: int

    @step
    def build(rows: int) -> pl.DataFrame:
        ran("build")
        return pl.DataFrame({"a": range(rows), "b": [f"row {i}" if i % 3 else None for i in range(rows)]})

    @step
    def split(frame: pl.DataFrame, share: float) -> Parts:
        ran("split")
        cut = int(frame.height * share)
        return Parts(frame[:cut], frame[cut:], frame.height)

    @step
    def train(parts: Parts, rounds: int, seed: int = 3) -> dict[str, np.ndarray]:
        ran("train")
        noise = np.random.normal(size=rounds)
        return {"weights": noise, "rows": parts.train["a"].to_numpy()}

    @step
    def score(weights: np.ndarray, test: pl.DataFrame, extra: list[pl.DataFrame]) -> Score:
        ran("score")
        return Score(mean=float(weights.mean()) + float(test["a"].mean()), rows=sum(f.height for f in extra))

    @pipeline
    def line(rows: int = 90, rounds: int = 4) -> dict[str, object]:
        frame = build(rows)
        parts = split(frame, share=0.5)
        fitted = train(parts, rounds=rounds)
        result = score(fitted["weights"], parts.test, [frame, parts.train])
        if result.rows != 135:
            build(rows + 1)
        return {"mean": result.mean, "score": result, "frame": frame, "weights": fitted["weights"]}
"""


def run_line(project: Project, **params: object) -> pipelines.Execution:
    return pipelines.run(project, "line", params)


def test_a_pipeline_runs_each_step_and_keeps_its_typed_outputs(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    told: list[StepRun] = []
    execution = pipelines.run(project, "line", {}, report=told.append)
    assert execution.status == "succeeded"
    assert execution.params == {"rows": 90, "rounds": 4}
    assert flow.ran() == ["build", "split", "train", "score"]
    steps = pipelines.step_runs(project, execution.id)
    assert [run.step for run in steps] == ["build", "split", "train", "score"]
    assert [run.status for run in told] == ["running", "succeeded"] * 4
    frame = pipelines.value_of(project, steps[0].outputs["result"], pl.DataFrame)
    assert frame["a"].to_list() == list(range(90))
    assert frame["b"][:3].to_list() == [None, "row 1", "row 2"]
    assert set(steps[1].outputs) == {"train", "test", "rows"}
    assert steps[1].inputs == {"frame": steps[0].outputs["result"]}
    assert steps[1].params == {"share": 0.5}
    assert set(steps[2].outputs) == {"weights", "rows"}
    assert steps[2].seed == 3
    assert set(steps[3].inputs) == {"weights", "test", "extra.0", "extra.1"}
    assert execution.result["frame"] == {"blob": steps[0].outputs["result"], "kind": "frame"}
    assert execution.result["score"] == {"mean": execution.result["mean"], "rows": 135}
    assert pipelines.execution(project, execution.id) == execution


def test_nothing_is_computed_twice_across_executions(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    first = run_line(project)
    second = run_line(project)
    assert first.result == second.result
    assert len(flow.ran()) == 4
    cached = pipelines.step_runs(project, second.id)
    assert [run.status for run in cached] == ["cached"] * 4
    assert [run.origin for run in cached] == [f"{first.id}.{at}" for at in range(4)]
    run_line(project, rounds=5)
    assert flow.ran()[4:] == ["train", "score"]


def test_it_works_alike_on_each_database(any_project: Project, tmp_path: Path) -> None:
    Flow(any_project.root, tmp_path / "side.txt").write(LINE)
    (any_project.root / "bucle.toml").write_text('[project]\nname = "test"\nmodules = ["flow"]\n')
    project = Project.open(any_project.root, clock=any_project.clock, database=any_project.database.url, actor="ana")
    try:
        execution = pipelines.run(project, "line", {"rows": "90"}, key="month 1")
        assert pipelines.run(project, "line", {}, key="month 1") == execution
        assert pipelines.executions(project, 5) == [execution]
        report = verify_log(project.database, Anchor(project.state / "ledger.anchor"))
        assert report.faults == ()
        assert report.rows >= 5
    finally:
        project.close()


def test_the_ledger_tells_what_happened_and_where_outputs_came_from(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    execution = run_line(project)
    run_line(project)
    kinds = [event.kind.removeprefix("pipelines.") for event in project.ledger.events()]
    computed = ["step_started", "step_succeeded"] * 4
    assert kinds[:10] == ["execution_started", *computed, "execution_succeeded"]
    assert kinds[10:] == ["execution_started", *["step_cached"] * 4, "execution_succeeded"]
    steps = pipelines.step_runs(project, execution.id)
    upstream = {edge.source for edge in project.ledger.lineage(f"blob/{steps[3].outputs['result']}")}
    assert {f"step/{run.key}" for run in steps} <= upstream
    assert f"execution/{execution.id}" in upstream


def test_outside_a_run_steps_and_pipelines_are_plain_functions(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    line = pipelines.pipelines_of(project)["line"]
    assert isinstance(line(rows=90)["frame"], pl.DataFrame)
    assert pipelines.executions(project) == []


def test_a_failing_step_tells_its_own_error_and_keeps_its_log(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def fine() -> int:
            ran("fine")
            return 1

        @step
        def breaks(x: int) -> int:
            print("about to break")
            raise ValueError(f"no {x}")

        @pipeline
        def line() -> int:
            return breaks(fine())
    """)
    project = opened()
    with pytest.raises(pipelines.StepFailed, match="breaks failed: ValueError: no 1"):
        run_line(project)
    (execution,) = pipelines.executions(project)
    assert execution.status == "failed"
    fine, broken = pipelines.step_runs(project, execution.id)
    assert (fine.status, broken.status) == ("succeeded", "failed")
    assert broken.error is not None
    assert broken.error.kind == "ValueError"
    log = pipelines.log_of(project, broken)
    assert "about to break" in log
    assert "ValueError: no 1" in log


def test_a_failed_execution_is_resumed_with_mended_code_from_where_it_failed(flow: Flow, opened: Opener) -> None:
    body = """
        @step
        def fine() -> int:
            ran("fine")
            return 1

        @step
        def divide(x: int) -> float:
            ran("divide")
            return x / {by}

        @pipeline
        def line() -> float:
            return divide(fine())
    """
    flow.write(body.replace("{by}", "0"))
    project = opened()
    with pytest.raises(pipelines.StepFailed, match="ZeroDivisionError"):
        run_line(project)
    (execution,) = pipelines.executions(project)
    flow.write(body.replace("{by}", "2"))
    again = pipelines.resume(opened(), execution.id)
    assert (again.id, again.status, again.result) == (execution.id, "succeeded", 0.5)
    assert flow.ran() == ["fine", "divide", "divide"]


def test_an_error_of_bucle_crosses_the_process_whole(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def refuses() -> int:
            raise UserError("It is raining.", why="Wet data.", fix="Wait.")

        @pipeline
        def line() -> int:
            return refuses()
    """)
    with pytest.raises(pipelines.StepFailed, match="It is raining") as caught:
        run_line(opened())
    assert (caught.value.why, caught.value.fix) == ("Wet data.", "Wait.")


def test_a_step_is_retried_as_often_as_it_says(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step(retries=2, retry_delay_s=0.01)
        def shaky(upto: int) -> int:
            ran("try")
            tries = len(SIDE.read_text().split())
            if tries < upto:
                raise OSError(tries)
            return tries

        @pipeline
        def line(upto: int) -> int:
            return shaky(upto)
    """)
    project = opened()
    execution = run_line(project, upto=3)
    assert execution.result == 3
    (run,) = pipelines.step_runs(project, execution.id)
    assert (run.attempt, run.status, run.error) == (3, "succeeded", None)
    with pytest.raises(pipelines.StepFailed):
        run_line(project, upto=99)
    assert len(flow.ran()) == 6


def test_a_step_that_takes_too_long_is_killed_with_all_it_started(flow: Flow, opened: Opener, tmp_path: Path) -> None:
    flow.write("""
        @step(timeout_s=1.0)
        def hangs(where: str) -> int:
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(where).write_text(f"{os.getpid()} {child.pid}")
            time.sleep(600)
            return 1

        @pipeline
        def line(where: str) -> int:
            return hangs(where)
    """)
    project = opened()
    with pytest.raises(pipelines.StepTimedOut, match="longer than 1 s"):
        run_line(project, where=str(tmp_path / "pids"))
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert gone(pid)


def test_what_a_step_leaves_running_dies_with_it(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def forgets() -> int:
            return subprocess.Popen(["sleep", "600"], start_new_session=True).pid

        @pipeline
        def line() -> int:
            return forgets()
    """)
    assert gone(run_line(opened()).result)


def test_a_step_whose_process_dies_is_a_failure_and_the_next_one_runs(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def dies(how: str) -> int:
            if how == "exit":
                os._exit(3)
            if how == "sys":
                sys.exit(4)
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "parent":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(600)
            return 1

        @pipeline
        def line(how: str) -> int:
            return dies(how)
    """)
    project = opened()
    for how, words in (("exit", "status 3"), ("sys", "SystemExit"), ("kill", "SIGKILL"), ("parent", "has ended")):
        with pytest.raises(pipelines.StepFailed, match=words):
            run_line(project, how=how)
        assert run_line(project, how="well").result == 1


def test_a_step_gets_the_project_at_the_instant_of_the_engine(
    flow: Flow, opened: Opener, clock: SimulatedClock
) -> None:
    flow.write("""
        @step
        def looks(project: Project, x: int) -> str:
            with project.ledger.transaction("test.looked", subject="test/x", actor=project.actor):
                pass
            return f"{project.name} {project.clock.now().isoformat()} {x}"

        @pipeline
        def line(project: Project) -> str:
            return looks(project, x=2)
    """)
    project = opened()
    assert run_line(project).result == f"test {clock.now().isoformat()} 2"
    assert [event.actor for event in project.ledger.events(kinds=["test.looked"])] == ["ana"]


def test_a_key_gives_the_same_execution_once(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    first = pipelines.run(project, "line", {"rounds": 2}, key="cycle 7")
    assert pipelines.run(project, "line", {"rounds": 2}, key="cycle 7") == first
    assert project.ledger.size() == 10
    with pytest.raises(pipelines.KeyReused):
        pipelines.run(project, "line", {"rounds": 3}, key="cycle 7")


def test_a_key_whose_execution_failed_tells_the_failure_again(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def breaks() -> int:
            ran("breaks")
            raise ValueError("no")

        @pipeline
        def line() -> int:
            return breaks()

        @pipeline
        def body() -> int:
            raise KeyError("mine")
    """)
    project = opened()
    for _ in range(2):
        with pytest.raises(pipelines.StepFailed, match="ValueError: no"):
            pipelines.run(project, "line", {}, key="k")
    assert flow.ran() == ["breaks"]
    with pytest.raises(KeyError):
        pipelines.run(project, "body", {}, key="b")
    with pytest.raises(pipelines.ExecutionFailed, match="mine"):
        pipelines.run(project, "body", {}, key="b")


def test_two_runners_that_need_the_same_key_compute_it_once(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def slow(x: int) -> int:
            ran("slow")
            time.sleep(0.5)
            return x + 1

        @pipeline
        def line() -> int:
            return slow(1)
    """)
    results: list[object] = []
    projects = [opened(), opened()]
    threads = [threading.Thread(target=lambda p=p: results.append(run_line(p).result)) for p in projects]
    for project in projects:
        project.modules()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2, 2]
    assert flow.ran() == ["slow"]


def test_a_map_runs_several_at_once_and_keeps_their_order(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def square(x: int) -> int:
            ran(str(x))
            if x == 13:
                raise ValueError("unlucky")
            return x * x

        @pipeline
        def line(upto: int) -> list[int]:
            return square.map([{"x": x % 5} for x in range(upto)], at_once=3)

        @pipeline
        def unlucky() -> list[int]:
            return square.map([{"x": x} for x in (11, 12, 13, 14)], at_once=2)
    """)
    project = opened()
    execution = run_line(project, upto=7)
    assert execution.result == [0, 1, 4, 9, 16, 0, 1]
    assert sorted(flow.ran()) == ["0", "1", "2", "3", "4"]
    with pytest.raises(pipelines.StepFailed, match="unlucky"):
        pipelines.run(project, "unlucky", {})


def test_a_damaged_output_is_computed_again_and_an_absent_one_too(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    first = run_line(project)
    build, split, *_ = pipelines.step_runs(project, first.id)
    damaged = project.blobs.path(build.outputs["result"])
    data = bytearray(damaged.read_bytes())
    data[-20] ^= 1
    damaged.write_bytes(data)
    project.blobs.path(split.outputs["test"]).unlink()
    second = run_line(project)
    assert second.result == first.result
    assert flow.ran()[4:] == ["build", "split"]
    assert project.blobs.path(build.outputs["result"]).is_file()


def test_a_step_without_cache_runs_in_every_execution_but_once_in_each(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step(cache=False)
        def looks() -> int:
            ran("looks")
            return 1

        @step
        def breaks(x: int) -> int:
            if len(SIDE.read_text().split()) < 2:
                raise ValueError
            return x

        @pipeline
        def line() -> int:
            return breaks(looks())
    """)
    project = opened()
    with pytest.raises(pipelines.StepFailed):
        run_line(project)
    with pytest.raises(pipelines.StepFailed):
        pipelines.resume(project, pipelines.executions(project)[0].id)
    assert flow.ran() == ["looks"]
    assert run_line(project).result == 1
    assert flow.ran() == ["looks", "looks"]


def test_files_bytes_and_none_travel_too(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def write() -> Path:
            Path("model.txt").write_text("hello")
            return Path("model.txt")

        @step
        def read(file: Path, more: bytes | None, none: bytes | None = None) -> bytes:
            assert none is None
            return file.read_bytes() + (more or b"")

        @step
        def nothing() -> None:
            pass

        @step
        def maybe(data: bytes) -> pl.DataFrame | None:
            return None

        @pipeline
        def line(extra: str) -> dict[str, object]:
            outside = Path(extra)
            data = read(write(), read(outside, b"!"))
            return {"data": len(data), "none": nothing(), "maybe": maybe(data)}
    """)
    (flow.root / "extra.txt").write_text("abc")
    project = opened()
    execution = run_line(project, extra=str(flow.root / "extra.txt"))
    assert execution.result == {"data": 9, "none": None, "maybe": None}
    assert (flow.root / "extra.txt").is_file()
    assert list((project.state / "steps").iterdir()) == []


def test_a_step_may_use_every_thread_of_polars_and_numpy(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def heavy(rows: int) -> float:
            frame = pl.DataFrame({"a": np.arange(rows), "b": np.arange(rows) % 97})
            grouped = frame.lazy().group_by("b").agg(pl.col("a").sum()).sort("b").collect()
            other = frame.lazy().sort("a", descending=True).join(grouped.lazy(), on="b").collect()
            return float(np.linalg.norm(np.ones((200, 200)) @ np.ones((200, 200)))) + other.height

        @pipeline
        def line() -> list[float]:
            pl.DataFrame({"a": range(100_000)}).lazy().group_by("a").len().collect()
            return [heavy(rows) for rows in (10_000, 200_000)]
    """)
    assert run_line(opened()).result == [50_000.0 * 0 + 40_000.0 + 10_000, 40_000.0 + 200_000]


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
    return False
