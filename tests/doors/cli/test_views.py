"""`bucle data view`, as it is typed."""

from pathlib import Path

import polars as pl

from bucle.ground.project import Project
from bucle.line import data


def test_views_from_the_command_line(bucle, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "project"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "t"\n')
    project = Project.open(root)
    data.commit(project, {"samples": pl.DataFrame({"n": [1, 2, 3]})}, message="a")
    project.close()
    at = ("--project", str(root))
    made = bucle("data", "view", "set", "large", "SELECT * FROM samples WHERE n > 1", *at, "--json").record
    assert (made["version"], made["columns"]) == (1, "n long")
    assert bucle("data", "view", "list", *at, "--json").record == [{"view": "large"}]
    assert bucle("data", "query", "SELECT count(*) AS c FROM large", *at, "--json").record["rows"] == [{"c": 2}]
    assert bucle("data", "view", "rename", "large", "big", *at).status == 0
    assert bucle("data", "view", "show", "big", *at, "--json").record["duckdb"] == "SELECT * FROM samples WHERE n > 1"
    assert bucle("data", "view", "show", "large", *at).status == 3
    assert bucle("data", "view", "set", "samples", "SELECT 1 AS n", *at).status == 6
    assert bucle("data", "view", "drop", "big", *at).status == 0
    assert bucle("data", "view", "drop", *at).status == 2
    assert bucle("data", "view", "set", "x", *at).status == 2
