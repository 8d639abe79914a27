"""What the server acknowledged is there after its process was killed, exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from bucle.ground.project import Project
from bucle.line import tracking
from doors.mlflow.conftest import new_database, new_root

SERVER = """
    import sys
    from bucle.doors.server import serve
    from bucle.ground.project import Project
    serve(Project.open(sys.argv[1]), "127.0.0.1", 0, ready=lambda url: print(url, flush=True))
"""
AT = "/api/2.0/mlflow/runs"


@pytest.mark.full
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_acknowledged_point_survives_a_kill(tmp_path: Path, postgres_server: str, database: str) -> None:
    if database == "sqlite":
        check(new_root(tmp_path / "project"))
        return
    with new_database(postgres_server) as url:
        check(new_root(tmp_path / "project", url))


def check(root: Path) -> None:
    acknowledged: dict[str, int] = {}
    for turn in range(4):
        server = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), str(root)], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        with httpx.Client(base_url=server.stdout.readline().strip(), timeout=30) as client:
            made = client.post(f"{AT}/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
            acknowledged[made] = log_until_killed(client, server, made, 50 + 70 * turn)
        server.wait()
    project = Project.open(root)
    try:
        for run, count in acknowledged.items():
            steps = [point.step for point in tracking.history(project, run, "m").items]
            # The last batch may have been kept without anybody having been told.
            assert steps[:count] == list(range(count))
            assert len(steps) - count in (0, 10)
        assert tracking.seal(project) == 0
    finally:
        project.close()


def log_until_killed(client: httpx.Client, server: subprocess.Popen[str], run: str, calls: int) -> int:
    """Log ten points a call; kill the server in the middle of one; give back how many points were acknowledged."""
    for call in range(calls):
        points = [{"key": "m", "value": s / 2, "timestamp": s, "step": s} for s in range(call * 10, call * 10 + 10)]
        if call == calls - 1:
            os.kill(server.pid, signal.SIGKILL)
        try:
            answer = client.post(f"{AT}/log-batch", content=json.dumps({"run_id": run, "metrics": points}).encode())
        except httpx.HTTPError:
            return call * 10
        assert answer.status_code == 200
    return calls * 10
