from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from bucle.ground.core import ConfigError, SimulatedClock, parse_config
from bucle.ground.ledger import Anchor, verify_log
from bucle.ground.project import Project
from bucle.line import monitoring

SINCE = datetime(2013, 3, 1, tzinfo=UTC)
UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
Log = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="session")
def windows(log: Log, profile: monitoring.Profile) -> list[monitoring.Window]:
    frame, features, labels = log
    return monitoring.summarise(frame, features, labels, profile, since=SINCE, until=UNTIL)


@pytest.fixture(scope="session")
def hot(log: Log, profile: monitoring.Profile) -> list[monitoring.Window]:
    """The same month with its temperatures in Fahrenheit."""
    frame, features, labels = log
    changed = features.with_columns(temp=pl.col("temp") * 1.8 + 32)
    return monitoring.summarise(frame, changed, labels, profile, since=SINCE, until=UNTIL)


def test_what_was_watched_can_be_read_again(
    any_project: Project, windows: list[monitoring.Window], profile: monitoring.Profile
) -> None:
    found = monitoring.watch(any_project, "flights", windows, profile)
    assert found.signals == ()
    assert monitoring.windows(any_project, "flights") == windows
    assert monitoring.windows(any_project, "flights", version=2) == windows[1:] or len(windows) == 2
    assert monitoring.watched(any_project, "flights") == [found]
    assert monitoring.windows(any_project, "flights", since=UNTIL) == []


def test_a_watch_is_one_event_with_the_figures_in_it(
    any_project: Project, hot: list[monitoring.Window], profile: monitoring.Profile
) -> None:
    monitoring.watch(any_project, "flights", hot, profile, actor="loop", reason="the month is over")
    (event,) = any_project.ledger.events()
    assert (event.kind, event.subject, event.actor) == ("monitoring.watched", "endpoint/flights", "loop")
    brief = event.data["windows"][0]
    assert brief["rows"] == hot[0].rows
    assert brief["drifted"] == ["temp"]
    assert brief["auc"] == pytest.approx(monitoring.quality(hot[0]).auc)
    assert {signal["feature"] for signal in event.data["signals"]} == {"temp"}
    assert verify_log(any_project.database, Anchor(any_project.state / "ledger.anchor")).faults == ()


def test_a_drifted_feature_is_a_signal_that_says_how(
    any_project: Project, hot: list[monitoring.Window], profile: monitoring.Profile, clock: SimulatedClock
) -> None:
    clock.set(UNTIL)
    found = monitoring.watch(any_project, "flights", hot, profile)
    assert sorted(monitoring.signals(any_project, "flights"), key=lambda s: s.version) == list(found.signals)
    first = found.signals[0]
    assert (first.kind, first.feature, first.version, first.at) == ("drift", "temp", 1, UNTIL)
    assert "mean 46" in first.detail
    assert "was 8" in first.detail
    upstream = any_project.ledger.lineage(f"signal/{first.id}")
    assert "model/delay@1" in {edge.source for edge in upstream}


def test_the_same_key_gives_back_what_was_found_first(
    any_project: Project, windows: list[monitoring.Window], hot: list[monitoring.Window], profile: monitoring.Profile
) -> None:
    first = monitoring.watch(any_project, "flights", hot, profile, key="watch/2013-03")
    again = monitoring.watch(any_project, "flights", windows, profile, key="watch/2013-03")
    assert again == first
    assert any_project.ledger.size() == 1


def test_watching_again_with_later_labels_replaces_the_window_and_doubles_no_signal(
    any_project: Project, log: Log, profile: monitoring.Profile
) -> None:
    frame, features, labels = log
    changed = features.with_columns(temp=pl.col("temp") * 1.8 + 32)
    for known_by in (SINCE + timedelta(days=10), UNTIL + timedelta(days=1)):
        seen = monitoring.summarise(frame, changed, labels, profile, since=SINCE, until=UNTIL, known_by=known_by)
        monitoring.watch(any_project, "flights", seen, profile)
    assert sum(window.labelled for window in monitoring.windows(any_project, "flights")) == frame.height
    assert len(monitoring.signals(any_project)) == 2
    assert verify_log(any_project.database, Anchor(any_project.state / "ledger.anchor")).faults == ()


