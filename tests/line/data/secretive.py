"""What the test of crashes runs in another process: everything that handles an encrypted table, until it is killed.

python secretive.py ROOT    prints a line after each round
"""

import contextlib
import sys

import polars as pl

from bucle.ground.project import Project
from bucle.line import data, query
from bucle.line.contracts import ColumnRule, Contract, ContractViolated

ROWS = 50


def rows(number: int) -> pl.DataFrame:
    ids = range(number * ROWS, (number + 1) * ROWS)
    return pl.DataFrame({"id": list(ids), "who": [f"Zx9secret{one:06d}q" for one in ids], "v": [number] * ROWS})


def main(root: str) -> None:
    project, number = Project.open(root), 0
    contract = Contract(
        table="secrets", columns=(ColumnRule(name="id"), ColumnRule(name="who"), ColumnRule(name="v", maximum=10_000))
    )
    while True:
        data.commit(project, {"secrets": rows(number)}, message="more")
        data.upsert(project, "secrets", rows(number).with_columns(v=pl.lit(-1)), on=["id"], message="again")
        data.delete(project, "secrets", f"id % 7 = {number % 7}", message="fewer")
        data.land(project, {"secrets": rows(number + 1)}, contracts={"secrets": contract}, message="landed")
        bad = rows(number + 2).with_columns(v=pl.lit(20_000, pl.Int64))
        with contextlib.suppress(ContractViolated):
            data.land(project, {"secrets": bad}, contracts={"secrets": contract}, message="refused")
        query.sql(project, "SELECT who, count(*) FROM secrets GROUP BY who ORDER BY who")
        data.compact(project, "secrets")
        data.create_branch(project, f"b{number}")
        data.commit(project, {"secrets": rows(number + 3)}, branch=f"b{number}", message="there")
        data.merge(project, f"b{number}", message="here")
        data.encrypt(project, "secrets")
        number += 1
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
