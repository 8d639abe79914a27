"""`bucle migrate`, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bucle.doors.cli.main import main
from doors.cli.typed import installed


@pytest.fixture
def folder(root: Path) -> Path:
    return root


def test_moving_in_tells_counts_what_was_left_and_the_next_step(folder: Path, mlflow_original: Path) -> None:
    said = installed("migrate", "from-mlflow", f"sqlite:///{mlflow_original / 'mlflow.db'}", cwd=folder)
    assert said.status == 0, said.err
    assert "runs           5" in said.out
    assert "the same" in said.out
    assert "next: bucle runs list" in said.err
    again = installed("migrate", "from-mlflow", str(mlflow_original / "files" / "mlruns"), "--json", cwd=folder)
    assert again.record["runs"] == 5


def test_damage_gives_a_status_of_its_own(folder: Path, wandb_folder: Path) -> None:
    log = next(iter(wandb_folder.glob("*/run-*.wandb")))
    log.write_bytes(log.read_bytes()[:20_000])
    said = installed("migrate", "from-wandb", str(wandb_folder), cwd=folder)
    assert said.status == 7
    assert "ends within a record" in said.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("from-mlflow", "http://localhost:5000"), "--backend-store-uri"),
        (("from-mlflow", "mlruns"), "sqlite:///mlflow.db"),
        (("from-mlflow", "mlruns", "--artifacts", "nowhere"), "nowhere"),
        (("from-wandb", "wandb"), "no folder wandb"),
        (("from-neptune", "exports"), "neptune-exporter export"),
    ],
)
def test_a_wrong_place_is_told_with_the_fix(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(folder)
    assert main(["migrate", *arguments, "--json"]) == 2
    assert told in capsys.readouterr().out
