"""Machine: state machines over a project of their own."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project


class OfProject(RuleBasedStateMachine):
    """A machine each run of which has a fresh project.

    Attributes:
        template: a migrated database, to be copied.
        folder: where the projects lie.
    """

    template: Path
    folder: Path

    def fresh(self) -> Project:
        root = Path(tempfile.mkdtemp(dir=self.folder))
        (root / ".bucle").mkdir()
        (root / "bucle.toml").write_text('[project]\nname = "lake"\n')
        shutil.copy(self.template, root / ".bucle" / "bucle.db")
        self.clock = SimulatedClock(datetime(2013, 1, 1, tzinfo=UTC))
        return Project.open(root, clock=self.clock, actor="ana")


def check(machine: type[OfProject], template: Path, folder: Path, *, examples: int, steps: int) -> None:
    """Run a machine so often, with so many steps each time."""
    of_here = type("Here", (machine,), {"template": template, "folder": folder})
    quick = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        of_here,
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=quick),
    )
