"""What Iceberg tables of ours cost: appends, scans, deletes, upserts, compactions, beside raw Parquet and other makers.

    python benchmarks/tables.py [--peer PYTHON] [--commits 10,100,1000] [--rows 1000,10000,100000,1000000]

`--peer` is a Python with `deltalake`, `numpy` and `pyiceberg[sql-sqlite]`; without it only our own figures are told.
Everything is CPU time of the whole process, threads included: on a shared machine a clock on the wall says little. All
of it runs on one disk, each writer forcing its files to the disk where it does so by itself. Appends are made in turns,
one of ours and one of each other maker's: the speed of a virtual machine changes by a half from one minute to another.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROUNDS = 3
"""So often a table is made and changed."""


def cpu_ms(run: Callable[[], object]) -> float:
    """CPU milliseconds of this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def middle(run: Callable[[int], object], rounds: int) -> float:
    """The median CPU milliseconds of a call."""
    return statistics.median(cpu_ms(lambda number=number: run(number)) for number in range(rounds))  # type: ignore[misc]


def batch(rows: int, start: int = 0) -> pl.DataFrame:
    """Eight columns: an id, an instant, a category, five numbers."""
    random = np.random.default_rng(start)
    at = np.arange(start, start + rows)
    return pl.DataFrame(
        {
            "id": at,
            "at": pl.Series(at * 1_000_000).cast(pl.Datetime("us")),
            "cat": [f"c{value}" for value in random.integers(0, 100, rows)],
            **{f"f{place}": random.random(rows) for place in range(5)},
        }
    )


# Appends: each takes a folder and gives what appends a thousand rows to one table.


def raw_append(folder: Path) -> Callable[[], object]:
    """A Parquet file, forced to the disk, and nothing that says so."""
    frame, number = batch(1000), itertools.count()

    def write() -> None:
        path = folder / f"{next(number)}.parquet"
        frame.write_parquet(path, compression="zstd")
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)

    return write


def delta_append(folder: Path) -> Callable[[], object]:
    import deltalake

    frame = batch(1000)
    return lambda: deltalake.write_deltalake(str(folder), frame, mode="append")


def our_append(folder: Path) -> Callable[[], object]:
    from bucle.line import data

    project, frame = opened(folder), batch(1000)
    return lambda: data.commit(project, {"grow": frame}, message="append")


APPENDS = {"ours": our_append, "raw": raw_append, "delta": delta_append}


def answer_appends(append: Callable[[], object]) -> None:
    """Append as often as each line of standard input says, and tell the CPU ms of the last one."""
    for line in sys.stdin:
        for _ in range(int(line) - 1):
            append()
        print(cpu_ms(append), flush=True)


