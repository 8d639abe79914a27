from __future__ import annotations

from pathlib import Path

import polars as pl

from doors.cli.typed import Bucle


def test_a_folder_is_declared_run_and_told(bucle: Bucle, empty: Path, tmp_path: Path) -> None:
    at = ["--project", str(empty)]
    (empty / "inbox").mkdir()
    (empty / "inbox" / "a.csv").write_text("n\n1\n2\n")
    add = ["sources", "add", "in", "--kind", "folder", "--location", "inbox", "--table", "t", "--incremental"]
    assert bucle(*add, *at).status == 0
    assert bucle(*add, *at).status == 6
    text = (empty / "sources" / "in.yaml").read_text()
    (empty / "sources" / "in.yaml").write_text(f"{text}settle_s: 0\n")
    assert bucle("sources", "run", *at, "--json").record[0]["rows"] == 2
    assert bucle("sources", "run", "in", *at, "--json").record[0]["rows"] == 0
    assert bucle("sources", "list", *at, "--json").record[0]["name"] == "in"
    (empty / "inbox" / "b.csv").write_text("n\nx\n")
    (empty / "inbox" / "c.parquet").write_text("no")
    assert bucle("sources", "run", *at).status == 1
    status = bucle("sources", "status", *at, "--json")
    assert (status.status, status.record[0]["landed"]["rows"]) == (7, 2)
    assert bucle("sources", "run", "inn", *at).status == 3
    out = tmp_path / "t.parquet"
    assert bucle("data", "export", "t", str(out), *at, "--json").record["rows"] == 2
    assert pl.read_parquet(out).height == 2
    assert bucle("data", "export", "t", str(out), *at).status == 6
