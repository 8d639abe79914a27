"""Updates: what Iceberg clients ask of a table's metadata, on the plain JSON."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.table.metadata import TableMetadataV2

from bucle.line.data import BadMetadata, NotBuiltOnHead
from bucle.line.data.iceberg import first_metadata
from bucle.line.data.updates import apply_updates, check_requirements

LONG = {"id": 1, "name": "n", "type": "long", "required": False}
NAME = {"id": 2, "name": "name", "type": "string", "required": False}


def made() -> dict[str, Any]:
    schema = {"type": "struct", "schema-id": 0, "fields": [LONG]}
    first = [{"action": "add-schema", "schema": schema}, {"action": "set-current-schema", "schema-id": -1}]
    return apply_updates(first_metadata("file:///t"), first, now_ms=1000)


def after(*updates: dict[str, Any], base: dict[str, Any] | None = None) -> dict[str, Any]:
    return apply_updates(base or made(), updates, now_ms=2000)


def snapshot(number: int, sequence: int | None = None, parent: int | None = None) -> dict[str, Any]:
    return {
        "snapshot-id": number,
        "sequence-number": sequence or number,
        "timestamp-ms": 1500,
        "manifest-list": f"file:///t/metadata/{number}.avro",
        "summary": {"operation": "append"},
        "schema-id": 0,
        **({"parent-snapshot-id": parent} if parent else {}),
    }


def added(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    pointed = {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": number}
    return {"action": "add-snapshot", "snapshot": snapshot(number)}, pointed


def test_a_schema_is_added_under_an_id_of_its_own() -> None:
    wider = {"type": "struct", "schema-id": 0, "fields": [LONG, NAME]}
    found = after({"action": "add-schema", "schema": wider}, {"action": "set-current-schema", "schema-id": -1})
    assert [one["schema-id"] for one in found["schemas"]] == [0, 1]
    assert (found["current-schema-id"], found["last-column-id"]) == (1, 2)
    again = after({"action": "add-schema", "schema": wider}, base=found)
    assert again["schemas"] == found["schemas"]
    back = after({"action": "set-current-schema", "schema-id": 0}, base=found)
    assert (back["current-schema-id"], back["last-column-id"]) == (0, 2)
    gone = after({"action": "remove-schemas", "schema-ids": [1]}, base=back)
    assert [one["schema-id"] for one in gone["schemas"]] == [0]
    with pytest.raises(BadMetadata, match="in use"):
        after({"action": "remove-schemas", "schema-ids": [0]}, base=back)


def test_partitions_and_orders_are_added_and_chosen() -> None:
    spec = {"spec-id": 5, "fields": [{"source-id": 1, "field-id": 1000, "name": "n", "transform": "identity"}]}
    ordered = {"transform": "identity", "source-id": 1, "direction": "asc", "null-order": "nulls-first"}
    found = after(
        {"action": "add-spec", "spec": spec},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 1, "fields": [ordered]}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
    )
    assert (found["default-spec-id"], found["last-partition-id"], found["default-sort-order-id"]) == (5, 1000, 1)
    back = after({"action": "set-default-spec", "spec-id": 0}, base=found)
    gone = after({"action": "remove-partition-specs", "spec-ids": [5]}, base=back)
    assert ([one["spec-id"] for one in gone["partition-specs"]], gone["last-partition-id"]) == ([0], 1000)
    unsorted = {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}}
    assert after(unsorted, base=found)["sort-orders"] == found["sort-orders"]


def test_snapshots_refs_and_statistics_come_and_go() -> None:
    found = after(*added(1), *added(2))
    assert (found["current-snapshot-id"], found["last-sequence-number"]) == (2, 2)
    assert [one["snapshot-id"] for one in found["snapshot-log"]] == [1, 2]
    tagged = after(
        {"action": "set-snapshot-ref", "ref-name": "v1", "type": "tag", "snapshot-id": 1, "max-ref-age-ms": 7},
        {"action": "set-statistics", "statistics": _puffin(1)},
        {"action": "set-partition-statistics", "partition-statistics": _partitions(1)},
        base=found,
    )
    assert tagged["refs"]["v1"] == {"snapshot-id": 1, "type": "tag", "max-ref-age-ms": 7}
    assert after({"action": "remove-snapshot-ref", "ref-name": "v1"}, base=tagged)["refs"].keys() == {"main"}
    bare = after(
        {"action": "remove-statistics", "snapshot-id": 1},
        {"action": "remove-partition-statistics", "snapshot-id": 1},
        base=tagged,
    )
    assert (bare["statistics"], bare["partition-statistics"]) == ([], [])
    expired = after({"action": "remove-snapshots", "snapshot-ids": [1]}, base=tagged)
    assert [one["snapshot-id"] for one in expired["snapshots"]] == [2]
    assert (expired["refs"].keys(), expired["statistics"]) == ({"main"}, [])
    back = after({"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 1}, base=found)
    assert (back["current-snapshot-id"], back["last-sequence-number"]) == (1, 2)
    empty = after({"action": "remove-snapshot-ref", "ref-name": "main"}, base=found)
    assert "current-snapshot-id" not in empty


def _puffin(number: int) -> dict[str, Any]:
    sizes = {"file-size-in-bytes": 1, "file-footer-size-in-bytes": 1}
    return {"snapshot-id": number, "statistics-path": "file:///t/metadata/s", **sizes, "blob-metadata": []}


def _partitions(number: int) -> dict[str, Any]:
    return {"snapshot-id": number, "statistics-path": "file:///t/metadata/p", "file-size-in-bytes": 1}


def test_a_sequence_number_that_was_given_meanwhile_is_a_stale_commit() -> None:
    base = after(*added(4))
    with pytest.raises(NotBuiltOnHead):
        after({"action": "add-snapshot", "snapshot": snapshot(9, sequence=4, parent=4)}, base=base)


@pytest.mark.parametrize(
    "update",
    [
        {"action": "upgrade-format-version", "format-version": 3},
        {"action": "upgrade-format-version", "format-version": 1},
        {"action": "add-schema", "schema": {"type": "struct", "fields": [{**LONG, "type": "wrong"}]}},
        {"action": "add-schema"},
        {"action": "set-current-schema", "schema-id": 9},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "set-default-spec", "spec-id": 9},
        {"action": "set-default-sort-order", "sort-order-id": 9},
        {"action": "add-snapshot", "snapshot": {"snapshot-id": 1}},
        {"action": "add-snapshot", "snapshot": None},
        {"action": "set-snapshot-ref", "ref-name": "main", "type": "branch", "snapshot-id": 9},
        {"action": "set-properties", "updates": ["a"]},
        {"action": "set-statistics", "statistics": {"snapshot-id": 1}},
        {"action": "enable-row-lineage"},
        {},
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_changes(update: dict[str, Any]) -> None:
    base = made()
    before = copy.deepcopy(base)
    with pytest.raises(BadMetadata):
        after(update, base=base)
    assert base == before


_NUMBERS = st.integers(0, 4)
_CHANGES = st.one_of(
    _NUMBERS.map(lambda n: {"action": "set-properties", "updates": {f"p{n}": "1"}}),
    _NUMBERS.map(lambda n: {"action": "remove-properties", "removals": [f"p{n}"]}),
    _NUMBERS.map(lambda n: {"action": "remove-snapshots", "snapshot-ids": [n]}),
    _NUMBERS.map(lambda n: {"action": "remove-snapshot-ref", "ref-name": ("main", "a", "b", "c", "d")[n]}),
    _NUMBERS.map(
        lambda n: {"action": "set-snapshot-ref", "ref-name": ("main", "a")[n % 2], "type": "branch", "snapshot-id": n}
    ),
    st.integers(1, 9).map(lambda n: {"action": "add-snapshot", "snapshot": snapshot(n)}),
    _NUMBERS.map(
        lambda n: {
            "action": "add-schema",
            "schema": {"type": "struct", "schema-id": n, "fields": [LONG, {**NAME, "id": n + 2, "name": f"c{n}"}]},
        }
    ),
    st.integers(-1, 3).map(lambda n: {"action": "set-current-schema", "schema-id": n}),
)


@given(st.lists(_CHANGES, max_size=12))
def test_whatever_is_carried_out_leaves_a_sound_table(changes: list[dict[str, Any]]) -> None:
    metadata = made()
    for change in changes:
        before = copy.deepcopy(metadata)
        try:
            metadata_after = apply_updates(metadata, [change], now_ms=2000)
        except (BadMetadata, NotBuiltOnHead):
            assert metadata == before
            continue
        assert metadata == before
        metadata = metadata_after
        parsed = TableMetadataV2.model_validate(metadata)
        known = {one.snapshot_id for one in parsed.snapshots}
        assert {ref.snapshot_id for ref in parsed.refs.values()} <= known
        assert parsed.current_snapshot_id in {None, *known}
        assert parsed.last_column_id >= parsed.schema().highest_field_id
        assert len({one.schema_id for one in parsed.schemas}) == len(parsed.schemas)
        assert metadata["properties"]["gc.enabled"] == "false"
        check_requirements(metadata, [{"type": "assert-table-uuid", "uuid": str(parsed.table_uuid)}])
