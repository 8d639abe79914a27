"""Why a step was computed, whether it can be computed again to the same bits, and what is told to who errs."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bucle.ground.code import CodeChanged
from bucle.ground.core import Environment, NotFound, SimulatedClock, decode, environment
from bucle.ground.project import Project
from bucle.line import environments, pipelines
from bucle.line.pipelines import pipeline, step

from .conftest import Flow

Opener = Callable[[], Project]

LINE = """
    OFFSET = 1

    def shift(x: float) -> float:
        return x + OFFSET

    @step
    def draw(count: int, seed: int) -> np.ndarray:
        return np.random.normal(size=count)

    @step
    def unseeded(numbers: np.ndarray) -> list[float]:
        import random
        return [random.random(), float(np.random.uniform()), shift(float(numbers.sum())), hash("text") % 97]

    @step(cache=False)
    def entropy() -> str:
        return os.urandom(8).hex()

    @pipeline
    def line(count: int, seed: int = 1) -> list[float]:
        entropy()
        return unseeded(draw(count, seed))
"""


def test_why_names_the_parameter_that_changed(flow: Flow, opened: Opener, clock: SimulatedClock) -> None:
    flow.write(LINE)
    project = opened()
    first = pipelines.run(project, "line", {"count": 3})
    clock.advance(timedelta(days=1))
    second = pipelines.run(project, "line", {"count": 3, "seed": 2})
    _, draw, unseeded = pipelines.step_runs(project, second.id)
    why = pipelines.why(project, draw)
    assert (why.against, why.status) == (f"{first.id}.1", "succeeded")
    assert why.changes == (pipelines.Change(part="param", name="seed", before="1", after="2"),)
    assert [(change.part, change.name) for change in pipelines.why(project, unseeded.id).changes] == [
        ("input", "numbers")
    ]
    assert pipelines.why(project, f"{first.id}.1").against == ""


def test_why_names_the_function_that_changed(flow: Flow, opened: Opener, clock: SimulatedClock) -> None:
    flow.write(LINE)
    project = opened()
    pipelines.run(project, "line", {"count": 3})
    clock.advance(timedelta(days=1))
    flow.write(LINE.replace("OFFSET = 1", "OFFSET = 2"))
    second = pipelines.run(opened(), "line", {"count": 3})
    _, draw, unseeded = pipelines.step_runs(project, second.id)
    assert (draw.status, unseeded.status) == ("cached", "succeeded")
    assert pipelines.why(project, draw).changes == ()
    assert pipelines.why(project, unseeded).changes == (
        pipelines.Change(part="code", name="flow.py:OFFSET", before="OFFSET = 1", after="OFFSET = 2"),
    )


def test_a_step_runs_the_code_its_key_was_made_of_even_when_the_file_is_edited_in_the_same_second(
    flow: Flow, opened: Opener
) -> None:
    for value in (1, 2, 3):
        flow.write(f"""
            VALUE = {value}

            @step
            def look() -> int:
                return VALUE

            @pipeline
            def line() -> int:
                return look()
        """)
        assert pipelines.run(opened(), "line", {}).result == value


def test_a_step_computed_again_is_the_same_bit_for_bit(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    execution = pipelines.run(project, "line", {"count": 1000})
    for run in pipelines.step_runs(project, execution.id)[1:]:
        again = pipelines.reproduce(project, run)
        assert again.identical
        assert again.same_environment
        assert again.got == run.outputs
    events = project.ledger.events(kinds=["pipelines.step_reproduced"])
    assert [event.data["identical"] for event in events] == [True, True]


def test_a_step_that_cannot_be_reproduced_is_told_so(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    project = opened()
    execution = pipelines.run(project, "line", {"count": 3})
    assert not pipelines.reproduce(project, f"{execution.id}.0").identical
    flow.write(LINE.replace("OFFSET = 1", "OFFSET = 2"))
    with pytest.raises(CodeChanged):
        pipelines.reproduce(project, f"{execution.id}.2")


def test_an_edit_does_not_reach_an_execution_that_has_begun(flow: Flow, opened: Opener) -> None:
    flow.write("""
        VALUE = 1

        @step
        def edits(where: str) -> int:
            text = Path(where).read_text()
            Path(where).write_text(text.replace("VALUE = 1", "VALUE = 2"))
            return 1

        @step
        def after(x: int) -> int:
            return VALUE

        @pipeline
        def line(where: str) -> int:
            return after(edits(where))
    """)
    where = str(flow.root / "flow.py")
    assert pipelines.run(opened(), "line", {"where": where}).result == 1
    assert pipelines.run(opened(), "line", {"where": where}).result == 2


def test_a_new_process_refuses_code_that_was_changed_meanwhile(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step(cache=False)
        def edits(where: str) -> int:
            Path(where).write_text(Path(where).read_text() + "\\n# edited\\n")
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
            return 1

        @step
        def after() -> int:
            return 1

        @pipeline
        def line(where: str) -> int:
            try:
                edits(where)
            except Exception:
                return after()
            return 0
    """)
    with pytest.raises(pipelines.StepFailed, match="was changed while"):
        pipelines.run(opened(), "line", {"where": str(flow.root / "flow.py")})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"cuont": 3}, "Did you mean 'count'"),
        ({}, "missing a required argument"),
        ({"count": "three"}, "Expected `int`"),
    ],
)
def test_wrong_parameters_are_told(flow: Flow, opened: Opener, params: dict[str, object], words: str) -> None:
    flow.write(LINE)
    project = opened()
    with pytest.raises(pipelines.BadParams, match=words):
        pipelines.run(project, "line", params)
    assert project.ledger.size() == 0


