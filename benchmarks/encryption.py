"""What encryption costs: the same rows in a plain and in an encrypted table, written, read, asked for one column.

    python benchmarks/encryption.py [--rows 1000,100000,1000000] [--files 10] [--rounds 5]

CPU milliseconds of the process, threads included; medians of interleaved rounds; `ratio` is encrypted to plain.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import polars as pl
from tables import batch, cpu_ms  # type: ignore[import-not-found]

from bucle.ground import keys
from bucle.ground.project import Project
from bucle.line import data

TOML = '[project]\nname = "cost"\n[data.encryption]\ntables = ["secret"]\nkeyring = "{}/keyring"\n'


def measure(project: Project, rows: int, files: int, rounds: int) -> dict[str, dict[str, float]]:
    """Name -> plain, encrypted, ratio."""
    took = {
        f"{what} {table}": list[float]() for what in ("write", "read", "one column") for table in ("plain", "secret")
    }
    for table in ("plain", "secret"):
        data.commit(project, {table: batch(1)}, mode="overwrite", message="empty")
        for number in range(files):
            part = batch(max(1, rows // files), number * rows)
            took[f"write {table}"].append(
                cpu_ms(lambda part=part, table=table: data.commit(project, {table: part}, message="m"))  # type: ignore[misc]
            )
    for _ in range(rounds):
        for table in ("plain", "secret"):
            took[f"read {table}"].append(cpu_ms(lambda table=table: data.scan(project, table)))  # type: ignore[misc]
            took[f"one column {table}"].append(
                cpu_ms(lambda table=table: data.scan(project, table, columns=["f1"], where=pl.col("id") >= 0))  # type: ignore[misc]
            )
    found = dict[str, dict[str, float]]()
    for what in ("write", "read", "one column"):
        plain, secret = (statistics.median(took[f"{what} {table}"]) for table in ("plain", "secret"))
        found[what] = {"plain_ms": round(plain, 2), "encrypted_ms": round(secret, 2), "ratio": round(secret / plain, 3)}
    return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="1000,100000,1000000")
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        root.mkdir()
        (root / "bucle.toml").write_text(TOML.format(folder))
        project = Project.open(root)
        keys.make_keyring(project)
        made = {rows: measure(project, int(rows), given.files, given.rounds) for rows in given.rows.split(",")}
        project.close()
    print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main()
