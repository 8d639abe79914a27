"""pyiceberg's own REST client: what it writes is ours to read, and what we write is its."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import (
    BadRequestError,
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.expressions import EqualTo
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, StringType

from bucle.line import data
from doors.conftest import Site, served
from doors.iceberg.conftest import Connect, flights


def arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def sound(site: Site) -> bool:
    return data.verify_files(site.project) == []


def test_a_branch_is_the_warehouse_a_client_asks_for(lake: Site, connect: Connect) -> None:
    data.commit(lake.project, {"flights": flights(2, 10)}, branch="dev", message="two more")
    assert connect("main").load_table("default.flights").scan().to_arrow().num_rows == 3
    assert connect("dev").load_table("default.flights").scan().to_arrow()["id"].to_pylist() == [0, 1, 2, 10, 11]
    assert connect("main").list_namespaces() == [("default",)]
    assert connect("main").list_tables("default") == [("default", "flights")]


def test_a_commit_is_a_warehouse_to_read_from(lake: Site, connect: Connect) -> None:
    first = data.resolve(lake.project).id
    data.commit(lake.project, {"flights": flights(2, 10)}, message="two more")
    assert connect(first).load_table("default.flights").scan().to_arrow().num_rows == 3
    with pytest.raises(RESTError, match="no branch"):
        connect(first).create_namespace("sales")


def test_a_warehouse_that_is_not_there_is_not_found(connect: Connect) -> None:
    with pytest.raises(RESTError, match="NoSuchWarehouseException"):
        connect("nowhere")


def test_rows_a_client_appends_are_ours_and_ours_go_on_top(lake: Site, connect: Connect) -> None:
    table = connect("dev").load_table("default.flights")
    table.append(arrow(flights(2, 10)))
    data.commit(lake.project, {"flights": flights(1, 20)}, branch="dev", message="ours on top")
    table.refresh()
    table.append(arrow(flights(1, 30)))
    assert data.scan(lake.project, "flights", at="dev")["id"].to_list() == [0, 1, 2, 10, 11, 20, 30]
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [0, 1, 2, 10, 11, 20, 30]
    assert data.scan(lake.project, "flights").height == 3
    assert data.snapshot(lake.project, "flights", at="dev").rows == 7
    assert sound(lake)
    message = data.log(lake.project, "dev")[0].message
    assert message.startswith("append on flights by PyIceberg/")


def test_a_client_makes_a_table_and_fills_it(lake: Site, connect: Connect) -> None:
    catalog = connect("dev")
    catalog.create_namespace("sales", {"owner": "ana"})
    table = catalog.create_table("sales.orders", schema=arrow(flights(1)).schema, properties={"purpose": "test"})
    assert table.properties["gc.enabled"] == "false"
    assert data.scan(lake.project, "sales.orders", at="dev").height == 0
    table.append(arrow(flights(4)))
    assert data.scan(lake.project, "sales.orders", at="dev")["id"].to_list() == [0, 1, 2, 3]
    data.commit(lake.project, {"sales.orders": flights(1, 9)}, branch="dev", message="ours")
    assert table.refresh().scan().to_arrow().num_rows == 5
    assert table.properties["purpose"] == "test"
    assert not connect("main").table_exists("sales.orders")
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table("sales.orders", schema=arrow(flights(1)).schema)
    with pytest.raises(NoSuchNamespaceError):
        catalog.create_table("nowhere.orders", schema=arrow(flights(1)).schema)
    assert sound(lake)


def test_a_table_is_made_and_filled_in_one_commit(lake: Site, connect: Connect) -> None:
    before = len(data.log(lake.project))
    with connect().create_table_transaction("default.weather", schema=arrow(flights(1)).schema) as transaction:
        transaction.append(arrow(flights(4)))
        assert "weather" not in data.tables(lake.project)
    assert data.scan(lake.project, "weather").height == 4
    assert len(data.log(lake.project)) == before + 1


def test_columns_grow_are_renamed_and_go(lake: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    with table.update_schema() as change:
        change.add_column("carrier", StringType())
    table.append(arrow(flights(1, 10).with_columns(carrier=pl.lit("AA"))))
    assert data.scan(lake.project, "flights")["carrier"].to_list() == [None, None, None, "AA"]
    with table.update_schema() as change:
        change.rename_column("origin", "airport")
    assert data.scan(lake.project, "flights")["airport"].to_list() == ["JFK"] * 4
    with table.update_schema() as change:
        change.delete_column("delay")
    with table.update_schema() as change:
        change.add_column("delay", LongType())
    assert data.scan(lake.project, "flights")["delay"].to_list() == [None] * 4
    data.commit(lake.project, {"flights": pl.DataFrame({"id": [99], "airport": ["LGA"], "delay": [5]})}, message="m")
    rows = data.scan(lake.project, "flights").sort("id")
    assert rows.row(-1, named=True) == {"id": 99, "airport": "LGA", "carrier": None, "delay": 5}
    assert sorted(table.refresh().scan().to_arrow()["delay"].to_pylist(), key=str) == [5, None, None, None, None]
    assert sound(lake)


def test_rows_a_client_deletes_and_overwrites_are_gone(lake: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    table.append(arrow(flights(2, 10)))
    table.delete(EqualTo("id", 1))
    assert sorted(data.scan(lake.project, "flights")["id"]) == [0, 2, 10, 11]
    table.overwrite(arrow(flights(1, 50)))
    assert data.scan(lake.project, "flights")["id"].to_list() == [50]
    assert sound(lake)


def test_a_partitioned_table_is_read_and_written_here_and_by_clients(lake: Site, connect: Connect) -> None:
    catalog = connect()
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="origin"))
    schema = catalog.load_table("default.flights").schema()
    table = catalog.create_table("default.parted", schema=schema, partition_spec=spec)
    table.append(pa.concat_tables([arrow(flights(2)), arrow(flights(2, 5).with_columns(origin=pl.lit("LGA")))]))
    assert data.scan(lake.project, "parted").height == 4
    data.commit(lake.project, {"parted": flights(1, 9)}, message="ours")
    data.delete(lake.project, "parted", "origin = 'LGA'", message="ours")
    table.refresh()
    table.append(arrow(flights(1, 20)))
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == sorted(data.scan(lake.project, "parted")["id"])
    assert data.scan(lake.project, "parted").height == 4
    assert table.scan(row_filter="origin = 'LGA'").to_arrow().num_rows == 0
    assert sound(lake)


def test_rename_drop_and_register(lake: Site, connect: Connect) -> None:
    catalog = connect()
    catalog.create_namespace("old")
    renamed = catalog.rename_table("default.flights", "old.flights")
    assert data.tables(lake.project) == ["old.flights"]
    with pytest.raises(NamespaceNotEmptyError):
        catalog.drop_namespace("old")
    catalog.purge_table("old.flights")
    assert data.tables(lake.project) == []
    assert data.scan(lake.project, "flights", at="dev").height == 3
    catalog.register_table("default.again", renamed.metadata_location)
    assert data.scan(lake.project, "again").height == 3
    catalog.load_table("default.again").append(arrow(flights(1, 7)))
    with pytest.raises(TableAlreadyExistsError):
        catalog.register_table("default.again", renamed.metadata_location)
    with pytest.raises(NoSuchTableError):
        catalog.load_table("old.flights")
    with pytest.raises(NoSuchTableError):
        catalog.drop_table("old.flights")
    catalog.drop_namespace("old")
    with pytest.raises(NoSuchNamespaceError):
        catalog.drop_namespace("old")
    assert sound(lake)


def test_namespaces_have_levels_and_properties_and_branch(lake: Site, connect: Connect) -> None:
    catalog = connect("dev")
    catalog.create_namespace(("sales", "eu"), {"owner": "ana"})
    with pytest.raises(NamespaceAlreadyExistsError):
        catalog.create_namespace("sales")
    assert catalog.list_namespaces("sales") == [("sales", "eu")]
    summary = catalog.update_namespace_properties(("sales", "eu"), {"owner"}, {"city": "Bilbao"})
    assert (summary.removed, summary.updated) == (["owner"], ["city"])
    assert catalog.load_namespace_properties(("sales", "eu")) == {"city": "Bilbao"}
    assert connect("main").list_namespaces() == [("default",)]
    data.merge(lake.project, "dev", message="namespaces too")
    assert connect("main").load_namespace_properties(("sales", "eu")) == {"city": "Bilbao"}


def test_a_tag_of_a_table_outlives_our_appends(lake: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    first = table.current_snapshot()
    assert first is not None
    table.manage_snapshots().create_tag(first.snapshot_id, "v1").commit()
    for n in range(12):
        data.commit(lake.project, {"flights": flights(1, 100 + n)}, message="more")
    assert table.refresh().scan(snapshot_id=first.snapshot_id).to_arrow().num_rows == 3
    assert table.refs()["v1"].snapshot_id == first.snapshot_id


def test_a_table_goes_back_to_an_earlier_snapshot(lake: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    first = table.current_snapshot()
    assert first is not None
    table.append(arrow(flights(2, 10)))
    table.manage_snapshots().rollback_to_snapshot(first.snapshot_id).commit()
    assert data.scan(lake.project, "flights")["id"].to_list() == [0, 1, 2]
    table.append(arrow(flights(1, 20)))
    assert data.scan(lake.project, "flights")["id"].to_list() == [0, 1, 2, 20]
    assert sound(lake)


def test_every_snapshot_of_one_commit_can_be_travelled_to(lake: Site, connect: Connect) -> None:
    table = connect().load_table("default.flights")
    with table.transaction() as transaction:
        transaction.append(arrow(flights(2, 10)))
        transaction.append(arrow(flights(2, 20)))
    between = table.snapshots()[-2]
    data.sweep(lake.project, older_than=timedelta(0))
    assert table.scan(snapshot_id=between.snapshot_id).to_arrow().num_rows == 5
    assert data.scan(lake.project, "flights").height == 7


def test_a_moved_project_says_so_until_an_append_mends_it(lake: Site, connect: Connect, tmp_path: Path) -> None:
    table = connect().load_table("default.flights")
    table.append(arrow(flights(2, 10)))
    shutil.copytree(lake.project.root, tmp_path / "copy")
    with served(tmp_path / "copy") as copy:
        catalog = RestCatalog("bucle", uri=f"{copy.url}/iceberg")
        with pytest.raises(BadRequestError, match="was moved"):
            catalog.load_table("default.flights")
        assert data.scan(copy.project, "flights").height == 5
        data.commit(copy.project, {"flights": flights(1, 20)}, message="mends")
        shutil.rmtree(lake.project.state / "lake")
        assert catalog.load_table("default.flights").scan().to_arrow().num_rows == 6
        assert sound(copy)


def test_a_stale_commit_fails_and_changes_nothing(lake: Site, connect: Connect) -> None:
    with connect().load_table("default.flights").transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "0"})
    table = connect().load_table("default.flights")
    data.commit(lake.project, {"flights": flights(1, 10)}, message="meanwhile")
    head = data.resolve(lake.project).id
    with pytest.raises(CommitFailedException):
        table.append(arrow(flights(1, 20)))
    assert data.resolve(lake.project).id == head


def test_two_sides_that_a_client_appended_to_merge(lake: Site, connect: Connect) -> None:
    connect("dev").load_table("default.flights").append(arrow(flights(1, 10)))
    connect("main").load_table("default.flights").append(arrow(flights(1, 20)))
    data.merge(lake.project, "dev", message="both")
    assert data.scan(lake.project, "flights")["id"].to_list() == [0, 1, 2, 20, 10]
    assert sorted(connect().load_table("default.flights").scan().to_arrow()["id"].to_pylist()) == [0, 1, 2, 10, 20]
    assert sound(lake)


def test_what_a_client_set_on_one_side_is_a_conflict_with_rows_on_the_other(lake: Site, connect: Connect) -> None:
    with connect("dev").load_table("default.flights").transaction() as transaction:
        transaction.set_properties({"owner": "ana"})
    data.commit(lake.project, {"flights": flights(1, 20)}, message="rows")
    with pytest.raises(data.Conflict, match="flights"):
        data.merge(lake.project, "dev", message="both")
