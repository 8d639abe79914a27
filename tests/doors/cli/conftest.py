"""The command line, in this process and in its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bucle.doors.cli.main import main
from doors.cli.typed import Bucle, Said, installed


@pytest.fixture
def bucle(capsys: pytest.CaptureFixture[str]) -> Bucle:
    """A command in this process."""

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        status = main(arguments)
        return Said(status, *capsys.readouterr())

    return call


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A project with nothing in it."""
    folder = tmp_path / "empty"
    assert main(["init", str(folder), "--example", "none", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="session")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Said | Path]]:
    """A newcomer's first ten minutes, typed as they stand; each step's words under its name, the folder as `folder`."""
    home = tmp_path_factory.mktemp("journey")
    folder = home / "tumours"
    said: dict[str, Any] = {"folder": folder}

    def type_(name: str, *arguments: str, cwd: Path = folder) -> Said:
        said[name] = installed(*arguments, cwd=cwd)
        return said[name]

    type_("init", "init", "tumours", cwd=home)
    execution = type_("run", "run", "train", "--json").record["id"]
    type_("register", "model", "register", "tumours", "--execution", execution)
    type_("judge", "gate", "judge", "tumours@1")
    type_("roll", "deploy", "roll", "tumours", "tumours@1", "--reason", "the first")
    try:
        type_("serve", "serve", "tumours", "--detach")
        prediction = type_("predict", "predict", "tumours", "later.csv", "--json").record[0]["prediction"]
        said["prediction"] = prediction
        type_("trace", "trace", prediction, "--reproduce")
        type_("later", "data", "add", "later.csv", "--table", "samples")
        type_("verify", "audit", "verify")
        yield said
    finally:
        installed("serve", "tumours", "--stop", cwd=folder)
