from __future__ import annotations

from collections.abc import Iterator

import pytest

from bucle.ground.project import Project


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project to ask wrong questions of; shared, so that asking costs no new one."""
    root = tmp_path_factory.mktemp("bare")
    (root / "bucle.toml").write_text('[project]\nname = "bare"\n')
    project = Project.open(root, actor="ana")
    yield project
    project.close()
