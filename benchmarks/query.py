"""SQL over a table of the lake against DuckDB on the very same files: `python benchmarks/query.py [--rows 5000000]`.

Both run the same text in a fresh engine with the same threads; CPU seconds, the median of several runs in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from bucle.ground.project import Project
from bucle.line import data, query

QUERIES = {
    "group by": "SELECT cat, count(*) AS n, avg(f0) AS m FROM {t} GROUP BY cat ORDER BY cat",
    "filter on id": "SELECT * FROM {t} WHERE id BETWEEN 1000 AND 1100",
    "join with itself": "SELECT count(*) FROM {t} a JOIN {t} b USING (id) WHERE a.f0 > 0.9",
    "all columns summed": "SELECT sum(f0), sum(f1), sum(f2), sum(f3) FROM {t}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    print(f"duckdb {duckdb.__version__}, {options.rows} rows in one, ten and a thousand files; CPU ms, median")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bucle.toml").write_text('[project]\nname = "bench"\n')
        project = Project.open(folder)
        for name, files in (("one", 1), ("ten", 10), ("many", 1000)):
            fill(project, name, options.rows, files)
            for label, text in QUERIES.items():
                compare(project, name, files, label, text, runs=options.runs)
        project.close()


def fill(project: Project, table: str, rows: int, files: int) -> None:
    drawn = np.random.default_rng(0)
    share = rows // files
    for start in range(0, share * files, share):
        columns = {f"f{number}": drawn.random(share) for number in range(4)}
        frame = pl.DataFrame({"id": np.arange(start, start + share), "cat": drawn.integers(0, 50, share), **columns})
        data.commit(project, {table: frame}, message="bench")


def compare(project: Project, table: str, files: int, label: str, text: str, *, runs: int) -> None:
    paths = list(data.plan(project, table).files)

    def ours() -> None:
        query.sql(project, text.format(t=table))

    def raw() -> None:
        with duckdb.connect(":memory:") as engine:
            engine.execute("CREATE VIEW v AS SELECT * FROM read_parquet($files)".replace("$files", repr(paths)))
            engine.sql(text.format(t="v")).to_arrow_table()

    took: dict[str, list[float]] = {"ours": [], "raw": []}
    for _ in range(runs):
        for name, call in (("raw", raw), ("ours", ours)):
            began = time.process_time()
            call()
            took[name].append((time.process_time() - began) * 1e3)
    mine, limit = statistics.median(took["ours"]), statistics.median(took["raw"])
    print(f"{files:5} files  {label:20} raw {limit:8.1f}  ours {mine:8.1f}  {mine / limit:5.2f}x")


if __name__ == "__main__":
    main()