def test_quality_below_the_baseline_is_a_signal(
    project: Project, log: Log, profile: monitoring.Profile, windows: list[monitoring.Window]
) -> None:
    frame, features, labels = log
    shuffled = labels.with_columns(label=pl.col("label").shuffle(seed=1))
    lost = monitoring.summarise(frame, features, shuffled, profile, since=SINCE, until=UNTIL)
    baseline = {window.version: monitoring.quality(window) for window in windows}
    assert monitoring.watch(project, "flights", windows, profile, baseline=baseline).signals == ()
    found = monitoring.watch(project, "flights", lost, profile, baseline=baseline)
    assert {(s.kind, s.feature, s.version) for s in found.signals if s.feature == "auc"} == {
        ("quality", "auc", 1),
        ("quality", "auc", 2),
    }
    assert monitoring.signals(project, kinds=["drift"]) == []


def test_errors_slowness_and_silence_are_signals(project: Project, profile: monitoring.Profile, log: Log) -> None:
    frame, features, _ = log
    broken = frame.with_columns(
        status=pl.when(pl.int_range(pl.len()) % 10 == 0).then(pl.lit("error")).otherwise("status"),
        latency_us=pl.col("latency_us") * 1000,
        version=1,
        arm=pl.lit("champion"),
    )
    seen = monitoring.summarise(broken, features, None, profile, since=SINCE, until=UNTIL)
    rules = monitoring.Rules(min_volume=100_000)
    found = monitoring.watch(project, "flights", seen, profile, rules=rules).signals
    assert [signal.kind for signal in found] == ["errors", "latency", "volume"]
    assert found[0].value == pytest.approx(0.1)
    assert found[2].value == frame.height - seen[0].errors


def test_few_failures_are_no_signal(project: Project, profile: monitoring.Profile, log: Log) -> None:
    frame, features, _ = (part.head(60) for part in log)
    one = frame.with_columns(status=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("error")).otherwise("status"))
    seen = monitoring.summarise(one, features, None, profile, since=SINCE, until=UNTIL)
    assert monitoring.watch(project, "flights", seen, profile).signals == ()


def test_each_version_is_compared_with_its_own_profile(
    project: Project, windows: list[monitoring.Window], profile: monitoring.Profile
) -> None:
    assert len(monitoring.watch(project, "flights", windows, {1: profile, 2: profile}).quality) == 2
    with pytest.raises(monitoring.ProfileMismatch, match="delay@2"):
        monitoring.watch(project, "flights", windows, {1: profile})


def test_a_window_of_another_endpoint_is_refused(
    project: Project, windows: list[monitoring.Window], profile: monitoring.Profile
) -> None:
    with pytest.raises(monitoring.ProfileMismatch, match="trains"):
        monitoring.watch(project, "trains", windows, profile)
    assert project.ledger.size() == 0


def test_the_rules_come_from_the_project(root: Path) -> None:
    (root / "bucle.toml").write_text(
        '[project]\nname = "t"\n[monitoring]\npsi = 0.3\n[monitoring.guard]\nalpha = 0.01\n'
    )
    project = Project.open(root)
    rules = monitoring.rules_of(project)
    project.close()
    assert (rules.psi, rules.guard.alpha, rules.guard.min_requests) == (0.3, 0.01, 500)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("[monitoring]\npsy = 0.3", "monitoring.psy"),
        ("[monitoring]\npsi = -1", "monitoring.psi"),
        ("[monitoring.guard]\nalpha = 1.5", "monitoring.guard.alpha"),
    ],
)
def test_a_wrong_rule_is_named(text: str, at: str) -> None:
    with pytest.raises(ConfigError) as failed:
        parse_config(f'[project]\nname="t"\n{text}').section("monitoring", monitoring.Rules)
    assert failed.value.at == at
