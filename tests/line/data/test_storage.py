"""What versions cost: about what changed, not a copy each."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

from bucle.ground.project import Project
from bucle.line import data


def size_of(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern))


def test_versions_of_a_slowly_changing_table_cost_what_changes(project: Project) -> None:
    rows = pl.DataFrame({"id": range(50_000), "value": random.Random(3).choices(range(10**9), k=50_000)})
    data.commit(project, {"t": rows}, message="all")
    for number in range(20):
        data.upsert(project, "t", rows[number * 10 : number * 10 + 10], on=["id"], message="ten")
    (found,) = data.storage(project)
    assert (found.kind, found.name, found.versions) == ("table", "t", 21)
    assert found.kept_bytes == size_of(project.state / "lake", "data/*.parquet")
    assert found.copies_bytes > 20 * found.kept_bytes / 1.5
    assert found.ratio > 13


def test_a_branch_costs_nothing_and_what_was_given_up_does_not_count(project: Project) -> None:
    data.commit(project, {"t": pl.DataFrame({"id": [1]})}, message="one")
    before = data.storage(project)
    data.create_branch(project, "dev")
    assert data.storage(project) == before
    data.commit(project, {"t": pl.DataFrame({"id": [2]})}, branch="dev", message="two", mode="overwrite")
    assert data.storage(project)[0].versions == 2
    assert data.storage(project)[0].ratio == 1


def test_a_large_file_of_which_a_byte_changes_is_kept_once(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    content = bytearray(random.Random(1).randbytes(20 << 20))
    for number in range(5):
        content[number << 22] ^= 1
        (folder / "big").write_bytes(content)
        (folder / "small").write_text(str(number))
        data.add_files(project, folder)
    (found,) = data.storage(project)
    assert (found.kind, found.versions, found.files) == ("files", 5, 10)
    assert found.copies_bytes == 5 * ((20 << 20) + 1)
    assert size_of(project.state / "files" / "packs", "*.pack") <= found.kept_bytes < 40 << 20
    assert found.ratio > 2


def test_an_empty_lake_takes_nothing(project: Project) -> None:
    assert data.storage(project) == []
