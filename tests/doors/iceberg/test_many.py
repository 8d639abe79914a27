"""Many clients at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bucle.line import data
from doors.conftest import Site
from doors.iceberg.conftest import Connect, flights

WORKERS, EACH = 4, 5


def test_no_append_of_four_processes_is_lost(lake: Site, connect: Connect) -> None:
    with connect().load_table("default.flights").transaction() as transaction:
        patience = {
            "commit.retry.num-retries": "200",
            "commit.retry.min-wait-ms": "5",
            "commit.retry.max-wait-ms": "200",
        }
        transaction.set_properties(patience)
    arguments = [sys.executable, str(Path(__file__).parent / "appender.py"), lake.url, "main"]
    workers = range(1, WORKERS + 1)
    started = [subprocess.Popen([*arguments, str(one), str(EACH)], stderr=subprocess.PIPE) for one in workers]
    for n in range(EACH):
        data.commit(lake.project, {"flights": flights(1, 9000 + n)}, message="ours, in between")
    for process in started:
        _, said = process.communicate(timeout=180)
        assert process.returncode == 0, said.decode()
    wanted = {*range(3), *(one * 1000 + n for one in workers for n in range(EACH))}
    wanted |= {9000 + n for n in range(EACH)}
    found = data.scan(lake.project, "flights")["id"].to_list()
    assert sorted(found) == sorted(wanted)
    assert sorted(connect().load_table("default.flights").scan().to_arrow()["id"].to_pylist()) == sorted(wanted)
    assert data.verify_files(lake.project) == []
