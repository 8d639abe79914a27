"""Tables of a real database beside those of the lake, in one query."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from buckets import bucket, client_of, credentials, s3_server  # noqa: F401  fixtures
from bucle.ground.project import Project
from bucle.line import data, query, sources


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, project: Project) -> Project:
    uri = f"sqlite:///{project.root}/shop.db"
    if request.param == "postgresql":
        uri = request.getfixturevalue("empty_postgres_url")
    engine = sa.create_engine(uri.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as opened:
        opened.execute(sa.text('CREATE TABLE customers (id BIGINT, "City" TEXT, secret TEXT)'))
        opened.execute(sa.text("INSERT INTO customers VALUES (1, 'Lugo', 's'), (2, 'Vigo', 't')"))
    engine.dispose()
    (project.root / "connections").mkdir()
    (project.root / "connections" / "crm.yaml").write_text(f"kind: {request.param}\nuri: {uri}\n")
    orders = pl.DataFrame({"customer": [1, 1, 2], "amount": [1.0, 2.0, 4.0]})
    data.commit(project, {"orders": orders}, message="orders")
    return project


def test_a_database_and_the_lake_are_joined(shop: Project) -> None:
    text = """SELECT c."City" AS city, sum(o.amount) AS total FROM orders o JOIN crm.customers c ON c.id = o.customer
              GROUP BY 1 ORDER BY 1"""
    answer = query.sql(shop, text)
    assert answer.rows() == [{"city": "Lugo", "total": 3.0}, {"city": "Vigo", "total": 4.0}]
    assert list(answer.commits) == ["orders"]


def test_a_database_a_bucket_and_the_lake_are_joined(shop: Project, bucket: str, s3_server: str) -> None:  # noqa: F811
    """Files of a table in a bucket are read as one; only the columns that are named."""
    for name, cities in {"raw/places/a.parquet": ["Lugo"], "raw/places/b.parquet": ["Vigo", "Noia"]}.items():
        made = io.BytesIO()
        pl.DataFrame({"city": cities, "sea": [city != "Lugo" for city in cities]}).write_parquet(made)
        client_of(s3_server).put_object(Bucket=bucket, Key=name, Body=made.getvalue())
    options = f"options: {{endpoint: '{s3_server}', region: eu-south-2}}"
    (shop.root / "connections" / "lake.yaml").write_text(f"kind: s3\nuri: s3://{bucket}/raw\n{options}\n")
    text = """SELECT p.city, sum(o.amount) AS total FROM lake.places p JOIN crm.customers c ON c."City" = p.city
              JOIN orders o ON o.customer = c.id WHERE p.sea GROUP BY 1"""
    assert query.sql(shop, text).rows() == [{"city": "Vigo", "total": 4.0}]
    assert query.sql(shop, "SELECT count(*) AS n FROM lake.places").rows() == [{"n": 3}]
    one = io.BytesIO()
    pl.DataFrame({"x": [1]}).write_parquet(one)
    client_of(s3_server).put_object(Bucket=bucket, Key="raw/single.parquet", Body=one.getvalue())
    assert query.sql(shop, "FROM lake.single").rows() == [{"x": 1}]
    for missing in ("lake.nothing", 'lake."../raw/single"', 'lake.".."'):
        with pytest.raises(sources.SourceFailed):
            query.sql(shop, f"FROM {missing}")


def test_a_schema_of_the_database_is_a_level(shop: Project) -> None:
    schema = "main" if "sqlite" in (shop.root / "connections" / "crm.yaml").read_text() else "public"
    assert query.sql(shop, f"SELECT count(*) AS n FROM crm.{schema}.customers").rows() == [{"n": 2}]
    assert query.sql(shop, "FROM crm.customers").columns.keys() == {"id", "City", "secret"}


def test_a_table_that_the_database_lacks_is_told(shop: Project) -> None:
    with pytest.raises(sources.SourceFailed):
        query.sql(shop, "FROM crm.nothing")


def test_what_is_quoted_stays_a_name(shop: Project, tmp_path: Path) -> None:
    with pytest.raises(sources.SourceFailed):
        query.sql(shop, 'FROM crm."customers; DROP TABLE customers"')
    assert query.sql(shop, "SELECT count(*) AS n FROM crm.customers").rows() == [{"n": 2}]
