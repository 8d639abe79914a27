"""What branches, commits and merges cost in a lake of many tables.

    python benchmarks/history.py [--tables 100,1000,10000] [--rounds 9]

CPU milliseconds of the process, threads included; medians. Each round makes a branch, appends a row to one table on
both sides, and merges: the merge has both rows. Peers refuse it (lakeFS, Nessie: both sides changed the table).
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from tables import cpu_ms, numbers, opened  # type: ignore[import-not-found]

from bucle.line import data

ROW = pl.DataFrame({"id": [1], "name": ["one"]})
BARS = {"branch": 100, "merge": 100}
"""CPU ms with 10,000 tables."""


def measure(project: Any, tables: int, rounds: int) -> dict[str, float]:
    """What is done -> CPU ms."""
    step = 500
    for at in range(0, tables, step):
        data.commit(project, {f"t{number:05}": ROW for number in range(at, min(at + step, tables))}, message="tables")
    took = {what: list[float]() for what in ("branch", "commit", "diff", "merge")}
    for number in range(rounds):
        branch, table = f"b{number}", f"t{number * tables // rounds:05}"
        took["branch"].append(cpu_ms(lambda: data.create_branch(project, branch)))  # noqa: B023
        took["commit"].append(cpu_ms(lambda: data.commit(project, {table: ROW}, message="theirs", branch=branch)))  # noqa: B023
        data.commit(project, {table: ROW}, message="ours")
        took["diff"].append(cpu_ms(lambda: data.diff(project, "main", branch)))  # noqa: B023
        took["merge"].append(cpu_ms(lambda: data.merge(project, branch, message="both")))  # noqa: B023
        assert data.scan(project, table).height == 3
    return {what: statistics.median(times) for what, times in took.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=numbers, default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.python_version()}")
    for tables in given.tables:
        with tempfile.TemporaryDirectory() as folder:
            project = opened(Path(folder))
            for what, took in measure(project, tables, given.rounds).items():
                bar = f"at most {BARS[what]} ms" if what in BARS and tables == 10_000 else ""
                print(f"{tables:>7,} tables  {what:<8} {took:8.1f} ms CPU  {bar}")
            project.close()


if __name__ == "__main__":
    main()
