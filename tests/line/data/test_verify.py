from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data


def flip(path: Path, at: int = -9) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(bytes(raw))


def lake_files(project: Project, ending: str) -> list[Path]:
    return sorted((project.state / "lake").rglob(f"*{ending}"))


@pytest.mark.parametrize("ending", [".parquet", "-m.avro", "metadata.json"])
def test_one_flipped_byte_in_any_file_is_found_and_named(project: Project, ending: str) -> None:
    data.commit(project, {"flights": pl.DataFrame({"x": [1, 2, 3]})}, message="1")
    assert data.verify_files(project) == []
    damaged = lake_files(project, ending)[0]
    flip(damaged)
    (fault,) = data.verify_files(project)
    assert fault.where == f"file {damaged.relative_to(project.state).as_posix()}"
    assert "table flights: has other bytes" in fault.what


def test_a_missing_file_is_named_and_reading_says_so(project: Project) -> None:
    made = data.commit(project, {"flights": pl.DataFrame({"x": [1]})}, message="1")
    lake_files(project, ".parquet")[0].unlink()
    (fault,) = data.verify_files(project)
    assert "table flights: is missing" in fault.what
    with pytest.raises(data.LakeDamaged, match="'flights'"):
        data.scan(project, "flights", at=made.id)


def test_a_damaged_list_of_files_is_named(project: Project) -> None:
    made = data.commit(project, {"flights": pl.DataFrame({"x": [1]})}, message="1")
    digest = made.tables["flights"].manifest
    flip(project.state / "blobs" / digest[:2] / digest[2:])
    (fault,) = data.verify_files(project)
    assert fault.where == f"blob {digest[:12]}"
    assert "table flights" in fault.what


def test_a_damaged_file_of_the_tree_is_named(project: Project) -> None:
    data.commit(project, {}, files={"a.txt": b"hello there"}, message="1")
    digest = data.files(project)["a.txt"].digest
    flip(project.state / "blobs" / digest[:2] / digest[2:])
    (fault,) = data.verify_files(project)
    assert "a.txt" in fault.what


def test_a_damaged_page_of_a_data_file_is_a_plain_error(project: Project) -> None:
    data.commit(project, {"flights": pl.DataFrame({"x": list(range(1000))})}, message="1")
    path = lake_files(project, ".parquet")[0]
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(data.LakeDamaged):
        data.scan(project, "flights")


def test_a_sweep_removes_only_what_no_commit_names(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"x": [1]})}, message="1")
    loose = lake_files(project, ".parquet")[0].with_name("loose.parquet")
    loose.write_bytes(b"half")
    assert data.sweep(project).files == 0
    assert data.sweep(project, older_than=timedelta(seconds=-5)) == data.Sweep(branches=(), files=1, size_bytes=4)
    assert data.verify_files(project) == []
    assert data.scan(project, "t")["x"].to_list() == [1]


def test_a_sweep_drops_landings_that_a_crash_cut_short(project: Project, clock: SimulatedClock) -> None:
    data.create_branch(project, "ingest-0123456789ab")
    data.create_branch(project, "kept")
    assert data.sweep(project).branches == ()
    clock.advance(timedelta(days=2))
    assert data.sweep(project).branches == ("ingest-0123456789ab",)
    assert [branch.name for branch in data.branches(project)] == ["kept", "main"]
