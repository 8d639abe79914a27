"""`bucle keys`, as it is typed."""

from pathlib import Path

import polars as pl

from bucle.ground.project import Project
from bucle.line import data


def test_keys_from_the_command_line(bucle, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "project"
    root.mkdir()
    (root / "bucle.toml").write_text(
        f'[project]\nname = "t"\n[data.encryption]\ntables = ["samples"]\nkeyring = "{tmp_path}/keyring"\n'
    )
    at = ("--project", str(root))
    assert bucle("keys", "new", *at, "--json").record == {"keyring": str(tmp_path / "keyring")}
    project = Project.open(root)
    data.commit(project, {"samples": pl.DataFrame({"n": [1]})}, message="a")
    project.close()
    assert [one["table"] for one in bucle("keys", "list", *at, "--json").record] == ["samples"]
    assert bucle("keys", "new", *at).status == 0
    assert len(bucle("keys", "rotate", *at, "--json").record) == 1
    assert bucle("keys", "encrypt", "samples", *at).status == 0
    assert bucle("data", "show", "samples", *at).status == 0
    assert bucle("keys", "destroy", "samples", *at).status == 2
    assert bucle("keys", "destroy", "samples", "--yes", "--reason", "asked", *at).status == 0
    shown = bucle("data", "show", "samples", *at)
    assert shown.status == 6
    assert "BU1902" in shown.err