def curves(pythons: dict[str, str], given: argparse.Namespace) -> dict[str, dict[int, float]]:
    """Maker -> commits -> what an append costs then: the median of `rounds`, made in turns."""
    makers = {
        name: subprocess.Popen(
            [pythons[name], __file__, "--appends", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in APPENDS
        if pythons[name]
    }
    found, done = {name: dict[int, float]() for name in makers}, 0
    for point in given.commits:
        for maker in makers.values():
            appended(maker, point - done)
        taken = [{name: appended(maker, 1) for name, maker in makers.items()} for _ in range(given.rounds)]
        done = point + given.rounds
        for name in makers:
            found[name][point] = statistics.median(one[name] for one in taken)
    for maker in makers.values():
        maker.communicate()
    return found


def appended(maker: subprocess.Popen[str], count: int) -> float:
    assert maker.stdin is not None
    assert maker.stdout is not None
    maker.stdin.write(f"{count}\n")
    maker.stdin.flush()
    return float(maker.stdout.readline())


# Others: each takes a folder and gives name -> CPU milliseconds.


def delta(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    import deltalake

    found, place = dict[str, Any](), str(folder / "files")
    for number in range(given.files):
        deltalake.write_deltalake(place, batch(1000, number * 1000), mode="append")
    found["plan"] = middle(lambda _: deltalake.DeltaTable(place).file_uris(), 5)
    found["compact"] = cpu_ms(deltalake.DeltaTable(place).optimize.compact)
    for rows in given.rows:
        for name in ("delete", "upsert"):
            found[f"{name} {rows}"] = statistics.median(
                delta_change(str(folder / f"{name}{rows}-{number}"), name, rows, number) for number in range(ROUNDS)
            )
    return found


def delta_change(place: str, name: str, rows: int, number: int) -> float:
    """CPU ms of deleting or replacing a hundredth of a table's rows, 10,000 at most."""
    import deltalake

    whole = batch(rows)
    deltalake.write_deltalake(place, whole)
    table = deltalake.DeltaTable(place)
    step = step_of(rows)
    if name == "delete":
        return cpu_ms(lambda: table.delete(f"id % {step} = {number}"))
    new = replacing(whole, number)

    def merge() -> None:
        merging = table.merge(new.to_arrow(), "s.id = t.id", source_alias="s", target_alias="t")
        merging.when_matched_update_all().when_not_matched_insert_all().execute()

    return cpu_ms(merge)


def step_of(rows: int) -> int:
    """Every how many-th row is changed."""
    return max(100, rows // 10_000)


def replacing(whole: pl.DataFrame, number: int) -> pl.DataFrame:
    """New rows for a hundredth of a table's ids, 10,000 at most."""
    return whole.filter(pl.col("id") % step_of(whole.height) == number).with_columns(f0=pl.lit(9.0))


def pyiceberg_writer(folder: str, count: int) -> None:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import CommitFailedException

    catalog = SqlCatalog("c", uri=f"sqlite:///{folder}/c.db", warehouse=f"file://{folder}")
    rows = batch(1000).to_arrow(compat_level=pl.CompatLevel.oldest())
    for _ in range(count):
        while True:
            try:
                catalog.load_table("n.t").append(rows)
                break
            except CommitFailedException:
                continue


def pyiceberg(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("c", uri=f"sqlite:///{folder}/c.db", warehouse=f"file://{folder}")
    catalog.create_namespace("n")
    rows = batch(1000).to_arrow(compat_level=pl.CompatLevel.oldest())
    catalog.create_table("n.t", rows.schema)
    seconds = together(pyiceberg_writer, str(folder), given)
    found = catalog.load_table("n.t").scan().to_arrow().num_rows
    assert found == 4000 * given.each, found
    return {"together": 4 * (given.each - 1) / seconds}


def together(writer: Callable[[str, int], None], folder: str, given: argparse.Namespace) -> float:
    """Wall seconds of four processes that append at once, from when all are ready to when all have committed."""
    context = multiprocessing.get_context("spawn")
    ready, go, done = (context.Barrier(5, timeout=900) for _ in range(3))
    meet = (ready, go, done)
    processes = [context.Process(target=start, args=(writer, folder, given.each, meet)) for _ in range(4)]
    for process in processes:
        process.start()
    ready.wait()
    begun = time.perf_counter()
    go.wait()
    done.wait()
    took = time.perf_counter() - begun
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return took


def start(writer: Callable[[str, int], None], folder: str, count: int, meet: Sequence[Any]) -> None:
    ready, go, done = meet
    writer(folder, 1)
    ready.wait()
    go.wait()
    writer(folder, count - 1)
    done.wait()


# Ours.


def opened(folder: Path) -> Any:
    from bucle.ground.project import Project

    (folder / "bucle.toml").write_text('[project]\nname = "bench"\n')
    return Project.open(folder, actor="bench")


def our_writer(folder: str, count: int) -> None:
    from bucle.ground.project import Project
    from bucle.line import data

    project = Project.open(Path(folder), actor="bench")
    frame = batch(1000)
    for _ in range(count):
        data.commit(project, {"t": frame}, message="append")
    project.close()


def ours(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    from bucle.line import data

    project, found = opened(folder), dict[str, Any]()
    for number in range(given.files):
        data.commit(project, {"files": batch(1000, number * 1000)}, message="append")
    found["plan"] = middle(lambda _: data.lazy(project, "files"), 5)
    where = pl.col("id") == 500
    found["plan and read one of"] = middle(lambda _: data.scan(project, "files", where=where), 5)
    before = data.scan(project, "files")
    found["compact"] = cpu_ms(lambda: data.compact(project, "files"))
    assert data.scan(project, "files").equals(before)
    for rows in given.rows:
        found |= changes(project, folder, rows)
    project.close()
    together_in = folder / "together"
    together_in.mkdir()
    opened(together_in).close()
    found["together"] = 4 * (given.each - 1) / together(our_writer, str(together_in), given)
    return found


def changes(project: Any, folder: Path, rows: int) -> dict[str, float]:
    """What deleting, replacing and reading cost in tables of so many rows."""
    from bucle.line import data

    whole, step = batch(rows), step_of(rows)
    deletes, upserts = list[float](), list[float]()
    for number in range(ROUNDS):
        for name in ("delete", "upsert"):
            data.commit(project, {f"{name}{rows}_{number}": whole}, message="whole")
        table, where = f"delete{rows}_{number}", f"id % {step} = {number}"
        deletes.append(cpu_ms(lambda: data.delete(project, table, where, message="gone")))  # noqa: B023
        table, new = f"upsert{rows}_{number}", replacing(whole, number)
        upserts.append(cpu_ms(lambda: data.upsert(project, table, new, on=["id"], message="new")))  # noqa: B023
    cut = rows // 10
    for number in range(10):
        data.commit(project, {f"scan{rows}": whole.slice(number * cut, cut)}, message="part")
    manifest = data.load_manifest(project, data.resolve(project).tables[f"scan{rows}"].manifest)
    files = [project.state / file.path for file in manifest.data]
    pairs = [
        (cpu_ms(lambda: data.scan(project, f"scan{rows}")), cpu_ms(lambda: pl.scan_parquet(files).collect()))
        for _ in range(9)
    ]
    return {
        f"delete {rows}": statistics.median(deletes),
        f"upsert {rows}": statistics.median(upserts),
        f"scan {rows}": statistics.median(pair[0] for pair in pairs),
        f"scan bare {rows}": statistics.median(pair[1] for pair in pairs),
    }


CASES = {"delta": delta, "pyiceberg": pyiceberg, "ours": ours}


def asked(python: str, case: str, arguments: list[str]) -> dict[str, Any]:
    command = [python, __file__, *arguments, "--case", case]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return found


def show(what: str, mine: float, other: float | None, who: str, bar: str = "") -> None:
    told = "" if other is None else f"{other:10.1f} {mine / other:8.2f}x"
    print(f"{what:<34} {mine:10.1f} {told:<20} {who:<28} {bar}")


def tell_appends(found: dict[str, dict[int, float]]) -> None:
    mine, bare, theirs = (found.get(name, {}) for name in ("ours", "raw", "delta"))
    print(f"\n{'CPU ms':<34} {'ours':>10} {'other':>10} {'ratio':>9}")
    for point, value in mine.items():
        show(f"append 1,000 rows, {point} commits", value, theirs.get(point), "deltalake", "at most 0.5")
    (first, least), *later = mine.items()
    for point, value in later:
        show(f"append at {point} commits", value, least, f"at {first} commits", "at most 1.3")
    show("append 1,000 rows", least, bare[first], "write_parquet + fsync")


def tell(given: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    mine, theirs, slow = (found[name] for name in ("ours", "delta", "pyiceberg"))
    show(f"plan {given.files:,} files", mine["plan"], theirs.get("plan"), "deltalake", "at most 15 ms")
    show(f"find one row in {given.files:,} files", mine["plan and read one of"], None, "")
    show(f"compact {given.files:,} files", mine["compact"], theirs.get("compact"), "deltalake", "at most 1.3")
    for name in ("delete", "upsert"):
        for rows in given.rows:
            what = f"{name} {rows // step_of(rows):,} of {rows:,} rows"
            bar = "at most 0.25" if rows == 1_000_000 else ""
            show(what, mine[f"{name} {rows}"], theirs.get(f"{name} {rows}"), "deltalake", bar)
    for rows in given.rows:
        what, bare_scan = f"scan {rows:,} rows", mine[f"scan bare {rows}"]
        show(what, mine[f"scan {rows}"], bare_scan, "scan_parquet of its 10 files", "at most 1.05")
    show("commits/s of 4 processes", mine["together"], slow.get("together"), "pyiceberg's SqlCatalog", "at least 5")


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between."""
    return [int(one) for one in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default="", help="a Python with deltalake and pyiceberg")
    parser.add_argument("--commits", type=numbers, default=[10, 100, 1000])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rows", type=numbers, default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--each", type=int, default=20, help="appends of each of the four processes")
    parser.add_argument("--case", choices=[*CASES], default="", help="one maker's figures as JSON")
    parser.add_argument("--appends", choices=[*APPENDS], default="", help="append as standard input says")
    given = parser.parse_args()
    if given.appends:
        with tempfile.TemporaryDirectory() as folder:
            answer_appends(APPENDS[given.appends](Path(folder)))
        return
    if given.case:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(CASES[given.case](Path(folder), given)))
        return
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("polars", "pyarrow", "pyiceberg"))
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, {versions}")
    arguments = sys.argv[1:]
    pythons = {"ours": sys.executable, "raw": sys.executable, "delta": given.peer, "pyiceberg": given.peer}
    tell_appends(curves(pythons, given))
    tell(given, {case: asked(pythons[case], case, arguments) if pythons[case] else {} for case in CASES})


if __name__ == "__main__":
    main()
