from __future__ import annotations

from pathlib import Path

import pytest

from doors.cli.typed import Bucle

MODULE = """
from bucle.line.pipelines import pipeline, step


@step
def double(number: int) -> int:
    print("doubling", number)
    return 2 * number


@step
def halve(number: int, flag: str) -> int:
    if not __import__("pathlib").Path(flag).exists():
        raise ValueError("no flag yet")
    return number // 2


@pipeline
def numbers(number: int, label: str = "none") -> dict[str, int | str]:
    return {"number": double(number), "label": label}


@pipeline
def stubborn(number: int, flag: str) -> int:
    return halve(double(number), flag)


@pipeline
def broken(number: int = 1) -> int:
    raise KeyError("nothing here")
"""


@pytest.fixture
def plant(empty: Path) -> Path:
    text = (empty / "bucle.toml").read_text().replace("modules = []", 'modules = ["plant"]')
    (empty / "bucle.toml").write_text(text)
    (empty / "plant.py").write_text(MODULE)
    return empty


def test_parameters_are_read_as_the_pipeline_wants_them(bucle: Bucle, plant: Path) -> None:
    where = ["--project", str(plant)]
    said = bucle("run", "numbers", "-p", "number=21", "-p", "label=7", "--json", *where)
    assert said.record["result"] == {"number": 42, "label": "7"}
    unknown = bucle("run", "numbers", "-p", "numbr=1", *where)
    assert (unknown.status, "Did you mean 'number'?" in unknown.err) == (2, True)


def test_an_execution_and_its_log_can_be_looked_at(bucle: Bucle, plant: Path) -> None:
    where = ["--project", str(plant)]
    made = bucle("run", "numbers", "-p", "number=21", "--json", *where).record["id"]
    shown = bucle("run", "--show", made[:6], "--json", *where).record
    assert [step["step"] for step in shown["steps"]] == ["double"]
    assert bucle("run", "--log", shown["steps"][0]["id"], *where).out == "doubling 21\n"
    assert "def double" in bucle("run", "--code", shown["steps"][0]["id"], *where).out


def test_a_step_that_failed_is_gone_on_with(bucle: Bucle, plant: Path) -> None:
    where, flag = ["--project", str(plant)], plant / "flag"
    failed = bucle("run", "stubborn", "-p", "number=4", "-p", f"flag={flag}", *where)
    assert (failed.status, "ValueError: no flag yet" in failed.err) == (6, True)
    flag.touch()
    again = bucle("run", "--resume", *where, "--json")
    assert (again.status, again.record["result"]) == (0, 4)
    assert bucle("run", "--resume", *where).status == 6


def test_what_a_body_raises_is_an_error_without_a_traceback(
    bucle: Bucle, plant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BUCLE_DEBUG", raising=False)
    said = bucle("run", "broken", "--project", str(plant))
    assert (said.status, "KeyError: 'nothing here'" in said.err) == (1, True)


@pytest.mark.parametrize("command", ["run", "run numbers --list"])
def test_one_thing_is_asked_at_a_time(bucle: Bucle, plant: Path, command: str) -> None:
    assert bucle(*command.split(), "--project", str(plant)).status == 2
