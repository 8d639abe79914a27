"""Delta: what deltalake writes is read, and what is exported opens there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bucle.ground import governance
from bucle.ground.project import Project
from bucle.line import data, sources
from bucle.line.sources import Source

deltalake = pytest.importorskip("deltalake")

ROWS = pl.DataFrame({"id": [1, 2, 3], "part": ["a", "b", "a"], "x": [0.5, None, 2.5]})


def declare(project: Project, sync: str) -> None:
    sources.save_source(project, Source(name="s", kind="delta", table="t", location="delta", sync=sync))  # type: ignore[arg-type]


@pytest.mark.parametrize("parted", [None, ["part"]])
def test_a_delta_table_is_read_onwards(project: Project, parted: list[str] | None) -> None:
    path = str(project.root / "delta")
    deltalake.write_deltalake(path, ROWS.to_arrow(), partition_by=parted)
    declare(project, "incremental")
    assert sources.run(project, "s").rows == 3
    assert sources.run(project, "s").rows == 0
    more = ROWS.with_columns(pl.col("id") + 10)
    deltalake.write_deltalake(path, more.to_arrow(), mode="append")
    assert sources.run(project, "s").rows == 3
    found = data.scan(project, "t").select(ROWS.columns).sort("id")
    assert_frame_equal(found, pl.concat([ROWS, more]))
    deltalake.DeltaTable(path).delete("id = 1")
    with pytest.raises(sources.SourceChanged):
        sources.run(project, "s")
    assert sources.run(project, "s", full=True).rows == 5


def test_a_delta_table_is_read_in_full_when_its_version_changed(project: Project) -> None:
    path = str(project.root / "delta")
    deltalake.write_deltalake(path, ROWS.to_arrow())
    declare(project, "full")
    assert sources.run(project, "s").rows == 3
    assert sources.run(project, "s").rows == 0
    deltalake.DeltaTable(path).delete("id = 1")
    assert sources.run(project, "s").rows == 2
    assert data.scan(project, "t")["id"].to_list() == [2, 3]


def test_a_folder_without_a_delta_table_is_told(project: Project) -> None:
    declare(project, "full")
    with pytest.raises(sources.SourceFailed):
        sources.run(project, "s")


def test_an_export_opens_in_deltalake_with_equal_rows(project: Project, tmp_path: Path) -> None:
    wide = ROWS.with_columns(
        pl.date_range(pl.date(2013, 1, 1), pl.date(2013, 1, 3)).alias("day"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("at"),
        pl.struct(a=pl.col("id"), l=pl.concat_list("id", "id")).alias("nested"),
        pl.lit("1.50").cast(pl.Decimal(10, 2)).alias("money"),
    )
    data.commit(project, {"t": wide.head(2)}, message="1")
    first = data.resolve(project).id
    data.commit(project, {"t": wide.tail(1)}, message="2")
    target = tmp_path / "out"
    assert sources.export(project, "t", target, to="delta", at=first).rows == 2
    with pytest.raises(sources.ExportExists):
        sources.export(project, "t", target, to="delta")
    sources.export(project, "t", target, to="delta", overwrite=True)
    table = deltalake.DeltaTable(str(target))
    assert_frame_equal(pl.DataFrame(table.to_pyarrow_table()).sort("id"), wide, check_dtypes=False)
    assert table.history()[0]["bucle.commit"] == data.resolve(project).id
    assert_frame_equal(pl.read_delta(str(target), version=0).sort("id"), wide.head(2), check_dtypes=False)


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_an_export_is_a_file(project: Project, tmp_path: Path, to: str) -> None:
    data.commit(project, {"t": ROWS}, message="1")
    target = tmp_path / "deep" / f"out.{to}"
    sources.export(project, "t", target, to=to)  # type: ignore[arg-type]
    assert_frame_equal(pl.read_parquet(target) if to == "parquet" else pl.read_csv(target), ROWS)
    assert len(list(target.parent.iterdir())) == 1


@pytest.mark.parametrize("to", ["parquet", "csv", "delta"])
def test_an_export_has_what_who_asks_may_see(project: Project, tmp_path: Path, to: Any) -> None:
    people = pl.DataFrame({"id": [1, 2, 3], "mail": ["a@x.org", None, "c@x.org"], "pay": [81234, 5, 0]})
    data.commit(project, {"t": people}, message="1")
    data.tag_columns(project, "t", {"mail": data.ColumnTag("email", "redact"), "pay": data.ColumnTag("other", "hash")})

    def read(path: Path) -> pl.DataFrame:
        if to == "delta":
            return pl.read_delta(str(path)).sort("id")
        return pl.read_parquet(path) if to == "parquet" else pl.read_csv(path)

    sources.export(project, "t", tmp_path / "masked", to=to)
    found = read(tmp_path / "masked")
    assert found["mail"].to_list() == ["***", None, "***"]
    assert found["pay"].n_unique() == 3
    assert not {"81234", 81234} & set(found["pay"].to_list())
    governance.grant(project, "ana", "unmask", "table/t")
    sources.export(project, "t", tmp_path / "open", to=to)
    assert_frame_equal(read(tmp_path / "open"), people)
    governance.grant(project, "ana", "read", "table/t", effect="deny")
    with pytest.raises(governance.Denied):
        sources.export(project, "t", tmp_path / "denied", to=to)
    with pytest.raises(governance.Denied):
        sources.export(project, "t", tmp_path / "denied", to=to, principal="ana")
    assert not (tmp_path / "denied").exists()
