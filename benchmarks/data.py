"""How much the data station costs over bare Parquet: append, landing through a contract, scan, contract check.

    python benchmarks/data.py [--rows 30000] [--rounds 15]

Every ratio is taken within one run on one machine: the yardstick is what polars does with the same rows and no promise.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from bucle.ground.project import Project
from bucle.line import contracts, data
from bucle.line.contracts import Contract

FLIGHTS = Path(data.__file__).parents[2] / "examples" / "flights" / "data"
TABLES = ("flights", "arrivals", "weather")


def middle_ms(run: Callable[[int], object], rounds: int) -> float:
    """The median of wall milliseconds, after one round that does not count."""
    run(-1)
    taken = []
    for number in range(rounds):
        start = time.perf_counter()
        run(number)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def show(what: str, ours: float, bare: float, yardstick: str) -> None:
    print(f"{what:<44} {ours:9.1f} ms {bare:9.1f} ms {ours / bare:7.2f}x  {yardstick}")


def write_durably(frames: dict[str, pl.DataFrame], folder: Path, number: int) -> None:
    for name, frame in frames.items():
        path = folder / f"{name}-{number}.parquet"
        frame.write_parquet(path, compression="zstd")
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def appends(project: Project, bare: Path, frames: dict[str, pl.DataFrame], rounds: int) -> None:
    inferred = {name: contracts.infer(frame, name, slack=0.2) for name, frame in frames.items()}
    free = {name: _without_unique(contract) for name, contract in inferred.items()}
    raw = middle_ms(lambda number: write_durably(frames, bare, number), rounds)
    ours = middle_ms(lambda _: data.commit(project, frames, message="append"), rounds)
    show("append to 3 tables", ours, raw, "write_parquet + fsync, 3 files")
    ours = middle_ms(lambda _: data.land(project, frames, contracts=free, message="land", branch="free"), rounds)
    show("land in 3 tables through contracts", ours, raw, "the same")
    one = {"flights": frames["flights"].head(1000)}
    small = middle_ms(lambda number: write_durably(one, bare, 1000 + number), rounds)
    data.create_branch(project, "small", at="empty")
    ours = middle_ms(lambda _: data.commit(project, one, message="small", branch="small"), rounds)
    show("append 1,000 rows to 1 table", ours, small, "write_parquet + fsync, 1 file")
    for _ in range(100):
        data.commit(project, one, message="grow", branch="small")
    ours = middle_ms(lambda _: data.commit(project, one, message="small", branch="small"), rounds)
    show("the same after 100 commits more", ours, small, "the same")


def scans(project: Project, bare: Path, rounds: int) -> None:
    flights = pl.read_parquet(FLIGHTS / "flights.parquet")
    parts = [flights.filter(pl.col("sched_dep_at").dt.month() == month) for month in range(1, 13)]
    data.create_branch(project, "year", at="empty")
    for number, part in enumerate(parts):
        data.commit(project, {"flights": part}, message="month", branch="year")
        part.write_parquet(bare / f"year-{number:02d}.parquet", compression="zstd")
    files = sorted(bare.glob("year-*.parquet"))
    ours = middle_ms(lambda _: data.scan(project, "flights", at="year"), rounds)
    raw = middle_ms(lambda _: pl.scan_parquet(files).collect(), rounds)
    show(f"scan {flights.height:,} rows of 12 files", ours, raw, "scan_parquet of the same")
    where = pl.col("carrier") == "HA"
    ours = middle_ms(lambda _: data.scan(project, "flights", at="year", columns=["flight_id"], where=where), rounds)
    raw = middle_ms(lambda _: pl.scan_parquet(files).filter(where).select("flight_id").collect(), rounds)
    show("one carrier, one column", ours, raw, "the same filter on scan_parquet")


def checks(rounds: int) -> None:
    flights = pl.read_parquet(FLIGHTS / "flights.parquet")
    contract = contracts.infer(flights, "flights")
    ours = middle_ms(lambda _: contracts.check(flights, contract), rounds)
    bare = middle_ms(lambda _: flights.select(pl.all().null_count(), pl.all().n_unique().name.suffix("_n")), rounds)
    show(
        f"contract of {len(contract.columns)} columns, {flights.height:,} rows", ours, bare, "nulls and n_unique of all"
    )
    bare = middle_ms(lambda _: pl.read_parquet(FLIGHTS / "flights.parquet"), rounds)
    show("the same", ours, bare, "reading the rows from Parquet")
    ours = middle_ms(lambda _: contracts.infer(flights, "flights"), rounds)
    show("infer that contract", ours, bare, "reading the rows from Parquet")


def _without_unique(contract: Contract) -> Contract:
    """The bench lands the same rows again and again."""
    text = contracts.dump(contract).replace("unique: true", "unique: false")
    plain = contracts.parse(text)
    return Contract(table=plain.table, columns=plain.columns, relations=plain.relations, min_rows=plain.min_rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("polars", "pyarrow", "pyiceberg"))
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, {versions}; {given.rows:,} rows a table, median of {given.rounds}\n")
    print(f"{'':<44} {'ours':>12} {'bare':>12} {'ratio':>8}")
    frames = {name: pl.read_parquet(FLIGHTS / f"{name}.parquet").head(given.rows) for name in TABLES}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        root.mkdir()
        (root / "bucle.toml").write_text('[project]\nname = "bench"\n')
        bare = Path(folder) / "bare"
        bare.mkdir()
        project = Project.open(root, actor="bench")
        for name in ("empty", "free"):
            data.create_branch(project, name)
        appends(project, bare, frames, given.rounds)
        scans(project, bare, given.rounds)
        checks(given.rounds)
        project.close()


if __name__ == "__main__":
    main()
