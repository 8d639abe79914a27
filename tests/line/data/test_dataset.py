"""What a table is and what it may be used for: versioned with it, and asked of who trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucle.ground import governance
from bucle.ground.core import ConfigError, SimulatedClock, to_builtins
from bucle.ground.project import Project
from bucle.line import data
from bucle.line.data import Dataset
from bucle.line.data.dataset import joined
from bucle.line.files import keep_files

START = datetime(2013, 1, 1, tzinfo=UTC)

ROWS = pl.DataFrame({"k": [1, 2, 3], "mail": ["a@x.org", "b@x.org", None]})

TEXTS = st.text(max_size=20).filter(lambda text: text.isprintable())
RECORDS = st.builds(
    Dataset,
    table=st.just("t"),
    description=TEXTS,
    owner=TEXTS,
    purposes=st.lists(TEXTS.filter(str.strip), max_size=3).map(tuple),
    licence=TEXTS,
    basis=st.sampled_from(["", *data.BASES]),
    retention=st.sampled_from(["", "730d", "2w"]),
)


@pytest.fixture
def shop(any_project: Project) -> Project:
    data.commit(any_project, {"orders": ROWS}, message="rows")
    return any_project


@pytest.fixture
def zoned(root: Path, clock: SimulatedClock) -> Iterator[Project]:
    (root / "bucle.toml").write_text(
        '[project]\nname = "test"\n[data.zones.raw]\ntables = "raw.*"\nowner = "rita"\nretention = "730d"\n'
        '[data.zones.refined]\ntables = ["gold.*", "orders"]\n[data.zones.loose]\n'
    )
    opened = Project.open(root, clock=clock, actor="ana")
    data.commit(opened, {"raw.orders": ROWS, "orders": ROWS, "elsewhere": ROWS}, message="rows")
    yield opened
    opened.close()


def test_a_record_is_versioned_with_its_table(shop: Project) -> None:
    assert data.dataset(shop, "orders") == Dataset(table="orders")
    before = data.resolve(shop).id
    made = data.describe(shop, "orders", owner="ana", purposes=["billing"], licence="CC-BY-4.0", basis="contract")
    again = data.describe(shop, "orders", description="What was bought", retention="730d")
    found = data.dataset(shop, "orders")
    assert (found.owner, found.purposes, found.basis) == ("ana", ("billing",), "contract")
    assert (found.description, found.retention) == ("What was bought", "730d")
    assert data.dataset(shop, "orders", at=made.id).description == ""
    assert data.dataset(shop, "orders", at=before) == Dataset(table="orders")
    assert data.describe(shop, "orders", owner="ana").id == again.id
    text = data.read_file(shop, ".datasets/orders.yaml").decode()
    assert data.parse_dataset(text, "orders") == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ownr": "ana"}, "Did you mean 'owner'"),
        ({"basis": "because"}, "legitimate interests"),
        ({"retention": "two years"}, "no duration"),
        ({"purposes": [" "]}, "empty"),
        ({"purposes": "billing"}, "array"),
        ({"zone": "raw"}, "there is none"),
        ({"event_at": "k"}, "no date or instant"),
        ({"event_at": "when"}, "no column"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_record_that_cannot_be_is_refused(project: Project, changes: dict, message: str) -> None:
    data.commit(project, {"orders": ROWS}, message="rows")
    head = data.resolve(project).id
    with pytest.raises((data.BadDataset, data.NoSuchColumn), match=message):
        data.describe(project, "orders", **changes)
    assert data.resolve(project).id == head


def an_older_version() -> AbstractContextManager[object]:
    """One that did not look at what stands in the tree."""
    return patch("bucle.line.data.tree._check")


@pytest.mark.parametrize(
    ("text", "said"),
    [("owner: [\n", "line 2"), ("nonsense: 1", "no 'nonsense'"), ("retention: long", "no duration"), ("\xff", "UTF-8")],
    ids=["yaml", "field", "value", "bytes"],
)
def test_a_record_that_cannot_be_understood_is_never_committed(
    project: Project, tmp_path: Path, text: str, said: str
) -> None:
    data.commit(project, {"orders": ROWS}, message="rows")
    head, content = data.resolve(project).id, text.encode("latin-1")
    with pytest.raises(data.BadDataset, match=said) as told:
        data.commit(project, {}, files={".datasets/orders.yaml": content}, message="by hand")
    assert told.value.what.startswith(".datasets/orders.yaml: ")
    assert told.value.fix
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "orders.yaml").write_bytes(content)
    with pytest.raises(data.BadDataset, match=said):
        data.add_files(project, tmp_path / "records", ".datasets")
    (entry,) = keep_files(project, {"x": content}).values()
    with pytest.raises(data.BadDataset, match=said):
        data.change_files(project, {".datasets/orders.yaml": entry}, message="through the gateway")
    data.create_branch(project, "dev")
    with an_older_version():
        data.commit(project, {}, files={".datasets/orders.yaml": content}, branch="dev", message="by hand")
    with pytest.raises(data.BadDataset, match=said):
        data.merge(project, "dev", message="as it is")
    assert data.resolve(project).id == head
    now = data.commit(project, {"more": ROWS}, message="apart")
    with pytest.raises(data.BadDataset, match=said):
        data.merge(project, "dev", message="of three")
    assert data.resolve(project).id == now.id
    data.commit(
        project, {}, files={".datasets/notes/of.yaml": content, ".datasets/README": content}, message="no record"
    )


def test_one_record_written_wrong_is_nothing_to_other_tables(project: Project, clock: SimulatedClock) -> None:
    at = pl.Series([START, START + timedelta(days=40)], dtype=pl.Datetime("us", "UTC"))
    rows = pl.DataFrame({"at": at})
    with an_older_version():
        wrong = {".datasets/wrong.yaml": b"nonsense: 1"}
        data.commit(project, {"a": rows, "wrong": rows, "z": rows}, files=wrong, message="by hand")
    for name in "az":
        data.describe(project, name, retention="30d", event_at="at")
    clock.advance(timedelta(days=45))
    told = {one.table: one for one in data.retain(project).tables}
    assert "nonsense" in told["wrong"].problem
    assert [data.scan(project, name).height for name in ("a", "wrong", "z")] == [1, 2, 1]
    assert [one.problem != "" for one in data.healths(project)] == [False, True, False]
    assert data.health(project, "z").problem == ""
    held = data.each_in_force(project, ["wrong", "z"])
    assert isinstance(held["wrong"], data.BadDataset)
    assert held["z"].retention == "30d"


@pytest.mark.parametrize("text", ["[1, 2]", "owner: {", "&a [*a]", "purposes: billing", "nonsense: 1", "table: other"])
def test_a_record_written_wrong_allows_nothing(project: Project, text: str) -> None:
    with an_older_version():
        data.commit(project, {"orders": ROWS}, files={".datasets/orders.yaml": text.encode()}, message="by hand")
    with pytest.raises(data.BadDataset):
        data.scan(project.reading("billing"), "orders")
    assert data.scan(project, "orders").height == 3
    (told,) = data.healths(project)
    assert told.rows == 3
    assert "The record of table 'orders' cannot be used" in told.problem
    with pytest.raises(data.BadDataset):
        data.describe(project, "orders", owner="ana")
    whole = {name: value for name, value in to_builtins(Dataset(table="orders")).items() if name != "table"}
    data.describe(project, "orders", **{**whole, "purposes": ["billing"]})
    assert data.scan(project.reading("billing"), "orders").height == 3


@given(RECORDS)
def test_yaml_gives_back_what_was_written(record: Dataset) -> None:
    assert data.parse_dataset(data.dump_dataset(record), "t") == record


@given(RECORDS, RECORDS, RECORDS)
def test_a_merge_of_records_takes_what_one_side_changed_and_nothing_else(
    base: Dataset, ours: Dataset, theirs: Dataset
) -> None:
    made = joined(base, ours, theirs)
    assert made == joined(base, theirs, ours)
    assert joined(base, ours, base) == ours
    assert joined(base, ours, ours) == ours
    both = [
        name
        for name in Dataset.__struct_fields__
        if len({getattr(base, name), getattr(ours, name), getattr(theirs, name)}) == 3
    ]
    assert (made is None) == bool(both)
    if made is not None:
        for name in Dataset.__struct_fields__:
            changed = {getattr(side, name) for side in (ours, theirs)} - {getattr(base, name)}
            assert getattr(made, name) == (changed.pop() if changed else getattr(base, name))


def test_branches_that_say_different_things_of_a_table_merge(shop: Project) -> None:
    data.describe(shop, "orders", owner="ana")
    data.create_branch(shop, "dev")
    data.describe(shop, "orders", branch="dev", licence="MIT")
    data.describe(shop, "orders", purposes=["billing"])
    data.merge(shop, "dev", message="both")
    found = data.dataset(shop, "orders")
    assert (found.owner, found.licence, found.purposes) == ("ana", "MIT", ("billing",))
    data.describe(shop, "orders", branch="dev", owner="ben")
    data.describe(shop, "orders", owner="eva")
    with pytest.raises(data.Conflict, match="orders"):
        data.merge(shop, "dev", message="no")


def test_a_table_keeps_its_record_and_its_tags_under_another_name(project: Project) -> None:
    data.commit(project, {"orders": ROWS}, message="rows")
    data.describe(project, "orders", purposes=["billing"])
    data.tag_columns(project, "orders", {"mail": data.ColumnTag("email", "redact")})
    data.rename_table(project, "orders", "sales.orders", message="moved")
    assert data.dataset(project, "sales.orders") == Dataset(table="sales.orders", purposes=("billing",))
    assert list(data.pii_tags(project, "sales.orders")) == ["mail"]
    assert data.dataset(project, "orders") == Dataset(table="orders")


def test_a_zone_adds_what_a_table_does_not_say_itself(zoned: Project) -> None:
    found = data.in_force(zoned, "raw.orders")
    assert (found.zone, found.owner, found.retention) == ("raw", "rita", "730d")
    data.describe(zoned, "raw.orders", owner="ana", retention="30d", zone="loose")
    found = data.in_force(zoned, "raw.orders")
    assert (found.zone, found.owner, found.retention) == ("raw", "ana", "30d")
    assert data.in_force(zoned, "raw.orders__quarantine").owner == "ana"
    assert data.in_force(zoned, "elsewhere").zone == ""
    data.describe(zoned, "elsewhere", zone="loose")
    assert data.in_force(zoned, "elsewhere").zone == "loose"


def test_a_retention_of_a_zone_that_is_none_is_refused(root: Path, clock: SimulatedClock) -> None:
    (root / "bucle.toml").write_text('[project]\nname = "test"\n[data.zones.raw]\nretention = "long"\n')
    opened = Project.open(root, clock=clock, actor="ana")
    with pytest.raises(ConfigError, match="no duration"):
        data.zones(opened)
    opened.close()


def test_what_is_said_of_a_zone_holds_for_its_tables(zoned: Project) -> None:
    def may(who: str, table: str, action: governance.Action = "read") -> bool:
        return data.may_access(zoned, who, action, table)

    governance.grant(zoned, "*", "read", "zone/raw", effect="deny")
    governance.grant(zoned, "*", "read", "table/*")
    governance.grant(zoned, "eva", "read", "zone/raw")
    assert not may("luz", "raw.orders")
    assert not may("luz", "raw.made-later")
    assert may("eva", "raw.orders")
    assert may("luz", "orders")
    governance.grant(zoned, "*", "read", "table/raw.orders")
    assert may("luz", "raw.orders")
    governance.grant(zoned, "eva", "read", "table/raw.orders", effect="deny")
    assert not may("eva", "raw.orders")
    governance.grant(zoned, "*", "push", "zone/raw", effect="deny")
    assert not may("luz", "raw.orders", "write")
    with pytest.raises(governance.Denied, match="zone/raw"):
        data.check_access(zoned, "luz", "read", "raw.other")


def test_a_branch_cannot_move_a_table_out_of_its_zone(zoned: Project) -> None:
    governance.grant(zoned, "*", "read", "zone/loose", effect="deny")
    data.describe(zoned, "elsewhere", zone="loose")
    data.create_branch(zoned, "dev")
    data.describe(zoned, "elsewhere", branch="dev", zone="")
    assert data.dataset(zoned, "elsewhere", at="dev").zone == ""
    assert not data.may_access(zoned, "luz", "read", "elsewhere", at="dev")


def test_a_training_reads_only_what_it_may(shop: Project) -> None:
    data.describe(shop, "orders", purposes=["billing", "fraud detection"])
    head = data.resolve(shop).id
    for read in (data.scan, data.lazy, data.plan, data.annotate_rows):
        with pytest.raises(data.PurposeRefused, match="advertising"):
            read(shop.reading("advertising"), "orders")
    with pytest.raises(data.PurposeRefused, match="without telling"):
        data.scan(shop.reading(""), "orders")
    with pytest.raises(data.PurposeRefused):
        data.diff_rows(shop.reading("advertising"), "orders", head, "main")
    assert data.scan(shop, "orders").height == data.scan(shop.reading("billing"), "orders").height == 3
    newest = data.uses(shop, "orders", limit=1)[0]
    assert (newest.allowed, newest.purpose, newest.commit, newest.actor) == (True, "billing", head, "ana")
    assert [one.allowed for one in data.uses(shop, "orders")] == [True] + 6 * [False]


def test_what_main_says_now_holds_for_what_was_committed_before(shop: Project) -> None:
    old = data.resolve(shop).id
    data.create_branch(shop, "dev")
    data.describe(shop, "orders", purposes=["billing"])
    data.describe(shop, "orders", branch="dev", purposes=["anything"])
    for at in (old, "dev"):
        with pytest.raises(data.PurposeRefused):
            data.scan(shop.reading("anything"), "orders", at=at)
        assert data.scan(shop.reading("billing"), "orders", at=at).height == 3
