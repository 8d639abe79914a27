"""Stock Iceberg clients against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from pyiceberg.catalog.rest import RestCatalog

from bucle.line import data
from doors.conftest import Site, served

HERE = Path(__file__).parent
Connect = Callable[..., RestCatalog]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The clients warn of what they lack; what Bucle warns of is an error here as everywhere.
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            item.add_marker(pytest.mark.filterwarnings(r"error:::bucle\."))


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Site]:
    """A served project with the table `flights` on `main`, and a branch `dev`."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "bucle.toml").write_text('[project]\nname = "lake"\n')
    with served(root) as site:
        data.commit(site.project, {"flights": flights(3)}, message="first")
        data.create_branch(site.project, "dev")
        yield site


@pytest.fixture
def connect(lake: Site) -> Connect:
    """A stock client of a branch."""
    return lambda branch="main": RestCatalog("bucle", uri=f"{lake.url}/iceberg", warehouse=branch)


def flights(rows: int, first: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"id": range(first, first + rows), "origin": ["JFK"] * rows, "delay": [1.5] * rows})
