"""A process of its own that appends through a stock client: `appender.py URL BRANCH WORKER COUNT`."""

from __future__ import annotations

import sys

import pyarrow as pa
from pyiceberg.catalog.rest import RestCatalog


def main(url: str, branch: str, worker: int, count: int) -> None:
    table = RestCatalog("bucle", uri=f"{url}/iceberg", warehouse=branch).load_table("default.flights")
    for n in range(count):
        row = {"id": [worker * 1000 + n], "origin": ["JFK"], "delay": [0.5]}
        table.append(pa.table(row))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
