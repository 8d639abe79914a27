from __future__ import annotations

import io
import sys
from pathlib import Path

import polars as pl
import pytest

from bucle.doors.cli.errors import BadRows
from bucle.doors.cli.rows import read_rows, read_stream
from bucle.ground.core import NotFound

ROWS = pl.DataFrame({"name": ["a", "b"], "size": [1.5, 2.0]})


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    ROWS.write_csv(tmp_path / "rows.csv")
    ROWS.write_parquet(tmp_path / "rows.parquet")
    ROWS.write_json(tmp_path / "rows.json")
    ROWS.write_ndjson(tmp_path / "rows.jsonl")
    return {path.suffix: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json", ".jsonl"])
def test_every_kind_of_file_gives_the_same_rows(files: dict[str, Path], ending: str) -> None:
    assert read_rows([str(files[ending])]).equals(ROWS)


def test_several_files_are_one_batch(files: dict[str, Path]) -> None:
    assert read_rows([str(files[".csv"]), str(files[".parquet"])]).height == 4


def test_instants_in_a_csv_are_instants(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at\n2013-01-01T00:00:00Z\n")
    assert read_rows([str(tmp_path / "t.csv")]).schema["at"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize("given", [b'[{"a": 1}]', b'{"a": 1}\n', b"a\n1\n"])
def test_standard_input_may_be_json_or_csv(monkeypatch: pytest.MonkeyPatch, given: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert read_stream().to_dicts() == [{"a": 1}]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", b""), ("b.csv", b"a,b\n1,2,3\n"), ("c.parquet", b"no"), ("d.json", b"{"), ("e.txt", b"a")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadRows) as caught:
        read_rows([str(tmp_path / name)])
    assert name in caught.value.what


def test_files_whose_columns_differ_do_not_go_together(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("x\n1\n")
    with pytest.raises(BadRows, match="do not go together"):
        read_rows([str(files[".csv"]), str(tmp_path / "other.csv")])


def test_a_missing_file_is_answered_with_the_near_miss(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        read_rows([str(tmp_path / "row.csv")])
    assert caught.value.why == "Did you mean 'rows.csv'?"
