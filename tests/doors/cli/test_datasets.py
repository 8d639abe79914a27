"""`bucle data describe`, `uses`, `zones`, `health`, `retain`."""

from __future__ import annotations

from pathlib import Path

import pytest

from doors.cli.typed import Bucle


@pytest.fixture
def clinic(bucle: Bucle, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(empty)
    toml = empty / "bucle.toml"
    toml.write_text(toml.read_text() + '\n[data.zones.raw]\ntables = "raw.*"\nowner = "rita"\nretention = "30d"\n')
    (empty / "visits.csv").write_text("id,at\n1,2001-01-01T00:00:00Z\n2,2999-01-01T00:00:00Z\n")
    assert bucle("data", "add", "visits.csv", "--table", "raw.visits").status == 0
    return empty


def test_a_table_is_described_and_its_record_edited_as_a_file(bucle: Bucle, clinic: Path) -> None:
    said = bucle(
        "data", "describe", "raw.visits", "--owner", "ana", "--purpose", "care", "--purpose", "planning",
        "--basis", "public task", "--licence", "CC-BY-4.0", "--out", "visits.yaml", "--json",
    )  # fmt: skip
    assert said.status == 0, said.err
    assert said.record["dataset"]["purposes"] == ["care", "planning"]
    assert (said.record["in_force"]["zone"], said.record["in_force"]["retention"]) == ("raw", "30d")
    text = (clinic / "visits.yaml").read_text().replace("ana", "eva")
    (clinic / "visits.yaml").write_text(text + "description: who came\n")
    said = bucle("data", "describe", "raw.visits", "--file", "visits.yaml", "--json")
    assert said.status == 0, said.err
    assert (said.record["dataset"]["owner"], said.record["dataset"]["description"]) == ("eva", "who came")
    assert "care, planning" in bucle("data", "show", "raw.visits").out
    assert bucle("data", "describe", "raw.visits", "--basis", "because").status == 2
    assert bucle("data", "describe", "raw.visits", "--file", "nowhere.yaml").status != 0
    assert bucle("data", "describe", "raw.vists").status == 3


def test_zones_uses_and_health_are_told(bucle: Bucle, clinic: Path) -> None:
    (zone,) = bucle("data", "zones", "--json").record
    assert zone == {"zone": "raw", "owner": "rita", "retention": "30d", "tables": ["raw.visits"]}
    assert bucle("data", "uses", "--json").record == []
    (one,) = bucle("data", "health", "--json").record
    assert (one["table"], one["rows"]) == ("raw.visits", 2)
    assert len(bucle("data", "health", "raw.visits", "--json").record["points"]) == 1
    assert "raw.visits" in bucle("data", "health", "raw.visits").out


def test_who_is_kept_from_a_zone_reads_nothing_of_it(
    bucle: Bucle, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bucle("access", "deny", "*", "read", "zone/raw").status == 0
    assert bucle("access", "allow", "eva", "read", "zone/raw").status == 0
    for who, status in (("luz", 4), ("eva", 0)):
        monkeypatch.setenv("BUCLE_ACTOR", who)
        assert bucle("data", "show", "raw.visits").status == status
        assert bucle("data", "query", "SELECT * FROM raw.visits").status == status


def test_what_is_too_old_is_told_and_then_removed(bucle: Bucle, clinic: Path) -> None:
    told = bucle("data", "retain", "--dry-run", "--json").record["tables"]
    assert "--event-at" in told[0]["problem"]
    assert bucle("data", "describe", "raw.visits", "--event-at", "at").status == 0
    told = bucle("data", "retain", "--dry-run", "--json").record
    assert (told["tables"][0]["rows"], len(told["held"])) == (1, 1)
    said = bucle("data", "retain", "--json")
    assert (said.record["tables"][0]["rows"], len(said.record["commits"])) == (1, 3)
    assert bucle("data", "show", "raw.visits", "--json").record["snapshot"]["rows"] == 1
    assert "raw.visits" in bucle("data", "retain").out


@pytest.mark.parametrize("number", ["9999999", "99999999999999999999"])
def test_a_wait_longer_than_time_is_old_leaves_everything(bucle: Bucle, clinic: Path, number: str) -> None:
    for command in (("sweep", "--older-than-hours"), ("expire", "--older-than-days"), ("retain", "--older-than-hours")):
        said = bucle("data", command[0], command[1], number, "--json")
        assert (said.status, said.record.get("files", 0)) == (0, 0), said.err
