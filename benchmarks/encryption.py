"""What encryption costs: the same rows in a plain and in an encrypted table, written, read, asked for one column.

    python benchmarks/encryption.py [--rows 1000,100000,1000000] [--files 10] [--rounds 5]

CPU milliseconds of the process, threads included; medians of interleaved rounds; `ratio` is encrypted to plain. Twice:
numbers at random, which nothing compresses, so that there is most to decrypt for each value, and real flights.
`aes_ms` is what OpenSSL takes to decrypt as many bytes as the files have, in pieces of 64 KiB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tables import batch, cpu_ms  # type: ignore[import-not-found]

from bucle.ground import keys
from bucle.ground.project import Project
from bucle.line import data

TOML = '[project]\nname = "cost"\n[data.encryption]\ntables = ["secret.*"]\nkeyring = "{}/keyring"\n'


FLIGHTS = Path(__file__).parents[1] / "src/bucle/examples/flights/data/flights.parquet"


def flights(rows: int, start: int = 0) -> pl.DataFrame:
    """Rows of the flights of 2013 from New York, over and over."""
    read = pl.read_parquet(FLIGHTS)
    times = 1 + (start % read.height + rows) // read.height
    return pl.concat([read] * times).slice(start % read.height, rows).rechunk()


KINDS: dict[str, tuple[Callable[..., pl.DataFrame], str]] = {"random": (batch, "f1"), "flights": (flights, "distance")}
"""Of the rows: name -> what makes them, and the column that is read alone."""


def aes_ms(size_bytes: int) -> float:
    """What decrypting so many bytes takes."""
    cipher, nonce, piece = AESGCM(bytes(32)), bytes(12), 1 << 16
    sealed = cipher.encrypt(nonce, bytes(piece), None)
    return cpu_ms(lambda: [cipher.decrypt(nonce, sealed, None) for _ in range(-(-size_bytes // piece))])


def measure(project: Project, kind: str, rows: int, files: int, rounds: int) -> dict[str, dict[str, float]]:
    """Name -> plain, encrypted, ratio."""
    make, column = KINDS[kind]
    tables = {one: f"{one}.{kind}{rows}" for one in ("plain", "secret")}
    took = {f"{what} {one}": list[float]() for what in ("write", "read", "one column") for one in tables}
    for one, table in tables.items():
        data.commit(project, {table: make(1)}, message="the table")
        for number in range(files):
            part = make(max(1, rows // files), number * rows)
            took[f"write {one}"].append(
                cpu_ms(lambda part=part, table=table: data.commit(project, {table: part}, message="m"))  # type: ignore[misc]
            )
    for _ in range(rounds):
        for one, table in tables.items():
            took[f"read {one}"].append(cpu_ms(lambda table=table: data.scan(project, table)))  # type: ignore[misc]
            took[f"one column {one}"].append(
                cpu_ms(lambda table=table: data.scan(project, table, columns=[column]))  # type: ignore[misc]
            )
    found = dict[str, dict[str, float]]()
    for what in ("write", "read", "one column"):
        plain, secret = (statistics.median(took[f"{what} {one}"]) for one in tables)
        found[what] = {"plain_ms": round(plain, 2), "encrypted_ms": round(secret, 2), "ratio": round(secret / plain, 3)}
    size = sum((project.state / path).stat().st_size for path in data.plan(project, tables["secret"]).files)
    return {**found, "all of it": {"mb": round(size / 1e6, 2), "aes_ms": round(aes_ms(size), 2)}}


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
        made = {
            f"{rows} rows, {kind}": measure(project, kind, int(rows), given.files, given.rounds)
            for kind in KINDS
            for rows in given.rows.split(",")
        }
        project.close()
    for name, found in made.items():
        print(name, json.dumps(found))


if __name__ == "__main__":
    main()
