"""DuckDB, Polars, obstore and PyArrow: each with an S3 client of its own, none of which knows of branches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bucle.ground import governance
from bucle.line import data
from doors.conftest import Site
from doors.s3.test_boto import BIG

FRAME = pl.DataFrame({"id": range(5000), "name": [f"n{number}" for number in range(5000)]})


@pytest.fixture
def options(bucket: Site) -> dict[str, str]:
    key, secret = governance.make_access_key(bucket.project, "eva")
    told = {"aws_endpoint_url": bucket.url, "aws_region": "us-east-1", "aws_allow_http": "true"}
    return {"aws_access_key_id": key.id, "aws_secret_access_key": secret, **told}


@pytest.fixture
def duck(bucket: Site, options: dict[str, str]) -> Any:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed: pip install 'bucle[test]'")
    package = pytest.importorskip("duckdb_extension_httpfs", reason="DuckDB's httpfs is not installed")
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{next(Path(package.__path__[0]).rglob('*.duckdb_extension'))}'")
    connection.execute(
        f"CREATE SECRET lake (TYPE s3, KEY_ID '{options['aws_access_key_id']}', "
        f"SECRET '{options['aws_secret_access_key']}', ENDPOINT '{bucket.url.removeprefix('http://')}', "
        "URL_STYLE 'path', USE_SSL false)"
    )
    yield connection
    connection.close()


def test_duckdb_reads_and_writes(bucket: Site, duck: Any) -> None:
    duck.execute("COPY (SELECT range AS i, range % 3 AS p FROM range(3000)) TO 's3://lake/main/t' "
                 "(FORMAT parquet, PARTITION_BY (p))")  # fmt: skip
    old = data.log(bucket.project)[0].id
    duck.execute("COPY (SELECT range AS i FROM range(10)) TO 's3://lake/main/t/p=9/more.parquet' (FORMAT parquet)")

    def count(ref: str) -> int:
        return duck.execute(f"SELECT count(*) FROM read_parquet('s3://lake/{ref}/t/**/*.parquet')").fetchone()[0]

    assert (count("main"), count(old)) == (3010, 3000)
    [(told,)] = duck.execute(f"SELECT count(*) FROM '{bucket.url}/s3/lake/main/t/p=9/more.parquet'").fetchall()
    assert told == 10  # over plain HTTP, by who is not signed


def test_duckdb_writes_in_parts(bucket: Site, duck: Any) -> None:
    duck.execute("COPY (SELECT range AS i, md5(range::VARCHAR) AS m FROM range(600000)) TO 's3://lake/dev/big.parquet'")
    assert data.files(bucket.project, "dev")["big.parquet"].size_bytes > 16 << 20
    assert duck.execute("SELECT count(DISTINCT m) FROM 's3://lake/dev/big.parquet'").fetchone() == (600_000,)


def test_polars_reads_and_writes(bucket: Site, options: dict[str, str]) -> None:
    FRAME.write_parquet("s3://lake/dev/a/b.parquet", storage_options=options)
    read = pl.scan_parquet("s3://lake/dev/a/*.parquet", storage_options=options)
    assert read.filter(pl.col("id") < 10).collect().equals(FRAME.head(10))
    assert "a/b.parquet" not in data.files(bucket.project)


def test_obstore_reads_and_writes(bucket: Site, options: dict[str, str]) -> None:
    obstore = pytest.importorskip("obstore")
    store = obstore.store.S3Store("lake", config=options)
    obstore.put(store, "main/o/big", BIG)
    assert bytes(obstore.get(store, "main/o/big").bytes()) == BIG
    assert bytes(obstore.get_range(store, "main/o/big", start=7_000_000, length=9)) == BIG[7_000_000:7_000_009]
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "main/o/big", b"y", mode="create")
    obstore.put(store, "main/o/big", b"y", mode={"e_tag": obstore.head(store, "main/o/big")["e_tag"]})
    obstore.rename(store, "main/o/big", "main/o/small")
    assert [one["path"] for part in obstore.list(store, "main") for one in part] == ["main/first.txt", "main/o/small"]
    assert obstore.list_with_delimiter(store, "main")["common_prefixes"] == ["main/o"]


def test_pyarrow_reads_and_writes(bucket: Site, options: dict[str, str]) -> None:
    fs = pytest.importorskip("pyarrow.fs")
    files = fs.S3FileSystem(
        access_key=options["aws_access_key_id"],
        secret_key=options["aws_secret_access_key"],
        endpoint_override=bucket.url,
        region="us-east-1",
    )
    files.create_dir("lake/main/made")
    with files.open_output_stream("lake/main/pa/x") as out:
        out.write(BIG)
    assert [one.path for one in files.get_file_info(fs.FileSelector("lake/main"))] == [
        "lake/main/made", "lake/main/pa", "lake/main/first.txt",
    ]  # fmt: skip
    assert files.open_input_file("lake/main/pa/x").read() == BIG
    files.delete_dir("lake/main/pa")
    assert sorted(data.files(bucket.project)) == ["first.txt", "made"]
