"""The machine as a run sees it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from bucle.line.client.system import Gpus, Host, gpus, watch_system

SAID = "0, 97, 10240, 40960, 250.00, 300.00\n1, 3, 1024, 40960, [N/A], [N/A]\nNVIDIA-SMI has failed\n"


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that says what the real one says of two cards."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{SAID}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


def test_a_host_tells_shares_and_megabytes() -> None:
    found = Host("/").look()
    assert 0 <= found["system_memory_usage_percentage"] <= 100
    assert 5 < found["process_memory_usage_megabytes"] < found["system_memory_usage_megabytes"] + 1e6
    assert found["network_receive_megabytes"] >= 0
    assert {name.split("_")[0] for name in found} == {"cpu", "process", "system", "disk", "network"}


def test_each_card_is_told_apart_and_what_it_does_not_know_is_left_out(nvidia_smi: Path) -> None:
    probe = gpus()
    assert probe is not None
    assert probe.look() == {
        "gpu_0_utilization_percentage": 97,
        "gpu_0_memory_usage_megabytes": pytest.approx(10737.4, abs=0.1),
        "gpu_0_memory_usage_percentage": 25,
        "gpu_0_power_usage_watts": 250,
        "gpu_0_power_usage_percentage": 83.3,
        "gpu_1_utilization_percentage": 3,
        "gpu_1_memory_usage_megabytes": pytest.approx(1073.7, abs=0.1),
        "gpu_1_memory_usage_percentage": 2.5,
    }


def test_a_program_that_fails_tells_nothing(tmp_path: Path) -> None:
    assert Gpus(str(tmp_path / "none")).look() == {}
    assert Gpus("/bin/false").look() == {}


def test_the_machine_is_watched_until_the_block_ends(nvidia_smi: Path) -> None:
    looks: list[Mapping[str, float]] = []
    enough = threading.Event()

    def log(values: Mapping[str, float]) -> None:
        looks.append(values)
        if len(looks) == 3:
            enough.set()

    with watch_system(log, interval_s=0.01):
        assert enough.wait(30)
    count = len(looks)
    assert not [one for one in threading.enumerate() if one.name == "bucle-system"]
    assert len(looks) == count
    assert {"system/cpu_utilization_percentage", "system/gpu_0_power_usage_watts"} <= set(looks[0])


def test_a_short_run_is_looked_at_as_well() -> None:
    looks: list[Mapping[str, float]] = []
    with watch_system(looks.append, interval_s=3600):
        pass
    assert len(looks) == 2
