"""What an MLproject file says, and what is said of one that is not in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bucle.doors.protocols.mlproject import BadMlproject, EntryPoint, Parameter, UnsupportedEnvironment, read_mlproject
from bucle.doors.protocols.mlproject.command import command_of, values_of
from bucle.doors.protocols.mlproject.surroundings import wanted_by

HERE = Path.cwd()


def test_a_project_is_read_as_it_is_written(folder: Path) -> None:
    found = read_mlproject(folder)
    assert (found.name, list(found.entry_points)) == ("tutorial", ["main", "validate", "fails", "killed", "waits"])
    assert found.entry_points["main"].parameters == (
        Parameter(name="alpha", type="float", default="0.5"),
        Parameter(name="l1_ratio", type="float", default="0.1"),
    )
    assert found.entry_point("train.py").command == "python train.py"
    wanted = wanted_by(found)
    assert wanted is not None
    assert (wanted.python, wanted.requirements) == ("3.11", f"pip\n-r {folder.resolve()}/requirements.txt\n")


@pytest.mark.parametrize(
    "text",
    [
        "entry_points: [main]",
        "entry_points: {main: {}}",
        "- a",
        "a: [",
        "python_env: gone.yaml",
        "python_env: a\nconda_env: b",
        "entry_points: {main: {command: x, parameters: {a: 1}}}",
    ],
)
def test_a_file_that_is_not_in_order_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLproject").write_text(text)
    with pytest.raises(BadMlproject):
        read_mlproject(tmp_path)


def test_docker_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mlproject").write_text("docker_env: {image: python}")
    with pytest.raises(UnsupportedEnvironment, match="Docker") as caught:
        read_mlproject(tmp_path)
    assert "python_env" in caught.value.fix


def conda(tmp_path: Path, *lines: str) -> str:
    (tmp_path / "conda.yaml").write_text("dependencies:\n" + "".join(f"  - {line}\n" for line in lines))
    found = wanted_by(read_mlproject(tmp_path))
    assert found is not None
    return f"{found.python} {found.requirements}"


def test_a_conda_file_of_python_and_pip_packages_is_read(tmp_path: Path) -> None:
    assert conda(tmp_path, "python=3.10", "pip<=23", "pip: [six==1.17.0, ./own]") == (
        f"3.10 pip\nsix==1.17.0\n{tmp_path}/own\n"
    )
    assert (
        conda(tmp_path, "conda-forge::python=3.11.*", "setuptools=80.1", "pip: [six]") == "3.11 setuptools==80.1\nsix\n"
    )


@pytest.mark.parametrize(("line", "named"), [("numpy=1.20", "numpy=1.20"), ("cudatoolkit>=11", "cudatoolkit>=11")])
def test_conda_packages_are_refused_by_name(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=named):
        conda(tmp_path, "python=3.11", line)


def test_a_range_of_pythons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedEnvironment, match="range"):
        conda(tmp_path, "python>=3.9")


POINT = EntryPoint(
    name="main",
    command="train {a} --to {b}",
    parameters=(Parameter(name="a", type="float", default="0.5"), Parameter(name="b"), Parameter(name="c", default="")),
)


@pytest.mark.parametrize(
    "given",
    [
        {"b": "x"},
        {"b": "two words; rm -rf /", "a": "1e-3"},
        {"b": "'quoted' $HOME", "extra": "more words", "un safe": "1"},
        {"b": "{a}", "c": "y"},
    ],
)
def test_the_command_is_the_one_mlflow_would_run(given: dict[str, str]) -> None:
    from mlflow.projects._project_spec import EntryPoint as Theirs

    declared = {one.name: {"type": one.type, "default": one.default} for one in POINT.parameters}
    assert command_of(POINT, values_of(POINT, given)) == Theirs("main", declared, POINT.command).compute_command(
        given, None
    )


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter(name="a", type="float"), "much"),
        (Parameter(name="a", type="int"), "1.5"),
        (Parameter(name="a", type="uri"), "wine.csv"),
        (Parameter(name="a", type="path"), "/is/not/there"),
        (Parameter(name="a", type="path"), "s3://bucket/wine.csv"),
    ],
)
def test_a_value_of_another_type_is_refused(parameter: Parameter, value: str) -> None:
    point = EntryPoint(name="main", command="train {a}", parameters=(parameter,))
    with pytest.raises(BadMlproject, match="'a'"):
        command_of(point, values_of(point, {"a": value}))


def test_a_path_is_made_absolute_and_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wine.csv").touch()
    monkeypatch.chdir(tmp_path)
    point = EntryPoint(name="main", command="train {a}", parameters=(Parameter(name="a", type="path"),))
    assert command_of(point, {"a": "wine.csv"}) == f"train {os.path.join(tmp_path, 'wine.csv')}"  # noqa: PTH118
    with pytest.raises(BadMlproject, match="needs a") as caught:
        values_of(point, {})
    assert caught.value.fix == "-P a=…"
    with pytest.raises(BadMlproject, match="cannot be filled in"):
        command_of(EntryPoint(name="main", command="train {b}"), {})
