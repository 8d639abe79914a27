"""What holding a batch against its contract costs: 54 rules over 30 columns, beside one raw Polars select and peers.

    python benchmarks/contracts.py [--rows 1000000] [--rounds 7] [--peer PYTHON_WITH_GREAT_EXPECTATIONS]

The yardstick is a hand-written Polars select that counts the same breaches on the same frame in the same run; it does
not tell rules that cannot be computed, types, missing columns or which rows are bad. CPU seconds of the process, its
threads included, so that a busy machine does not count. The peer is run in a process of its own by the Python given.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

DOUBLES, LONGS, TEXTS = 10, 8, 4
KINDS = ["red", "green", "blue", "black", "white"]
PATTERN = "[A-Z]{2}-[0-9]{4}"


def rows(size: int) -> pl.DataFrame:
    import numpy as np

    random = np.random.default_rng(7)
    columns: dict[str, Any] = {"id": np.arange(size), "low": random.random(size)}
    columns["code"] = random.choice([f"{a}{b}-{n}" for a in "ABC" for b in "XYZ" for n in range(1000, 1500)], size)
    columns["high"] = columns["low"] + random.random(size)
    columns |= {f"double_{number}": random.normal(50, 10, size) for number in range(DOUBLES - 2)}
    columns |= {f"long_{number}": random.integers(0, 1000, size) for number in range(LONGS - 1)}
    columns |= {f"text_{number}": random.choice(KINDS, size) for number in range(TEXTS)}
    columns |= {f"flag_{number}": random.random(size) < 0.5 for number in range(3)}
    start = np.datetime64("2013-01-01T00:00:00", "us")
    columns |= {
        f"at_{number}": start + random.integers(0, 10**9, size).astype("timedelta64[ms]") for number in range(4)
    }
    return pl.DataFrame(columns)


def doubles(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype == pl.Float64]


def longs(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype == pl.Int64]


def texts(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name.startswith("text_")]


def contract_of(frame: pl.DataFrame) -> Any:
    """10 columns with nullable, minimum, maximum; 8 with the last two; 4 sets, a pattern, a key, a relation, rows."""
    from bucle.line.contracts import ColumnRule, Contract, Relation, type_of

    def rule(name: str) -> ColumnRule:
        kind = type_of(frame.schema[name])
        if name in doubles(frame):
            return ColumnRule(name=name, type=kind, nullable=False, minimum=-100.0, maximum=200.0)
        if name in longs(frame):
            return ColumnRule(name=name, type=kind, minimum=0, maximum=10**9, unique=name == "id")
        if name in texts(frame):
            return ColumnRule(name=name, type=kind, allowed=tuple(KINDS))
        return ColumnRule(name=name, type=kind, pattern=PATTERN if name == "code" else "")

    columns = tuple(rule(name) for name in frame.columns)
    relation = Relation(left="low", op="<=", right="high")
    return Contract(table="t", columns=columns, relations=(relation,), min_rows=1)


def raw(frame: pl.DataFrame) -> list[pl.Expr]:
    """The same arithmetic by hand."""
    wanted = [pl.len().alias("rows")]
    for name in doubles(frame):
        value = pl.col(name)
        wanted += [
            (value.is_null() | value.is_nan()).sum().alias(f"{name}|missing"),
            (value < -100.0).sum().alias(f"{name}|low"),
            (value > 200.0).sum().alias(f"{name}|high"),
        ]
    for name in longs(frame):
        wanted += [(pl.col(name) < 0).sum().alias(f"{name}|low"), (pl.col(name) > 10**9).sum().alias(f"{name}|high")]
    wanted += [(~pl.col(name).is_in(KINDS)).sum().alias(f"{name}|set") for name in texts(frame)]
    wanted += [
        (~pl.col("code").str.contains(f"^(?:{PATTERN})$")).sum().alias("code|pattern"),
        (pl.col("id").is_not_null().sum() - pl.col("id").n_unique()).alias("id|unique"),
        (pl.col("low") > pl.col("high")).sum().alias("relation"),
    ]
    return wanted


def cpu_ms(run: Callable[[], object], rounds: int) -> float:
    """The least CPU milliseconds of some rounds, after one that does not count."""
    run()
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        taken.append((time.process_time() - start) * 1000)
    return min(taken)


def great_expectations(path: Path, rounds: int) -> dict[str, Any]:
    """The same 54 rules; runs under a Python that has Great Expectations."""
    import great_expectations as gx

    frame, told = pl.read_parquet(path), pl.read_parquet_schema(path)
    shaped = pl.DataFrame(schema=told)
    expect = gx.expectations
    rules = [expect.ExpectTableRowCountToBeBetween(min_value=1)]
    for name in doubles(shaped):
        rules += [
            expect.ExpectColumnValuesToNotBeNull(column=name),
            expect.ExpectColumnValuesToBeBetween(column=name, min_value=-100.0),
            expect.ExpectColumnValuesToBeBetween(column=name, max_value=200.0),
        ]
    for name in longs(shaped):
        rules += [
            expect.ExpectColumnValuesToBeBetween(column=name, min_value=0),
            expect.ExpectColumnValuesToBeBetween(column=name, max_value=10**9),
        ]
    rules += [expect.ExpectColumnValuesToBeInSet(column=name, value_set=KINDS) for name in texts(shaped)]
    rules += [
        expect.ExpectColumnValuesToMatchRegex(column="code", regex=f"^(?:{PATTERN})$"),
        expect.ExpectColumnValuesToBeUnique(column="id"),
        expect.ExpectColumnPairValuesAToBeGreaterThanB(column_A="high", column_B="low", or_equal=True),
    ]
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("s").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b").get_batch(batch_parameters={"dataframe": frame.to_pandas()})
    suite = gx.ExpectationSuite(name="t", expectations=rules)

    def validate() -> None:
        found = batch.validate(suite, result_format="SUMMARY")
        if not found.success:
            raise SystemExit("the rows are good, and the peer says they are not")

    return {"rules": len(rules), "cpu_ms": cpu_ms(validate, rounds), "version": gx.__version__}


def peer(python: str, frame: pl.DataFrame, folder: Path, rounds: int) -> dict[str, Any]:
    path = folder / "rows.parquet"
    frame.write_parquet(path)
    command = [python, __file__, "--as-peer", str(path), "--rounds", str(rounds)]
    quiet = {**os.environ, "GX_ANALYTICS_ENABLED": "false", "TQDM_DISABLE": "1"}
    quiet.pop("PYTHONPATH", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def point(frame: pl.DataFrame, rounds: int) -> tuple[float, float, int]:
    from bucle.line import contracts

    contract = contract_of(frame)
    report = contracts.check(frame, contract)
    if not report.passed:
        raise SystemExit(f"the rows are good, and the contract says {report.breaches[0].sentence()}")
    ours, bare = [], []
    for _ in range(3):
        bare.append(cpu_ms(lambda: frame.select(raw(frame)), rounds))
        ours.append(cpu_ms(lambda: contracts.check(frame, contract), rounds))
    return statistics.median(ours), statistics.median(bare), report.rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--most", type=int, default=10_000_000, help="the last point of the curve")
    parser.add_argument("--peer", default="", help="a Python that has great-expectations and polars")
    parser.add_argument("--as-peer", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_peer:
        print(json.dumps(great_expectations(Path(given.as_peer), min(given.rounds, 3))))
        return
    from bucle.line import contracts

    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    versions = f"Python {platform.python_version()}, polars {importlib.metadata.version('polars')}"
    print(f"{versions}; least CPU of {given.rounds}")
    print(f"{' '.join(sys.argv)}\n")
    print(f"{'rows x 30, 54 rules about values':<34} {'ours':>12} {'raw select':>12} {'ratio':>8}   aim 1.5x at 1 M")
    size = 1000
    while size <= given.most:
        ours, bare, _ = point(rows(size), given.rounds if size <= 10**6 else 3)
        print(f"{size:<34,} {ours:9.2f} ms {bare:9.2f} ms {ours / bare:7.2f}x")
        size *= 10
    frame = rows(given.rows)
    contract = contract_of(frame)
    ours = cpu_ms(lambda: contracts.check(frame, contract), given.rounds)
    infer = cpu_ms(lambda: contracts.infer(frame, "t"), min(given.rounds, 3))
    print(f"\ninfer a contract from {given.rows:,} rows: {infer:.0f} ms, {infer / ours:.1f}x the check")
    bad = frame.with_columns(pl.when(pl.col("id") % 1000 == 0).then(-900.0).otherwise("double_0").alias("double_0"))
    apart = cpu_ms(lambda: contracts.split(bad, contract), min(given.rounds, 3))
    print(f"set {given.rows // 1000:,} bad rows of {given.rows:,} aside: {apart:.0f} ms, {apart / ours:.1f}x the check")
    if given.peer:
        with tempfile.TemporaryDirectory() as folder:
            for size in (100_000, given.rows):
                found = peer(given.peer, rows(size), Path(folder), given.rounds)
                mine, _, _ = point(rows(size), given.rounds)
                print(
                    f"Great Expectations {found['version']}, pandas, {found['rules']} rules, {size:,} rows: "
                    f"{found['cpu_ms']:.0f} ms; ours {mine:.1f} ms; {found['cpu_ms'] / mine:.0f}x (aim 20x)"
                )


if __name__ == "__main__":
    main()
