from __future__ import annotations

from pathlib import Path

import pytest

from doors.cli.typed import Bucle


def test_a_bare_project_has_settings_and_nothing_else(bucle: Bucle, tmp_path: Path) -> None:
    said = bucle("init", str(tmp_path / "my project"), "--example", "none", "--json")
    assert said.status == 0
    assert said.record["name"] == "my-project"
    assert {path.name for path in (tmp_path / "my project").iterdir()} == {"bucle.toml", ".gitignore"}
    assert bucle("config", "check", "--project", str(tmp_path / "my project")).status == 0


def test_the_flights_example_is_copied_and_sound(bucle: Bucle, tmp_path: Path) -> None:
    said = bucle("init", str(tmp_path / "f"), "--example", "flights", "--json")
    assert said.status == 0
    assert {"bucle.toml", "features.py", "pipeline.py"} <= set(said.record["files"])
    assert bucle("config", "check", "--project", str(tmp_path / "f")).status == 0


@pytest.mark.parametrize("name", ["bucle.toml", "pipeline.py"])
def test_nothing_is_written_over(bucle: Bucle, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    said = bucle("init", str(tmp_path))
    assert said.status == 6
    assert (tmp_path / name).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_no_folder(bucle: Bucle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert bucle("init", str(tmp_path / "file")).status == 6


def test_a_project_is_made_in_the_current_folder(bucle: Bucle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = bucle("init", "--example", "none")
    assert (said.status, (tmp_path / "bucle.toml").is_file()) == (0, True)
    assert "next: bucle data add" in said.err
