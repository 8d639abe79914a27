"""The loop trains for a purpose: what the records refuse, it closes its cycle with, and goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bucle import loop
from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from bucle.line import data, deploy, registry
from journeys.toy_loop import START, batch


@pytest.fixture
def toy(tmp_path: Path, migrated_file: Path) -> Iterator[Project]:
    root = tmp_path / "toy"
    shutil.copytree(Path(__file__).parent / "toy", root)
    toml = root / "bucle.toml"
    toml.write_text(toml.read_text().replace('name = "toy"', 'name = "toy"\npurpose = "offers"', 1))
    (root / ".bucle").mkdir()
    shutil.copy(migrated_file, root / ".bucle" / "bucle.db")
    opened = Project.open(root, clock=SimulatedClock(START), actor="ana")
    data.commit(opened, batch(0), message="week 0")
    opened.clock.set(START + timedelta(days=7))  # type: ignore[attr-defined]
    yield opened
    opened.close()


def test_a_cycle_ends_with_what_the_records_refuse(toy: Project) -> None:
    policy = loop.policy_of(toy, "toy")
    act = loop.actions_for(toy, policy, deploy.LocalTarget(start=False))
    data.describe(toy, "visits", purposes=["billing"])
    with loop.Controller(toy, policy, act) as controller:
        loop.request(toy, "toy", loop.Request(id="first", reason="begin", actor="ana"))
        controller.tick()
        (cycle,) = controller.state().cycles
        assert cycle.outcome == "failed"
        assert "offers" in cycle.failures[0]
        assert registry.models(toy) == []

        data.describe(toy, "visits", purposes=["billing", "offers"])
        loop.request(toy, "toy", loop.Request(id="second", reason="again", actor="ana"))
        controller.tick(limit=1)
        assert controller.state().cycle is not None
        data.describe(toy, "visits", purposes=["billing"])
        controller.tick()
        judged = controller.state().cycles[1]
        assert (judged.candidate, judged.outcome) == (1, "refused")
        assert "BU0548" in judged.failures[0]
    assert registry.version(toy, "toy", 1).stage == "rejected"
