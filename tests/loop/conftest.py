"""Projects under a policy, for all tests of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bucle.ground.core import SimulatedClock
from bucle.ground.project import Project
from loop.guarded import open_guarded


@pytest.fixture(params=["sqlite", "postgresql"])
def guarded(request: pytest.FixtureRequest, root: Path, clock: SimulatedClock) -> Iterator[Project]:
    """A project whose policy guards m; m@1 and m@2 by ana, and unguarded@1."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_guarded(root, clock, url)
    yield opened
    opened.close()