def test_a_near_miss_of_a_pipeline_is_offered(flow: Flow, opened: Opener) -> None:
    flow.write(LINE)
    with pytest.raises(pipelines.NoSuchPipeline, match="Did you mean 'line'"):
        pipelines.run(opened(), "lime", {})


def test_what_does_not_exist_is_not_found(project: Project) -> None:
    for ask in (pipelines.execution, pipelines.resume, pipelines.step_run, pipelines.why, pipelines.log_of):
        with pytest.raises(NotFound):
            ask(project, "none")
    assert pipelines.step_runs(project, "none") == []


def test_a_step_that_no_other_process_could_find_is_refused(project: Project) -> None:
    @step
    def nested(x: int) -> int:
        return x

    @pipeline
    def line() -> int:
        return nested(1)

    with pytest.raises(pipelines.NotImportable):
        pipelines.run(project, line, {})
    assert line() == 1


def test_a_step_without_annotations_is_refused(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def untyped(x) -> int:
            return 1

        @pipeline
        def line() -> int:
            return untyped(1)

        @step
        def wrong(x: int) -> int:
            return "text"

        @pipeline
        def lie() -> int:
            return wrong(1)
    """)
    project = opened()
    with pytest.raises(pipelines.NotTyped, match="parameter 'x' of untyped"):
        pipelines.run(project, "line", {})
    with pytest.raises(pipelines.StepFailed, match=r"wrong\.result is a str that cannot be kept"):
        pipelines.run(project, "lie", {})


def test_a_result_within_the_tolerance_is_close_and_another_is_not(flow: Flow, opened: Opener) -> None:
    flow.write("""
        @step
        def shaky(size: float) -> dict[str, float]:
            return {"loss": 1.0 + size * int.from_bytes(os.urandom(4), "big") / 2**32}

        @pipeline
        def line(size: float) -> dict[str, float]:
            return shaky(size)
    """)
    project = opened()
    for size, outcome in ((1e-8, "close"), (1.0, "different")):
        execution = pipelines.run(project, "line", {"size": size})
        found = pipelines.reproduce(project, f"{execution.id}.0")
        assert (found.outcome, found.identical) == (outcome, False)
        assert [one.output for one in found.deviations] == ["result"]
    tight = pipelines.Tolerance(relative=0, absolute=0)
    first = pipelines.executions(project)[-1]
    assert pipelines.reproduce(project, f"{first.id}.0", tolerance=tight).outcome == "different"


def test_steps_run_in_another_python_and_their_key_says_so(flow: Flow, opened: Opener, tmp_path: Path) -> None:
    """A virtual environment that sees the packages of this one, and one more."""
    flow.write("""
        import sys

        @step
        def where() -> list[str]:
            import extra_thing
            return [sys.executable, os.environ["VIRTUAL_ENV"], extra_thing.NAME]

        @pipeline
        def line() -> list[str]:
            return where()
    """)
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "here.pth").write_text("\n".join(path for path in sys.path if path))
    (site / "extra_thing.py").write_text("NAME = 'extra'\n")
    about = site / "extra_thing-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-thing\nVersion: 1.0\n")
    other = environments.interpreter_at(tmp_path / "venv" / "bin" / "python")
    project = opened()
    with closing(pipelines.LocalProcesses(other)) as place:
        execution = pipelines.run(project, "line", {}, executor=place)
        (step_run,) = pipelines.step_runs(project, execution.id)
        assert pipelines.reproduce(project, step_run, executor=place).same_environment
    program, home, name = execution.result
    assert (Path(program).parent.parent, home, name) == (tmp_path / "venv", str(tmp_path / "venv"), "extra")
    recorded = decode(project.blobs.get(step_run.environment), Environment)
    assert recorded == other.environment
    assert environments.diff(environment(), recorded)[0].name == "extra-thing"
    with pytest.raises(pipelines.StepFailed):
        pipelines.run(project, "line", {})
